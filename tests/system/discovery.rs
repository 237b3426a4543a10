//! Conversations that no webhook told of, and ends of tasks that no callback told of.

use std::{sync::Arc, time::Duration};

use flexglue::local::system::{self, SMS_NUMBER};
use flexglue_tests::{
    rig::{CUSTOMER, Rig, forever},
    tale::{PATIENCE, STILL_WAITING, Tale},
    wires::{Forgetful, Fuse},
};
use http::Method;
use orphan_sweeper::SweepRequest;
use serde_json::json;
use shared::{clock::Deadline, conversation::Stage, ledger::DUE_SHARDS};
use simulator::{Fault, Integration, Matcher, Misbehaviour, Times};

/// A customer writes, and nobody tells flexglue.
fn writes_unheard(rig: &Rig, from: &str) -> String {
    let sid = rig.system.twilio.customer_writes(from, SMS_NUMBER, "hello").conversation_sid;
    let _ = rig.system.twilio.take_webhooks();
    sid
}

async fn minutes(rig: &Rig, minutes: u32) -> usize {
    let mut adopted = 0;
    for _ in 0..minutes {
        adopted += rig.sweep_after_a_minute().await.adopted;
    }
    adopted
}

fn interactions(rig: &Rig) -> usize {
    rig.system.twilio.interactions().len()
}

