//! What is signed, and read: the events of Conversations and of TaskRouter.
//!
//! An input is a body: JSON where it begins with `{`, else a form.

use http::Method;
use serde_json::json;
use shared::{
    clock::Timestamp,
    conversation::{Conversation, FirstMessage, Routing},
    routing::{new_interaction, reinvite_routing},
    secrets::Secret,
    signature::{body_hash, signature},
    webhook::{
        ConversationEvent, MAX_BODY, RawRequest, Refusal, TaskRouterEvent, TaskRouterNews, Verified, Verifier,
    },
};

use super::{
    all_alike,
    change::drawn_from,
    stub::{AUTH_TOKEN, DOMAIN, NOW, settings},
};

/// Signs the body and reads it.
pub fn run(input: &[u8]) {
    let Some(verified) = verified(input) else { return };
    conversations(&verified);
    task_router(&verified);
}

/// The body, once it is signed.
fn verified(body: &[u8]) -> Option<Verified> {
    let is_json = body.first() == Some(&b'{');
    let kind = if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
    let query = if is_json { format!("bodySHA256={}", body_hash(body)) } else { String::new() };
    let url = format!("https://{DOMAIN}/x{}{query}", if is_json { "?" } else { "" });
    let form = form_urlencoded::parse(body).into_owned().filter(|_| !is_json).collect();
    // A body that is no text comes in base64, and one that is may.
    let (body, encoded) = match std::str::from_utf8(body) {
        Ok(text) if drawn_from(body).bool() => (text.to_owned(), false),
        _ => (base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body), true),
    };
    let event = json!({
        "version": "2.0", "rawPath": "/x", "rawQueryString": query,
        "headers": {"content-type": kind, "x-twilio-signature": signature(AUTH_TOKEN.as_bytes(), &url, &form)},
        "requestContext": {
            "stage": "$default", "domainName": DOMAIN, "http": {"method": Method::POST.as_str(), "path": "/x"}
        },
        "body": body, "isBase64Encoded": encoded,
    });
    let event = serde_json::from_value(event).expect("an event of an HTTP API");
    let request = RawRequest::from_lambda(event).expect("its body is as it says");
    match Verifier::default().verify(&request, &[Secret::new(AUTH_TOKEN)]) {
        Ok(verified) => Some(verified),
        Err(Refusal::TooLarge) => {
            assert!(request.is_longer_than(MAX_BODY));
            None
        }
        Err(Refusal::BodyMalformed) if is_json => None,
        Err(refusal) => panic!("it is signed: {refusal}"),
    }
}

fn conversations(verified: &Verified) {
    let event = match ConversationEvent::from_verified(verified) {
        Ok(event) => event,
        Err(error) => {
            assert!(!error.names().is_empty(), "an error names what is wrong");
            return;
        }
    };
    if let Some(sid) = event.conversation_sid() {
        let name = ["ConversationSid", "ChannelSid"]
            .into_iter()
            .find(|name| verified.field(name).is_some_and(|text| !text.is_empty()));
        let name = name.expect("the SID comes from somewhere");
        // The signature does not cover the order of what is repeated.
        assert!(verified.all(name).all(|value| value == sid.as_str()));
    }
    if let ConversationEvent::MessageAdded(message) = event {
        let settings = settings();
        let first = FirstMessage {
            author: message.author,
            participant: message.participant_sid,
            attributes: message.conversation_attributes,
        };
        let routing = settings.rules.route(&first, None, None, &settings.routing);
        kept(&routing);
        let _ = new_interaction(&message.conversation_sid, &routing, None, &settings.routing.workspace);
        let text = serde_json::to_string(&first).expect("it is kept as JSON");
        let read: FirstMessage = serde_json::from_str(&text).expect("and read again");
        assert!(all_alike(&read.attributes, &first.attributes), "{text}");
        assert_eq!((read.author, read.participant), (first.author, first.participant));
    }
}

fn task_router(verified: &Verified) {
    let event = match TaskRouterEvent::from_verified(verified) {
        Ok(event) => event,
        Err(error) => {
            assert!(!error.names().is_empty(), "an error names what is wrong");
            return;
        }
    };
    let TaskRouterNews::Task { news, at, facts } = event.news else { return };
    let defaults = settings().routing;
    let Some(event) = facts.event(news, at.unwrap_or(Timestamp::from_seconds(1)), &defaults) else { return };
    let routing = event.routing.clone().expect("a callback says how, or it is as by default");
    for of_one_task in
        ["flexInteractionSid", "flexInteractionChannelSid", "flexChannelInviteSid", "flexglueReinvites"]
    {
        assert!(!routing.attributes.contains_key(of_one_task), "{of_one_task} is of one task alone");
    }
    kept(&routing);
    let again = reinvite_routing(&routing, 3, &defaults);
    assert_eq!((again.attributes["flexglueReinvites"].as_u64(), again.agent), (Some(3), None));
    // What is written down of it can be read again, whatever time it says.
    if let Some(sid) = &event.conversation
        && let Some(heard) = Conversation::hears(None, sid, &event, NOW)
    {
        let text = serde_json::to_string(&heard.next).expect("it is kept as JSON");
        assert!(serde_json::from_str::<Conversation>(&text).is_ok(), "{text}");
        let _ = Conversation::hears(Some(&heard.next), sid, &event, NOW);
    }
}

/// What is recorded is read again as the same.
pub(super) fn kept(routing: &Routing) {
    let text = serde_json::to_string(routing).expect("it is kept as JSON");
    let mut read: Routing = serde_json::from_str(&text).expect("and read again");
    assert!(all_alike(&read.attributes, &routing.attributes), "{text}");
    read.attributes.clone_from(&routing.attributes);
    assert!(read == *routing, "{} is read as {}", text, serde_json::to_string(&read).unwrap_or_default());
}
