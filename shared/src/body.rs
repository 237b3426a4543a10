//! JSON bodies of requests that anybody may send.

use http::header;
use serde_json::{Map, Value};

use crate::webhook::RawRequest;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than allowed.
    TooLarge,
    /// It says of itself that it is something else, or, where it must say that it is JSON, nothing.
    OtherType,
    /// It is no JSON object.
    NotAnObject,
}

/// The JSON object that a body of at most `max` bytes is; `untyped` where it need not say so by a `Content-Type`.
///
/// # Errors
/// Where it is longer, of another type, or no such object.
pub fn json_object(request: &RawRequest, max: usize, untyped: bool) -> Result<Map<String, Value>, BodyError> {
    if request.is_longer_than(max) {
        return Err(BodyError::TooLarge);
    }
    let content_type = request.headers.get(header::CONTENT_TYPE);
    if !content_type.map_or(untyped, |kind| kind.to_str().is_ok_and(is_json)) {
        return Err(BodyError::OtherType);
    }
    serde_json::from_slice(&request.body).map_err(|_| BodyError::NotAnObject)
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// How deep a value goes: 0 where it holds no others.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or_default(),
        Value::Array(array) => 1 + array.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}
