//! What reaches a log. One test in a process of its own: who listens to which line is decided once for a whole
//! process, so that tests beside it would decide it too.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "these are tests, helpers and all")]

use std::{
    io,
    sync::{Arc, Mutex},
};

use flexglue::local::{
    gateway::Routes,
    system::{self, SMS_NUMBER},
};
use flexglue_tests::{
    chat, outbound,
    rig::{self, CUSTOMER, Rig},
};
use http::Method;
use serde_json::{Value, json};
use shared::{jws, secrets::Secret, telemetry};
use simulator::{Fault, Matcher, Misbehaviour, Times};
use tracing_subscriber::{filter::LevelFilter, fmt::MakeWriter};

/// By which a site signs who its customers are.
const SITE_SECRET: &str = "0123456789abcdef0123456789abcdef";

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl io::Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn logs_tell_which_conversation_and_nothing_of_anybody() {
    a_log_of_the_whole_run_tells_nothing_of_anybody().await;
    log_lines_carry_the_request_and_the_conversation().await;
}

/// A run with everything in it, at the chattiest level: no token, no number, no name, no body.
async fn a_log_of_the_whole_run_tells_nothing_of_anybody() {
    let account = |account: &mut simulator::Settings| {
        rig::every_event(account);
        system::call_back(account, system::PUBLIC_URL);
        account.workflow_timeout_s = Some(120);
    };
    let rig = Rig::with(1, account, &[("WEBCHAT_CUSTOMER_SECRET", SITE_SECRET)]);
    let kept = Kept::default();
    let subscriber = telemetry::subscriber(Arc::clone(&rig.system.clock), LevelFilter::TRACE, kept.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    let front = rig.front().await;

    // Good, forged, foreign, malformed, refused, lost, healed.
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "my secret ailment");
    rig.deliver_all(&front).await;
    let mut forged = rig.message(CUSTOMER, "my secret ailment");
    forged.headers_mut().insert("x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap());
    front.handle(forged).await;
    let data = json!({"friendlyName": "Ada Lovelace", "email": "ada@example.com"});
    let chat = rig.system.twilio.create_chat_conversation("web", "guest-1", &data);
    rig.system.twilio.customer_writes_in(&chat, "guest-1", "my secret ailment").unwrap();
    rig.deliver_all(&front).await;
    let status = |status| Misbehaviour::Status { status, code: 45367, retry_after: None };
    for (customer, what) in [
        ("+15551230002", Misbehaviour::LostAfter),
        ("+15551230003", status(400)),
        ("+15551230004", status(503)),
        ("+15551230005", status(429)),
    ] {
        rig.system.twilio.misbehave(Fault {
            on: Matcher::route("POST /v1/Interactions"),
            times: Times::Next(1),
            what,
        });
        front.handle(rig.message(customer, "my secret ailment")).await;
        rig.system.twilio.behave();
    }
    // Tasks that nobody takes, customers who are told, a message that is refused, one that nobody told of.
    rig.system.twilio.customer_writes("+15551230006", SMS_NUMBER, "my secret ailment");
    let _ = rig.system.twilio.take_webhooks();
    rig.system.twilio.misbehave(Fault {
        on: Matcher::route("POST /v1/Conversations/{sid}/Messages"),
        times: Times::Next(1),
        what: status(400),
    });
    let token = reach_out_in_every_way(&rig, &front).await;
    let chat_token = chat_in_every_way(&rig, &front).await;
    for _ in 0..16 {
        rig.sweep_after_a_minute().await;
        rig.deliver_all(&front).await;
    }
    assert!(rig.metric("CustomerTold") > 0 && rig.metric("ConversationAdopted") > 0);
    assert!(
        rig.metric("WebChatBegun") > 0 && rig.metric("WebChatEnded") > 0 && rig.metric("TokenRefused") > 0
    );
    assert!(rig.metric("ReachDone") > 0 && rig.metric("ReachRefused") > 0 && rig.metric("CallerRefused") > 0);
    drop(guard);

    let mut log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    assert!(log.lines().count() > 10, "the run was logged:\n{log}");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("every line is JSON");
        assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
    }
    log.extend(rig.metric_lines());
    let account = rig.system.twilio.settings();
    for secret in [
        account.auth_token.as_str(),
        "5551230",
        "5557770000",
        "Ada",
        "ada@example.com",
        "guest-1",
        "ailment",
        "Basic ",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "local-back-end",
        "secret-key",
        "made-up-token",
        &token,
        &chat_token,
        "eyJ",
        "guest-",
        "203.0.113",
        system::API_KEY.1,
        SITE_SECRET,
        "shop.example",
        "cust_42",
    ] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
    assert!(log.contains(&chat), "but it tells which conversation");
}

