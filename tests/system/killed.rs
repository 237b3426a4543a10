//! The process is killed at every step. A step is before or after each request that it makes; between two
//! steps nothing leaves the process, so that these are all the places at which a death can matter.

use std::{pin::pin, time::Duration};

use flexglue::local::system;
use flexglue_tests::{
    rig::{CUSTOMER, Rig, forever},
    wires::{Frost, Fuse},
};
use shared::{conversation::Stage, ledger::DUE_SHARDS};

fn rig() -> Rig {
    Rig::with(1, |account| account.duplicate_guard = false, &[])
}

/// Delivers a message to a process that is killed at `step`. Whether it was.
async fn webhook_killed_at(rig: &Rig, step: usize) -> bool {
    let fuse = Fuse::at(step);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let front = rig.front_in(&world);
    let request = rig.message(CUSTOMER, "hello");
    fuse.guard(front.handle(request)).await.is_none()
}

/// A sweep by a process that is killed at `step`. Whether it was.
async fn sweep_killed_at(rig: &Rig, step: usize) -> bool {
    let fuse = Fuse::at(step);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let sweeper = rig.system.orphan_sweeper(&world);
    fuse.guard(system::sweep(&sweeper)).await.is_none()
}

async fn assert_one_interaction(rig: &Rig, what: &str) {
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    assert_eq!(rig.system.twilio.interactions().len(), 1, "{what}");
    let record = rig.record(&sid).await.expect("the conversation is known");
    assert!(matches!(record.stage, Stage::SettingUp | Stage::Open), "{what}: {:?}", record.stage);
}

/// Trap 18. The first step is before the claim: nothing is known of the customer then, and Twilio sees that
/// its webhook failed; discovery finds such a conversation.
#[tokio::test(start_paused = true)]
async fn killed_at_any_step_after_the_claim_one_sweep_makes_it_one_interaction() {
    let mut steps = 0;
    for step in 1.. {
        let rig = rig();
        if !webhook_killed_at(&rig, step).await {
            break;
        }
        steps += 1;
        rig.sweep_after_a_minute().await;
        assert_one_interaction(&rig, &format!("killed at step {step}")).await;
    }
    assert_eq!(
        steps, 5,
        "claim, create and record are two steps each, the first of which is before the claim"
    );
}

#[tokio::test(start_paused = true)]
async fn killed_before_the_claim_the_next_message_opens_it() {
    let rig = rig();
    assert!(webhook_killed_at(&rig, 0).await);
    assert!(rig.system.dynamo.items(&rig.system.settings.table).unwrap().is_empty());
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello?")).await;
    assert_one_interaction(&rig, "the next message").await;
}

/// The sweeper that finishes the work of a dead process dies as well, at each of its own steps.
#[tokio::test(start_paused = true)]
async fn killed_at_any_step_the_sweeper_is_followed_by_another() {
    for webhook_step in 1..6 {
        for sweep_step in 0.. {
            let rig = rig();
            assert!(webhook_killed_at(&rig, webhook_step).await);
            rig.pass(Duration::from_mins(1)).await;
            let killed = sweep_killed_at(&rig, sweep_step).await;
            rig.sweep_after_a_minute().await;
            let what = format!("webhook killed at step {webhook_step}, sweep at step {sweep_step}");
            assert_one_interaction(&rig, &what).await;
            if !killed {
                let parts = usize::from(DUE_SHARDS);
                assert!(
                    sweep_step > 2 * parts + 3,
                    "a sweep asks {parts} parts of the index: {sweep_step} steps"
                );
                break;
            }
        }
    }
}

/// A customer whose webhook died half-way waits two sweeps at most, wherever in the minute it died.
#[tokio::test(start_paused = true)]
async fn two_sweeps_are_the_longest_wait() {
    for seconds_before_the_sweep in [0, 1, 10, 19, 20, 21, 40, 59] {
        let rig = rig();
        assert!(webhook_killed_at(&rig, 2).await);
        rig.pass(Duration::from_secs(seconds_before_the_sweep)).await;
        rig.sweep().await;
        rig.sweep_after_a_minute().await;
        assert_one_interaction(&rig, &format!("{seconds_before_the_sweep} s")).await;
    }
}

