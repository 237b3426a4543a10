//! What a REST call is answered with: a resource, a page of a list, or an error in Twilio's shape.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::call::Call;

/// A call that was carried out.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    body: Option<Value>,
}

/// What a route gives.
pub(crate) type Reply = Result<Answer, Refusal>;

impl Answer {
    /// 200 with a resource.
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: StatusCode::OK, body: Some(body) }
    }

    /// 201 with the resource that was made.
    pub(crate) fn created(body: Value) -> Self {
        Self { status: StatusCode::CREATED, body: Some(body) }
    }

    /// 204: the resource is gone.
    pub(crate) fn deleted() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None }
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let body = self.body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        response(self.status, "application/json", body)
    }
}

/// An error of Twilio's: <https://www.twilio.com/docs/usage/twilios-response#response-formats-exceptions>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code, as in <https://www.twilio.com/docs/api/errors>.
    pub code: u32,
    /// What is wrong, in words.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// 400 for a parameter that is unknown, missing or malformed; the message names it.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, 20001, message)
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(404, 20404, format!("The requested resource {path} was not found"))
    }

    /// `problem_json` chooses the shape of RFC 9457 over Twilio's own.
    pub(crate) fn into_response(self, problem_json: bool) -> Response<Bytes> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let page = format!("https://www.twilio.com/docs/errors/{}", self.code);
        if problem_json {
            let title = status.canonical_reason().unwrap_or("Error");
            let body = json!({
                "type": page, "title": title, "status": self.status, "code": self.code, "detail": self.message,
            });
            return response(status, "application/problem+json", Bytes::from(body.to_string()));
        }
        let body = json!({
            "code": self.code, "message": self.message, "more_info": page, "status": self.status,
        });
        response(status, "application/json", Bytes::from(body.to_string()))
    }
}

/// A response with a body of the given type.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// One page of `rows` under `key`, with the `meta` that leads to the others.
///
/// The page is the one that `PageSize` and `PageToken` (or `Page`) of the call ask for; a `PageSize` above
/// `most` is refused.
pub(crate) fn page(call: &Call, key: &str, default: usize, most: usize, rows: Vec<Value>) -> Reply {
    let size = match call.query("PageSize") {
        None => default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=most).contains(size))
            .ok_or_else(|| Refusal::invalid(format!("Invalid PageSize {text}: 1 to {most}")))?,
    };
    let number = number(call)?;
    let start = number.saturating_mul(size);
    let end = start.saturating_add(size);
    let url = |page: usize, token: Option<String>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &call.query {
            if !matches!(name.as_str(), "PageSize" | "Page" | "PageToken") {
                query.append_pair(name, value);
            }
        }
        query.append_pair("PageSize", &size.to_string()).append_pair("Page", &page.to_string());
        if let Some(token) = token {
            query.append_pair("PageToken", &token);
        }
        format!("{}?{}", call.url(), query.finish())
    };
    let other = |page: usize| url(page, Some(format!("PT{page}")));
    let meta = json!({
        "page": number,
        "page_size": size,
        "first_page_url": url(0, None),
        "previous_page_url": number.checked_sub(1).map(other),
        "url": url(number, None),
        "next_page_url": (end < rows.len()).then(|| other(number + 1)),
        "key": key,
    });
    let rows: Vec<Value> = rows.into_iter().skip(start).take(size).collect();
    Ok(Answer::ok(json!({ key: rows, "meta": meta })))
}

fn number(call: &Call) -> Result<usize, Refusal> {
    let wrong = |name: &str| Refusal::invalid(format!("Invalid {name}"));
    if let Some(token) = call.query("PageToken") {
        return token.strip_prefix("PT").and_then(|n| n.parse().ok()).ok_or_else(|| wrong("PageToken"));
    }
    call.query("Page").map_or(Ok(0), |page| page.parse().map_err(|_| wrong("Page")))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Sim, code, text};

    #[test]
    fn a_list_is_read_page_by_page() {
        let sim = Sim::new();
        let all: Vec<String> = (0..5).map(|_| sim.conversation()).collect();
        let (mut next, mut read) = ("/v1/Conversations?PageSize=2&State=active".to_owned(), Vec::new());
        let mut pages = 0;
        while !next.is_empty() {
            let (status, body) = sim.get(&next);
            assert_eq!((status, &body["meta"]["page"]), (200, &pages.into()));
            assert_eq!(body["meta"]["key"], "conversations");
            read.extend(body["conversations"].as_array().expect("rows").iter().map(|row| text(&row["sid"])));
            next = text(&body["meta"]["next_page_url"]).replace("https://conversations.twilio.com", "");
            pages += 1;
        }
        assert_eq!((read, pages), (all, 3));
    }

    #[test]
    fn a_page_may_not_be_larger_than_twilio_allows() {
        let sim = Sim::new();
        assert_eq!(sim.get("/v1/Conversations?PageSize=100").0, 200);
        assert_eq!(code(&sim.get("/v1/Conversations?PageSize=101")), 20001);
        assert_eq!(code(&sim.get("/v1/ParticipantConversations?Identity=a&PageSize=51")), 20001);
        assert_eq!(code(&sim.get("/v1/Conversations?PageToken=x")), 20001);
    }
}
