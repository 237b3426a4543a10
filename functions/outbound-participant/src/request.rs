//! Reads what is asked for. Every field that is wrong is named at once, with what was expected; the values are
//! not repeated.

use http::HeaderMap;
use serde_json::{Map, Value};
use shared::{
    body::depth,
    conversation::{Agent, ChannelType},
    personal::Personal,
    problem::{Wrong, invalid},
    reach::{FirstWords, Initiator, OnConflict, ReachRequest, Template, request::ReplyTo},
    sid::WorkerSid,
};

use crate::Refused;

/// What is asked for, and in whose name.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) reach: ReachRequest,
    pub(crate) worker: Option<WorkerSid>,
}

/// The longest text of a message, in characters
/// ([limits](https://www.twilio.com/docs/conversations/conversations-limits)).
const LONGEST_BODY: usize = 1600;
/// The longest attributes of a task, and variables of a template, in bytes of JSON
/// ([task](https://www.twilio.com/docs/taskrouter/api/task)).
const LONGEST_JSON: usize = 4096;
/// How deep attributes may nest.
const DEEPEST: usize = 10;
/// The longest name of a customer, in characters.
const LONGEST_NAME: usize = 200;
/// The longest idempotency key.
const LONGEST_KEY: usize = 128;
/// The longest URL of a webhook ([50372](https://www.twilio.com/docs/api/errors/50372)).
const LONGEST_URL: usize = 512;

/// Task attributes that Flex or flexglue set themselves.
const SET_BY_US: [&str; 13] = [
    "channelType",
    "conversationSid",
    "customerAddress",
    "customerName",
    "direction",
    "flexChannelInviteSid",
    "flexInteractionChannelSid",
    "flexInteractionSid",
    "flexglueReinvites",
    "from",
    "initiatedBy",
    "outbound",
    "preEngagement",
];

const EXPECTED_ONE_OF_CHANNELS: &str = "expected sms or whatsapp";

/// The idempotency key.
pub(crate) fn read_key(headers: &HeaderMap) -> Result<String, Wrong> {
    let wrong = |why: &str| Err(Wrong::from([("Idempotency-Key".to_owned(), why.to_owned())]));
    let Some(key) = headers.get("idempotency-key") else { return wrong("missing; the header is required") };
    let printable = key.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
    match key.to_str() {
        Ok(key) if printable && !key.trim().is_empty() && key.len() <= LONGEST_KEY => Ok(key.to_owned()),
        _ => wrong("expected 1 to 128 printable characters"),
    }
}

/// Both, or the answer that names what is wrong with either.
pub(crate) fn both<A, B>(a: Result<A, Wrong>, b: Result<B, Wrong>) -> Result<(A, B), Refused> {
    let wrong = match (a, b) {
        (Ok(a), Ok(b)) => return Ok((a, b)),
        (Err(mut a), Err(b)) => {
            a.extend(b);
            a
        }
        (Err(wrong), _) | (_, Err(wrong)) => wrong,
    };
    Err(invalid(wrong).into())
}

