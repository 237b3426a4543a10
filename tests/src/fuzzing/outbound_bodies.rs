//! `POST /outbound`: whatever is let in keeps the bounds that the README and Twilio name; whatever is not is refused
//! with the names of what is wrong, and no value is repeated.
//!
//! An input is an idempotency key, a line break, and the body.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};

use super::{
    first_line,
    stub::{API_KEY, DOMAIN, SENDERS, with_functions},
};

/// Texts of this length and more are looked for in answers; shorter ones may stand there by chance.
const TELLING: usize = 24;

/// Has a back end send the body.
///
/// # Panics
/// Where a promise is broken.
pub fn run(input: &[u8]) {
    let (key, body) = first_line(input);
    let key = String::from_utf8_lossy(key);
    let Some((status, answer)) = asked(&key, body) else { return };
    let read: Option<Map<String, Value>> = serde_json::from_slice(body).ok();
    match status {
        // Let in: Twilio cannot be reached, so it is tried again later, or another address of ours is needed.
        202 | 403 | 409 | 503 => {
            let read = read.expect("what is let in is an object");
            keeps_bounds(&key, &Value::Object(read));
        }
        400 => assert!(read.is_none(), "{answer}"),
        413 => assert!(body.len() > 32 * 1024),
        422 => {
            let fields = answer["fields"].as_object().expect("every field that is wrong is named");
            assert!(!fields.is_empty());
            let mut told: String = fields.values().filter_map(Value::as_str).collect();
            told.push_str(answer["detail"].as_str().unwrap_or_default());
            for text in texts(&Value::Object(read.expect("fields are those of an object"))) {
                assert!(text.len() < TELLING || !told.contains(&text), "a value is repeated: {answer}");
            }
        }
        other => panic!("{other}: {answer}"),
    }
}

/// Status and body of the answer to a request. `None` where the key can be in no header.
#[must_use]
pub fn asked(key: &str, body: &[u8]) -> Option<(u64, Value)> {
    let event = json!({
        "version": "2.0", "rawPath": "/outbound", "rawQueryString": "",
        "headers": {
            "content-type": "application/json", "authorization": format!("Bearer {API_KEY}"),
            "idempotency-key": key,
        },
        "requestContext": {
            "stage": "$default", "domainName": DOMAIN, "http": {"method": "POST", "path": "/outbound"}
        },
        "body": BASE64_STANDARD.encode(body), "isBase64Encoded": true,
    });
    let event = serde_json::from_value(event).ok()?;
    let answered = with_functions(|functions| functions.answer(&functions.outbound, event));
    Some((answered.status, answered.body))
}

/// Every text in a value, names of fields left out.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(array) => array.iter().flat_map(texts).collect(),
        Value::Object(object) => object.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// What the README says of a body, written down once more and otherwise.
fn keeps_bounds(key: &str, body: &Value) {
    assert!(
        (1..=128).contains(&key.len()) && key.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
        "{key:?}"
    );
    let text = |name: &str| body[name].as_str();
    let channel = text("channel").expect("a channel");
    assert!(["sms", "whatsapp"].contains(&channel));
    for name in ["to", "from"] {
        let address = text(name).expect("both addresses");
        let number = address.strip_prefix("whatsapp:").filter(|_| channel == "whatsapp").unwrap_or(address);
        let digits = number.strip_prefix('+').expect("E.164 begins with a plus");
        assert!((7..=15).contains(&digits.len()), "{digits}");
        assert!(digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0'), "{digits}");
    }
    let number = |name: &str| text(name).map(|text| text.trim_start_matches("whatsapp:").to_owned());
    assert_ne!(number("to"), number("from"));
    let has_sid =
        |name: &str, prefix: &str| text(name).is_some_and(|sid| sid.len() == 34 && sid.starts_with(prefix));
    match text("initiated_by").expect("somebody begins") {
        "agent" => assert!(has_sid("worker_sid", "WK") && has_sid("queue_sid", "WQ")),
        "api" => assert!(body["queue_sid"].is_null() && body["flow_sid"].is_null()),
        "system" => assert!(body["message"].is_object() && body["queue_sid"].is_null()),
        other => panic!("{other} begins nothing"),
    }
    if let Some(name) = text("customer_name") {
        assert!((1..=200).contains(&name.chars().count()));
    }
    let attributes = &body["attributes"];
    assert!(attributes.is_null() || attributes.is_object());
    assert!(attributes.to_string().len() <= 4096 && levels(attributes) <= 10);
    for set_by_us in [
        "from",
        "customerAddress",
        "channelType",
        "customerName",
        "preEngagement",
        "outbound",
        "flexglueReinvites",
    ] {
        assert!(attributes.get(set_by_us).is_none(), "{set_by_us} is set by flexglue");
    }
    let message = &body["message"];
    if !message.is_null() {
        let words = message["body"].as_str();
        assert!(words.is_some() || message["content_sid"].is_string());
        assert!(words.is_none_or(|words| (1..=1600).contains(&words.chars().count())));
        assert!(message["content_variables"].is_null() || message["content_sid"].is_string());
        let variables = match &message["content_variables"] {
            Value::String(text) => text.len(),
            other => other.to_string().len(),
        };
        assert!(variables <= 4096);
    }
    let known = [
        "to",
        "from",
        "channel",
        "initiated_by",
        "worker_sid",
        "queue_sid",
        "flow_sid",
        "customer_name",
        "attributes",
        "message",
        "on_conflict",
    ];
    for name in body.as_object().into_iter().flat_map(Map::keys) {
        assert!(known.contains(&name.as_str()), "{name} is not known");
    }
    // Whoever is let in without one of our addresses is told so, and nothing is begun.
    let is_ours = text("from").is_some_and(|from| SENDERS.iter().any(|ours| ours.ends_with(from)));
    with_functions(|functions| {
        assert!(is_ours || functions.asked_of_twilio().is_empty(), "nobody is written to from elsewhere");
    });
}

/// How many objects and lists stand in one another.
pub(super) fn levels(value: &Value) -> usize {
    match value {
        Value::Object(object) => 1 + object.values().map(levels).max().unwrap_or(0),
        Value::Array(array) => 1 + array.iter().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
