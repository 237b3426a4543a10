//! The compiled function, as Lambda runs it: every answer that is promised, through the process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

use flexglue::local::event::EventShape;
use flexglue_tests::{
    front::{Answered, handed_over, invoke},
    loopback::{Account, TABLE},
    outbound::{asked, reach, request, with},
    runtime_api::Instance,
};
use http::Method;
use serde_json::{Value, json};
use simulator::{ConversationState, Fault, Matcher, Misbehaviour, Times, Unreachable};

const BINARY: &str = env!("CARGO_BIN_EXE_outbound-participant");
const CUSTOMER: &str = "+15551230001";
const OURS: &str = "+15557770000";
const SOURCE: &str = "192.0.2.1";

async fn ask(function: &Instance, key: &str, body: &Value) -> Answered {
    invoke(function, &asked(key, body)).await
}

async fn start() -> (Account, Instance) {
    let mut account = Account::start().await;
    prepare(&mut account);
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    (account, function)
}

fn prepare(account: &mut Account) {
    let twilio = account.environment["TWILIO_FLEX_API_URL"].clone();
    for (name, value) in [
        ("OUTBOUND_SENDERS", OURS),
        ("OUTBOUND_API_KEYS", "local-back-end"),
        ("OUTBOUND_ALLOWED_ORIGINS", "https://flex.twilio.com"),
        ("TWILIO_IAM_API_URL", &twilio),
    ] {
        account.environment.insert(name.to_owned(), value.to_owned());
    }
}

fn body(account: &Account, kind: &str, changes: &Value) -> Value {
    with(reach(&account.twilio.settings(), kind), changes)
}

fn open_conversations(account: &Account) -> usize {
    let open = account.twilio.conversations();
    open.iter().filter(|conversation| conversation.state != ConversationState::Closed).count()
}

