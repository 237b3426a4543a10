//! The compiled function, as Lambda runs it: every answer that is promised, through the process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

use flexglue::local::{
    event::EventShape,
    system::{API_KEY, END_CHAT_PATH, INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, SITE_ORIGIN, WEB_CHAT},
};
use flexglue_tests::{
    chat::sent,
    front::{Answered, handed_over, invoke},
    loopback::{Account, TABLE},
    outbound::request,
    runtime_api::Instance,
    turnstile::{self, Mood, Turnstile},
};
use http::Method;
use serde_json::{Value, json};
use simulator::{Address, ConversationState, Fault, Matcher, Misbehaviour, Reason, Times};

const BINARY: &str = env!("CARGO_BIN_EXE_webchat-token");

async fn post(function: &Instance, path: &str, body: &Value) -> Answered {
    invoke(function, &sent(path, "192.0.2.1", &body.to_string())).await
}

async fn begin(function: &Instance) -> Answered {
    post(function, INIT_WEBCHAT_PATH, &json!({"formData": {"friendlyName": "Ada", "query": "Hello"}})).await
}

/// An account with an address for web chats, and the key that signs tokens.
async fn account(variables: &[(&str, &str)]) -> Account {
    let mut account = Account::start().await;
    let address = Address::webhook("chat", WEB_CHAT, "https://flexglue.example/webhooks/conversations");
    let sid = address.sid.clone();
    account.twilio.change_settings(|settings| {
        settings.addresses.push(address);
        settings.extra_auth.push((API_KEY.0.to_owned(), API_KEY.1.to_owned()));
    });
    for (name, value) in [
        ("TWILIO_API_KEY_SID", API_KEY.0),
        ("TWILIO_API_KEY_SECRET", API_KEY.1),
        ("WEBCHAT_ADDRESS_SID", &sid),
        ("WEBCHAT_ALLOWED_ORIGINS", SITE_ORIGIN),
    ]
    .iter()
    .chain(variables)
    {
        account.environment.insert((*name).to_owned(), (*value).to_owned());
    }
    account
}

async fn start(variables: &[(&str, &str)]) -> (Account, Instance) {
    let account = account(variables).await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    (account, function)
}

fn state(account: &Account, told: &Answered) -> ConversationState {
    account.twilio.conversation(told.text("conversationSid")).unwrap().state
}

