//! What a REST call is answered with: a resource, or an error in Twilio's shape. Lists are in `page`.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde_json::{Value, json};

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

    /// 400 with a body of its own, which is not an error in Twilio's shape.
    pub(crate) fn bad_request(body: Value) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: Some(body) }
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
