//! What an event asks for, and what it takes beside a table full of other conversations: as much as beside few.
//!
//! `STORED` says beside how many; `STORED=1000000 cargo test --workspace --test system growth` takes some minutes.

use std::{env, time::Duration};

use flexglue::local::{
    gateway::Routes,
    system::{self, PUBLIC_URL, SMS_NUMBER, call_back},
};
use flexglue_tests::{
    chat::{begun, refresh},
    rig::{CUSTOMER, Rig, every_event},
    wires::Meter,
};
use serde_json::json;
use shared::ledger::DUE_SHARDS;

/// Fills the table with conversations, of which every so-many-th is due.
fn store(rig: &Rig, conversations: u32, of_which_is_due_each: u32) {
    let now = rig.system.clock.now();
    let due = now.as_millis() - 1;
    let later = (now + Duration::from_hours(1)).as_millis();
    for number in 0..conversations {
        let sid = format!("CH{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15);
        let due_at = if number % of_which_is_due_each == 0 { due } else { later };
        let shard = u32::from_str_radix(&sid[26..], 16).unwrap() % u32::from(DUE_SHARDS);
        let item = json!({
            "pk": {"S": format!("conversation#{sid}")}, "sk": {"S": "record"},
            "due_shard": {"S": format!("due#{shard:02}")}, "due_at": {"N": due_at.to_string()},
            "sid": {"S": sid}, "version": {"N": "1"}, "stage": {"S": "open"},
            "created_at": {"N": "1"}, "updated_at": {"N": "1"},
        });
        let put = json!({"TableName": rig.system.settings.table, "Item": item}).to_string();
        assert_eq!(rig.system.dynamo.call("PutItem", put.as_bytes()).status(), 200);
    }
}

/// What was asked for since something was last looked at.
struct Taken<'a> {
    rig: &'a Rig,
    meter: Meter,
    before: (u32, u32, usize),
}

impl Taken<'_> {
    /// Reads, writes, requests to Twilio.
    fn now(&mut self) -> (u32, u32, usize) {
        let (reads, writes) = self.meter.requests();
        let now = (reads, writes, self.rig.system.twilio.requests().len());
        let before = std::mem::replace(&mut self.before, now);
        (now.0 - before.0, now.1 - before.1, now.2 - before.2)
    }
}

/// Carries the webhooks of one address that are waiting, and throws the others away.
async fn deliver(rig: &Rig, front: &Routes, event: &str) -> usize {
    let webhooks = rig.system.twilio.take_webhooks();
    let wanted: Vec<_> = webhooks.iter().filter(|webhook| webhook.event_type == event).collect();
    for webhook in &wanted {
        let answer = system::deliver(&rig.system.twilio, front, webhook).await;
        assert!(answer.status().is_success(), "{event}: {}", answer.status());
    }
    wanted.len()
}

/// A customer's first message costs two writes and one request to Twilio; whatever tells nothing new one read.
#[tokio::test(start_paused = true)]
async fn an_event_asks_for_no_more_than_it_must() {
    let account = |account: &mut simulator::Settings| {
        every_event(account);
        call_back(account, PUBLIC_URL);
        account.workflow_timeout_s = Some(60);
    };
    let rig = Rig::with(1, account, &[]);
    let meter = Meter::default();
    let world = rig.system.world_through(|to| to, |to| meter.wire(to)).await;
    let front = rig.front_in(&world);
    let mut taken = Taken { rig: &rig, meter, before: (0, 0, 0) };

    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
    assert_eq!(deliver(&rig, &front, "onMessageAdded").await, 1);
    assert_eq!(taken.now(), (0, 2, 1), "a first message");
    rig.pass(Duration::from_secs(10)).await;
    drop(rig.system.twilio.take_webhooks());

    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello?");
    assert_eq!(deliver(&rig, &front, "onMessageAdded").await, 1);
    assert_eq!(taken.now(), (1, 0, 0), "any further one");

    rig.pass(Duration::from_mins(1)).await;
    let ends: Vec<_> = rig.system.twilio.take_webhooks();
    let end = ends.iter().find(|webhook| webhook.event_type == "workflow.timeout").expect("it timed out");
    system::deliver(&rig.system.twilio, &front, end).await;
    rig.pass(Duration::from_secs(1)).await;
    taken.now();
    let answer = system::deliver(&rig.system.twilio, &front, end).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(taken.now(), (1, 0, 0), "the same end again");

    let chat = begun(&front).await;
    rig.pass(Duration::from_mins(57)).await;
    taken.now();
    let fresh = refresh(&front, &chat.text("token")).await;
    assert_eq!(taken.now(), (1, 1, 1), "a token that outlives those before, which is to be written down");
    assert_eq!(refresh(&front, &fresh.text("token")).await.status, 200);
    assert_eq!(taken.now(), (1, 0, 0), "another, while the last look at Twilio is fresh");
}

/// Units that a first message, a further one and an idle sweep take beside so many conversations.
async fn units_beside(conversations: u32) -> [(f64, f64); 3] {
    let rig = Rig::with(1, |account| call_back(account, PUBLIC_URL), &[("SWEEP_DISCOVERY_MINUTES", "0")]);
    store(&rig, conversations, u32::MAX);
    // The first of them is due.
    system::sweep(&rig.system.orphan_sweeper(&rig.system.world().await)).await;
    let mut units = Vec::new();
    for what in ["hello", "hello?", "a sweep"] {
        let meter = Meter::default();
        let world = rig.system.world_through(|to| to, |to| meter.wire(to)).await;
        if what == "a sweep" {
            system::sweep(&rig.system.orphan_sweeper(&world)).await;
        } else {
            rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, what);
            deliver(&rig, &rig.front_in(&world), "onMessageAdded").await;
        }
        units.push((meter.read_units(), meter.write_units()));
    }
    units.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_as_much_beside_many_conversations_as_beside_few() {
    let many = env::var("STORED").map_or(20_000, |stored| stored.parse().unwrap());
    let few = units_beside(1_000).await;
    assert_eq!(few, units_beside(many).await, "first message, further message, idle sweep");
    assert_eq!(few, [(0.0, 13.0), (1.0, 0.0), (2.0, 0.0)]);
}

/// With 100,000 records of which 100 are due, a sweep reads about 100: its cost follows what is due.
#[tokio::test(start_paused = true)]
async fn a_sweep_reads_what_is_due_and_not_what_is_stored() {
    let rig = Rig::with(1, |account| call_back(account, PUBLIC_URL), &[("SWEEP_DISCOVERY_MINUTES", "0")]);
    store(&rig, 100_000, 1_000);
    let meter = Meter::default();
    let world = rig.system.world_through(|to| to, |to| meter.wire(to)).await;
    let report = system::sweep(&rig.system.orphan_sweeper(&world)).await;
    assert_eq!(report.due, 100);
    let units = meter.read_units();
    assert!((100.0..400.0).contains(&units), "{units} read units for 100 of 100,000");
}