/// However much time an invocation has: an owner asks within its lease only, and well before it ends.
#[tokio::test(start_paused = true)]
async fn the_right_to_ask_ends_with_the_lease() {
    let rig = rig();
    let world = rig.system.world().await;
    let opener = shared::parts::Parts::new("test", &rig.system.settings, &world).rescuer.opener;
    rig.system.twilio.customer_writes(CUSTOMER, system::SMS_NUMBER, "hello");
    let sid = rig.system.twilio.conversations()[0].sid.parse().unwrap();
    let message =
        shared::conversation::FirstMessage { author: Some(CUSTOMER.to_owned().into()), ..Default::default() };
    let claim = opener.claim(&sid, &message, None, forever()).await.unwrap().unwrap();
    rig.pass(Duration::from_secs(16)).await;
    assert_eq!(opener.open(claim, false, forever()).await, shared::opening::Opened::Deferred);
    assert!(rig.system.twilio.requests().is_empty());
    rig.sweep_after_a_minute().await;
    assert_one_interaction(&rig, "after the sweep").await;
}

/// A process that was frozen for longer than its lease goes on where it was, while another has taken over.
#[tokio::test(start_paused = true)]
async fn an_owner_that_wakes_up_after_its_lease_asks_for_nothing() {
    use flexglue_tests::wires::Gate;
    use std::sync::Arc;
    let rig = rig();
    let gate = Gate::after(1);
    let world = rig.system.world_through(|to| to, |to| gate.wire(to)).await;
    let front = Arc::new(rig.front_in(&world));
    let request = rig.message(CUSTOMER, "hello");
    let frozen = tokio::spawn({
        let front = Arc::clone(&front);
        async move { front.handle(request).await }
    });
    gate.reached().await;
    rig.sweep_after_a_minute().await;
    gate.open();
    frozen.await.unwrap();
    assert_one_interaction(&rig, "frozen between claim and create").await;
}

/// The same, frozen at any step, the one before a request is sent included: what wakes up sends nothing any more (found
/// by the simulation).
#[tokio::test(start_paused = true)]
async fn an_owner_that_is_frozen_at_any_step_asks_for_nothing_when_it_wakes_up() {
    for step in 1.. {
        let rig = rig();
        let frost = Frost::at(step);
        let world = rig.system.world_through(|to| frost.wire(to), |to| frost.wire(to)).await;
        let sleeper = rig.front_in(&world);
        let mut handling = pin!(frost.freeze(sleeper.handle(rig.message(CUSTOMER, "hello"))));
        tokio::select! {
            () = frost.frozen() => {}
            _ = &mut handling => {
                assert!(step > 4, "{step}");
                break;
            }
        }
        rig.sweep_after_a_minute().await;
        frost.thaw();
        handling.await;
        assert_one_interaction(&rig, &format!("frozen at step {step}")).await;
    }
}

/// Found by the model (`tests/model`). A sweeper has read that the customer waits, so that nobody can have asked, and is
/// frozen. Meanwhile the customer's next message claims, asks and dies: whoever takes that over must look.
#[tokio::test(start_paused = true)]
async fn a_sweeper_that_was_frozen_looks_for_what_was_asked_meanwhile() {
    let rig = rig();
    let what = simulator::Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    let on = simulator::Matcher::route("POST /v1/Interactions");
    rig.system.twilio.misbehave(simulator::Fault { on, times: simulator::Times::Next(4), what });
    rig.front().await.handle(rig.message(CUSTOMER, "hello")).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    let read = rig.record(&sid).await.unwrap();
    assert_eq!(read.stage, Stage::Waiting);
    rig.pass(Duration::from_mins(1)).await;
    // Killed before it can record what Twilio has just answered.
    assert!(webhook_killed_at(&rig, 5).await);
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    rig.pass(Duration::from_mins(1)).await;
    let world = rig.system.world().await;
    let opener = shared::parts::Parts::new("test", &rig.system.settings, &world).rescuer.opener;
    let (claim, look) = opener.take_over(read, forever()).await.unwrap().expect("it is due");
    opener.open(claim, look, forever()).await;
    assert_one_interaction(&rig, "taken over by a frozen sweeper").await;
}