/// Reaches of every kind: made, refused, joined, not delivered, with a token (which is given back), with a wrong
/// one.
async fn reach_out_in_every_way(rig: &Rig, front: &Routes) -> String {
    let token = rig.system.twilio.settings().workers[0].clone();
    let token = rig.system.twilio.flex_token(&token.identity, &["agent"], Some(&token.sid), 3_600_000);
    let secret = json!({"body": "my secret ailment"});
    rig.system.twilio.cannot_be_reached("+15551230008", 21610, simulator::Unreachable::Later);
    rig.system.twilio.cannot_be_reached("+15551230009", 21610, simulator::Unreachable::AtOnce);
    for (number, kind, on_conflict) in [
        (1, "agent", "reject"),
        (1, "agent", "join"),
        (7, "agent", "reject"),
        (8, "system", "reject"),
        (9, "api", "replace"),
    ] {
        let to = format!("+1555123000{number}");
        let changes =
            json!({"to": to, "on_conflict": on_conflict, "message": secret, "customer_name": "Ada"});
        let body = outbound::with(outbound::reach(&rig.system.twilio.settings(), kind), &changes);
        let told = outbound::ask(front, &format!("secret-key-{number}-{on_conflict}"), &body).await;
        assert!([200, 201, 409, 422].contains(&told.status), "{told:?}");
        for token in [&*token, "made-up-token"] {
            let headers = [
                ("x-flex-token", token),
                ("content-type", "application/json"),
                ("idempotency-key", "secret-key"),
            ];
            front.handle(outbound::request(Method::POST, "/outbound", &headers, &body.to_string())).await;
        }
    }
    token
}

/// Web chats that begin, go on, end, are refused, are left half-way.
async fn chat_in_every_way(rig: &Rig, front: &Routes) -> String {
    let form = json!({"friendlyName": "Ada", "email": "ada@example.com", "query": "my secret ailment"});
    let [ended, told] = [chat::begin(front, &form).await, chat::begin(front, &form).await];
    for token in [ended.text("token"), "made-up-token".to_owned()] {
        chat::refresh(front, &token).await;
        chat::end(front, &token).await;
        chat::refresh(front, &token).await;
    }
    let exp = rig.system.clock.now().as_seconds() + 60;
    let claims = json!({"sub": "cust_42", "name": "Ada", "exp": exp});
    let signed = jws::sign(&json!({"alg": "HS256"}), &claims, &Secret::new(SITE_SECRET));
    assert_eq!(
        chat::begin(front, &json!({"customerToken": signed, "query": "my secret ailment"})).await.status,
        200
    );
    chat::begin(front, &json!({"customerToken": "made-up-token", "friendlyName": ["Ada"]})).await;
    chat::begin(front, &json!({"customerToken": "made-up-token"})).await;
    for what in
        [Misbehaviour::LostAfter, Misbehaviour::Status { status: 400, code: 45745, retry_after: None }]
    {
        for route in ["POST /v2/WebChats", "POST /v1/Conversations/{sid}/Messages"] {
            let on = Matcher::route(route);
            rig.system.twilio.misbehave(Fault { on, times: Times::Next(1), what: what.clone() });
            chat::begin(front, &form).await;
        }
    }
    told.text("token")
}

/// One line leads to the next: the request and the conversation stand in each.
async fn log_lines_carry_the_request_and_the_conversation() {
    let rig = Rig::new();
    let kept = Kept::default();
    let subscriber = telemetry::subscriber(Arc::clone(&rig.system.clock), LevelFilter::INFO, kept.clone());
    let guard = tracing::subscriber::set_default(subscriber);
    rig.front().await.handle(rig.message(CUSTOMER, "hello")).await;
    drop(guard);
    let log = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    // CloudWatch is paid by the byte: what everybody's first message costs is one line, and one that counts it.
    let lines: Vec<String> = log.lines().map(str::to_owned).chain(rig.metric_lines()).collect();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines.iter().map(String::len).sum::<usize>() < 600, "{lines:#?}");
    let line: Value = serde_json::from_str(log.lines().next().expect("the Interaction is logged")).unwrap();
    assert_eq!(line["span"]["conversation_sid"], rig.system.twilio.conversations()[0].sid.as_str());
    assert!(line["span"]["request_id"].is_string());
    assert_eq!(line["interaction_sid"], rig.system.twilio.interactions()[0].sid.as_str());
}
