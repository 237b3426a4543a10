//! Events of the four front ends, whole or not: whatever Lambda is handed, a function answers or the event is refused
//! in words.
//!
//! An input is an event, JSON.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Response;
use lambda_http::request::LambdaRequest;
use serde_json::json;
use shared::{
    clock::Deadline,
    gateway::HttpFunction,
    problem::json as answer,
    secrets::Secret,
    webhook::{MAX_BODY, RawRequest, SIGNATURE_HEADER, Verifier},
};

use super::stub::{Functions, with_functions};

/// Hands the event to a small function, and to each of the real ones.
pub fn run(input: &[u8]) {
    let read = || serde_json::from_slice::<LambdaRequest>(input);
    if let Err(error) = read() {
        assert!(!error.to_string().is_empty());
        return;
    }
    let event = || read().expect("it could be read a moment ago");
    with_functions(|functions| {
        let told = functions.answer(&Tells, event());
        let signed = match RawRequest::from_lambda(event()) {
            Ok(request) => {
                assert_eq!(told.status, 200);
                assert!(request.body.len() <= MAX_BODY);
                request.headers.contains_key(SIGNATURE_HEADER)
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!((told.status, &told.body["error"]), (400, &json!("malformed")));
                false
            }
        };
        answers(functions, &functions.inbound, event, signed);
        answers(functions, &functions.task_router, event, signed);
        // Who calls these shows a key or a token.
        functions.answer(&functions.outbound, event());
        functions.answer(&functions.chats, event());
    });
}

/// A webhook that nobody signed does nothing.
fn answers(
    functions: &Functions,
    webhook: &dyn HttpFunction,
    event: impl Fn() -> LambdaRequest,
    signed: bool,
) {
    let answered = functions.answer(webhook, event());
    if !signed {
        assert!([400, 403, 405, 413, 415].contains(&answered.status), "{answered:?}");
        assert!(functions.asked_of_twilio().is_empty());
    }
}

/// Tells what it was asked.
struct Tells;

impl HttpFunction for Tells {
    fn handle(&self, request: RawRequest, _: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        let base = request.gateway_url();
        if let Some(base) = &base {
            assert!(base.starts_with("https://"), "{base}");
        }
        let is_verified = Verifier::default().verify(&request, &[Secret::new("nobody's")]).is_ok();
        assert!(!is_verified, "nobody signs with this token");
        let told = json!({
            "method": request.method.as_str(), "path": request.path(), "base": base,
            "bytes": request.body.len(), "headers": request.headers.len(), "source": request.source_ip,
            "debug": format!("{request:?}"),
        });
        Box::pin(async move { answer(http::StatusCode::OK, &told) })
    }
}
