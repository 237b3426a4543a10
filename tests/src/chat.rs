//! Requests to `webchat-token`, as a site's page makes them, and what a chat's client asks Twilio.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use bytes::Bytes;
use flexglue::local::{
    gateway::Routes,
    system::{END_CHAT_PATH, INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, SITE_ORIGIN},
};
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::{
    outbound::{Told, request},
    rig::Rig,
};

/// What a page sends, from our site and from a source address.
#[must_use]
pub fn sent(path: &str, source: &str, body: &str) -> Request<Bytes> {
    let headers = [("origin", SITE_ORIGIN), ("content-type", "application/json")];
    from_source(request(Method::POST, path, &headers, body), source)
}

/// The request, coming from a source address.
///
/// # Panics
/// Where it is none.
#[must_use]
pub fn from_source(mut request: Request<Bytes>, source: &str) -> Request<Bytes> {
    let address = source.parse().expect("an address");
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 443)));
    request
}

/// A page asks for a chat.
pub async fn begin(front: &Routes, form: &Value) -> Told {
    let body = json!({ "formData": form }).to_string();
    Told::of(&front.handle(sent(INIT_WEBCHAT_PATH, "203.0.113.1", &body)).await)
}

/// A chat of somebody with a first message.
///
/// # Panics
/// Where it does not begin.
pub async fn begun(front: &Routes) -> Told {
    let told = begin(front, &json!({"friendlyName": "Ada", "query": "Hello"})).await;
    assert_eq!(told.status, 200, "{told:?}");
    told
}

/// A page shows its token for another.
pub async fn refresh(front: &Routes, token: &str) -> Told {
    Told::of(&front.handle(with_token(REFRESH_TOKEN_PATH, token)).await)
}

/// A page ends its chat.
pub async fn end(front: &Routes, token: &str) -> Told {
    Told::of(&front.handle(with_token(END_CHAT_PATH, token)).await)
}

fn with_token(path: &str, token: &str) -> Request<Bytes> {
    sent(path, "203.0.113.1", &json!({ "token": token }).to_string())
}

/// What the chat's client gets when it asks Twilio for the messages of a conversation.
///
/// # Panics
/// Where the wire is cut.
pub async fn reads(rig: &Rig, conversation: &str, token: &str) -> Response<Bytes> {
    let path = format!("/v1/Conversations/{conversation}/Messages");
    let authorization = format!("Bearer {token}");
    let request = request(Method::GET, &path, &[("authorization", &authorization)], "");
    rig.system.twilio.call(request).await.expect("nothing is lost here")
}