#[tokio::test(start_paused = true)]
async fn a_customer_whose_webhook_is_lost_is_found_within_eight_minutes() {
    let rig = Rig::new();
    rig.sweep().await;
    let sid = writes_unheard(&rig, CUSTOMER);
    assert_eq!(minutes(&rig, 8).await, 1);
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    let task = rig.system.twilio.tasks().pop().unwrap();
    assert_eq!(task.attributes["customerAddress"], CUSTOMER, "as if its webhook had come");
    assert_eq!(minutes(&rig, 10).await, 0, "and only once");
    assert_eq!(rig.metric("ConversationAdopted"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_customer_whose_webhook_met_a_table_that_was_down_is_found() {
    let rig = Rig::new();
    let broken = rig.system.world_through(|to| to, |to| Arc::new(Forgetful::new(to, |_, _| true))).await;
    let answer = rig.front_in(&broken).handle(rig.message(CUSTOMER, "hello")).await;
    assert_eq!(answer.status(), 503);
    minutes(&rig, 8).await;
    assert_eq!(interactions(&rig), 1);
}

/// Every webhook is lost for an hour.
#[tokio::test(start_paused = true)]
async fn after_an_hour_without_webhooks_every_waiting_customer_has_one_interaction() {
    let rig = Rig::with(7, |account| account.attribute_queries_per_second = Some(3), &[]);
    for customer in 0..60 {
        let from = format!("+1555{customer:07}");
        writes_unheard(&rig, &from);
        if customer % 3 == 0 {
            writes_unheard(&rig, &from);
        }
        rig.pass(Duration::from_mins(1)).await;
    }
    minutes(&rig, 30).await;
    for conversation in rig.system.twilio.conversations() {
        assert_eq!(rig.live_interactions(&conversation.sid).len(), 1, "{}", conversation.sid);
        assert_eq!(rig.record(&conversation.sid).await.unwrap().stage, Stage::Open);
    }
    assert_eq!(interactions(&rig), 60);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_a_studio_flow_serves_is_left_alone() {
    let studio = |account: &mut simulator::Settings| {
        let flow_sid = format!("FW{:032x}", 1);
        account.addresses = vec![simulator::Address {
            integration: Integration::Studio { flow_sid },
            ..simulator::Address::webhook("sms", SMS_NUMBER, "")
        }];
    };
    let rig = Rig::with(1, studio, &[]);
    writes_unheard(&rig, CUSTOMER);
    minutes(&rig, 30).await;
    assert_eq!(interactions(&rig), 0);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_another_webhook_serves_is_left_alone() {
    for url in ["https://crm.example/hook", "https://other.example/webhooks/conversations"] {
        let elsewhere = |account: &mut simulator::Settings| {
            account.addresses = vec![simulator::Address::webhook("sms", SMS_NUMBER, url)];
        };
        let rig = Rig::with(1, elsewhere, &[]);
        writes_unheard(&rig, CUSTOMER);
        minutes(&rig, 30).await;
        assert_eq!(interactions(&rig), 0, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_conversation_without_any_webhook_of_its_own_is_opened() {
    let nothing = |account: &mut simulator::Settings| {
        account.addresses = vec![simulator::Address {
            integration: Integration::Default,
            ..simulator::Address::webhook("sms", SMS_NUMBER, "")
        }];
    };
    let rig = Rig::with(1, nothing, &[]);
    writes_unheard(&rig, CUSTOMER);
    assert_eq!(minutes(&rig, 8).await, 1);
}

/// Two colleagues, one of whom has not answered yet.
#[tokio::test(start_paused = true)]
async fn a_chat_that_is_not_ours_is_left_alone() {
    let rig = Rig::new();
    let chat = rig.chat_of("alice_40example_2Ecom").await;
    rig.joins(&chat, "bob_40example_2Ecom").await;
    rig.system.twilio.customer_writes_in(&chat, "alice_40example_2Ecom", "Lunch?").unwrap();
    let _ = rig.system.twilio.take_webhooks();
    minutes(&rig, 30).await;
    assert_eq!(interactions(&rig), 0);
}

#[tokio::test(start_paused = true)]
async fn a_web_chat_whose_webhook_is_lost_is_found() {
    let rig = Rig::with(1, flexglue_tests::rig::every_event, &[]);
    let data = serde_json::json!({"friendlyName": "Ada"});
    let chat = rig.system.twilio.create_chat_conversation("web", "guest-1", &data);
    rig.system.twilio.customer_writes_in(&chat, "guest-1", "hello").unwrap();
    let _ = rig.system.twilio.take_webhooks();
    assert_eq!(minutes(&rig, 8).await, 1);
    let task = rig.system.twilio.tasks().pop().unwrap();
    assert_eq!(
        (&task.attributes["customerName"], &task.attributes["channelType"]),
        (&"Ada".into(), &"web".into())
    );
}

/// Nobody has written, or only we have: there is nobody to be served yet.
#[tokio::test(start_paused = true)]
async fn a_conversation_in_which_no_customer_has_written_waits_for_one() {
    for author in ["system", "billing-back-end"] {
        let rig = Rig::new();
        let made = rig.rest(Method::POST, "/v1/Conversations", "").await;
        let sid = made["sid"].as_str().unwrap();
        let form = "MessagingBinding.Address=%2B15551230001&MessagingBinding.ProxyAddress=%2B15557770000";
        rig.rest(Method::POST, &format!("/v1/Conversations/{sid}/Participants"), form).await;
        let form = format!("Author={author}&Body=Your%20parcel%20is%20on%20its%20way");
        rig.rest(Method::POST, &format!("/v1/Conversations/{sid}/Messages"), &form).await;
        let _ = rig.system.twilio.take_webhooks();
        minutes(&rig, 30).await;
        assert_eq!(interactions(&rig), 0, "{author}");
        assert_eq!(writes_unheard(&rig, CUSTOMER), sid, "they answer, and nobody tells us");
        minutes(&rig, 15).await;
        assert_eq!(interactions(&rig), 1, "{author}");
    }
}

/// Before flexglue there were agents: what they have answered, parked or left is theirs.
#[tokio::test(start_paused = true)]
async fn what_agents_did_before_flexglue_came_is_left_alone() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_writes(&tale.task(), "How can I help?").unwrap();
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.pass(Duration::from_mins(10)).await;
    tale.forget();
    tale.minutes(60).await;
    assert_eq!(interactions(&tale.rig), 1);
    assert_eq!(tale.state(), simulator::ConversationState::Active);
}

/// One that was parked without a word: Twilio itself tells that the conversation has a channel (45353).
#[tokio::test(start_paused = true)]
async fn a_conversation_that_twilio_knows_to_be_served_is_neither_opened_nor_closed() {
    let tale = Tale::served(&[]).await;
    tale.rig.system.twilio.agent_parks(&tale.task()).unwrap();
    tale.deliver().await;
    tale.pass(Duration::from_mins(10)).await;
    tale.forget();
    tale.minutes(60).await;
    assert_eq!(tale.rig.live_interactions(&tale.sid).len(), 1);
    assert_eq!((tale.state(), tale.told()), (simulator::ConversationState::Active, vec![]));
}

/// A living Interaction that the table does not know: it is recorded, not made again.
#[tokio::test(start_paused = true)]
async fn an_interaction_that_stands_is_taken_into_the_records() {
    let tale = Tale::waiting_in(|account| account.duplicate_guard = false, &[]).await;
    tale.forget();
    tale.minutes(8).await;
    assert_eq!(interactions(&tale.rig), 1);
    assert_eq!(tale.record().await.stage, Stage::Open);
}

#[tokio::test(start_paused = true)]
async fn a_walk_goes_on_where_the_last_sweep_stopped() {
    let rig = Rig::with(3, |account| account.duplicate_guard = false, &[]);
    let world = rig.system.world().await;
    // Forty pages are two sweeps' worth.
    for customer in 0..4000 {
        rig.system.twilio.customer_writes(&format!("+1555{customer:07}"), SMS_NUMBER, "hello");
    }
    let _ = rig.system.twilio.take_webhooks();
    rig.pass(Duration::from_mins(3)).await;
    let first = rig.sweep().await;
    assert_eq!(first.adopted, 2000, "{first:?}");
    let ledger = rig.system.ledger(&world);
    let walk = ledger.walk("conversations#active", forever()).await.unwrap().unwrap();
    assert!(walk.next.is_some());
    let second = rig.sweep_after_a_minute().await;
    assert_eq!(second.adopted, 2000, "{second:?}");
    assert_eq!(interactions(&rig), 4000);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_twilio_does_not_show_keeps_no_other_from_being_found() {
    let rig = Rig::new();
    for customer in 0..3 {
        writes_unheard(&rig, &format!("+1555{customer:07}"));
    }
    rig.pass(Duration::from_mins(3)).await;
    let gone = Misbehaviour::Status { status: 404, code: 20404, retry_after: None };
    let on = Matcher::route("GET /v1/Conversations/{sid}/Webhooks");
    rig.system.twilio.misbehave(Fault { on, times: Times::Next(1), what: gone });
    assert_eq!(rig.sweep().await.adopted, 2);
    assert_eq!(minutes(&rig, 6).await, 1);
}

/// Everybody else, on its page and on those after it, is found.
#[tokio::test(start_paused = true)]
async fn a_conversation_that_twilio_never_shows_keeps_no_other_from_being_found() {
    let rig = Rig::new();
    let broken = writes_unheard(&rig, CUSTOMER);
    let others: Vec<_> =
        (0..150).map(|customer| writes_unheard(&rig, &format!("+1556{customer:07}"))).collect();
    let on = Matcher::route(&format!("GET /v1/Conversations/{broken}/Participants"));
    let what = Misbehaviour::Status { status: 500, code: 20500, retry_after: None };
    rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what });
    minutes(&rig, 8).await;
    for other in &others {
        assert_eq!(rig.live_interactions(other).len(), 1, "{other}");
    }
    assert_eq!(interactions(&rig), others.len());
    rig.system.twilio.behave();
    minutes(&rig, 6).await;
    assert_eq!(rig.live_interactions(&broken).len(), 1);
}

/// Damaged by hand, or written by a newer version that was taken back.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_keeps_no_other_from_being_found_or_finished() {
    let rig = Rig::new();
    let damaged = writes_unheard(&rig, CUSTOMER);
    let other = writes_unheard(&rig, "+15551230002");
    let store = |key: &str, fields: serde_json::Value| {
        let mut item = json!({"pk": {"S": key}, "sk": {"S": "record"}});
        item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let put = json!({"TableName": rig.system.settings.table, "Item": item}).to_string();
        assert_eq!(rig.system.dynamo.call("PutItem", put.as_bytes()).status(), 200);
    };
    store(&format!("conversation#{damaged}"), json!({"sid": {"S": damaged}, "stage": {"S": "unheard"}}));
    for shard in 0..DUE_SHARDS {
        let due = json!({"due_shard": {"S": format!("due#{shard:02}")}, "due_at": {"N": "1"}});
        store(&format!("unheard#{shard}"), due);
    }
    assert_eq!(minutes(&rig, 8).await, 1);
    assert_eq!(rig.live_interactions(&other).len(), 1);
    assert_eq!(rig.record(&other).await.unwrap().stage, Stage::Open, "what is due was looked at");
    assert!(rig.metric("SweepError") > 0, "and somebody is told");
}

/// The page at which the last sweep stopped is not known to Twilio any more.
#[tokio::test(start_paused = true)]
async fn a_walk_that_cannot_go_on_begins_anew() {
    let rig = Rig::new();
    writes_unheard(&rig, CUSTOMER);
    let now = rig.system.clock.now();
    let next = Some("Page=7&PageToken=PAforgotten".to_owned());
    let walk = shared::ledger::Walk { version: 1, began_at: now, next, held_until: now };
    let ledger = rig.ledger().await;
    assert!(ledger.go_on_with_walk("conversations#active", None, &walk, forever()).await.unwrap());
    assert_eq!(minutes(&rig, 8).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_asked_to_slow_down_stops_and_says_so() {
    let rig = Rig::new();
    writes_unheard(&rig, CUSTOMER);
    rig.pass(Duration::from_mins(3)).await;
    let slow = Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: slow });
    let report = rig.sweep().await;
    assert_eq!((report.due, report.adopted, report.left), (0, 0, 2), "one for each list");
    rig.system.twilio.behave();
    minutes(&rig, 6).await;
    assert_eq!(interactions(&rig), 1);
}

#[tokio::test(start_paused = true)]
async fn two_sweepers_at_once_discover_a_customer_once() {
    for seed in 0..10 {
        let rig = Rig::with(seed, |account| account.duplicate_guard = false, &[]);
        for customer in 0..20 {
            writes_unheard(&rig, &format!("+1555{customer:07}"));
        }
        rig.pass(Duration::from_mins(3)).await;
        let world = rig.unhurried_world().await;
        let (one, two) = (rig.system.orphan_sweeper(&world), rig.system.orphan_sweeper(&world));
        let (a, b) = tokio::join!(system::sweep(&one), system::sweep(&two));
        assert_eq!(a.adopted + b.adopted, 20, "seed {seed}: {a:?} {b:?}");
        assert_eq!(interactions(&rig), 20, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_that_is_killed_at_any_step_of_its_discovery_is_followed_by_another() {
    let parts = 2 * usize::from(DUE_SHARDS);
    for step in parts - 2.. {
        let rig = Rig::with(1, |account| account.duplicate_guard = false, &[]);
        writes_unheard(&rig, CUSTOMER);
        rig.pass(Duration::from_mins(3)).await;
        let fuse = Fuse::at(step);
        let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
        let sweeper = rig.system.orphan_sweeper(&world);
        let killed = fuse.guard(system::sweep(&sweeper)).await.is_none();
        minutes(&rig, 8).await;
        assert_eq!(interactions(&rig), 1, "killed at step {step}");
        if !killed {
            assert!(step > parts + 28, "{step}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_names_what_would_be_adopted_and_adopts_nothing() {
    let rig = Rig::new();
    let sid = writes_unheard(&rig, CUSTOMER);
    rig.pass(Duration::from_mins(3)).await;
    let sweeper = rig.system.orphan_sweeper(&rig.system.world().await);
    let request = SweepRequest { dry_run: true, ..SweepRequest::default() };
    let report = sweeper.sweep(request, forever()).await;
    assert_eq!(report.plan.len(), 1);
    assert_eq!(report.plan[0].conversation_sid.as_ref().unwrap().as_str(), sid);
    assert!(report.plan[0].would.starts_with("adopt"), "{report:?}");
    assert!(rig.system.dynamo.items(&rig.system.settings.table).unwrap().is_empty());
    assert_eq!(interactions(&rig), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_that_is_asked_to_slow_down_asks_no_further() {
    let rig = Rig::new();
    let slow = Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(60) };
    rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: slow });
    let sweeper = rig.system.orphan_sweeper(&rig.system.world().await);
    let request = SweepRequest { dry_run: true, ..SweepRequest::default() };
    sweeper.sweep(request, Deadline::within(Duration::from_secs(50))).await;
    assert_eq!(rig.system.twilio.requests().len(), 2, "one for each list");
}

#[tokio::test(start_paused = true)]
async fn discovery_may_be_turned_off() {
    let rig = Rig::with(1, |_| {}, &[("SWEEP_DISCOVERY_MINUTES", "0")]);
    writes_unheard(&rig, CUSTOMER);
    minutes(&rig, 30).await;
    assert!(rig.system.twilio.requests().is_empty());
}

/// After an outage of the callback: what TaskRouter told meanwhile is in its log.
#[tokio::test(start_paused = true)]
async fn a_backfill_takes_in_what_nobody_heard() {
    let tale = Tale::waiting(&[]).await;
    tale.rig.sweep_after_a_minute().await;
    tale.rig.pass(PATIENCE).await;
    tale.lose_webhooks();
    let sweeper = tale.rig.system.orphan_sweeper(&tale.rig.system.world().await);
    let request = SweepRequest { backfill_hours: 1, ..SweepRequest::default() };
    tale.forget();
    let report = sweeper.sweep(request, forever()).await;
    assert_eq!(report.reinvited, 1, "{report:?}");
    assert_eq!((tale.numbers(), tale.told()), (vec![1], vec![STILL_WAITING.to_owned()]));
    let again = sweeper.sweep(request, forever()).await;
    assert_eq!(again.reinvited, 0, "{again:?}");
    assert_eq!(tale.numbers(), [1]);
}
