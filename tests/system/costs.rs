//! What a conversation costs in AWS: the figures of `docs/deploy.md`.

use std::{collections::BTreeMap, time::Duration};

use flexglue::local::{
    gateway::{EventShape, Routes},
    system::{self, CONVERSATIONS_PATH, SMS_NUMBER, TASKROUTER_PATH},
};
use flexglue_tests::{
    rig::{CUSTOMER, Rig, every_event},
    wires::Meter,
};
use shared::parts::World;

async fn metered(rig: &Rig, meter: &Meter) -> World {
    rig.system.world_through(|to| to, |to| meter.wire(to)).await
}

/// Carries what Twilio has to tell to the functions, and counts it.
async fn deliver(rig: &Rig, front: &Routes, counted: &mut BTreeMap<&'static str, u32>) {
    for webhook in rig.system.twilio.take_webhooks() {
        let name =
            if webhook.url.contains(CONVERSATIONS_PATH) { CONVERSATIONS_PATH } else { TASKROUTER_PATH };
        *counted.entry(name).or_default() += 1;
        system::deliver(&rig.system.twilio, front, &webhook).await;
    }
}

/// Twelve messages over ten minutes, an agent, an end: what one of them asks of Lambda and of DynamoDB.
#[tokio::test(start_paused = true)]
async fn a_usual_conversation_costs_what_the_guide_says() {
    let account = |account: &mut simulator::Settings| {
        every_event(account);
        system::call_back(account, system::PUBLIC_URL);
    };
    let rig = Rig::with(1, account, &[("SWEEP_DISCOVERY_MINUTES", "0")]);
    let (served, swept) = (Meter::default(), Meter::default());
    let world = metered(&rig, &served).await;
    let front = rig.system.front(EventShape::HttpApi, &world);
    let sweeper = rig.system.orphan_sweeper(&metered(&rig, &swept).await);
    let mut counted = BTreeMap::new();

    // An idle sweep, before anything has happened.
    system::sweep(&sweeper).await;
    let idle = swept.read_units();

    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    deliver(&rig, &front, &mut counted).await;
    let task = rig.live_interactions(&sid).remove(0).task_sid;
    for minute in 0..10 {
        rig.pass(Duration::from_mins(1)).await;
        deliver(&rig, &front, &mut counted).await;
        system::sweep(&sweeper).await;
        if minute == 0 {
            let worker = rig.system.twilio.settings().workers[0].sid.clone();
            rig.system.twilio.agent_accepts(&task, &worker).unwrap();
        } else if minute < 6 {
            rig.system.twilio.agent_writes(&task, "Let me see.").unwrap();
            rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "thanks");
        }
        deliver(&rig, &front, &mut counted).await;
    }
    rig.system.twilio.agent_ends_chat(&task).unwrap();
    rig.system.twilio.task_completes(&task).unwrap();
    deliver(&rig, &front, &mut counted).await;
    for _ in 0..5 {
        rig.pass(Duration::from_mins(1)).await;
        system::sweep(&sweeper).await;
        deliver(&rig, &front, &mut counted).await;
    }
    let by_sweeps = swept.read_units() - 16.0 * idle;
    let metrics = rig.metric_lines().len() - 16;
    assert_eq!((counted[CONVERSATIONS_PATH], counted[TASKROUTER_PATH]), (12, 3), "requests");
    assert_eq!((served.read_units(), served.write_units()), (13.0, 27.0), "units, by those requests");
    assert_eq!((by_sweeps, swept.write_units()), (3.0, 17.0), "units, by the sweeper");
    assert_eq!((idle, metrics), (2.0, 1), "units of an idle sweep; counted lines beside each sweep's own");
}
