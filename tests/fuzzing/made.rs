//! Inputs that are made: good ones, which must be taken, and the same with one thing wrong, which must be refused for
//! that. All are drawn from fixed seeds.

use std::fmt::Debug;

use flexglue_tests::fuzzing::{
    gateway_events, outbound_bodies, routing, settings, tokens, twilio_answers, web_chat_forms,
    webhook_events, webhook_signatures,
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

/// Checks what is made, so many times.
fn always<S: Strategy<Value: Debug>>(times: u32, made: S, holds: impl Fn(S::Value)) {
    let config = Config { cases: times, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let held = TestRunner::new_with_rng(config, rng).run(&made, |made| {
        holds(made);
        Ok(())
    });
    held.unwrap_or_else(|error| panic!("{error}"));
}

fn sid(prefix: &str) -> String {
    format!("{prefix}00000000000000000000000000000001")
}

/// Any JSON of a handful of values.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map("[a-zA-Z_.]{0,8}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// One change of a JSON document: a value in it is taken away, or becomes another.
#[derive(Clone, Debug)]
struct Change {
    place: Index,
    to: Option<Value>,
}

fn change() -> impl Strategy<Value = Change> {
    (any::<Index>(), option::of(json_value())).prop_map(|(place, to)| Change { place, to })
}

impl Change {
    fn of(&self, document: &Value) -> Value {
        let places = places(document);
        let place = &places[self.place.index(places.len())];
        let mut changed = document.clone();
        let (parent, last) = place.rsplit_once('/').unwrap_or_default();
        match (&self.to, changed.pointer_mut(parent)) {
            (None, Some(Value::Object(parent))) => drop(parent.remove(&unescaped(last))),
            (to, _) => {
                if let Some(value) = changed.pointer_mut(place) {
                    *value = to.clone().unwrap_or_default();
                }
            }
        }
        changed
    }
}

/// The pointers to all values in a document.
fn places(document: &Value) -> Vec<String> {
    let below = |name: &str, value: &Value| {
        let name = name.replace('~', "~0").replace('/', "~1");
        places(value).into_iter().map(move |place| format!("/{name}{place}")).collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match document {
        Value::Object(members) => all.extend(members.iter().flat_map(|(name, value)| below(name, value))),
        Value::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(at, value)| below(&at.to_string(), value)));
        }
        _ => {}
    }
    all
}

