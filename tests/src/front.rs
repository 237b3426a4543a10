//! Requests as a front end hands them to a function, and what the function answers, without the front end between.

use bytes::Bytes;
use flexglue::local::event::{EventShape, Origin, event};
use http::Request;
use serde_json::Value;

use crate::runtime_api::Instance;

/// A request from a source address, as a front end hands it over.
#[must_use]
pub fn handed_over(shape: EventShape, request: &Request<Bytes>, source_ip: &str) -> Value {
    let origin = Origin {
        domain_name: "abcdef1234.execute-api.us-east-1.amazonaws.com".to_owned(),
        stage: "$default".to_owned(),
        source_ip: source_ip.to_owned(),
        request_id: "JKJaXmPLvHcESHA=".to_owned(),
        time_epoch_ms: 1_795_237_200_000,
    };
    event(shape, request, &origin)
}

/// An answer: its status, its body where that is JSON, and its headers.
#[derive(Debug)]
pub struct Answered {
    /// HTTP status.
    pub status: u64,
    /// The body.
    pub body: Value,
    /// The headers, by their names.
    pub headers: Value,
}

impl Answered {
    /// Reads an answer as a function gives it.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn of(answer: &Value) -> Self {
        Self {
            status: answer["statusCode"].as_u64().expect("an answer has a status"),
            body: serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default(),
            headers: answer["headers"].clone(),
        }
    }

    /// A text of the body, empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }
}

/// What a compiled function answers to a request that comes through an HTTP API.
///
/// # Panics
/// Where it does not answer.
pub async fn invoke(function: &Instance, request: &Request<Bytes>) -> Answered {
    let event = handed_over(EventShape::HttpApi, request, "192.0.2.1");
    Answered::of(&function.invoke(event).await.expect("the function answers"))
}