#[tokio::test]
async fn done_is_201_and_the_same_key_again_200_with_the_same_body() {
    let (account, function) = start().await;
    for (number, kind) in ["agent", "api", "system"].into_iter().enumerate() {
        let asked = body(&account, kind, &json!({"to": format!("+1555123000{number}")}));
        let told = ask(&function, kind, &asked).await;
        assert_eq!((told.status, &told.body["status"]), (201, &json!("open")), "{told:?}");
        assert!(told.body["id"].is_string() && told.body["conversation_sid"].is_string());
        let with_agent = kind != "system";
        assert_eq!(told.body["interaction_sid"].is_string() && told.body["task_sid"].is_string(), with_agent);
        let again = ask(&function, kind, &asked).await;
        assert_eq!((again.status, &again.body), (200, &told.body));
        let path = format!("/outbound/{}", told.body["id"].as_str().unwrap());
        let tell = request(Method::GET, &path, &[("authorization", "Bearer local-back-end")], "");
        let seen = invoke(&function, &tell).await;
        assert_eq!((seen.status, &seen.body["status"]), (200, &json!("open")));
    }
    assert_eq!(account.twilio.interactions().len(), 2);
    let log = function.logs().stdout;
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    for secret in ["5551230", "Ada", "order is ready", "local-back-end"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn every_front_end_is_understood() {
    let (account, function) = start().await;
    let shapes = [EventShape::HttpApi, EventShape::FunctionUrl, EventShape::RestApi, EventShape::Alb];
    for (number, shape) in shapes.into_iter().enumerate() {
        let body = body(&account, "agent", &json!({"to": format!("+1555123000{number}")}));
        let answer =
            function.invoke(handed_over(shape, &asked(&number.to_string(), &body), SOURCE)).await.unwrap();
        assert_eq!(answer["statusCode"], 201, "{shape:?}: {answer}");
    }
}

/// Where nobody has set `PUBLIC_BASE_URL`, replies come back to where the request came in; a load balancer only
/// repeats what the sender said that was.
#[tokio::test]
async fn replies_to_a_reminder_come_back_to_where_it_was_asked_for() {
    let (account, function) = start().await;
    let reminder = |number: u32| body(&account, "system", &json!({"to": format!("+1555123000{number}")}));
    let answer =
        function.invoke(handed_over(EventShape::HttpApi, &asked("k1", &reminder(1)), SOURCE)).await.unwrap();
    assert_eq!(answer["statusCode"], 201, "{answer}");
    let webhook = account.twilio.conversations().remove(0).webhooks.remove(0).target;
    let simulator::Target::Webhook { url, method, filters } = webhook else { panic!("{webhook:?}") };
    let expected = "https://abcdef1234.execute-api.us-east-1.amazonaws.com/webhooks/conversations";
    assert_eq!((&*url, method), (expected, Method::POST));
    assert!(filters.contains(&"onMessageAdded".to_owned()));
    let answer =
        function.invoke(handed_over(EventShape::Alb, &asked("k2", &reminder(2)), SOURCE)).await.unwrap();
    assert_eq!(answer["statusCode"], 422, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains("PUBLIC_BASE_URL"));
}

#[tokio::test]
async fn a_customer_in_a_conversation_is_409_joined_200_or_replaced_201() {
    let (account, function) = start().await;
    let sid = account.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
    let told = ask(&function, "k1", &body(&account, "agent", &json!({}))).await;
    assert_eq!((told.status, &told.body["error"]), (409, &json!("participant_in_conversation")), "{told:?}");
    assert_eq!((&told.body["conversation_sid"], &told.body["state"]), (&json!(sid), &json!("active")));
    assert_eq!(account.twilio.conversations().len(), 1, "nothing is left behind");
    let told = ask(&function, "k2", &body(&account, "api", &json!({"on_conflict": "join"}))).await;
    assert_eq!((told.status, &told.body["conversation_sid"]), (200, &json!(sid)), "{told:?}");
    assert!(told.body["interaction_sid"].is_string());
    let told = ask(&function, "k3", &body(&account, "agent", &json!({"on_conflict": "replace"}))).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert_ne!(told.body["conversation_sid"], json!(sid));
    assert_eq!(open_conversations(&account), 1);
}

#[tokio::test]
async fn another_request_for_the_same_customer_waits_and_what_takes_too_long_is_202() {
    let (account, function) = start().await;
    let second = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let on = Matcher::route("POST /v1/Interactions");
    account.twilio.misbehave(Fault { on, times: Times::Forever, what: Misbehaviour::Hang });
    let asked = body(&account, "agent", &json!({}));
    let first = async { ask(&function, "k1", &asked).await };
    let meanwhile = async {
        while account.asked().iter().all(|request| request.path != "/v1/Interactions") {
            tokio::task::yield_now().await;
        }
        let same = ask(&second, "k1", &asked).await;
        assert_eq!((same.status, &same.body["error"]), (409, &json!("in_progress")), "{same:?}");
        let pair = ask(&second, "k2", &asked).await;
        assert_eq!((pair.status, &pair.body["error"]), (409, &json!("pair_busy")), "{pair:?}");
        assert_eq!(pair.headers["retry-after"], "2");
    };
    let (told, ()) = tokio::join!(first, meanwhile);
    assert_eq!((told.status, &told.body["status"]), (202, &json!("pending")), "{told:?}");
    account.twilio.behave();
    let path = format!("/outbound/{}", told.body["id"].as_str().unwrap());
    let tell = request(Method::GET, &path, &[("authorization", "Bearer local-back-end")], "");
    assert_eq!(invoke(&second, &tell).await.body, told.body);
}

#[tokio::test]
async fn bad_input_is_422_and_names_every_field() {
    let (account, function) = start().await;
    let wrong = json!({"to": "555", "channel": "fax", "worker_sid": "me", "attributes": 1, "x": 2});
    let told = ask(&function, "k1", &body(&account, "agent", &wrong)).await;
    assert_eq!((told.status, &told.body["error"]), (422, &json!("invalid")), "{told:?}");
    let fields: Vec<&str> = told.body["fields"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["attributes", "channel", "to", "worker_sid", "x"]);
    assert_eq!(told.headers["content-type"], "application/problem+json");
    let good = body(&account, "agent", &json!({}));
    let bare = request(
        Method::POST,
        "/outbound",
        &[("authorization", "Bearer local-back-end"), ("content-type", "application/json")],
        &good.to_string(),
    );
    assert_eq!(invoke(&function, &bare).await.body["fields"].as_object().unwrap().len(), 1);
    assert_eq!(ask(&function, "k1", &good).await.status, 201);
    let other = ask(&function, "k1", &body(&account, "agent", &json!({"customer_name": "Bob"}))).await;
    assert_eq!((other.status, &other.body["error"]), (422, &json!("idempotency_key_reused")));
}

#[tokio::test]
async fn callers_senders_and_origins_that_are_not_ours_are_401_and_403() {
    let (account, function) = start().await;
    let worker = account.twilio.settings().workers[1].clone();
    let token = account.twilio.flex_token(&worker.identity, &["agent"], Some(&worker.sid), 60_000);
    let guest = account.twilio.flex_token("guest", &["guest"], Some(&worker.sid), 60_000);
    let mine = body(&account, "agent", &json!({"worker_sid": worker.sid})).to_string();
    let theirs = body(&account, "agent", &json!({})).to_string();
    let sender = body(&account, "agent", &json!({"from": "+15557770009"})).to_string();
    let bearer = ("authorization", "Bearer local-back-end");
    for (name, value, origin, asked, status) in [
        ("authorization", "Bearer nonsense", None, &theirs, 401),
        ("x-nothing", "", None, &theirs, 401),
        ("x-flex-token", "nonsense", None, &theirs, 401),
        ("x-flex-token", &guest, None, &theirs, 403),
        ("x-flex-token", &token, None, &theirs, 403),
        (bearer.0, bearer.1, None, &sender, 403),
        (bearer.0, bearer.1, Some("https://evil.example"), &theirs, 403),
        ("x-flex-token", &token, Some("https://flex.twilio.com"), &mine, 201),
    ] {
        let mut headers = vec![("content-type", "application/json"), ("idempotency-key", "k"), (name, value)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let told = invoke(&function, &request(Method::POST, "/outbound", &headers, asked)).await;
        assert_eq!(told.status, status, "{name}: {value:.20}: {told:?}");
        assert_eq!(told.headers.get("access-control-allow-origin").is_some(), status == 201);
    }
    let preflight = request(Method::OPTIONS, "/outbound", &[("origin", "https://flex.twilio.com")], "");
    let told = invoke(&function, &preflight).await;
    assert_eq!((told.status, &told.headers["access-control-max-age"]), (204, &json!("600")));
    assert_eq!(invoke(&function, &request(Method::DELETE, "/outbound", &[], "")).await.status, 405);
    assert_eq!(invoke(&function, &request(Method::POST, "/elsewhere", &[], "")).await.status, 404);
}

#[tokio::test]
async fn what_twilio_refuses_is_told_and_nothing_is_left() {
    let (account, function) = start().await;
    let refuse = |route: &str, code| {
        let what = Misbehaviour::Status { status: 400, code, retry_after: None };
        account.twilio.misbehave(Fault { on: Matcher::route(route), times: Times::Next(1), what });
    };
    refuse("POST /v1/Interactions", 45367);
    let told = ask(&function, "k1", &body(&account, "agent", &json!({}))).await;
    assert_eq!((told.status, &told.body["error"]), (502, &json!("twilio_refused")), "{told:?}");
    assert_eq!((&told.body["code"], &told.body["step"]), (&json!(45367), &json!("interaction")));
    refuse("POST /v1/Conversations/{sid}/Participants", 50407);
    let told = ask(&function, "k2", &body(&account, "agent", &json!({}))).await;
    assert_eq!(told.status, 422, "{told:?}");
    assert!(told.body["fields"]["to"].is_string());
    account.twilio.cannot_be_reached(CUSTOMER, 21610, Unreachable::AtOnce);
    let told = ask(&function, "k3", &body(&account, "system", &json!({}))).await;
    assert_eq!((told.status, &told.body["error"]), (422, &json!("message_refused")), "{told:?}");
    assert_eq!(told.body["code"], 21610);
    assert_eq!(open_conversations(&account), 0);
}

#[tokio::test]
async fn a_limit_that_is_reached_is_429() {
    let (mut account, _) = start().await;
    account.environment.insert("OUTBOUND_RATE_PER_CALLER".to_owned(), "1".to_owned());
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    assert_eq!(ask(&function, "k1", &body(&account, "agent", &json!({}))).await.status, 201);
    let other = body(&account, "agent", &json!({"to": "+15551230002"}));
    let told = ask(&function, "k2", &other).await;
    assert_eq!((told.status, &told.body["error"]), (429, &json!("rate_limited")), "{told:?}");
    assert!(told.headers["retry-after"].is_string());
}

#[tokio::test]
async fn a_table_that_is_not_there_is_503_and_twilio_is_not_asked() {
    let (mut account, _) = start().await;
    account.environment.insert("TABLE_NAME".to_owned(), "no-such-table".to_owned());
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let told = ask(&function, "k1", &body(&account, "agent", &json!({}))).await;
    assert_eq!((told.status, &told.headers["retry-after"]), (503, &json!("2")), "{told:?}");
    assert!(account.asked().is_empty());
}

/// Killed by SIGKILL while Twilio makes the Interaction: the reach is written down, and due.
#[tokio::test]
async fn killed_in_the_middle_it_is_written_down_and_due() {
    let (account, function) = start().await;
    let on = Matcher::route("POST /v1/Interactions");
    account.twilio.misbehave(Fault { on, times: Times::Forever, what: Misbehaviour::Hang });
    let event = handed_over(EventShape::HttpApi, &asked("k1", &body(&account, "agent", &json!({}))), SOURCE);
    let reached = async {
        while account.asked().iter().all(|request| request.path != "/v1/Interactions") {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = function.invoke(event) => panic!("{answer:?}"),
        () = reached => function.kill().await,
    }
    let items = account.dynamo.items(TABLE).unwrap();
    let reach = items.iter().find(|item| item["pk"].as_str().unwrap().starts_with("reach#")).unwrap();
    assert_eq!((&reach["stage"], &reach["step"]), (&json!("making"), &json!("interaction")), "{reach}");
    assert!(reach["due_at"].is_u64());
    assert!(items.iter().any(|item| item["pk"].as_str().unwrap().starts_with("pair#")), "its pair is held");
}