/// Reads a body. `reply_url` is where replies to reminders are told of, where that is known.
pub(crate) fn read(body: Map<String, Value>, reply_url: Option<&str>) -> Result<Asked, Wrong> {
    let mut fields = Fields { place: "", left: body, wrong: Wrong::new() };
    let channel = fields.required_text("channel").and_then(|name| {
        let channel = match name.as_str() {
            "sms" => Some(ChannelType::Sms),
            "whatsapp" => Some(ChannelType::Whatsapp),
            _ => None,
        };
        fields.or_wrong("channel", channel, EXPECTED_ONE_OF_CHANNELS)
    });
    let to = fields.address("to", channel);
    let from = fields.address("from", channel);
    if let (Some(to), Some(from)) = (&to, &from)
        && to == from
    {
        fields.wrong("to", "is the same as `from`");
    }
    let worker: Option<WorkerSid> = fields.sid("worker_sid");
    let initiator = read_initiator(&mut fields, worker.as_ref(), reply_url);
    let customer_name = fields.text("customer_name").and_then(|name| {
        let ok = !name.trim().is_empty() && name.chars().count() <= LONGEST_NAME;
        fields.or_wrong("customer_name", ok.then_some(name), "expected 1 to 200 characters")
    });
    let attributes = read_attributes(&mut fields);
    let message = read_message(&mut fields);
    if matches!(initiator, Some(Initiator::System { .. })) && message.is_none() {
        fields.wrong_if_new("message", "missing; a reminder says something");
    }
    let on_conflict = match fields.text("on_conflict").as_deref() {
        None | Some("reject") => OnConflict::Reject,
        Some("join") => OnConflict::Join,
        Some("replace") => OnConflict::Replace,
        Some(_) => {
            fields.wrong("on_conflict", "expected reject, join or replace");
            OnConflict::Reject
        }
    };
    let wrong = fields.finish();
    match (channel, to, from, initiator) {
        (Some(channel), Some(to), Some(from), Some(initiator)) if wrong.is_empty() => Ok(Asked {
            reach: ReachRequest {
                to: to.into(),
                from,
                channel,
                initiator,
                customer_name: customer_name.map(Personal),
                attributes: attributes.into(),
                message,
                author: None,
                on_conflict,
            },
            worker,
        }),
        _ => Err(wrong),
    }
}

fn read_initiator(
    fields: &mut Fields<'_>,
    worker: Option<&WorkerSid>,
    reply_url: Option<&str>,
) -> Option<Initiator> {
    let kind = fields.required_text("initiated_by");
    let queue = fields.sid("queue_sid");
    let flow = fields.sid("flow_sid");
    let kind = kind?;
    if kind != "agent" && queue.is_some() {
        fields.wrong("queue_sid", "only where initiated_by is agent");
    }
    if kind != "system" && flow.is_some() {
        fields.wrong("flow_sid", "only where initiated_by is system");
    }
    match kind.as_str() {
        "agent" => {
            for (name, is_there) in [("worker_sid", worker.is_some()), ("queue_sid", queue.is_some())] {
                if !is_there {
                    fields.wrong_if_new(name, "missing; an agent needs it");
                }
            }
            Some(Initiator::Agent(Agent { worker: worker?.clone(), queue: queue? }))
        }
        "api" => Some(Initiator::Api),
        "system" => {
            let webhook = match (flow, reply_url) {
                (Some(flow), _) => ReplyTo::Flow(flow),
                (None, Some(url)) if url.len() <= LONGEST_URL => ReplyTo::Us(url.to_owned()),
                (None, _) => {
                    fields.wrong(
                        "initiated_by",
                        "system needs PUBLIC_BASE_URL to be set where flexglue runs, or a flow_sid",
                    );
                    return None;
                }
            };
            Some(Initiator::System { webhook })
        }
        _ => {
            fields.wrong("initiated_by", "expected agent, api or system");
            None
        }
    }
}

fn read_attributes(fields: &mut Fields<'_>) -> Map<String, Value> {
    let Some(attributes) = fields.object("attributes") else { return Map::new() };
    for name in SET_BY_US {
        if attributes.contains_key(name) {
            fields.wrong(&format!("attributes.{name}"), "is set by Flex or flexglue");
        }
    }
    let whole = Value::Object(attributes);
    if depth(&whole) > DEEPEST {
        fields.wrong("attributes", "expected no more than 10 levels");
    } else if whole.to_string().len() > LONGEST_JSON {
        fields.wrong("attributes", "expected 4096 bytes of JSON at most");
    }
    match whole {
        Value::Object(attributes) => attributes,
        _ => Map::new(),
    }
}

