//! Requests to `outbound-participant`, as back ends and plugins make them.

use bytes::Bytes;
use flexglue::local::{
    gateway::Routes,
    system::{OUTBOUND_API_KEY, OUTBOUND_PATH, PUBLIC_URL, SMS_NUMBER},
};
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::rig::CUSTOMER;

/// An answer of the function.
#[derive(Clone, Debug)]
pub struct Told {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// `Retry-After`, where there is one.
    pub retry_after: Option<u64>,
}

impl Told {
    /// Reads an answer.
    #[must_use]
    pub fn of(response: &Response<Bytes>) -> Self {
        let retry_after = response.headers().get("retry-after");
        Self {
            status: response.status().as_u16(),
            body: serde_json::from_slice(response.body()).unwrap_or_default(),
            retry_after: retry_after.and_then(|text| text.to_str().ok()?.parse().ok()),
        }
    }

    /// A text of the body, empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.body[name].as_str().unwrap_or_default().to_owned()
    }
}

/// A request of a kind, with the least that it needs and a first message.
#[must_use]
pub fn reach(account: &simulator::Settings, kind: &str) -> Value {
    let mut body = json!({
        "to": CUSTOMER, "from": SMS_NUMBER, "channel": "sms", "initiated_by": kind,
        "customer_name": "Ada", "attributes": {"case": 7}, "message": {"body": "Your order is ready."},
    });
    if kind == "agent" {
        body["worker_sid"] = account.workers[0].sid.as_str().into();
        body["queue_sid"] = account.queue_sid.as_str().into();
    }
    body
}

/// The same, with changes; `null` takes a field away.
#[must_use]
pub fn with(mut body: Value, changes: &Value) -> Value {
    if let (Some(body), Some(changes)) = (body.as_object_mut(), changes.as_object()) {
        body.extend(changes.clone());
        body.retain(|_, value| !value.is_null());
    }
    body
}

/// A request with these headers.
///
/// # Panics
/// Where a header is none.
#[must_use]
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(format!("{PUBLIC_URL}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Bytes::copy_from_slice(body.as_bytes())).expect("the test writes good headers")
}

/// What a back end asks, under an idempotency key.
#[must_use]
pub fn asked(key: &str, body: &Value) -> Request<Bytes> {
    let authorization = format!("Bearer {OUTBOUND_API_KEY}");
    let headers = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    request(Method::POST, OUTBOUND_PATH, &headers, &body.to_string())
}

/// A back end asks.
pub async fn ask(front: &Routes, key: &str, body: &Value) -> Told {
    Told::of(&front.handle(asked(key, body)).await)
}

/// A back end asks how a reach stands.
pub async fn tell(front: &Routes, id: &str) -> Told {
    let authorization = format!("Bearer {OUTBOUND_API_KEY}");
    let path = format!("{OUTBOUND_PATH}/{id}");
    Told::of(&front.handle(request(Method::GET, &path, &[("authorization", &authorization)], "")).await)
}