fn unescaped(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

fn committed(target: &str, name: &str) -> Value {
    let kept = crate::corpus::corpus(target);
    let kept = kept.into_iter().find(|kept| kept.name == name).unwrap();
    serde_json::from_slice(&kept.bytes).unwrap()
}

#[test]
fn whatever_is_signed_is_taken_and_no_change_of_it_is() {
    let pair = || ("[ -~é]{0,8}", "[ -~é\u{0}]{0,16}");
    let path = "(/[a-zA-Z0-9._~%;,'-]{0,8}){1,3}";
    always(400, (path, vec(pair(), 0..5), vec(pair(), 0..8)), |(path, query, form)| {
        let written = |pairs: &[(String, String)]| {
            form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
        };
        let input = format!("{path}?{}\n{}", written(&query), written(&form));
        webhook_signatures::run(input.as_bytes());
    });
}

#[test]
fn an_event_with_one_field_changed_is_read_or_refused() {
    let events = [
        committed("webhook_events", "wrapped.json"),
        committed("webhook_events", "participant.json"),
        committed("webhook_events", "task-in-media.json"),
        committed("webhook_events", "task-completed.json"),
    ];
    always(500, (select(events.to_vec()), change()), |(event, change)| {
        webhook_events::run(change.of(&event).to_string().as_bytes());
    });
    always(300, (select(events.to_vec()), json_value()), |(mut event, attributes)| {
        for name in ["TaskAttributes", "ChannelAttributes", "Attributes"] {
            event[name] = json!(attributes.to_string());
        }
        webhook_events::run(event.to_string().as_bytes());
    });
}

#[test]
fn an_event_of_a_front_end_with_one_thing_changed_is_answered_or_refused() {
    let names = [
        "http-api.json",
        "function-url.json",
        "rest-api.json",
        "alb.json",
        "outbound-participant-agent.json",
    ];
    let events = names.map(|name| committed("gateway_events", name)).to_vec();
    always(400, (select(events), change()), |(event, change)| {
        gateway_events::run(change.of(&event).to_string().as_bytes());
    });
}

/// A body of `POST /outbound` that is let in.
fn outbound_body() -> impl Strategy<Value = Map<String, Value>> {
    let number = "\\+[1-9][0-9]{6,14}";
    let attributes = btree_map("[a-z]{1,8}x", "[ -~é]{0,20}", 0..6);
    let name = option::of("[a-zé][ -~é]{0,60}");
    (any::<bool>(), number, select(vec!["agent", "api", "system"]), name, attributes, "[a-z].{0,80}")
        .prop_map(|(is_whatsapp, to, kind, name, attributes, words)| {
            let prefix = if is_whatsapp { "whatsapp:" } else { "" };
            let mut body = json!({
                "to": format!("{prefix}{to}"), "from": "+15557770000", "initiated_by": kind,
                "channel": if is_whatsapp { "whatsapp" } else { "sms" },
                "customer_name": name, "attributes": attributes, "message": {"body": words},
            });
            match kind {
                "agent" => {
                    body["worker_sid"] = json!(sid("WK"));
                    body["queue_sid"] = json!(sid("WQ"));
                }
                "system" => body["flow_sid"] = json!(sid("FW")),
                _ => {}
            }
            body.as_object().unwrap().clone()
        })
}

#[test]
fn a_good_outbound_body_is_let_in_and_one_bad_field_is_named() {
    let bad = vec![
        ("to", json!("+0155512300")),
        ("to", json!("+15551230001x")),
        ("to", json!(["+15551230001"])),
        ("from", json!("")),
        ("channel", json!("fax")),
        ("initiated_by", json!("nobody")),
        ("worker_sid", json!("WK1")),
        ("customer_name", json!("x".repeat(201))),
        ("customer_name", json!(" ")),
        ("attributes", json!({"a": "x".repeat(4096)})),
        ("attributes", json!([])),
        ("attributes.from", json!({"from": "somebody"})),
        ("attributes.flexglueReinvites", json!({"flexglueReinvites": 0})),
        ("message.body", json!({"body": "x".repeat(1601)})),
        ("message.media", json!({"body": "x", "media": "x"})),
        ("message.content_sid", json!({"content_variables": {}})),
        ("on_conflict", json!("fight")),
        ("unknown", json!(null)),
    ];
    always(120, (outbound_body(), "[!-~]{1,128}", select(bad)), |(mut body, key, (name, value))| {
        let sent = |key: &str, body: &Map<String, Value>| {
            let body = Value::Object(body.clone()).to_string();
            outbound_bodies::run(format!("{key}\n{body}").as_bytes());
            outbound_bodies::asked(key, body.as_bytes()).unwrap()
        };
        let (status, answer) = sent(&key, &body);
        assert!(status == 202 || status == 503, "{status} {answer}");
        let (status, answer) = sent(&"x".repeat(129), &body);
        assert_eq!((status, answer["fields"]["Idempotency-Key"].is_string()), (422, true), "{answer}");
        body.insert(name.split('.').next().unwrap().to_owned(), value);
        let (status, answer) = sent(&key, &body);
        assert_eq!((status, answer["fields"][name].is_string()), (422, true), "{name}: {answer}");
    });
}

#[test]
fn a_good_form_of_a_web_chat_is_let_in_and_one_bad_field_is_named() {
    let form = ("[a-zé][ -~é]{0,80}", ".{0,200}", btree_map("[a-z]{1,20}x", json!("").prop(), 0..6));
    let bad = vec![
        ("formData.friendlyName", json!("x".repeat(201))),
        ("formData.friendlyName", json!("a\u{7}b")),
        ("formData.query", json!("x".repeat(1601))),
        ("formData.query", json!({})),
        ("formData.captchaToken", json!("x".repeat(4097))),
        ("formData.customerToken", json!(7)),
        ("formData", json!("x".repeat(2048))),
        ("formData", json!([[[1]]])),
    ];
    always(150, (form, select(bad)), |((name, query, others), (place, value))| {
        let mut form = json!(others);
        form["friendlyName"] = json!(name);
        form["query"] = json!(query);
        let sent = |form: &Value| {
            let body = json!({ "formData": form }).to_string();
            web_chat_forms::run(body.as_bytes());
            web_chat_forms::begin(body.as_bytes())
        };
        let begun = sent(&form);
        let asked = begun.asked.unwrap_or_else(|| panic!("{}", begun.body));
        let shown = if name.trim().is_empty() { "Customer" } else { &name };
        assert_eq!(asked["CustomerFriendlyName"], shown);
        form[place.strip_prefix("formData.").unwrap_or("other")] = value;
        let begun = sent(&form);
        assert!(begun.asked.is_none());
        assert!(begun.body["fields"][place].is_string(), "{place}: {}", begun.body);
    });
}

/// A strategy of a few values of a kind.
trait Prop {
    fn prop(self) -> BoxedStrategy<Value>;
}

impl Prop for Value {
    fn prop(self) -> BoxedStrategy<Value> {
        prop_oneof![
            "[ -~é]{0,20}".prop_map(Value::from),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            vec("[a-z]{0,4}", 0..3).prop_map(Value::from),
        ]
        .boxed()
    }
}

#[test]
fn a_token_with_one_claim_changed_is_read_as_it_was_signed() {
    let documents = [committed("tokens", "access.json"), committed("tokens", "customer.json")];
    always(250, (select(documents.to_vec()), change()), |(document, change)| {
        tokens::run(change.of(&document).to_string().as_bytes());
    });
    always(100, "(.|[ -~]){0,300}", |identity| tokens::run(identity.as_bytes()));
}

#[test]
fn one_bad_variable_is_named_and_good_ones_are_taken() {
    let good = vec![
        "MAX_REINVITES=0",
        "TERMINAL_POLICY={}",
        "ROUTING_RULES=[]",
        "OUTBOUND_SENDERS=",
        "CONVERSATION_CLOSED_AFTER=PT10M",
        "WEBCHAT_SESSION_HOURS=720",
        "PUBLIC_BASE_URL=http://localhost:8080/a/",
        "TWILIO_EDGE=dublin",
        "CUSTOMER_MESSAGES={\"closed\":\"\"}",
        "METRICS_NAMESPACE=a.b",
    ];
    let bad = vec![
        "MAX_REINVITES=-1",
        "MAX_REINVITES=4294967296",
        "TERMINAL_POLICY={\"task.gone\":[]}",
        "TERMINAL_POLICY={\"task.deleted\":[\"close\",\"reinvite\"]}",
        "ROUTING_RULES=[{\"prio\":1}]",
        "ROUTING_RULES=[",
        "OUTBOUND_SENDERS=5551230001",
        "CONVERSATION_CLOSED_AFTER=PT9M",
        "WEBCHAT_SESSION_HOURS=721",
        "PUBLIC_BASE_URL=flexglue.example",
        "TWILIO_EDGE=Dublin",
        "CUSTOMER_MESSAGES={\"bye\":\"\"}",
        "METRICS_NAMESPACE=AWS/x",
        "FLEX_WORKFLOW_SID=WS00000000000000000000000000000001",
        "TABLE_NAME=",
        "TWILIO_SECRET_ARN=x",
        "WEBCHAT_ALLOW_ANY_ORIGIN=yes",
        "WEBCHAT_ALLOWED_ORIGINS=*",
        "OUTBOUND_ALLOWED_ORIGINS=http://shop.example",
        "OUTBOUND_ALLOWED_ORIGINS=https://shop.example/",
        "WEBCHAT_CUSTOMER_SECRET=0123456789012345678901234567890",
    ];
    always(300, (vec(select(good), 0..5), select(bad)), |(good, bad)| {
        let lines = good.join("\n");
        settings::run(lines.as_bytes());
        assert_eq!(settings::named_as_wrong(lines.as_bytes()), Vec::<&str>::new());
        let lines = format!("{lines}\n{bad}");
        settings::run(lines.as_bytes());
        let name = bad.split_once('=').unwrap().0;
        assert_eq!(settings::named_as_wrong(lines.as_bytes()), [name]);
    });
    always(300, (select(settings::NAMES.to_vec()), "\\PC{0,40}"), |(name, value)| {
        settings::run(format!("{name}={value}").as_bytes());
    });
    let urls = vec!["PUBLIC_BASE_URL", "TWILIO_FLEX_API_URL", "WEBCHAT_CAPTCHA_VERIFY_URL"];
    always(300, (select(urls), "https?://[a-zA-Z0-9._:\\[\\]-]{1,12}(/[!-~]{0,4}){0,2}"), |(name, url)| {
        settings::run(format!("{name}={url}").as_bytes());
    });
}

#[test]
fn whatever_rules_and_customers_say_a_task_is_flexglues() {
    const OURS: [&str; 8] = [
        "from",
        "customerAddress",
        "channelType",
        "preEngagement",
        "customerName",
        "customerId",
        "outbound",
        "flexglueReinvites",
    ];
    let attributes = || {
        btree_map(
            prop_oneof![select(OURS.to_vec()).prop_map(str::to_owned), "[a-z.]{1,6}"],
            json_value(),
            0..5,
        )
    };
    let filled_in = prop_oneof![
        attributes().prop_map(|data| json!(data)),
        attributes().prop_map(|data| json!(json!(data).to_string())),
        json_value(),
    ];
    let contact = (option::of("\\+[0-9]{6,12}"), option::of("[a-z-]{1,8}"), option::of("[a-z]{1,4}"));
    let made =
        (vec((attributes(), option::of(0_u32..9)), 0..4), filled_in, contact, option::of(attributes()));
    always(500, made, |(rules, filled_in, (address, identity, customer), outbound)| {
        let rule = |(attributes, priority): (_, Option<u32>)| json!({"attributes": attributes, "priority": priority});
        let rules: Vec<_> = rules.into_iter().map(rule).collect();
        let outbound = outbound.map(|mut attributes| {
            // What a request may not carry (`functions/outbound-participant/src/request.rs`).
            attributes.retain(|name, _| !OURS.contains(&name.as_str()));
            json!({
                "reach": "0".repeat(32), "initiated_by": "agent", "attributes": json!(attributes).to_string(),
            })
        });
        let input = json!({
            "rules": rules, "author": "guest-1", "attributes": {"pre_engagement_data": filled_in},
            "contact": {"address": address, "identity": identity, "customer_id": customer},
            "outbound": outbound,
        });
        routing::run(input.to_string().as_bytes());
    });
}

#[test]
fn whatever_twilio_answers_a_call_ends_as_it_should() {
    let status = prop_oneof![
        100..600_u16,
        select(vec![200_u16, 201, 204, 400, 401, 404, 408, 409, 422, 429, 500, 503])
    ];
    let code =
        prop_oneof![json_value(), select(vec![json!(50416), json!("45376"), json!(50377), json!(80906)])];
    let error = (code, option::of(".{0,40}"), option::of(json_value()))
        .prop_map(|(code, message, detail)| json!({"code": code, "message": message, "detail": detail}));
    let pages =
        ["conversations-page", "events-page", "messages-page", "tasks-page", "webhooks-page"].map(page);
    let page = (select(pages.to_vec()), change()).prop_map(|(page, change)| change.of(&page));
    let body = prop_oneof![error, page, json_value()];
    let header = option::of(prop_oneof!["[0-9]{0,22}", "\\PC{0,20}"]);
    always(250, (status, header, body), |(status, header, body)| {
        let header = header.map(|value| format!("retry-after: {value}\n")).unwrap_or_default();
        twilio_answers::run(format!("{status}\n{header}\n{body}").as_bytes());
    });
}

fn page(name: &str) -> Value {
    let kept = crate::corpus::corpus("twilio_answers");
    let kept = kept.into_iter().find(|kept| kept.name == format!("{name}.http")).unwrap();
    let text = String::from_utf8(kept.bytes).unwrap();
    serde_json::from_str(text.split_once("\n\n").unwrap().1).unwrap()
}
