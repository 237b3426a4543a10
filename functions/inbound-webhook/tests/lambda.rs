//! The compiled function, as Lambda runs it: started as a process, given recorded events through the Runtime
//! API, with its environment and nothing else.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

use std::{path::Path, time::Duration};

use flexglue_tests::{
    loopback::{Account, TABLE},
    runtime_api::{FunctionError, Instance, StartError},
};
use serde_json::Value;
use simulator::{Fault, Matcher, Misbehaviour, Times};

const BINARY: &str = env!("CARGO_BIN_EXE_inbound-webhook");

fn event(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/events").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().expect("an answer has a body")).unwrap()
}

#[tokio::test]
async fn events_of_every_front_end_become_interactions() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    for name in ["http-api.json", "rest-api.json", "function-url.json", "alb.json"] {
        let answer = function.invoke(event(name)).await.unwrap();
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert_eq!(answer["headers"]["content-type"], "application/json");
        assert_eq!(body(&answer)["outcome"], "created", "{name}: {answer}");
        let again = function.invoke(event(name)).await.unwrap();
        assert_eq!(body(&again)["outcome"], "already_open", "{name}: {again}");
    }
    assert_eq!(account.twilio.interactions().len(), 4);
    let logs = function.logs();
    assert!(logs.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", logs.stdout);
    assert!(logs.stdout.contains("InteractionCreated"));
}

#[tokio::test]
async fn what_is_forged_foreign_or_odd_is_refused_and_the_process_lives_on() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let good = event("http-api.json");
    let with = |pointer: &str, value: Value| {
        let mut event = good.clone();
        *event.pointer_mut(pointer).expect("the event has this field") = value;
        event
    };
    for (event, status) in [
        (with("/headers/x-twilio-signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()), 403),
        (with("/rawPath", "/webhooks/other".into()), 403),
        (with("/rawQueryString", "a=<>\"{}|\u{7f}é".into()), 403),
        (with("/requestContext/domainName", "not a host".into()), 403),
        (with("/body", "!not base64!".into()), 400),
        (with("/body", "A".repeat(100_000).into()), 413),
        (with("/headers/content-type", "text/plain".into()), 415),
        (with("/requestContext/http/method", "GET".into()), 405),
    ] {
        let answer = function.invoke(event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{answer}");
        assert_eq!(answer["headers"]["content-type"], "application/problem+json");
    }
    assert!(function.invoke(serde_json::json!({"no": "event of ours"})).await.is_err());
    assert!(account.asked().is_empty());
    let answer = function.invoke(good).await.unwrap();
    assert_eq!(body(&answer)["outcome"], "created");
}

/// What its first event would wait for stands before it comes: the connections, and the credentials.
#[tokio::test]
async fn it_has_its_connections_stand_before_the_first_event() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    while account.twilio.requests().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(account.asked().is_empty());
    let answer = function.invoke(event("http-api.json")).await.unwrap();
    assert_eq!(body(&answer)["outcome"], "created");
    assert_eq!(account.asked().len(), 1);
}

/// Killed by SIGKILL while Twilio has the request: the claim is there, and due.
#[tokio::test]
async fn killed_while_twilio_is_asked_the_claim_stands_and_is_due() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let hang = Fault {
        on: Matcher::route("POST /v1/Interactions"),
        times: Times::Next(1),
        what: Misbehaviour::Hang,
    };
    account.twilio.misbehave(hang);
    let asked = async {
        while account.asked().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = function.invoke(event("http-api.json")) => panic!("Twilio never answered: {answer:?}"),
        () = asked => function.kill().await,
    }
    let items = account.dynamo.items(TABLE).unwrap();
    let record = items.iter().find(|item| item["sk"] == "record").expect("the claim is written");
    assert_eq!(record["stage"], "claimed");
    assert!(record["due_at"].is_u64() && record["due_shard"].is_string());
    assert!(account.twilio.interactions().is_empty());
}

/// A Twilio that says nothing costs the caller less than the five seconds that Twilio waits.
#[tokio::test]
async fn it_answers_within_four_seconds_whatever_twilio_does() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    account.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: Misbehaviour::Hang });
    let answer = tokio::time::timeout(Duration::from_secs(4), function.invoke(event("http-api.json"))).await;
    let answer = answer.expect("an answer in time").unwrap();
    assert_eq!(
        (answer["statusCode"].as_u64(), body(&answer)["outcome"].as_str()),
        (Some(202), Some("deferred"))
    );
}

#[tokio::test]
async fn a_bad_configuration_stops_it_at_the_start_with_one_message() {
    let mut environment = Account::start().await.environment;
    environment.remove("TABLE_NAME");
    environment.insert("FLEX_WORKFLOW_SID".to_owned(), "WS00000000000000000000000000000001".to_owned());
    let Err(error) = Instance::start(BINARY, environment).await else { panic!("it started") };
    let said = match error {
        StartError::Exited { stderr, .. } => stderr,
        other => panic!("{other:?}"),
    };
    assert!(said.contains("TABLE_NAME: missing") && said.contains("FLEX_WORKFLOW_SID: expected"), "{said}");
    assert_eq!(said.matches("the configuration is not usable").count(), 1);
}

#[tokio::test]
async fn roots_that_are_not_there_stop_it_at_the_start() {
    let mut environment = Account::start().await.environment;
    environment.insert("TLS_ROOTS_FILE".to_owned(), "/no/such/file".to_owned());
    match Instance::start(BINARY, environment).await {
        Err(StartError::Exited { stderr, .. }) => assert!(stderr.contains("TLS_ROOTS_FILE"), "{stderr}"),
        _ => panic!("it should not have started"),
    }
}

#[tokio::test]
async fn a_table_that_is_not_there_is_503() {
    let mut account = Account::start().await;
    account.environment.insert("TABLE_NAME".to_owned(), "no-such-table".to_owned());
    let function = Instance::start(BINARY, account.environment).await.unwrap();
    let answer = function.invoke(event("http-api.json")).await;
    let answer = answer.unwrap_or_else(|error: FunctionError| panic!("{error}"));
    assert_eq!(answer["statusCode"], 503);
}
