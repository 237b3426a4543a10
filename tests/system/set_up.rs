//! Twilio accepts an Interaction before it exists; what if it never does.

use std::time::Duration;

use flexglue_tests::rig::{CUSTOMER, Rig};
use shared::conversation::{Stage, What};
use simulator::{Fault, Matcher, Misbehaviour, Times};

fn failing_set_up(times: Times) -> Fault {
    Fault { on: Matcher::Any, times, what: Misbehaviour::FailSetUp { code: 45381 } }
}

async fn opened_while(fault: Option<Fault>) -> (Rig, String) {
    let rig = Rig::new();
    if let Some(fault) = fault {
        rig.system.twilio.misbehave(fault);
    }
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello")).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    (rig, sid)
}

#[tokio::test(start_paused = true)]
async fn an_interaction_that_came_up_is_confirmed_once_and_then_left_alone() {
    let (rig, sid) = opened_while(None).await;
    let report = rig.sweep_after_a_minute().await;
    assert_eq!((report.due, report.finished), (1, 1));
    let record = rig.record(&sid).await.unwrap();
    assert_eq!(record.stage, Stage::Open);
    assert!(record.due_at > Some(rig.system.clock.now() + Duration::from_mins(4)), "looked at now and then");
    assert_eq!(rig.sweep_after_a_minute().await.due, 0);
}

#[tokio::test(start_paused = true)]
async fn an_interaction_that_did_not_come_up_is_made_again_once() {
    let (rig, sid) = opened_while(Some(failing_set_up(Times::Next(1)))).await;
    let report = rig.sweep_after_a_minute().await;
    assert_eq!((report.due, report.compensated), (1, 1));
    rig.sweep_after_a_minute().await;
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Open);
    let failed = rig.history(&sid).await.into_iter().find(|entry| entry.what == What::SetUpFailed).unwrap();
    assert_eq!(failed.code, Some(45381), "why it failed is kept");
}

#[tokio::test(start_paused = true)]
async fn an_interaction_that_does_not_come_up_twice_ends_with_a_closed_conversation() {
    let (rig, sid) = opened_while(Some(failing_set_up(Times::Forever))).await;
    rig.sweep_after_a_minute().await;
    let report = rig.sweep_after_a_minute().await;
    assert_eq!((report.due, report.closed), (1, 1));
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert_eq!(conversation.state, simulator::ConversationState::Closed);
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Closed);
    assert_eq!(rig.system.twilio.interactions().len(), 2, "tried twice, not for ever");
}

/// Twilio drops a second channel on one conversation (45353): the first one is the one to keep.
#[tokio::test(start_paused = true)]
async fn an_interaction_dropped_as_a_duplicate_leads_to_the_one_that_stands() {
    let (rig, sid) = opened_while(None).await;
    rig.pass(Duration::from_secs(1)).await;
    let first = rig.record(&sid).await.unwrap().interaction.unwrap().sid;
    // The record forgets what it knew: a second flexglue, or a restored table.
    let table = rig.system.settings.table.clone();
    let key = serde_json::json!({"pk": {"S": format!("conversation#{sid}")}, "sk": {"S": "record"}});
    let delete = serde_json::json!({"TableName": table, "Key": key}).to_string();
    assert_eq!(rig.system.dynamo.call("DeleteItem", delete.as_bytes()).status(), 200);
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello?")).await;
    assert_eq!(rig.system.twilio.interactions().len(), 2);
    rig.sweep_after_a_minute().await;
    rig.sweep_after_a_minute().await;
    let record = rig.record(&sid).await.unwrap();
    assert_eq!((record.stage, record.interaction.unwrap().sid), (Stage::Open, first));
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    assert_eq!(rig.system.twilio.interactions().len(), 2, "no third one");
}

#[tokio::test(start_paused = true)]
async fn a_slow_set_up_is_waited_for() {
    let rig = Rig::with(1, |account| account.set_up_ms = 180_000, &[]);
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello")).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    for _ in 0..6 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Open);
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_has_finished_before_the_look_is_no_orphan() {
    let (rig, sid) = opened_while(None).await;
    rig.pass(Duration::from_secs(1)).await;
    let (task, worker) =
        (rig.system.twilio.tasks()[0].sid.clone(), rig.system.twilio.settings().workers[0].sid.clone());
    rig.system.twilio.agent_accepts(&task, &worker).unwrap();
    rig.system.twilio.agent_ends_chat(&task).unwrap();
    let report = rig.sweep_after_a_minute().await;
    assert_eq!((report.due, report.closed), (1, 1));
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Closed);
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}
