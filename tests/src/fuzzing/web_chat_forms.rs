//! `POST /initWebchat`: what a browser sends stays within its bounds and below `preEngagementData`, whatever it calls
//! itself.
//!
//! An input is a body.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    outbound_bodies::levels,
    stub::{DOMAIN, SITE, with_functions},
};

/// What `webchat-token` answers, and what it asks of Twilio to begin the chat, where it lets the customer in.
#[derive(Debug)]
pub struct Begun {
    /// HTTP status.
    pub status: u64,
    /// The body of the answer.
    pub body: Value,
    /// The form of `POST /v2/WebChats`.
    pub asked: Option<BTreeMap<String, String>>,
}

/// Has a page send the body.
///
/// # Panics
/// Where a promise is broken.
pub fn run(input: &[u8]) {
    let begun = begin(input);
    let read: Option<Map<String, Value>> = serde_json::from_slice(input).ok();
    match (begun.status, begun.asked) {
        // Let in; Twilio cannot be reached.
        (503, Some(asked)) => {
            let form = read.expect("what is let in is an object").remove("formData").unwrap_or_default();
            stays_in_place(&form, &asked);
        }
        (400, None) => assert!(read.is_none()),
        (413, None) => assert!(input.len() > 16 * 1024),
        (403, None) => assert_eq!(begun.body["error"], "customer_refused"),
        (422, None) => {
            let fields = begun.body["fields"].as_object().expect("every field that is wrong is named");
            assert!(!fields.is_empty());
            let told: String = fields.values().filter_map(Value::as_str).collect();
            let form = read.expect("fields are those of an object").remove("formData").unwrap_or_default();
            for text in form.as_object().into_iter().flat_map(Map::values).filter_map(Value::as_str) {
                assert!(text.len() < 24 || !told.contains(text), "a value is repeated: {told}");
            }
        }
        (status, asked) => panic!("{status} {} {asked:?}", begun.body),
    }
}

/// Has a page send a body.
///
/// # Panics
/// Where the event is none.
#[must_use]
pub fn begin(body: &[u8]) -> Begun {
    let event = json!({
        "version": "2.0", "rawPath": "/initWebchat", "rawQueryString": "",
        "headers": {"content-type": "application/json", "origin": SITE},
        "requestContext": {
            "stage": "$default", "domainName": DOMAIN,
            "http": {"method": "POST", "path": "/initWebchat", "sourceIp": "203.0.113.1"}
        },
        "body": BASE64_STANDARD.encode(body), "isBase64Encoded": true,
    });
    let event = serde_json::from_value(event).expect("an event of an HTTP API");
    with_functions(|functions| {
        let answered = functions.answer(&functions.chats, event);
        let mut asked = functions.asked_of_twilio().into_iter().map(|(path, form)| {
            assert_eq!(path, "/v2/WebChats", "nothing else is asked where that is refused");
            form
        });
        Begun { status: answered.status, body: answered.body, asked: asked.next() }
    })
}

fn stays_in_place(form: &Value, asked: &BTreeMap<String, String>) {
    let names: Vec<_> = asked.keys().map(String::as_str).collect();
    let expected =
        ["AddressSid", "ChatFriendlyName", "CustomerFriendlyName", "Identity", "PreEngagementData"];
    assert_eq!(names, expected, "nothing that a browser sends names a parameter");
    let name = &asked["CustomerFriendlyName"];
    assert!((1..=200).contains(&name.chars().count()) && !name.chars().any(char::is_control), "{name:?}");
    assert!(asked["Identity"].starts_with("guest-") && asked["Identity"].len() == 38);
    let data: Value = serde_json::from_str(&asked["PreEngagementData"]).expect("it is JSON");
    assert_eq!(data["friendlyName"], json!(name));
    let mut others = data.as_object().cloned().expect("an object");
    others.remove("friendlyName");
    let others = Value::Object(others);
    assert!(others.to_string().len() <= 2048 && levels(&others) <= 3, "{others}");
    for private in ["query", "captchaToken", "customerToken"] {
        assert!(others.get(private).is_none(), "{private} is no attribute");
    }
    let empty = Map::new();
    let sent = form.as_object().unwrap_or(&empty);
    for (name, value) in others.as_object().unwrap_or(&empty) {
        assert_eq!(sent.get(name), Some(value), "only what was filled in");
    }
    let query = sent.get("query").and_then(Value::as_str).unwrap_or_default();
    assert!(query.chars().count() <= 1600);
}