fn read_message(fields: &mut Fields<'_>) -> Option<FirstWords> {
    let message = fields.object("message")?;
    let mut inner = Fields { place: "message.", left: message, wrong: Wrong::new() };
    let text = inner.text("body").and_then(|body| {
        let ok = !body.trim().is_empty() && body.chars().count() <= LONGEST_BODY;
        inner.or_wrong("body", ok.then_some(body), "expected 1 to 1600 characters")
    });
    let sid = inner.sid("content_sid");
    let variables = match inner.take("content_variables") {
        None => None,
        Some(Value::Object(variables)) => Some(Value::Object(variables).to_string()),
        // Twilio itself wants a JSON text.
        Some(Value::String(text)) if serde_json::from_str::<Map<String, Value>>(&text).is_ok() => Some(text),
        Some(_) => {
            inner.wrong("content_variables", "expected a JSON object");
            None
        }
    };
    if variables.as_ref().is_some_and(|variables| variables.len() > LONGEST_JSON) {
        inner.wrong("content_variables", "expected 4096 bytes of JSON at most");
    }
    if sid.is_none() && variables.is_some() {
        inner.wrong_if_new("content_sid", "missing; content_variables need it");
    }
    if text.is_none() && sid.is_none() && inner.wrong.is_empty() {
        inner.wrong("body", "missing; or a content_sid");
    }
    let wrong = inner.finish();
    let ok = wrong.is_empty();
    fields.wrong.extend(wrong);
    let template = sid.map(|sid| Template { sid, variables: variables.map(Personal) });
    ok.then(|| FirstWords { text: text.map(Personal), template })
}

/// The fields of an object, taken out one by one: what is left in the end is unknown.
struct Fields<'a> {
    /// What stands before a field's name where it is told of.
    place: &'a str,
    left: Map<String, Value>,
    wrong: Wrong,
}

impl Fields<'_> {
    fn wrong(&mut self, name: &str, why: &str) {
        self.wrong.insert(format!("{}{name}", self.place), why.to_owned());
    }

    fn wrong_if_new(&mut self, name: &str, why: &str) {
        self.wrong.entry(format!("{}{name}", self.place)).or_insert_with(|| why.to_owned());
    }

    fn or_wrong<T>(&mut self, name: &str, value: Option<T>, why: &str) -> Option<T> {
        if value.is_none() {
            self.wrong(name, why);
        }
        value
    }

    /// A field that is there; `null` counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => self.or_wrong(name, None, "expected a text"),
        }
    }

    fn required_text(&mut self, name: &str) -> Option<String> {
        if self.left.get(name).is_none_or(Value::is_null) {
            self.wrong(name, "missing");
        }
        self.text(name)
    }

    fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(object) => Some(object),
            _ => self.or_wrong(name, None, "expected an object"),
        }
    }

    fn sid<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        match self.text(name)?.parse() {
            Ok(sid) => Some(sid),
            Err(error) => {
                self.wrong(name, &error.to_string());
                None
            }
        }
    }

    /// An address of the channel, with the channel's prefix.
    fn address(&mut self, name: &str, channel: Option<ChannelType>) -> Option<String> {
        const WHATSAPP: &str = "whatsapp:";
        let text = self.required_text(name)?;
        let is_whatsapp = channel == Some(ChannelType::Whatsapp);
        let number = match text.strip_prefix(WHATSAPP) {
            Some(number) if is_whatsapp || channel.is_none() => number,
            Some(_) => return self.or_wrong(name, None, "is a WhatsApp address, and the channel is sms"),
            None => &text,
        };
        if !is_e_164(number) {
            let why =
                "expected a number in E.164 form: +, country code and number, 7 to 15 digits, nothing else";
            return self.or_wrong(name, None, why);
        }
        Some(if is_whatsapp { format!("{WHATSAPP}{number}") } else { number.to_owned() })
    }

    fn finish(mut self) -> Wrong {
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            // A name that somebody made up may be of any length.
            let name: String = name.chars().take(64).collect();
            self.wrong(&name, "is not known");
        }
        self.wrong
    }
}

