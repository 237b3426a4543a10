//! Twilio misbehaves; what the customer gets in the end.

use std::time::Duration;

use flexglue_tests::rig::{self, Answer, CUSTOMER, Rig};
use orphan_sweeper::{SweepReport, SweepRequest};
use shared::conversation::Stage;
use simulator::{Fault, Matcher, Misbehaviour, Times};

fn guard_off(account: &mut simulator::Settings) {
    account.duplicate_guard = false;
}

fn creation(what: Misbehaviour, times: Times) -> Fault {
    Fault { on: Matcher::route("POST /v1/Interactions"), times, what }
}

fn status(status: u16) -> Misbehaviour {
    Misbehaviour::Status { status, code: 20_000 + u32::from(status), retry_after: None }
}

/// Delivers one message while Twilio misbehaves. The rig, the conversation and the answer.
async fn deliver_during(fault: Fault) -> (Rig, String, Answer) {
    let rig = Rig::with(1, guard_off, &[]);
    let front = rig.front().await;
    rig.system.twilio.misbehave(fault);
    let request = rig.message(CUSTOMER, "hello");
    let begun = tokio::time::Instant::now();
    let answer = Answer::of(&front.handle(request).await);
    assert!(begun.elapsed() < Duration::from_secs(4), "answered after {:?}", begun.elapsed());
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    (rig, sid, answer)
}

