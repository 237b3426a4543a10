//! What a function returned becomes an HTTP response.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING},
};
use serde_json::Value;

/// Why what a function returned is no response. AWS answers the client with a 500 or 502 then.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// `statusCode` is not a number from 100 to 599.
    #[error("statusCode is not an HTTP status")]
    Status,
    /// A header's name or value cannot be sent.
    #[error("the header {0:?} cannot be sent")]
    Header(String),
    /// `body` is not text, or not the base64 that `isBase64Encoded` announces.
    #[error("body is not text, or not base64 although isBase64Encoded is true")]
    Body,
    /// A member has another type than the format says.
    #[error("{0} is not of the type that the format says")]
    Type(&'static str),
}

/// Reads a function's answer as API Gateway reads
/// [format 2.0](https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html#http-api-develop-integrations-lambda.response),
/// with the `multiValueHeaders` of format 1.0 and of load balancers beside. JSON without a `statusCode` is
/// the body of a 200.
pub fn response(value: &Value) -> Result<Response<Bytes>, BadAnswer> {
    let Some(status) = value.get("statusCode").filter(|status| !status.is_null()) else {
        return Ok(inferred(value));
    };
    let mut response = Response::new(body(value)?);
    *response.status_mut() = self::status(status)?;
    let headers = response.headers_mut();
    for (name, value) in members(value, "headers")? {
        insert(headers, name, scalar(value).ok_or(BadAnswer::Type("headers"))?, Insert::Instead)?;
    }
    for (name, values) in members(value, "multiValueHeaders")? {
        let values = values.as_array().ok_or(BadAnswer::Type("multiValueHeaders"))?;
        // Where both forms name a header, the longer one holds all of its values.
        let mut how = Insert::Instead;
        for value in values {
            insert(headers, name, scalar(value).ok_or(BadAnswer::Type("multiValueHeaders"))?, how)?;
            how = Insert::Beside;
        }
    }
    match value.get("cookies") {
        None | Some(Value::Null) => {}
        Some(Value::Array(cookies)) => {
            for cookie in cookies {
                let cookie = cookie.as_str().ok_or(BadAnswer::Type("cookies"))?;
                insert(headers, SET_COOKIE.as_str(), cookie.to_owned(), Insert::Beside)?;
            }
        }
        Some(_) => return Err(BadAnswer::Type("cookies")),
    }
    // The connection is the front end's; it counts the length itself.
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    Ok(response)
}

fn inferred(value: &Value) -> Response<Bytes> {
    let body = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut response = Response::new(Bytes::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn status(status: &Value) -> Result<StatusCode, BadAnswer> {
    let code = status.as_u64().or_else(|| status.as_str()?.parse().ok()).ok_or(BadAnswer::Status)?;
    let code = u16::try_from(code).ok().filter(|code| (100..600).contains(code)).ok_or(BadAnswer::Status)?;
    StatusCode::from_u16(code).map_err(|_| BadAnswer::Status)
}

fn body(value: &Value) -> Result<Bytes, BadAnswer> {
    let encoded = match value.get("isBase64Encoded") {
        None | Some(Value::Null) => false,
        Some(encoded) => encoded.as_bool().ok_or(BadAnswer::Type("isBase64Encoded"))?,
    };
    match value.get("body") {
        None | Some(Value::Null) => Ok(Bytes::new()),
        Some(Value::String(body)) if encoded => {
            STANDARD.decode(body).map(Bytes::from).map_err(|_| BadAnswer::Body)
        }
        Some(Value::String(body)) => Ok(Bytes::copy_from_slice(body.as_bytes())),
        Some(_) => Err(BadAnswer::Body),
    }
}

fn members<'a>(
    value: &'a Value,
    name: &'static str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, BadAnswer> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(BadAnswer::Type(name)),
    }
    .map(|members| members.into_iter().flatten())
}

/// Numbers and booleans are headers too: functions set `Retry-After: 30` without quotes.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum Insert {
    Instead,
    Beside,
}

fn insert(headers: &mut HeaderMap, name: &str, value: String, how: Insert) -> Result<(), BadAnswer> {
    let bad = || BadAnswer::Header(name.to_owned());
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
    let value = HeaderValue::try_from(value).map_err(|_| bad())?;
    match how {
        Insert::Instead => drop(headers.insert(key, value)),
        Insert::Beside => drop(headers.append(key, value)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values<'a>(response: &'a Response<Bytes>, name: &str) -> Vec<&'a str> {
        response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn status_headers_cookies_and_body_arrive() {
        let response = response(&json!({
            "statusCode": 201,
            "headers": {"X-One": "1", "Retry-After": 30, "Set-Cookie": "a=0", "Content-Length": "999"},
            "multiValueHeaders": {"x-many": ["1", "2"], "x-one": ["1"]},
            "cookies": ["a=1", "b=2; Secure"],
            "body": "aGk=",
            "isBase64Encoded": true,
        }))
        .unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(values(&response, "x-one"), ["1"]);
        assert_eq!(values(&response, "retry-after"), ["30"]);
        assert_eq!(values(&response, "x-many"), ["1", "2"]);
        assert_eq!(values(&response, "set-cookie"), ["a=0", "a=1", "b=2; Secure"]);
        assert!(values(&response, "content-length").is_empty());
        assert_eq!(response.body(), "hi");
    }

    #[test]
    fn json_without_a_status_is_the_body_of_a_200() {
        for (value, body) in [
            (json!("Hello from Lambda!"), "Hello from Lambda!"),
            (json!({"message": "Hello"}), "{\"message\":\"Hello\"}"),
        ] {
            let response = response(&value).unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(values(&response, "content-type"), ["application/json"]);
            assert_eq!(response.body(), body);
        }
    }

    #[test]
    fn an_answer_that_cannot_be_sent_is_refused() {
        for (value, refusal) in [
            (json!({"statusCode": 99}), BadAnswer::Status),
            (json!({"statusCode": "ok"}), BadAnswer::Status),
            (json!({"statusCode": 200, "headers": []}), BadAnswer::Type("headers")),
            (json!({"statusCode": 200, "headers": {"a b": "c"}}), BadAnswer::Header("a b".to_owned())),
            (json!({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}), BadAnswer::Header("a".to_owned())),
            (json!({"statusCode": 200, "cookies": "a=1"}), BadAnswer::Type("cookies")),
            (json!({"statusCode": 200, "body": {}}), BadAnswer::Body),
            (json!({"statusCode": 200, "body": "!", "isBase64Encoded": true}), BadAnswer::Body),
        ] {
            assert_eq!(response(&value).unwrap_err(), refusal, "{value}");
        }
    }
}
