//! `flexglue replay`: what was recorded is taken, each once, by the functions themselves.

use bytes::Bytes;
use flexglue::{
    local::{
        event::{EventShape, Origin, event},
        system::SMS_NUMBER,
    },
    replay::{Recorded, Replay, Replayed, read},
};
use flexglue_tests::{
    rig::{CUSTOMER, Rig},
    tale::Tale,
};
use http::Request;
use serde_json::{Value, json};

/// As Lambda is handed it.
fn handed_over(request: &Request<Bytes>) -> Value {
    let origin = Origin {
        domain_name: "flexglue.example".to_owned(),
        stage: "$default".to_owned(),
        source_ip: "203.0.113.1".to_owned(),
        request_id: "id".to_owned(),
        time_epoch_ms: 0,
    };
    event(EventShape::HttpApi, request, &origin)
}

fn form(request: &Request<Bytes>) -> String {
    String::from_utf8(request.body().to_vec()).unwrap()
}

async fn replay(rig: &Rig, text: &str) -> Vec<Option<Replayed>> {
    let world = rig.system.world().await;
    let mut replay = Replay::new(&rig.system.settings, &world);
    let mut replayed = Vec::new();
    for entry in &read(text).unwrap() {
        replayed.push(replay.take(entry).await);
    }
    replayed
}

fn taken(replayed: &[Option<Replayed>]) -> Vec<Option<bool>> {
    replayed.iter().map(|one| one.as_ref().map(|one| one.taken)).collect()
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_were_lost_are_taken_and_each_once() {
    let rig = Rig::new();
    let message = rig.message(CUSTOMER, "hello");
    let events = format!("{}\n{}", handed_over(&message), handed_over(&message));
    let replayed = replay(&rig, &events).await;
    assert_eq!(taken(&replayed), [Some(true), None]);
    assert_eq!(replayed[0].as_ref().unwrap().said, "created");
    // Again as a form, and in another run: it is known.
    let replayed = replay(&rig, &form(&message)).await;
    assert_eq!(replayed[0].as_ref().unwrap().said, "already_open");
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

/// The end of a task that nobody was told of.
#[tokio::test(start_paused = true)]
async fn what_taskrouter_told_is_taken() {
    let tale = Tale::waiting(&[]).await;
    let task = tale.task();
    tale.rig.system.twilio.task_is_deleted(&task).unwrap();
    let told: Vec<String> = tale
        .rig
        .system
        .twilio
        .take_webhooks()
        .iter()
        .map(|webhook| form(&tale.rig.system.twilio.webhook_request(webhook)))
        .collect();
    assert!(tale.live_tasks().is_empty());
    let replayed = replay(&tale.rig, &told.join("\n")).await;
    assert!(
        replayed.iter().flatten().all(|one| one.taken && one.function == Some("taskrouter-events")),
        "{replayed:?}"
    );
    assert_eq!(tale.live_tasks().len(), 1, "agents were invited again");
}

/// The call of a sweep that failed, from the queue of those.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_was_given_up_is_made_once() {
    let rig = Rig::new();
    rig.sweep().await;
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    drop(rig.system.twilio.take_webhooks());
    rig.pass(std::time::Duration::from_mins(8)).await;
    let schedule = json!({"requestPayload": {"detail-type": "Scheduled Event"}}).to_string();
    let queue = json!({"Messages": [{"Body": schedule}, {"Body": schedule}]}).to_string();
    assert_eq!(read(&queue).unwrap(), [Recorded::Schedule, Recorded::Schedule]);
    assert_eq!(taken(&replay(&rig, &queue).await), [Some(true), None]);
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

/// A recorded event is no better signed than it was, and only webhooks are taken.
#[tokio::test(start_paused = true)]
async fn what_twilio_did_not_sign_is_refused() {
    let rig = Rig::new();
    let message = rig.message(CUSTOMER, "hello");
    let mut forged = handed_over(&message);
    forged["headers"]["x-twilio-signature"] = "forged".into();
    let mut reach = handed_over(&message);
    reach["rawPath"] = "/outbound".into();
    let replayed = replay(&rig, &json!([forged, reach]).to_string()).await;
    assert_eq!(taken(&replayed), [Some(false), Some(false)]);
    assert_eq!(replayed[0].as_ref().unwrap().status, Some(403));
    assert!(rig.system.twilio.interactions().is_empty());
}
