//! Answers that say that something is wrong, as
//! [problem details](https://www.rfc-editor.org/rfc/rfc9457): what the caller can use, and nothing of what
//! is inside.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    answer(status, HeaderValue::from_static("application/json"), body)
}

/// A problem: its status, a short name that programs can go by, and a sentence for a person.
#[must_use]
pub fn problem(status: StatusCode, error: &str, detail: &str) -> Response<Bytes> {
    #[derive(Serialize)]
    struct Problem<'a> {
        title: &'a str,
        status: u16,
        error: &'a str,
        detail: &'a str,
    }
    let title = status.canonical_reason().unwrap_or("Error");
    let body = Problem { title, status: status.as_u16(), error, detail };
    answer(status, HeaderValue::from_static("application/problem+json"), &body)
}

/// A problem of which there is more to say: `more` are further members of its body.
#[must_use]
pub fn problem_with(
    status: StatusCode,
    error: &str,
    detail: &str,
    more: Map<String, Value>,
) -> Response<Bytes> {
    let mut body = more;
    body.insert("title".to_owned(), status.canonical_reason().unwrap_or("Error").into());
    body.insert("status".to_owned(), status.as_u16().into());
    body.insert("error".to_owned(), error.into());
    body.insert("detail".to_owned(), detail.into());
    answer(status, HeaderValue::from_static("application/problem+json"), &body)
}

/// The fields that are wrong, and why.
pub type Wrong = BTreeMap<String, String>;

/// 422, with every bad field.
#[must_use]
pub fn invalid(wrong: Wrong) -> Response<Bytes> {
    let fields = wrong.into_iter().map(|(field, why)| (field, why.into())).collect();
    let more = Map::from_iter([("fields".to_owned(), Value::Object(fields))]);
    problem_with(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "Some fields are wrong.", more)
}

/// An answer that says when to ask again, in whole seconds.
#[must_use]
pub fn retry_after(mut response: Response<Bytes>, wait: Duration) -> Response<Bytes> {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// 405, with the one method that is understood.
#[must_use]
pub fn method_not_allowed(allowed: &'static str) -> Response<Bytes> {
    let detail = format!("Only {allowed} is understood here.");
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &detail);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

fn answer(status: StatusCode, content_type: HeaderValue, body: &impl Serialize) -> Response<Bytes> {
    // What is answered is made of strings and numbers, which always serialise.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