/// An international number as [E.164](https://www.itu.int/rec/T-REC-E.164) has it, in the form that Twilio takes
/// ([format](https://www.twilio.com/docs/glossary/what-e164)). Whether somebody has it, only the network knows;
/// Twilio refuses what it can tell.
fn is_e_164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_digit())
        && !digits.starts_with('0')
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::twilio::MessageContent;

    use super::*;

    fn sid(prefix: &str) -> String {
        format!("{prefix}{}", "0".repeat(32))
    }

    fn good() -> Value {
        json!({
            "to": "+15551230001", "from": "+15557770000", "channel": "sms",
            "initiated_by": "agent", "worker_sid": sid("WK"), "queue_sid": sid("WQ"),
            "customer_name": "Ada", "attributes": {"case": 7}, "message": {"body": "hello"},
            "on_conflict": "join",
        })
    }

    /// The good one with these changes; `null` takes a field away.
    fn with(changes: &Value) -> Result<Asked, Wrong> {
        let mut body = good().as_object().unwrap().clone();
        for (name, value) in changes.as_object().unwrap() {
            body.insert(name.clone(), value.clone());
        }
        read(body, Some("https://example.com/webhooks/conversations"))
    }

    /// The names of the fields that are wrong with these changes.
    fn wrong(changes: &Value) -> Vec<String> {
        with(changes).unwrap_err().into_keys().collect()
    }

    #[test]
    fn what_is_asked_for_is_read() {
        let Asked { reach, worker } = with(&json!({})).unwrap();
        assert_eq!((reach.to.as_str(), &*reach.from), ("+15551230001", "+15557770000"));
        assert_eq!(reach.on_conflict, OnConflict::Join);
        assert_eq!(worker.unwrap().as_str(), sid("WK"));
        assert_eq!(reach.attributes["case"], 7);
        let words = reach.message.unwrap().content(ChannelType::Sms, false);
        assert_eq!(words, Some(MessageContent::Text("hello".to_owned().into())));
    }

    #[test]
    fn whatsapp_addresses_take_or_get_their_prefix() {
        for prefix in ["", "whatsapp:"] {
            let changes = json!({
                "channel": "whatsapp", "to": format!("{prefix}+15551230001"), "from": "+15557770000",
            });
            let Asked { reach, .. } = with(&changes).unwrap();
            assert_eq!((reach.to.as_str(), &*reach.from), ("whatsapp:+15551230001", "whatsapp:+15557770000"));
        }
        assert_eq!(wrong(&json!({"to": "whatsapp:+15551230001"})), ["to"]);
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let changes = json!({
            "to": "5551230001", "from": 7, "channel": "fax", "worker_sid": "WK1", "queue_sid": sid("WK"),
            "flow_sid": sid("FW"), "customer_name": "", "on_conflict": "fight", "tto": "x",
            "attributes": {"flexInteractionSid": "KD", "from": "me"},
            "message": {"body": "x".repeat(1601), "content_sid": "HX", "media": "y"},
        });
        let expected = [
            "attributes.flexInteractionSid",
            "attributes.from",
            "channel",
            "customer_name",
            "flow_sid",
            "from",
            "message.body",
            "message.content_sid",
            "message.media",
            "on_conflict",
            "queue_sid",
            "to",
            "tto",
            "worker_sid",
        ];
        assert_eq!(wrong(&changes), expected);
        let nothing = read(Map::new(), None).unwrap_err().into_keys().collect::<Vec<_>>();
        assert_eq!(nothing, ["channel", "from", "initiated_by", "to"]);
    }

    #[test]
    fn no_value_is_repeated() {
        let secret = "s3cret";
        let changes = json!({"to": secret, "worker_sid": secret, "channel": secret, "message": {"content_sid": secret}});
        let told = format!("{:?}", with(&changes).unwrap_err());
        assert!(!told.contains(secret), "{told}");
    }

    #[test]
    fn numbers_are_e_164_and_nothing_else() {
        for number in ["+15551230001", "+4930123456", "+883510001234567", "+2901234"] {
            assert!(is_e_164(number), "{number}");
        }
        for number in [
            "",
            "+",
            "15551230001",
            "+0551230001",
            "+1 555 123 0001",
            "+1-555-123-0001",
            "+155512300011234567",
            "+12345",
            "++15551230001",
            "+1555123000x",
            "+６５５５１２３４",
            "tel:+15551230001",
            "+15551230001;ext=3",
            "+15551230001\n",
        ] {
            assert!(!is_e_164(number), "{number:?}");
        }
    }

    #[test]
    fn each_kind_needs_what_it_needs() {
        assert_eq!(wrong(&json!({"worker_sid": null, "queue_sid": null})), ["queue_sid", "worker_sid"]);
        assert_eq!(wrong(&json!({"initiated_by": "api"})), ["queue_sid"]);
        assert!(with(&json!({"initiated_by": "api", "queue_sid": null, "message": null})).is_ok());
        let system = |more: Value| {
            let mut changes = json!({"initiated_by": "system", "queue_sid": null, "worker_sid": null});
            changes.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            changes
        };
        assert_eq!(wrong(&system(json!({"message": null}))), ["message"]);
        let Asked { reach, .. } = with(&system(json!({"flow_sid": sid("FW")}))).unwrap();
        assert!(matches!(reach.initiator, Initiator::System { webhook: ReplyTo::Flow(_) }));
        let Asked { reach, .. } = with(&system(json!({}))).unwrap();
        assert!(matches!(reach.initiator, Initiator::System { webhook: ReplyTo::Us(_) }));
        let body = system(json!({}));
        let nowhere = read(
            {
                let mut whole = good().as_object().unwrap().clone();
                whole.extend(body.as_object().unwrap().clone());
                whole
            },
            None,
        );
        assert_eq!(nowhere.unwrap_err().into_keys().collect::<Vec<_>>(), ["initiated_by"]);
    }

    #[test]
    fn sizes_and_depths_are_bounded() {
        assert!(with(&json!({"message": {"body": "é".repeat(1600)}})).is_ok());
        assert_eq!(wrong(&json!({"attributes": {"a": "x".repeat(4096)}})), ["attributes"]);
        let mut deep = json!(1);
        for _ in 0..11 {
            deep = json!({"a": deep});
        }
        assert_eq!(wrong(&json!({"attributes": deep})), ["attributes"]);
        assert_eq!(wrong(&json!({"attributes": [1]})), ["attributes"]);
        assert_eq!(wrong(&json!({"message": {}})), ["message.body"]);
        assert_eq!(wrong(&json!({"message": {"body": " "}})), ["message.body"]);
        let template =
            |variables: Value| json!({"message": {"content_sid": sid("HX"), "content_variables": variables}});
        assert!(
            with(&template(json!({"1": "x"}))).is_ok() && with(&template(json!("{\"1\":\"x\"}"))).is_ok()
        );
        assert_eq!(wrong(&template(json!("[1]"))), ["message.content_variables"]);
        assert_eq!(wrong(&template(json!({"1": "x".repeat(4096)}))), ["message.content_variables"]);
        assert_eq!(wrong(&json!({"message": {"content_variables": {}}})), ["message.content_sid"]);
        assert_eq!(wrong(&json!({"to": "+15557770000"})), ["to"]);
    }

    #[test]
    fn an_idempotency_key_is_short_and_printable() {
        let key = |value: &[u8]| {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            read_key(&HeaderMap::from_iter([(http::HeaderName::from_static("idempotency-key"), value)]))
        };
        assert_eq!(key(b"a b~1").unwrap(), "a b~1");
        assert!(key("x".repeat(128).as_bytes()).is_ok());
        for wrong in [&b""[..], b" ", "é".as_bytes(), b"a\tb", "x".repeat(129).as_bytes()] {
            assert!(key(wrong).is_err(), "{wrong:?}");
        }
        assert!(read_key(&HeaderMap::new()).is_err());
    }
}