/// Trap 3, and: answers lost after Twilio acted make no second Interaction.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_is_deferred_and_found_again() {
    for what in [Misbehaviour::LostAfter, Misbehaviour::Malformed, Misbehaviour::SlowMs(10_000)] {
        let (rig, sid, answer) = deliver_during(creation(what.clone(), Times::Next(1))).await;
        assert_eq!(answer, Answer::new(202, "deferred"), "{what:?}");
        assert!(matches!(rig.record(&sid).await.unwrap().stage, Stage::Claimed { .. }), "the claim stands");
        let report = rig.sweep_after_a_minute().await;
        assert_eq!((report.due, report.finished), (1, 1), "{what:?}: {report:?}");
        assert_eq!(rig.system.twilio.interactions().len(), 1, "{what:?}");
        assert_eq!(rig.metric("InteractionAdopted"), 1);
        assert_eq!(rig.sweep_after_a_minute().await.finished, 1, "it is seen to stand");
        assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Open);
        assert_eq!(rig.sweep_after_a_minute().await, SweepReport::default());
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_twilio_is_done_by_the_sweeper() {
    for what in [Misbehaviour::LostBefore, Misbehaviour::Hang, status(500), status(503)] {
        let (rig, sid, answer) = deliver_during(creation(what.clone(), Times::Next(1))).await;
        assert_eq!(answer, Answer::new(202, "deferred"), "{what:?}");
        assert!(rig.system.twilio.interactions().is_empty());
        let report = rig.sweep_after_a_minute().await;
        assert_eq!((report.due, report.finished), (1, 1), "{what:?}: {report:?}");
        assert_eq!(rig.live_interactions(&sid).len(), 1, "{what:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_twilio_that_asks_to_slow_down_once_is_asked_again_at_once() {
    let (rig, sid, answer) = deliver_during(creation(status(429), Times::Next(1))).await;
    assert_eq!(answer, Answer::new(200, "created"));
    assert_eq!(rig.metric("TwilioThrottled"), 1);
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_twilio_that_asks_to_slow_down_for_long_is_left_alone_that_long() {
    let what = Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(90) };
    let (rig, sid, answer) = deliver_during(creation(what, Times::Next(1))).await;
    assert_eq!(answer, Answer::new(202, "deferred"));
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Waiting);
    assert_eq!(rig.sweep_after_a_minute().await, SweepReport::default(), "90 seconds are not over");
    assert_eq!(rig.sweep_after_a_minute().await.finished, 1);
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_twilio_that_is_down_for_an_hour_is_asked_rarely_and_then_healed() {
    let everything = Fault { on: Matcher::Any, times: Times::Forever, what: Misbehaviour::LostBefore };
    let (rig, sid, answer) = deliver_during(everything).await;
    assert_eq!(answer, Answer::new(202, "deferred"));
    let asked_before = rig.system.twilio.requests().len();
    for _ in 0..60 {
        let report = rig.sweep_after_a_minute().await;
        assert_eq!(report.finished + report.errors, 0, "{report:?}");
    }
    let asked = rig.system.twilio.requests().len() - asked_before;
    assert!((5..150).contains(&asked), "{asked} questions in an hour");
    rig.system.twilio.behave();
    for _ in 0..6 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Open);
}

/// A claim in doubt is not given up because Twilio cannot be asked whether it was carried out.
#[tokio::test(start_paused = true)]
async fn doubt_outlives_a_twilio_that_cannot_be_asked() {
    let (rig, sid, _) = deliver_during(creation(Misbehaviour::LostAfter, Times::Next(1))).await;
    let look = "GET /v1/Workspaces/{ws}/Tasks";
    rig.system.twilio.misbehave(Fault { on: Matcher::route(look), times: Times::Forever, what: status(429) });
    for _ in 0..3 {
        rig.sweep_after_a_minute().await;
        assert_eq!(rig.system.twilio.interactions().len(), 1);
        assert!(matches!(rig.record(&sid).await.unwrap().stage, Stage::Claimed { .. }));
    }
    rig.system.twilio.behave();
    for _ in 0..3 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    assert_eq!(rig.metric("InteractionAdopted"), 1);
}

#[tokio::test(start_paused = true)]
async fn tasks_listed_without_attributes_are_found_all_the_same() {
    let rig = Rig::with(
        1,
        |account| {
            account.duplicate_guard = false;
            account.list_hides_task_attributes = true;
        },
        &[],
    );
    let front = rig.front().await;
    rig.system.twilio.misbehave(creation(Misbehaviour::LostAfter, Times::Next(1)));
    front.handle(rig.message(CUSTOMER, "hello")).await;
    rig.sweep_after_a_minute().await;
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn while_a_claim_stands_other_messages_leave_it_alone() {
    let (rig, _, _) = deliver_during(creation(Misbehaviour::LostBefore, Times::Next(1))).await;
    let front = rig.front().await;
    let answer = front.handle(rig.message(CUSTOMER, "hello?")).await;
    assert_eq!(Answer::of(&answer), Answer::new(200, "in_progress"));
    rig.pass(Duration::from_secs(30)).await;
    let answer = front.handle(rig.message(CUSTOMER, "hello??")).await;
    assert_eq!(Answer::of(&answer), Answer::new(202, "deferred"), "the sweeper looks first");
    assert!(rig.system.twilio.interactions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_is_opened_by_the_customers_next_message() {
    let (rig, sid, _) = deliver_during(creation(status(429), Times::Next(4))).await;
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Waiting);
    rig.pass(Duration::from_secs(15)).await;
    let front = rig.front().await;
    let answer = front.handle(rig.message(CUSTOMER, "hello?")).await;
    assert_eq!(Answer::of(&answer), Answer::new(200, "created"));
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_mended_heals_by_the_next_message_or_the_sweeper() {
    for by_message in [true, false] {
        let what = Misbehaviour::Status { status: 403, code: 20403, retry_after: None };
        let (rig, sid, answer) = deliver_during(creation(what, Times::Next(1))).await;
        assert_eq!(answer, Answer::new(200, "failed"));
        if by_message {
            rig.pass(Duration::from_secs(31)).await;
            let front = rig.front().await;
            let answer = front.handle(rig.message(CUSTOMER, "hello?")).await;
            assert_eq!(Answer::of(&answer), Answer::new(200, "created"));
        } else {
            rig.pass(Duration::from_mins(5)).await;
            assert_eq!(rig.sweep().await.finished, 1);
        }
        assert_eq!(rig.live_interactions(&sid).len(), 1);
    }
}

/// A customer is never left in an open conversation with nobody: what is refused for a day is closed.
#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_never_mended_ends_with_a_closed_conversation() {
    let (rig, sid, _) = deliver_during(creation(status(400), Times::Forever)).await;
    let mut closed = 0;
    for _ in 0..(26 * 60) {
        closed += rig.sweep_after_a_minute().await.closed;
    }
    assert_eq!(closed, 1);
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert_eq!(conversation.state, simulator::ConversationState::Closed);
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Closed);
    assert_eq!(rig.metric("ConversationGivenUp"), 1);
}

/// Somebody was brought into the conversation by other means while Twilio refused ours.
#[tokio::test(start_paused = true)]
async fn a_conversation_with_an_agent_in_it_is_not_closed() {
    let (rig, sid, _) = deliver_during(creation(status(400), Times::Forever)).await;
    rig.joins(&sid, "agent_40example_2Ecom").await;
    for _ in 0..(26 * 60) {
        assert_eq!(rig.sweep_after_a_minute().await.closed, 0);
    }
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert_eq!(conversation.state, simulator::ConversationState::Active);
}

/// Flex hears of a conversation a little later than Conversations itself.
#[tokio::test(start_paused = true)]
async fn a_conversation_that_flex_does_not_know_yet_is_not_over() {
    let not_found = Misbehaviour::Status { status: 404, code: 45376, retry_after: None };
    let (rig, sid, answer) = deliver_during(creation(not_found, Times::Next(1))).await;
    assert_eq!(answer, Answer::new(202, "deferred"));
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Waiting);
    rig.sweep_after_a_minute().await;
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert_eq!(conversation.state, simulator::ConversationState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_ended_meanwhile_is_recorded_as_over() {
    let (rig, sid, _) = deliver_during(creation(Misbehaviour::LostBefore, Times::Next(1))).await;
    rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
    assert_eq!(rig.sweep_after_a_minute().await.left, 1, "an Interaction may have been made for it");
    assert_eq!(rig.sweep_after_a_minute().await.closed, 1);
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Closed);
    assert!(rig.system.twilio.interactions().is_empty());
}

/// The owner asked, its answer was lost, and the customer's conversation ended before anybody could look.
#[tokio::test(start_paused = true)]
async fn an_interaction_nobody_could_record_is_closed_with_its_conversation() {
    let rig = Rig::with(
        1,
        |account| {
            rig::every_event(account);
            account.closing_ends_channel = false;
        },
        &[],
    );
    let front = rig.front().await;
    rig.system.twilio.misbehave(creation(Misbehaviour::LostAfter, Times::Next(1)));
    rig.system.twilio.customer_writes(CUSTOMER, flexglue::local::system::SMS_NUMBER, "hello");
    rig.deliver_all(&front).await;
    rig.pass(Duration::from_secs(1)).await;
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    assert_eq!(rig.live_interactions(&sid).len(), 1);
    rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
    rig.deliver_all(&front).await;
    assert_eq!(rig.sweep_after_a_minute().await.closed, 1);
    assert!(rig.live_interactions(&sid).is_empty(), "no agent gets a task for a conversation that is over");
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_interaction_opened_by_somebody_else_is_adopted() {
    let (rig, sid, _) = deliver_during(creation(Misbehaviour::LostBefore, Times::Next(1))).await;
    let world = rig.system.world().await;
    let settings = &rig.system.settings;
    let parts = shared::parts::Parts::new("by-hand", settings, &world);
    let routing =
        settings.rules.route(&shared::conversation::FirstMessage::default(), None, None, &settings.routing);
    let new =
        shared::routing::new_interaction(&sid.parse().unwrap(), &routing, None, &settings.routing.workspace);
    let by_hand = parts
        .rescuer
        .opener
        .twilio
        .create_interaction(&new, flexglue_tests::rig::forever())
        .await
        .unwrap()
        .sid;
    rig.sweep_after_a_minute().await;
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    assert_eq!(rig.record(&sid).await.unwrap().interaction.unwrap().sid, by_hand);
}

#[tokio::test(start_paused = true)]
async fn two_sweepers_side_by_side_do_it_once() {
    for seed in 0..20 {
        let rig = Rig::with(seed, guard_off, &[]);
        let front = rig.front().await;
        rig.system.twilio.misbehave(creation(Misbehaviour::LostBefore, Times::Next(30)));
        for customer in 0..30 {
            front.handle(rig.message(&format!("+1555{customer:07}"), "hello")).await;
        }
        rig.pass(Duration::from_mins(1)).await;
        let world = rig.unhurried_world().await;
        let (one, two) = (rig.system.orphan_sweeper(&world), rig.system.orphan_sweeper(&world));
        let (a, b) = tokio::join!(flexglue::local::system::sweep(&one), flexglue::local::system::sweep(&two));
        assert_eq!(a.finished + b.finished, 30, "seed {seed}: {a:?} {b:?}");
        assert_eq!(rig.system.twilio.interactions().len(), 30, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let (rig, sid, _) = deliver_during(creation(Misbehaviour::LostBefore, Times::Next(1))).await;
    rig.pass(Duration::from_mins(1)).await;
    let table = || rig.system.dynamo.items(&rig.system.settings.table).unwrap();
    let before = table();
    let calls = rig.system.twilio.requests().len();
    let sweeper = rig.system.orphan_sweeper(&rig.system.world().await);
    let request = SweepRequest { dry_run: true, ..SweepRequest::default() };
    let report = sweeper.sweep(request, flexglue_tests::rig::forever()).await;
    assert_eq!((report.due, report.left), (1, 1));
    assert_eq!(report.plan[0].conversation_sid.as_ref().unwrap().as_str(), sid);
    assert_eq!(report.plan[0].would, "create its Interaction, unless Twilio has it already");
    assert_eq!(table(), before);
    assert!(rig.system.twilio.requests()[calls..].iter().all(|request| request.method == "GET"));
}

#[tokio::test(start_paused = true)]
async fn one_sweep_is_bounded_and_the_next_goes_on() {
    let rig = Rig::with(1, guard_off, &[]);
    let front = rig.front().await;
    rig.system.twilio.misbehave(creation(Misbehaviour::LostBefore, Times::Next(2500)));
    for customer in 0..2500 {
        front.handle(rig.message(&format!("+1555{customer:07}"), "hello")).await;
    }
    let first = rig.sweep_after_a_minute().await;
    assert!(first.due <= 1600 && first.finished == first.due, "{first:?}");
    let mut healed = first.finished;
    healed += rig.sweep().await.finished;
    assert_eq!(healed, 2500);
    assert_eq!(rig.system.twilio.interactions().len(), 2500);
}