#[tokio::test]
async fn a_chat_begins_its_token_is_refreshed_and_it_ends() {
    let (account, function) = start(&[]).await;
    let told = begin(&function).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(told.headers["access-control-allow-origin"], SITE_ORIGIN);
    assert_eq!(told.headers["vary"], "Origin");
    let said = account.twilio.messages(told.text("conversationSid"));
    assert_eq!((&*said[0].author, said.len()), (told.text("identity"), 1));
    let webhook = account.twilio.take_webhooks().into_iter().find(|one| one.event_type == "onMessageAdded");
    assert!(webhook.is_some(), "inbound-webhook hears of it");

    let fresh = post(&function, REFRESH_TOKEN_PATH, &json!({"token": told.text("token")})).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert!(fresh.body["expiration"].as_u64() >= told.body["expiration"].as_u64());
    for _ in 0..2 {
        let ended = post(&function, END_CHAT_PATH, &json!({"token": fresh.text("token")})).await;
        assert_eq!((ended.status, ended.body), (204, Value::Null));
        assert_eq!(state(&account, &told), ConversationState::Closed);
    }
    let over = post(&function, REFRESH_TOKEN_PATH, &json!({"token": fresh.text("token")})).await;
    assert_eq!((over.status, over.text("error")), (403, "chat_over"));
    let log = function.logs().stdout;
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    for secret in ["Ada", "Hello", "eyJ", "guest-", API_KEY.1, "192.0.2.1"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn every_front_end_is_understood_and_says_where_a_request_is_from() {
    let (_account, function) = start(&[("WEBCHAT_RATE_PER_MINUTE", "1")]).await;
    let shapes = [EventShape::HttpApi, EventShape::FunctionUrl, EventShape::RestApi, EventShape::Alb];
    for (number, shape) in shapes.into_iter().enumerate() {
        let source = format!("192.0.2.{number}");
        for status in [200, 429] {
            let event = handed_over(shape, &sent(INIT_WEBCHAT_PATH, &source, "{}"), &source);
            let answer = function.invoke(event).await.unwrap();
            assert_eq!(answer["statusCode"], status, "{shape:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_not_good_is_refused() {
    let (account, function) = start(&[]).await;
    let evil = |path: &str, origin: &str| request(Method::POST, path, &[("origin", origin)], "{}");
    for path in [INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, END_CHAT_PATH] {
        for origin in ["null", "https://shop.example.", "https://evil.example"] {
            let told = invoke(&function, &evil(path, origin)).await;
            assert_eq!((told.status, told.text("error")), (403, "origin_not_allowed"), "{path} {origin}");
            assert!(told.headers.get("access-control-allow-origin").is_none());
        }
        let preflight = request(Method::OPTIONS, path, &[("origin", SITE_ORIGIN)], "");
        let told = invoke(&function, &preflight).await;
        assert_eq!((told.status, &told.headers["access-control-max-age"]), (204, &json!("600")));
        let get = request(Method::GET, path, &[("origin", SITE_ORIGIN)], "");
        let told = invoke(&function, &get).await;
        assert_eq!((told.status, &told.headers["allow"]), (405, &json!("POST")));
        let huge = format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024));
        assert_eq!(invoke(&function, &sent(path, "192.0.2.1", &huge)).await.status, 413);
        assert_eq!(invoke(&function, &sent(path, "192.0.2.1", "token=x")).await.status, 400);
    }
    for path in [REFRESH_TOKEN_PATH, END_CHAT_PATH] {
        let told = post(&function, path, &json!({"token": "x.y.z"})).await;
        assert_eq!((told.status, told.text("error")), (403, "token_refused"));
    }
    let told = post(&function, INIT_WEBCHAT_PATH, &json!({"formData": {"query": 7}})).await;
    assert_eq!((told.status, told.body["fields"].as_object().unwrap().len()), (422, 1));
    assert!(account.asked().is_empty());
    assert!(account.dynamo.items(TABLE).unwrap().is_empty());
    let told = begin(&function).await;
    account.twilio.close_conversation(told.text("conversationSid"), Reason::Timer).unwrap();
    assert_eq!(post(&function, REFRESH_TOKEN_PATH, &json!({"token": told.text("token")})).await.status, 403);
}

#[tokio::test]
async fn a_captcha_is_asked_about_where_there_is_one() {
    let provider = Turnstile::new(Mood::Well);
    let url = provider.clone().serve().await;
    let variables = [("WEBCHAT_CAPTCHA_SECRET", turnstile::SECRET), ("WEBCHAT_CAPTCHA_VERIFY_URL", &url)];
    let (_account, function) = start(&variables).await;
    for (token, status) in [("robot", 403), ("person-1", 200), ("person-1", 403)] {
        let body = json!({"formData": {"captchaToken": token}});
        assert_eq!(post(&function, INIT_WEBCHAT_PATH, &body).await.status, status, "{token}");
    }
    assert_eq!(provider.seen().len(), 3);
}

#[tokio::test]
async fn what_twilio_refuses_is_502_and_what_it_does_not_do_now_503_and_nothing_is_left() {
    let (account, function) = start(&[]).await;
    for (route, status, expected) in [
        ("POST /v2/WebChats", 400, 502),
        ("POST /v2/WebChats", 500, 503),
        ("POST /v1/Conversations/{sid}/Messages", 400, 502),
        ("POST /v1/Conversations/{sid}/Messages", 500, 503),
    ] {
        let what = Misbehaviour::Status { status, code: 45745, retry_after: None };
        account.twilio.misbehave(Fault { on: Matcher::route(route), times: Times::Next(1), what });
        let told = begin(&function).await;
        assert_eq!(told.status, expected, "{route} {status}: {told:?}");
        let open = account.twilio.conversations();
        assert!(open.iter().all(|one| one.state == ConversationState::Closed), "{route} {status}");
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_503_and_twilio_is_not_asked() {
    let (account, function) = start(&[("TABLE_NAME", "no-such-table")]).await;
    let told = begin(&function).await;
    assert_eq!((told.status, &told.headers["retry-after"]), (503, &json!("2")), "{told:?}");
    assert!(account.asked().is_empty());
}

/// It cannot do without an address and a key, and says so at once.
#[tokio::test]
async fn without_an_address_or_a_key_it_does_not_start() {
    let mut account = account(&[]).await;
    for name in ["WEBCHAT_ADDRESS_SID", "TWILIO_API_KEY_SECRET"] {
        account.environment.remove(name);
    }
    let started = Instance::start(BINARY, account.environment.clone()).await;
    let error = started.err().expect("it cannot serve").to_string();
    for name in ["WEBCHAT_ADDRESS_SID: missing", "TWILIO_API_KEY_SECRET: missing"] {
        assert!(error.contains(name), "{name} in {error}");
    }
}

/// Killed by SIGKILL while Twilio makes the chat: it is written down, and due.
#[tokio::test]
async fn killed_in_the_middle_it_is_written_down_and_due() {
    let (account, function) = start(&[]).await;
    let on = Matcher::route("POST /v1/Conversations/{sid}/Messages");
    account.twilio.misbehave(Fault { on, times: Times::Forever, what: Misbehaviour::Hang });
    let body = json!({"formData": {"query": "Hello"}}).to_string();
    let event = handed_over(EventShape::HttpApi, &sent(INIT_WEBCHAT_PATH, "192.0.2.1", &body), "192.0.2.1");
    let reached = async {
        while account.asked().iter().all(|request| !request.path.ends_with("/Messages")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = function.invoke(event) => panic!("{answer:?}"),
        () = reached => function.kill().await,
    }
    let items = account.dynamo.items(TABLE).unwrap();
    let chat = items.iter().find(|item| item["pk"].as_str().unwrap().starts_with("webchat#")).unwrap();
    assert_eq!(chat["stage"], "starting", "{chat}");
    assert!(chat["due_at"].is_u64());
}
