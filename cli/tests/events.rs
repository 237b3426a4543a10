//! The sample events of `events/`: made by `flexglue sign`, and answered as they say.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "these are tests, helpers and all")]

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, sync::Arc};

use flexglue::local::{
    dynamodb::Dynamo,
    system::{Options, PUBLIC_URL, System},
};
use serde_json::Value;
use shared::{
    clock::{Deadline, SystemClock},
    gateway::{self, HttpFunction},
    parts::World,
    random::SystemRandom,
    telemetry,
};

const BINARY: &str = env!("CARGO_BIN_EXE_flexglue");

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../events"))
}

/// The events by their names.
fn events(folder: &std::path::Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let json = files.filter(|file| file.extension().is_some_and(|kind| kind == "json"));
    let named = |file: PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    json.filter(|file| named(file.clone()) != "env")
        .map(|file| (named(file.clone()), fs::read_to_string(file).unwrap()))
        .collect()
}

#[test]
fn the_events_are_what_sign_makes() {
    let made = tempfile::tempdir().unwrap();
    let script = folder().join("make.sh");
    let done = Command::new("bash").arg(script).arg(BINARY).arg(made.path()).status().unwrap();
    assert!(done.success());
    assert_eq!(events(&folder()), events(made.path()), "make them again with events/make.sh");
}

/// What a function answers to an event, status and body as one text.
async fn answered(system: &System, world: &World, function: &str, event: &str) -> (Option<u64>, String) {
    let function: Box<dyn HttpFunction> = match function {
        "InboundWebhook" => Box::new(system.inbound_webhook(world)),
        "OutboundParticipant" => Box::new(system.outbound_participant(world)),
        "TaskRouterEvents" => Box::new(system.taskrouter_events(world)),
        "WebchatToken" => Box::new(system.webchat_token(world)),
        _ => {
            let request = serde_json::from_str(event).unwrap();
            let report = system.orphan_sweeper(world).sweep(request, Deadline::within(TIME)).await;
            return (None, serde_json::to_string(&report).unwrap());
        }
    };
    let event = serde_json::from_str(event).unwrap();
    let answer =
        gateway::invoke(&*function, event, telemetry::invocation("1", None), Deadline::within(TIME)).await;
    let answer = serde_json::to_value(answer).unwrap();
    (answer["statusCode"].as_u64(), answer["body"].as_str().unwrap().to_owned())
}

const TIME: std::time::Duration = std::time::Duration::from_secs(9);

#[tokio::test]
async fn every_event_is_answered_as_it_says() {
    let system = System::new(Options {
        simulator: simulator::Settings::default(),
        dynamo: Dynamo::memory().unwrap(),
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        emit: Arc::new(|_| {}),
        variables: BTreeMap::new(),
        public_url: PUBLIC_URL.to_owned(),
    })
    .unwrap();
    let world = system.world().await;
    let mut events = events(&folder());
    for line in fs::read_to_string(folder().join("expected.tsv")).unwrap().lines() {
        let [function, name, status, part] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let event = events.remove(name).expect(name);
        let (answered, body) = answered(&system, &world, function, &event).await;
        assert_eq!(answered.map_or("-".to_owned(), |status| status.to_string()), status, "{name}: {body}");
        assert!(body.contains(part), "{name}: {body}");
    }
    assert!(events.is_empty(), "nothing is expected of {:?}", events.keys());
}

#[test]
fn sign_says_what_it_wants() {
    let sign = |args: &[&str]| {
        let output =
            Command::new(BINARY).arg("sign").args(args).env_remove("TWILIO_AUTH_TOKEN").output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    for (args, said) in [
        (&["https://x.example/a", "a=b"][..], "TWILIO_AUTH_TOKEN"),
        (&["/webhooks", "a=b", "--token", "t"], "must name its host"),
        (&["https://x.example/a", "{\"a\":", "--token", "t"], "begins like JSON"),
        (&["https://x.example/a", "@no-such-file", "--token", "t"], "no-such-file"),
        (&["https://x.example/a", "a=b", "--token", "t", "--header", "x"], "Name: value"),
    ] {
        let (ok, _, error) = sign(args);
        assert!(!ok && error.contains(said), "{args:?}: {error}");
    }
    let (ok, event, _) = sign(&["https://x.example/a?b=c", r#"{"a":1}"#, "--token", "t", "--json"]);
    let event: Value = serde_json::from_str(&event).unwrap();
    assert!(ok && event["rawQueryString"].as_str().unwrap().starts_with("b=c&bodySHA256="), "{event}");
    for (front, field) in [("rest-api", "httpMethod"), ("alb", "httpMethod"), ("function-url", "rawPath")] {
        let (_, event, _) = sign(&["https://x.example/a", "a=b", "--token", "t", "--event", front]);
        let event: Value = serde_json::from_str(&event).unwrap();
        assert!(event[field].is_string(), "{front}: {event}");
    }
}
