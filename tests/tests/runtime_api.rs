//! The Runtime API host behaves like Lambda.

use std::time::Duration;

use flexglue_tests::runtime_api::{Environment, FunctionError, Instance, StartError};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_echo-function");

fn env(name: &str, value: &str) -> Environment {
    Environment::from([(name.to_owned(), value.to_owned())])
}

fn killed() -> FunctionError {
    FunctionError::Exited { status: "signal: 9 (SIGKILL)".to_owned() }
}

#[tokio::test]
async fn an_event_goes_in_and_its_answer_comes_out() {
    let instance = Instance::start(BINARY, env("GREETING", "hello")).await.unwrap();
    for round in 0..3 {
        let answer = instance.invoke(json!({"round": round})).await.unwrap();
        assert_eq!(answer["event"], json!({"round": round}));
        assert_eq!(answer["request_id"], format!("00000000-0000-4000-8000-{round:012x}"));
        assert!(answer["deadline"].as_u64().unwrap() > 1_700_000_000_000);
        assert_eq!(answer["name"], "echo-function");
        assert_eq!(answer["memory"], 256);
        assert_eq!(answer["greeting"], "hello");
        assert_eq!(answer["home"], Value::Null, "nothing of this process's environment goes in");
    }
}

#[tokio::test]
async fn a_reported_error_is_an_error_and_the_function_lives_on() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    let error = instance.invoke(json!({"do": "fail"})).await.unwrap_err();
    assert!(
        matches!(&error, FunctionError::Reported { message, .. } if message == "told to fail"),
        "{error}"
    );
    assert!(instance.invoke(json!({})).await.is_ok());
}

#[tokio::test]
async fn what_it_writes_can_be_read() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    instance.invoke(json!({"do": "log"})).await.unwrap();
    instance.kill().await;
    assert_eq!(instance.logs().stdout, "to stdout\n");
    assert_eq!(instance.logs().stderr, "to stderr\n");
}

#[tokio::test]
async fn a_process_that_ends_takes_its_event_with_it() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    let gone = FunctionError::Exited { status: "exit status: 3".to_owned() };
    assert_eq!(instance.invoke(json!({"do": "exit"})).await.unwrap_err(), gone);
    assert_eq!(instance.invoke(json!({})).await.unwrap_err(), gone);
}

#[tokio::test]
async fn a_process_can_be_killed_half_way() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    let kill_half_way = async {
        while instance.logs().stdout != "hanging\n" {
            tokio::task::yield_now().await;
        }
        instance.kill().await;
    };
    let (answer, ()) = tokio::join!(instance.invoke(json!({"do": "hang"})), kill_half_way);
    assert_eq!(answer.unwrap_err(), killed());
}

#[tokio::test]
async fn an_event_that_outlives_its_deadline_ends_the_process() {
    let timeout = Duration::from_millis(200);
    let instance = Instance::start_with_timeout(BINARY, Environment::new(), timeout).await.unwrap();
    assert_eq!(instance.invoke(json!({"do": "hang"})).await.unwrap_err(), FunctionError::TimedOut);
    assert_eq!(instance.invoke(json!({})).await.unwrap_err(), killed());
}

#[tokio::test]
async fn events_given_at_once_are_taken_one_after_the_other() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    let (first, second) = tokio::join!(instance.invoke(json!({"n": 1})), instance.invoke(json!({"n": 2})));
    assert_eq!(first.unwrap()["event"]["n"], 1);
    assert_eq!(second.unwrap()["event"]["n"], 2);
}

#[tokio::test]
async fn a_function_that_refuses_to_start_says_why() {
    let error = Instance::start(BINARY, env("REFUSE_TO_START", "1")).await.err().unwrap();
    let StartError::Exited { status, stderr } = error else { panic!("{error}") };
    assert_eq!(status, "exit status: 1");
    assert_eq!(stderr, "GREETING is malformed\n");
}

#[tokio::test]
async fn an_error_reported_at_start_is_told() {
    let error = Instance::start(BINARY, env("REPORT_INIT_ERROR", "1")).await.err().unwrap();
    let StartError::Init { error_type, message } = error else { panic!("{error}") };
    assert_eq!((error_type.as_str(), message.as_str()), ("Config", "GREETING is malformed"));
}

#[tokio::test]
async fn a_binary_that_is_not_there_cannot_start() {
    let error = Instance::start("no/such/binary", Environment::new()).await.err().unwrap();
    assert!(matches!(error, StartError::Io(_)), "{error}");
}

#[tokio::test]
async fn dropping_an_instance_kills_its_process() {
    let instance = Instance::start(BINARY, Environment::new()).await.unwrap();
    let process = instance.process_id().unwrap();
    drop(instance);
    while alive(process) {
        tokio::task::yield_now().await;
    }
}

/// Whether a process runs; one that has ended and waits to be collected does not.
fn alive(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}
