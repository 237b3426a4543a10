//! A webhook that means nothing, signed as Twilio signs, to the function that is deployed: where it answers `ignored`, URL,
//! signature, secret and function fit together.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use serde_json::Value;
use shared::{
    clock::Deadline,
    config::Settings,
    secrets::Secrets,
    signature::{Params, signature},
    transport::Transport,
};

use super::Check;
use crate::local::system::CONVERSATIONS_PATH;

const NAME: &str = "inbound-webhook";

/// An event that opens nothing, whatever it speaks of.
const EVENT: &str = "onFlexglueProbe";

pub(super) async fn probe(
    settings: &Settings,
    secrets: &Secrets,
    web: Arc<dyn Transport>,
    deadline: Deadline,
) -> Check {
    let Some(base) = &settings.public_base_url else {
        return Check {
            remedy: Some("set PUBLIC_BASE_URL to the API's address (the stack's outputs name it)".to_owned()),
            ..Check::unknown(NAME, &"nobody says where it is")
        };
    };
    let token = match secrets.current().await {
        Ok(credentials) if credentials.login.is_some() => {
            return Check::unknown(NAME, &"an API key logs in here, and nobody knows the token that signs");
        }
        Ok(credentials) => credentials.auth_token.clone(),
        Err(error) => return Check::unknown(NAME, &error),
    };
    let url = format!("{base}{CONVERSATIONS_PATH}");
    let form = [
        ("EventType", EVENT),
        ("AccountSid", settings.account.as_str()),
        ("ChatServiceSid", settings.chat_service.as_str()),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let signed = signature(token.expose().as_bytes(), &url, &Params::parse(body.as_bytes()));
    let request = Request::post(&url)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("x-twilio-signature", signed)
        .body(Bytes::from(body));
    let Ok(request) = request else { return Check::unknown(NAME, &"its URL is none") };
    let answer = match deadline.run(web.send(request)).await {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => return broken(&format!("does not answer: {error}"), UNREACHABLE),
        None => return broken("does not answer in time", UNREACHABLE),
    };
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    match answer.status() {
        StatusCode::OK if body["outcome"] == "ignored" => {
            Check::good(NAME, "takes a signed webhook: URL, signature and secret fit together")
        }
        StatusCode::FORBIDDEN => broken(
            "refuses a signed webhook (403)",
            "the deployed function has another auth token (`auth_token` in its secret), or another PUBLIC_BASE_URL, than \
             are used here",
        ),
        StatusCode::SERVICE_UNAVAILABLE => broken(
            "answers 503: it cannot read its secret, or ask its table",
            "fill in the secret of TWILIO_SECRET_ARN, and see the function's log",
        ),
        status => broken(
            &format!("answers {} to a signed webhook", status.as_u16()),
            "whatever answers at PUBLIC_BASE_URL is not flexglue: compare it with the stack's outputs",
        ),
    }
}

const UNREACHABLE: &str = "is PUBLIC_BASE_URL the address of the API, and is the stack deployed?";

fn broken(found: &str, remedy: &str) -> Check {
    Check::broken(NAME, found, remedy)
}
