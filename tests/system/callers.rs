//! Who may reach out, and how often.

use std::time::Duration;

use flexglue::local::{
    gateway::Routes,
    system::{OUTBOUND_API_KEY, OUTBOUND_PATH, PLUGIN_ORIGIN},
};
use flexglue_tests::{
    outbound::{Told, ask, reach, request, with},
    rig::Rig,
};
use http::{Method, Response};
use serde_json::{Value, json};
use simulator::{Fault, Matcher, Misbehaviour, Times};

const DAY_MS: u64 = 24 * 3600 * 1000;

fn body(rig: &Rig, kind: &str) -> Value {
    reach(&rig.system.twilio.settings(), kind)
}

async fn send(
    front: &Routes,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response<bytes::Bytes> {
    front.handle(request(method, path, headers, body)).await
}

/// Asks with these credentials.
async fn ask_as(front: &Routes, credentials: &[(&str, &str)], key: &str, body: &Value) -> Told {
    let mut headers = vec![("content-type", "application/json"), ("idempotency-key", key)];
    headers.extend(credentials);
    Told::of(&send(front, Method::POST, OUTBOUND_PATH, &headers, &body.to_string()).await)
}

/// A token of the worker of this number.
fn token(rig: &Rig, worker: usize, roles: &[&str]) -> String {
    let worker = rig.system.twilio.settings().workers[worker].clone();
    rig.system.twilio.flex_token(&worker.identity, roles, Some(&worker.sid), DAY_MS)
}

fn validations(rig: &Rig) -> usize {
    rig.system.twilio.requests().iter().filter(|request| request.path.contains("Tokens/validate")).count()
}

#[tokio::test(start_paused = true)]
async fn a_back_end_needs_a_key_of_ours() {
    let rig = Rig::with(1, |_| {}, &[("OUTBOUND_API_KEYS", "first, second")]);
    let front = rig.front().await;
    for (number, key) in ["first", "second"].into_iter().enumerate() {
        let asked = with(body(&rig, "api"), &json!({"to": format!("+1555123000{number}")}));
        let told = ask_as(&front, &[("authorization", &format!("Bearer {key}"))], key, &asked).await;
        assert_eq!(told.status, 201, "{told:?}");
    }
    let before = rig.system.twilio.requests().len();
    for authorization in
        ["Bearer third", "Bearer firs", "Bearer first2", "Bearer ", "Bearer", "first", "Basic first", ""]
    {
        let told = ask_as(&front, &[("authorization", authorization)], "k", &body(&rig, "api")).await;
        assert_eq!((told.status, &*told.text("error")), (401, "unauthorized"), "{authorization}");
    }
    assert_eq!(ask_as(&front, &[], "k", &body(&rig, "api")).await.status, 401);
    assert_eq!(rig.system.twilio.requests().len(), before);
    assert_eq!(rig.metric("CallerRefused"), 9);
}

#[tokio::test(start_paused = true)]
async fn without_any_key_nobody_is_a_back_end() {
    let rig = Rig::with(1, |_| {}, &[("OUTBOUND_API_KEYS", "")]);
    let told = ask_as(&rig.front().await, &[("authorization", "Bearer ")], "k", &body(&rig, "api")).await;
    assert_eq!(told.status, 401);
}

/// Trap 8.
#[tokio::test(start_paused = true)]
async fn an_agent_reaches_out_in_their_own_name_and_no_others() {
    let rig = Rig::new();
    let front = rig.front().await;
    let mine = token(&rig, 0, &["agent"]);
    let told = ask_as(&front, &[("x-flex-token", &mine)], "k1", &body(&rig, "agent")).await;
    assert_eq!(told.status, 201, "{told:?}");
    let said = rig.system.twilio.messages(&told.text("conversation_sid")).remove(0);
    assert_eq!(said.author, rig.system.twilio.settings().workers[0].identity, "they speak for themselves");
    let theirs = token(&rig, 1, &["agent", "supervisor"]);
    let other = with(body(&rig, "agent"), &json!({"to": "+15551230002"}));
    let told = ask_as(&front, &[("x-flex-token", &theirs)], "k2", &other).await;
    assert_eq!((told.status, &*told.text("error")), (403, "forbidden"));
    let claims = json!({"identity": "alice", "roles": ["admin"], "valid": true, "Token": mine});
    let claimed = ask_as(&front, &[("x-flex-token", &theirs)], "k2", &with(other, &claims)).await;
    let fields: Vec<_> = claimed.body["fields"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["Token", "identity", "roles", "valid"], "who asks is not for the body to say");
    let unnamed = with(body(&rig, "api"), &json!({"to": "+15551230002"}));
    assert_eq!(ask_as(&front, &[("x-flex-token", &mine)], "k3", &unnamed).await.status, 403);
    let worker = rig.system.twilio.settings().workers[0].sid.clone();
    let named = with(unnamed, &json!({"worker_sid": worker}));
    assert_eq!(ask_as(&front, &[("x-flex-token", &mine)], "k3", &named).await.status, 201);
}

/// A web chat's guest holds a valid Flex token too.
#[tokio::test(start_paused = true)]
async fn guests_and_whoever_is_no_worker_are_turned_away() {
    for refused_by in [false, true] {
        let rig = Rig::with(1, |account| account.invalid_tokens_are_400 = refused_by, &[]);
        let front = rig.front().await;
        let twilio = &rig.system.twilio;
        let worker = twilio.settings().workers[0].sid.clone();
        let revoked = token(&rig, 0, &["agent"]);
        twilio.revoke_flex_token(&revoked);
        for (token, status) in [
            (token(&rig, 0, &["guest"]), 403),
            (token(&rig, 0, &["agent", "guest"]), 403),
            (token(&rig, 0, &[]), 403),
            (twilio.flex_token("somebody", &["admin"], None, DAY_MS), 403),
            (twilio.flex_token("somebody", &["agent"], Some(&worker), 0), 401),
            (revoked, 401),
            ("made.up.token".to_owned(), 401),
            ("x".repeat(10_000), 401),
        ] {
            let told = ask_as(&front, &[("x-flex-token", &token)], "k", &body(&rig, "agent")).await;
            assert_eq!(told.status, status, "{told:?}");
        }
        assert!(twilio.conversations().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_about_once_a_minute_and_no_longer_than_it_lives() {
    let rig = Rig::new();
    let front = rig.front().await;
    let worker = rig.system.twilio.settings().workers[0].clone();
    let token = rig.system.twilio.flex_token(&worker.identity, &["agent"], Some(&worker.sid), 90_000);
    let ask = async |number: u32| {
        let asked = with(body(&rig, "agent"), &json!({"to": format!("+1555123100{number}")}));
        ask_as(&front, &[("x-flex-token", &token)], &format!("k{number}"), &asked).await.status
    };
    assert_eq!([ask(1).await, ask(2).await], [201, 201]);
    assert_eq!(validations(&rig), 1);
    rig.pass(Duration::from_mins(1)).await;
    assert_eq!(ask(3).await, 201);
    assert_eq!(validations(&rig), 2);
    rig.pass(Duration::from_mins(1)).await;
    assert_eq!(ask(4).await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_twilio_cannot_be_asked_about_is_neither_let_in_nor_refused() {
    let rig = Rig::new();
    let front = rig.front().await;
    let mine = token(&rig, 0, &["agent"]);
    for what in [
        Misbehaviour::Status { status: 500, code: 20500, retry_after: None },
        Misbehaviour::Status { status: 429, code: 20429, retry_after: None },
        Misbehaviour::Hang,
        Misbehaviour::Malformed,
    ] {
        rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what });
        let told = ask_as(&front, &[("x-flex-token", &mine)], "k1", &body(&rig, "agent")).await;
        assert_eq!((told.status, told.retry_after), (503, Some(2)), "{told:?}");
        rig.system.twilio.behave();
    }
    assert_eq!(ask_as(&front, &[("x-flex-token", &mine)], "k1", &body(&rig, "agent")).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn only_our_own_senders_are_used_and_none_unless_it_is_said() {
    for (senders, status) in [("+15557770000", 201), ("+15557770009,whatsapp:+15557770000", 403), ("", 403)] {
        let rig = Rig::with(1, |_| {}, &[("OUTBOUND_SENDERS", senders)]);
        let told = ask(&rig.front().await, "k1", &body(&rig, "agent")).await;
        assert_eq!(told.status, status, "{senders}: {told:?}");
        if status == 403 {
            assert_eq!(told.text("error"), "sender_not_allowed");
            assert!(rig.system.twilio.requests().is_empty());
            let items = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
            assert!(items.is_empty(), "nothing is written for what is not allowed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_sees_their_own_reaches_alone() {
    let rig = Rig::new();
    let front = rig.front().await;
    let [mine, theirs] = [0, 1].map(|worker| token(&rig, worker, &["agent"]));
    let told = ask_as(&front, &[("x-flex-token", &mine)], "k1", &body(&rig, "agent")).await;
    let path = format!("{OUTBOUND_PATH}/{}", told.text("id"));
    let bearer = format!("Bearer {OUTBOUND_API_KEY}");
    for (credentials, status) in [
        (("x-flex-token", &*mine), 200),
        (("x-flex-token", &*theirs), 404),
        (("authorization", &*bearer), 200),
        (("authorization", "Bearer x"), 401),
    ] {
        let seen = send(&front, Method::GET, &path, &[credentials], "").await;
        assert_eq!(seen.status(), status, "{credentials:?}");
    }
    for id in ["0".repeat(32), "x".to_owned(), "CH00000000000000000000000000000001".to_owned()] {
        let path = format!("{OUTBOUND_PATH}/{id}");
        assert_eq!(send(&front, Method::GET, &path, &[("authorization", &bearer)], "").await.status(), 404);
    }
}

#[tokio::test(start_paused = true)]
async fn rates_are_limited_per_sender_and_per_caller_and_only_where_it_is_asked_for() {
    for (variable, others_too) in [("OUTBOUND_RATE_PER_SENDER", true), ("OUTBOUND_RATE_PER_CALLER", false)] {
        let rig = Rig::with(1, |_| {}, &[(variable, "3"), ("OUTBOUND_API_KEYS", "one,two")]);
        let front = rig.front().await;
        let ask = async |key: &str, number: u32| {
            let asked = with(body(&rig, "api"), &json!({"to": format!("+1555123{number:04}")}));
            let bearer = format!("Bearer {key}");
            ask_as(&front, &[("authorization", &bearer)], &format!("k{number}"), &asked).await
        };
        for number in 0..3 {
            assert_eq!(ask("one", number).await.status, 201, "{variable}");
        }
        let told = ask("one", 3).await;
        assert_eq!((told.status, &*told.text("error")), (429, "rate_limited"), "{variable}: {told:?}");
        assert_eq!(told.retry_after, Some(60), "{told:?}");
        assert_eq!(ask("one", 0).await.status, 200, "what was made is told for nothing");
        assert_eq!(ask("two", 4).await.status, if others_too { 429 } else { 201 }, "{variable}");
        rig.pass(Duration::from_secs(59)).await;
        assert_eq!(ask("one", 3).await.retry_after, Some(1), "{variable}");
        rig.pass(Duration::from_secs(1)).await;
        for number in [3, 5, 6] {
            assert_eq!(ask("one", number).await.status, 201, "{variable}: refused is not counted");
        }
        assert_eq!(ask("one", 7).await.status, 429, "{variable}");
        assert_eq!(rig.metric("RateLimited"), if others_too { 4 } else { 3 });
    }
}

/// Many at once are counted one by one.
#[tokio::test(start_paused = true)]
async fn a_crowd_does_not_slip_past_a_limit() {
    use futures_util::future::join_all;
    let rig = Rig::with(1, |_| {}, &[("OUTBOUND_RATE_PER_CALLER", "5")]);
    let front = &rig.front_in(&rig.unhurried_world().await);
    let asked = |number: u32| with(body(&rig, "api"), &json!({"to": format!("+1555123{number:04}")}));
    let told = join_all((0..12).map(|number| {
        let asked = asked(number);
        async move { ask(front, &format!("k{number}"), &asked).await.status }
    }))
    .await;
    assert_eq!(told.iter().filter(|status| **status == 201).count(), 5, "{told:?}");
    assert!(told.iter().all(|status| [201, 429].contains(status)), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_calls_from_an_origin_that_is_allowed_and_from_no_other() {
    let rig = Rig::new();
    let front = rig.front().await;
    let mine = token(&rig, 0, &["agent"]);
    for path in [OUTBOUND_PATH.to_owned(), format!("{OUTBOUND_PATH}/{}", "0".repeat(32))] {
        let preflight = [("origin", PLUGIN_ORIGIN), ("access-control-request-method", "POST")];
        let answer = send(&front, Method::OPTIONS, &path, &preflight, "").await;
        assert_eq!(answer.status(), 204);
        let headers = answer.headers();
        assert_eq!(headers["access-control-allow-origin"], PLUGIN_ORIGIN);
        assert_eq!(
            headers["access-control-allow-headers"],
            "authorization, content-type, idempotency-key, x-flex-token"
        );
        assert_eq!(
            (&headers["access-control-max-age"], &headers["vary"]),
            (&"600".parse().unwrap(), &"Origin".parse().unwrap())
        );
        let evil = send(&front, Method::OPTIONS, &path, &[("origin", "https://evil.example")], "").await;
        assert_eq!(evil.status(), 403);
        assert!(!evil.headers().contains_key("access-control-allow-origin"));
    }
    let headers = |origin: &'static str| {
        vec![
            ("content-type", "application/json"),
            ("idempotency-key", "k1"),
            ("x-flex-token", mine.as_str()),
            ("origin", origin),
        ]
    };
    let asked = body(&rig, "agent").to_string();
    let refused = send(&front, Method::POST, OUTBOUND_PATH, &headers("https://evil.example"), &asked).await;
    assert_eq!(refused.status(), 403);
    assert!(rig.system.twilio.requests().is_empty(), "not even the token is looked at");
    let answer = send(&front, Method::POST, OUTBOUND_PATH, &headers(PLUGIN_ORIGIN), &asked).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["access-control-allow-origin"], PLUGIN_ORIGIN);
    assert_eq!(answer.headers()["access-control-expose-headers"], "retry-after");
    // An error is for the page to read as well.
    let wrong = send(&front, Method::POST, OUTBOUND_PATH, &headers(PLUGIN_ORIGIN), "{}").await;
    assert_eq!(
        (wrong.status().as_u16(), &wrong.headers()["access-control-allow-origin"]),
        (422, &PLUGIN_ORIGIN.parse().unwrap())
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_is_refused_and_loses_nothing() {
    let rig = Rig::new();
    let front = rig.front().await;
    let bearer = format!("Bearer {OUTBOUND_API_KEY}");
    let good = body(&rig, "agent").to_string();
    let headers = |content_type: &'static str| {
        vec![
            ("authorization", bearer.clone()),
            ("content-type", content_type.to_owned()),
            ("idempotency-key", "k".to_owned()),
        ]
    };
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(40_000));
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    for (content_type, body, status) in [
        ("text/plain", good.as_str(), 415),
        ("application/x-www-form-urlencoded", "to=x", 415),
        ("application/json", "", 400),
        ("application/json", "{", 400),
        ("application/json", "[]", 400),
        ("application/json", "\"x\"", 400),
        ("application/json", &large, 413),
        ("application/json", &deep, 413),
        ("application/json", &deep[..30_000], 400),
        ("application/json", "{}", 422),
        ("application/json; charset=utf-8", &good, 201),
    ] {
        let headers = headers(content_type);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = send(&front, Method::POST, OUTBOUND_PATH, &headers, body).await;
        assert_eq!(answer.status(), status, "{content_type}: {body:.40}");
    }
    let untyped = [("authorization", bearer.as_str()), ("idempotency-key", "k2")];
    assert_eq!(send(&front, Method::POST, OUTBOUND_PATH, &untyped, &good).await.status(), 415);
    assert_eq!(rig.system.twilio.conversations().len(), 1);
}
