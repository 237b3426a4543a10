//! Reaching out while everything breaks: processes killed and answers lost at every step, Twilio down, hundreds
//! at once.

use std::{collections::BTreeMap, time::Duration};

use flexglue::local::system::{self, SMS_NUMBER};
use flexglue_tests::{
    outbound::{Told, ask, reach, with},
    rig::{CUSTOMER, Rig},
    wires::{Forgetful, Fuse},
};
use serde_json::{Value, json};
use shared::reach::{Caller, ReachId, Stage};
use simulator::{ConversationState, Fault, Matcher, Misbehaviour, Times};

/// A kind of reach, and what the customer is in before.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: &'static str,
    on_conflict: &'static str,
    before: Before,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    /// An agent serves them.
    Served,
    /// An agent has parked them.
    Parked,
    /// They were sent a reminder.
    Reminded,
    /// Another service has them, so that only Twilio's refusal tells.
    Elsewhere,
}

fn cases() -> Vec<Case> {
    use Before::{Elsewhere, Nothing, Parked, Reminded, Served};
    let mut cases = Vec::new();
    for kind in ["agent", "api", "system"] {
        for (on_conflict, before) in [
            ("reject", Nothing),
            ("reject", Elsewhere),
            ("join", Served),
            ("join", Parked),
            ("join", Reminded),
            ("replace", Parked),
            ("replace", Elsewhere),
        ] {
            cases.push(Case { kind, on_conflict, before });
        }
    }
    cases
}

async fn rig(case: Case) -> Rig {
    let rig = Rig::with(1, |account| account.duplicate_guard = false, &[]);
    let front = rig.front().await;
    match case.before {
        Before::Nothing => {}
        Before::Elsewhere => drop(rig.system.twilio.conversation_elsewhere(CUSTOMER, SMS_NUMBER)),
        Before::Reminded => {
            let told = ask(&front, "before", &body(&rig, "system", &json!({}))).await;
            assert_eq!(told.status, 201);
        }
        Before::Served | Before::Parked => {
            let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
            rig.deliver_all(&front).await;
            rig.pass(Duration::from_secs(1)).await;
            let task = rig.live_interactions(&sid)[0].task_sid.clone();
            let worker = rig.system.twilio.settings().workers[1].sid.clone();
            rig.system.twilio.agent_accepts(&task, &worker).unwrap();
            if case.before == Before::Parked {
                rig.system.twilio.agent_parks(&task).unwrap();
            }
        }
    }
    rig
}

fn body(rig: &Rig, kind: &str, changes: &Value) -> Value {
    with(reach(&rig.system.twilio.settings(), kind), changes)
}

fn asked(rig: &Rig, case: Case) -> Value {
    body(rig, case.kind, &json!({"on_conflict": case.on_conflict}))
}

/// Every reach that is recorded, with its stage.
async fn reaches(rig: &Rig) -> Vec<shared::reach::Reach> {
    let mut reaches = Vec::new();
    for item in rig.system.dynamo.items(&rig.system.settings.table).unwrap() {
        let key = item["pk"].as_str().unwrap_or_default().to_owned();
        if let Some(id) = key.strip_prefix("reach#") {
            let id = id.parse().unwrap();
            let found = rig.ledger().await.reach(&id, flexglue_tests::rig::forever()).await.unwrap();
            reaches.extend(found);
        }
    }
    reaches
}

/// What must be true once everything has come to rest: no customer in two open conversations, nothing open
/// without a task or somebody who waits for a reply, nothing said twice, nobody invited twice, nothing half-made.
async fn assert_sound(rig: &Rig, what: &str) {
    let twilio = &rig.system.twilio;
    let mut held: BTreeMap<String, String> = BTreeMap::new();
    let reaches = reaches(rig).await;
    for conversation in twilio.conversations() {
        let sid = conversation.sid.clone();
        let mut names: Vec<_> =
            conversation.messages.iter().map(|message| message.attributes.clone()).collect();
        names.retain(|name| name != "{}");
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{what}: something was said twice in {sid}");
        if conversation.state == ConversationState::Closed {
            assert!(!conversation.participants.is_empty(), "{what}: {sid} is a leftover");
            assert!(rig.live_interactions(&sid).is_empty(), "{what}: {sid} is closed and its channel is not");
            continue;
        }
        let customer = conversation.participants.iter().find_map(|one| one.binding.as_ref());
        let customer = customer.unwrap_or_else(|| panic!("{what}: nobody is in {sid}"));
        let other = held.insert(customer.address.clone(), sid.clone());
        assert!(other.is_none(), "{what}: {sid} and {other:?} have the same customer");
        assert!(conversation.webhooks.len() <= 1, "{what}: {sid} tells everything twice");
        let live = rig.live_interactions(&sid).len();
        assert!(live <= 1, "{what}: {live} Interactions on {sid}");
        let waits_for_reply = !conversation.webhooks.is_empty()
            && conversation.messages.iter().all(|message| message.author == "system");
        assert!(live == 1 || waits_for_reply && count > 0, "{what}: {sid} is open, and nobody serves it");
        let tasks = twilio.tasks().into_iter().filter(|task| {
            let attributes = Value::Object(task.attributes.clone());
            attributes["conversationSid"] == sid.as_str() && task.attributes.contains_key("outbound")
        });
        let mut invited = BTreeMap::new();
        for task in tasks {
            let id = Value::Object(task.attributes)["outbound"]["id"].to_string();
            *invited.entry(id).or_insert(0) += 1;
        }
        assert!(invited.values().all(|times| *times == 1), "{what}: invited twice: {invited:?}");
    }
    for reach in &reaches {
        assert!(reach.is_final(), "{what}: {:?}", reach.stage);
        let done = reach.stage == Stage::Done;
        let said = reach.conversation.as_ref().map_or(0, |sid| {
            let messages = twilio.messages(sid.as_str());
            messages.iter().filter(|message| message.attributes.contains(reach.id.as_str())).count()
        });
        assert_eq!(said, usize::from(done), "{what}: said {said} times");
    }
    let items = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
    for record in items.iter().filter(|item| item["sid"].is_string()) {
        let conversation = twilio.conversation(record["sid"].as_str().unwrap());
        let is_over = conversation.is_none_or(|one| one.state == ConversationState::Closed);
        let said_over = ["closed", "closing"].contains(&record["stage"].as_str().unwrap_or_default());
        assert_eq!(said_over, is_over, "{what}: {record}");
    }
    let locks = items.iter().filter(|item| item["pk"].as_str().unwrap_or_default().starts_with("pair#"));
    assert_eq!(locks.count(), 0, "{what}: a lock is left");
}

/// Asks a process that is killed at `step`. Whether it was.
async fn asked_and_killed_at(rig: &Rig, case: Case, step: usize) -> bool {
    let fuse = Fuse::at(step);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let front = rig.front_in(&world);
    fuse.guard(ask(&front, "k1", &asked(rig, case))).await.is_none()
}

async fn sweep_killed_at(rig: &Rig, step: usize) -> bool {
    let fuse = Fuse::at(step);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let sweeper = rig.system.orphan_sweeper(&world);
    fuse.guard(system::sweep(&sweeper)).await.is_none()
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_of_any_kind_one_sweep_finishes_or_undoes_it() {
    let own = ReachId::of(&Caller::BackEnd, "k1");
    let mut deaths = 0;
    for case in cases() {
        for step in 0.. {
            let rig = rig(case).await;
            if !asked_and_killed_at(&rig, case, step).await {
                break;
            }
            deaths += 1;
            // It reads first, and then writes down what it is about to do.
            assert_eq!(reaches(&rig).await.iter().any(|reach| reach.id == own), step > 2, "{case:?}, {step}");
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("{case:?}, killed at step {step}")).await;
        }
    }
    assert!(deaths > 400, "{deaths} deaths");
}

/// Found by the simulation: who could not find out took it for not sent.
#[tokio::test(start_paused = true)]
async fn a_message_of_which_nobody_can_find_out_is_not_sent_again() {
    let throttled = Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    for what in [throttled, Misbehaviour::Hang] {
        let case = Case { kind: "system", on_conflict: "reject", before: Before::Nothing };
        let rig = rig(case).await;
        let on = |route| Matcher::route(route);
        let lost = Misbehaviour::LostAfter;
        let send = on("POST /v1/Conversations/{sid}/Messages");
        rig.system.twilio.misbehave(Fault { on: send, times: Times::Next(1), what: lost });
        let look = on("GET /v1/Conversations/{sid}/Messages");
        rig.system.twilio.misbehave(Fault { on: look, times: Times::Forever, what });
        let front = rig.front().await;
        assert_eq!(ask(&front, "k1", &asked(&rig, case)).await.status, 202);
        for _ in 0..3 {
            rig.sweep_after_a_minute().await;
        }
        rig.system.twilio.behave();
        for _ in 0..5 {
            rig.sweep_after_a_minute().await;
        }
        assert_sound(&rig, "looked in vain").await;
    }
}

/// Found by the simulation: a conversation was left behind whose making was answered by a lost connection first, and
/// refused when it was asked for again.
#[tokio::test(start_paused = true)]
async fn a_conversation_that_is_refused_after_its_answer_was_lost_is_not_left_behind() {
    for case in cases().into_iter().filter(|case| case.before == Before::Nothing) {
        let rig = rig(case).await;
        let refused = Misbehaviour::Status { status: 400, code: 20001, retry_after: None };
        for (times, what) in [(Times::Next(1), Misbehaviour::LostAfter), (Times::Forever, refused)] {
            let on = Matcher::route("POST /v1/Conversations");
            rig.system.twilio.misbehave(Fault { on, times, what });
        }
        let front = rig.front().await;
        assert_eq!(ask(&front, "k1", &asked(&rig, case)).await.status, 202, "{case:?}");
        assert_eq!(rig.system.twilio.conversations().len(), 1);
        rig.sweep_after_a_minute().await;
        assert_eq!(ask(&front, "k1", &asked(&rig, case)).await.status, 502, "{case:?}");
        assert!(rig.system.twilio.conversations().is_empty(), "{case:?}");
        assert_sound(&rig, &format!("{case:?}")).await;
    }
}

/// The same key, asked again after the death, gets what the sweep made of it.
#[tokio::test(start_paused = true)]
async fn killed_at_any_step_the_caller_asks_again_and_learns_what_became_of_it() {
    for kind in ["agent", "api", "system"] {
        let case = Case { kind, on_conflict: "reject", before: Before::Nothing };
        for step in 0.. {
            let rig = rig(case).await;
            if !asked_and_killed_at(&rig, case, step).await {
                break;
            }
            rig.pass(Duration::from_mins(1)).await;
            let front = rig.front().await;
            let told = ask(&front, "k1", &asked(&rig, case)).await;
            // Killed before anything was written, it is the first of its kind.
            let status = if step <= 2 { 201 } else { 200 };
            assert_eq!(
                (told.status, &*told.text("status")),
                (status, "open"),
                "{kind}, step {step}: {told:?}"
            );
            assert_sound(&rig, &format!("{kind}, killed at step {step}, asked again")).await;
        }
    }
}

/// Whoever finishes the work of a dead process dies as well, at each step of its own.
#[tokio::test(start_paused = true)]
async fn killed_at_any_step_the_sweeper_is_followed_by_another() {
    for case in [
        Case { kind: "agent", on_conflict: "reject", before: Before::Nothing },
        Case { kind: "system", on_conflict: "reject", before: Before::Elsewhere },
        Case { kind: "api", on_conflict: "join", before: Before::Parked },
    ] {
        for step in (3..).step_by(4) {
            let mut killed_once = false;
            // The first steps of a sweep are reads of the index.
            for sweep_step in (32..).step_by(3) {
                let rig = rig(case).await;
                killed_once = asked_and_killed_at(&rig, case, step).await;
                if !killed_once {
                    break;
                }
                rig.pass(Duration::from_mins(1)).await;
                let killed = sweep_killed_at(&rig, sweep_step).await;
                rig.sweep_after_a_minute().await;
                assert_sound(&rig, &format!("{case:?}, killed at {step}, the sweep at {sweep_step}")).await;
                if !killed {
                    break;
                }
            }
            if !killed_once {
                break;
            }
        }
    }
}

/// Two sweepers and the caller take up the work of a dead process at once.
#[tokio::test(start_paused = true)]
async fn several_who_take_over_at_once_do_it_once() {
    use futures_util::future::join3;
    for case in cases() {
        for step in (3..).step_by(2) {
            let rig = rig(case).await;
            if !asked_and_killed_at(&rig, case, step).await {
                break;
            }
            rig.pass(Duration::from_mins(1)).await;
            let world = rig.unhurried_world().await;
            let sweepers = [rig.system.orphan_sweeper(&world), rig.system.orphan_sweeper(&world)];
            let front = rig.front_in(&world);
            let body = asked(&rig, case);
            let again = ask(&front, "k1", &body);
            join3(system::sweep(&sweepers[0]), system::sweep(&sweepers[1]), again).await;
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("{case:?}, killed at step {step}, taken over by three")).await;
        }
    }
}

/// A process that was frozen for longer than its lease goes on where it was, while another has taken over.
#[tokio::test(start_paused = true)]
async fn an_owner_that_wakes_up_after_its_lease_does_nothing_more() {
    use flexglue_tests::wires::Gate;
    use std::sync::Arc;
    for case in [
        Case { kind: "agent", on_conflict: "reject", before: Before::Nothing },
        Case { kind: "system", on_conflict: "reject", before: Before::Nothing },
        Case { kind: "api", on_conflict: "join", before: Before::Parked },
    ] {
        for (to_twilio, number) in
            [true, false].into_iter().flat_map(|to| (1..8).map(move |number| (to, number)))
        {
            let rig = rig(case).await;
            let gate = Gate::after(number);
            let wire = |to| gate.wire(to);
            let world = if to_twilio {
                rig.system.world_through(wire, |to| to).await
            } else {
                rig.system.world_through(|to| to, wire).await
            };
            let front = Arc::new(rig.front_in(&world));
            let body = asked(&rig, case);
            let mut frozen = tokio::spawn({
                let (front, body) = (Arc::clone(&front), body.clone());
                async move { ask(&front, "k1", &body).await }
            });
            tokio::select! {
                () = gate.reached() => {}
                // It has fewer requests than that.
                told = &mut frozen => {
                    assert_eq!(told.unwrap().text("status"), "open");
                    continue;
                }
            }
            rig.sweep_after_a_minute().await;
            gate.open();
            frozen.await.unwrap();
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("{case:?}, frozen at {number}, Twilio {to_twilio}")).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_changes_nothing_says_what_it_would_do() {
    use orphan_sweeper::SweepRequest;
    let case = Case { kind: "agent", on_conflict: "reject", before: Before::Nothing };
    let rig = rig(case).await;
    assert!(asked_and_killed_at(&rig, case, 12).await);
    rig.pass(Duration::from_mins(1)).await;
    let before = (rig.system.twilio.requests().len(), reaches(&rig).await);
    let sweeper = rig.system.orphan_sweeper(&rig.system.world().await);
    let request = SweepRequest { dry_run: true, ..SweepRequest::default() };
    let report = sweeper.sweep(request, flexglue_tests::rig::forever()).await;
    let planned = report.plan.iter().find(|planned| planned.outbound_id.is_some()).expect("it is planned");
    assert_eq!(planned.would, "go on with an outbound reach");
    assert!(planned.conversation_sid.is_some());
    assert_eq!(reaches(&rig).await, before.1);
    let posts = rig.system.twilio.requests().into_iter().skip(before.0).filter(|one| one.method == "POST");
    assert_eq!(posts.count(), 0);
}

/// However much time an invocation has: an owner asks within its lease only, and well before it ends.
#[tokio::test(start_paused = true)]
async fn the_right_to_go_on_ends_with_the_lease() {
    use shared::{clock::Deadline, parts::Parts};
    let case = Case { kind: "agent", on_conflict: "reject", before: Before::Nothing };
    let rig = rig(case).await;
    assert!(asked_and_killed_at(&rig, case, 5).await);
    let begun = reaches(&rig).await.remove(0);
    let before = rig.system.twilio.requests().len();
    rig.pass(Duration::from_secs(16)).await;
    let parts = Parts::new("test", &rig.system.settings, &rig.system.world().await);
    let owner = match &begun.stage {
        Stage::Making { at_work: Some(at_work), .. } => at_work.owner.clone(),
        stage => panic!("{stage:?}"),
    };
    let hour = Deadline::within(Duration::from_hours(1));
    let after = parts.reacher.go_on(begun.clone(), &owner, true, hour).await;
    assert_eq!((after, rig.system.twilio.requests().len()), (begun, before));
}

/// What Twilio was asked for has happened, and nobody learns of it.
#[tokio::test(start_paused = true)]
async fn an_answer_of_twilios_that_is_lost_is_looked_up_and_not_asked_for_again() {
    for case in cases() {
        for lost in 0.. {
            let rig = rig(case).await;
            let before = rig.system.twilio.requests().len();
            let world = rig
                .system
                .world_through(
                    |to| std::sync::Arc::new(Forgetful::new(to, move |number, _| number == lost)),
                    |to| to,
                )
                .await;
            let told = ask(&rig.front_in(&world), "k1", &asked(&rig, case)).await;
            let asked_for = rig.system.twilio.requests().len() - before;
            if lost >= asked_for {
                break;
            }
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("{case:?}, answer {lost} lost: {told:?}")).await;
        }
    }
}

/// The table's answer is lost, or the table fails, at every request.
#[tokio::test(start_paused = true)]
async fn a_table_that_fails_at_any_step_loses_nothing() {
    for kind in ["agent", "system"] {
        let case = Case { kind, on_conflict: "reject", before: Before::Nothing };
        for lost in 0..16 {
            let rig = rig(case).await;
            let world = rig
                .system
                .world_through(
                    |to| to,
                    |to| std::sync::Arc::new(Forgetful::new(to, move |number, _| number == lost)),
                )
                .await;
            ask(&rig.front_in(&world), "k1", &asked(&rig, case)).await;
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("{case:?}, the table's answer {lost} lost")).await;
        }
    }
}

/// Twilio: slow down, broken, silent, or not Twilio at all; for a while, on each resource in turn.
#[tokio::test(start_paused = true)]
async fn a_twilio_that_is_down_for_a_while_delays_and_leaves_nothing_behind() {
    let routes = [
        "GET /v1/ParticipantConversations",
        "POST /v1/Conversations",
        "POST /v1/Conversations/{sid}/Participants",
        "GET /v1/Conversations/{sid}/Webhooks",
        "POST /v1/Conversations/{sid}/Webhooks",
        "POST /v1/Interactions",
        "POST /v1/Conversations/{sid}/Messages",
    ];
    let ways = [
        Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(3) },
        Misbehaviour::Status { status: 500, code: 20500, retry_after: None },
        Misbehaviour::LostBefore,
        Misbehaviour::LostAfter,
        Misbehaviour::Malformed,
        Misbehaviour::Hang,
    ];
    for kind in ["agent", "system"] {
        for route in routes {
            for what in &ways {
                let case = Case { kind, on_conflict: "reject", before: Before::Nothing };
                let rig = rig(case).await;
                let front = rig.front().await;
                let on = Matcher::route(route);
                rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what: what.clone() });
                let told = ask(&front, "k1", &asked(&rig, case)).await;
                assert!(matches!(told.status, 201 | 202), "{kind} {route} {what:?}: {told:?}");
                for _ in 0..3 {
                    rig.sweep_after_a_minute().await;
                }
                rig.system.twilio.behave();
                for _ in 0..6 {
                    rig.sweep_after_a_minute().await;
                }
                assert_sound(&rig, &format!("{kind} {route} {what:?}")).await;
                let again = ask(&front, "k1", &asked(&rig, case)).await;
                assert_eq!((again.status, &*again.text("status")), (200, "open"), "{kind} {route} {what:?}");
            }
        }
    }
}

/// Trap 15.
#[tokio::test(start_paused = true)]
async fn what_twilio_refuses_for_good_is_undone_and_told() {
    for (route, code, error) in [
        ("GET /v1/ParticipantConversations", 20400, "none: it is only advice"),
        ("POST /v1/Conversations", 50350, "twilio_refused"),
        ("POST /v1/Conversations/{sid}/Participants", 50407, "invalid"),
        ("POST /v1/Conversations/{sid}/Participants", 50408, "invalid"),
        ("POST /v1/Conversations/{sid}/Participants", 50425, "participant_in_conversation"),
        ("POST /v1/Conversations/{sid}/Participants", 50438, "twilio_refused"),
        ("POST /v1/Interactions", 45367, "twilio_refused"),
    ] {
        for kind in ["agent", "api"] {
            let case = Case { kind, on_conflict: "reject", before: Before::Nothing };
            let rig = rig(case).await;
            let front = rig.front().await;
            let what = Misbehaviour::Status { status: 400, code, retry_after: None };
            rig.system.twilio.misbehave(Fault { on: Matcher::route(route), times: Times::Forever, what });
            let told = ask(&front, "k1", &asked(&rig, case)).await;
            if route.starts_with("GET") {
                assert_eq!(told.status, 201, "{kind} {route}: {told:?}");
                continue;
            }
            let status = match error {
                "invalid" => 422,
                "participant_in_conversation" => 409,
                _ => 502,
            };
            assert_eq!((told.status, &*told.text("error")), (status, error), "{kind} {route}: {told:?}");
            rig.system.twilio.behave();
            assert_sound(&rig, &format!("{kind} {route}")).await;
            assert_eq!(ask(&front, "k2", &asked(&rig, case)).await.status, 201, "the number is free again");
        }
    }
}

/// A reach that joins a conversation and then cannot be made leaves it as it was: an earlier reminder's reply is
/// served with that reminder's context, and nobody is called or closed for a reach that was refused.
#[tokio::test(start_paused = true)]
async fn a_joined_conversation_is_as_it_was_when_the_reach_cannot_be_made() {
    for (status, code, minutes, told) in [(400, 45367, 0, 502), (429, 20429, 75, 504)] {
        let case = Case { kind: "agent", on_conflict: "join", before: Before::Reminded };
        let rig = rig(case).await;
        let front = rig.front().await;
        let reminder = ReachId::of(&Caller::BackEnd, "before");
        let what = Misbehaviour::Status { status, code, retry_after: None };
        let on = Matcher::route("POST /v1/Interactions");
        rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what });
        ask(&front, "k1", &asked(&rig, case)).await;
        for _ in 0..minutes {
            rig.sweep_after_a_minute().await;
        }
        let answer = ask(&front, "k1", &asked(&rig, case)).await;
        assert_eq!(answer.status, told, "{answer:?}");
        assert_sound(&rig, "given back").await;
        rig.system.twilio.behave();
        for _ in 0..20 {
            rig.sweep_after_a_minute().await;
        }
        assert!(rig.system.twilio.interactions().is_empty(), "nobody asked for one");
        let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Yes?").conversation_sid;
        rig.deliver_all(&front).await;
        let live = rig.live_interactions(&sid);
        assert_eq!((live.len(), live[0].initiated_by), (1, simulator::InitiatedBy::Customer));
        let attributes = rig.system.twilio.task(&live[0].task_sid).unwrap().attributes;
        assert_eq!(attributes["outbound"]["id"], reminder.as_str());
    }
}

/// Found by the simulation: so is an earlier reach, whose Interaction did not come up, and whose customer waits still.
#[tokio::test(start_paused = true)]
async fn an_earlier_reach_is_not_forgotten_with_one_that_joined_it() {
    let earlier = Case { kind: "api", on_conflict: "reject", before: Before::Nothing };
    let rig = rig(earlier).await;
    let front = rig.front().await;
    let twilio = &rig.system.twilio;
    let what = Misbehaviour::FailSetUp { code: 45381 };
    twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
    assert_eq!(ask(&front, "k1", &asked(&rig, earlier)).await.status, 201);
    let what = Misbehaviour::Status { status: 400, code: 45367, retry_after: None };
    twilio.misbehave(Fault { on: Matcher::route("POST /v1/Interactions"), times: Times::Forever, what });
    rig.sweep_after_a_minute().await;
    rig.pass(Duration::from_mins(1)).await;
    let later = Case { kind: "agent", on_conflict: "join", before: Before::Nothing };
    assert_eq!(ask(&front, "k2", &asked(&rig, later)).await.status, 502);
    twilio.behave();
    rig.sweep_after_a_minute().await;
    let sid = &twilio.conversations()[0].sid;
    let live = rig.live_interactions(sid);
    assert_eq!(live.len(), 1);
    let attributes = twilio.task(&live[0].task_sid).unwrap().attributes;
    assert_eq!(attributes["outbound"]["id"], ReachId::of(&Caller::BackEnd, "k1").as_str());
}

/// An hour of it is enough: nobody wants to be called back then.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_for_an_hour_is_given_up_with_nothing_left() {
    let case = Case { kind: "agent", on_conflict: "reject", before: Before::Nothing };
    let rig = rig(case).await;
    let front = rig.front().await;
    let what = Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    let on = Matcher::route("POST /v1/Interactions");
    rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what });
    let told = ask(&front, "k1", &asked(&rig, case)).await;
    assert_eq!(told.status, 202);
    for _ in 0..75 {
        rig.sweep_after_a_minute().await;
    }
    let told = ask(&front, "k1", &asked(&rig, case)).await;
    assert_eq!((told.status, &*told.text("error")), (504, "given_up"));
    assert_sound(&rig, "given up").await;
    rig.system.twilio.behave();
    for _ in 0..10 {
        rig.sweep_after_a_minute().await;
    }
    assert_sound(&rig, "and it stays so").await;
}

/// The customer writes into the conversation of a reach that then cannot be made: they are served like anybody.
#[tokio::test(start_paused = true)]
async fn a_customer_who_writes_into_what_is_undone_is_served() {
    let case = Case { kind: "agent", on_conflict: "reject", before: Before::Nothing };
    let rig = rig(case).await;
    let front = rig.front().await;
    let what = Misbehaviour::Status { status: 429, code: 20429, retry_after: None };
    let on = Matcher::route("POST /v1/Interactions");
    rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what });
    let told = ask(&front, "k1", &asked(&rig, case)).await;
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "by the way").conversation_sid;
    rig.system.twilio.behave();
    let what = Misbehaviour::Status { status: 400, code: 45367, retry_after: None };
    let on = Matcher::route("POST /v1/Interactions");
    rig.system.twilio.misbehave(Fault { on, times: Times::Next(1), what });
    for _ in 0..4 {
        rig.sweep_after_a_minute().await;
    }
    let told = ask(&front, "k1", &with(asked(&rig, case), &json!({}))).await.status.max(told.status);
    assert_eq!(told, 502);
    assert_eq!(rig.system.twilio.conversation(&sid).unwrap().state, ConversationState::Active);
    let live = rig.live_interactions(&sid);
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].initiated_by, simulator::InitiatedBy::Customer);
}

/// Two hundred requests for twenty customers, who write meanwhile.
#[tokio::test(start_paused = true)]
async fn two_hundred_at_once_for_twenty_customers_who_write_meanwhile() {
    use futures_util::{StreamExt as _, stream};
    for seed in 0..6 {
        let rig = Rig::with(seed, |account| account.duplicate_guard = false, &[]);
        let front = &rig.front_in(&rig.unhurried_world().await);
        let customer = |number: u64| format!("+1555123{number:04}");
        let told: Vec<(u64, Told)> = stream::iter(0..200_u64)
            .map(|number| {
                let rig = &rig;
                let kind = ["agent", "api", "system"][usize::try_from(rig.random.next() % 3).unwrap()];
                let on_conflict =
                    ["reject", "reject", "join", "replace"][usize::try_from(rig.random.next() % 4).unwrap()];
                let pair = number % 20;
                let asked = body(rig, kind, &json!({"to": customer(pair), "on_conflict": on_conflict}));
                async move {
                    if rig.random.next().is_multiple_of(5) {
                        rig.system.twilio.customer_writes(&customer(pair), SMS_NUMBER, "hello");
                        rig.deliver_all(front).await;
                    }
                    (pair, ask(front, &format!("k{number}"), &asked).await)
                }
            })
            .buffer_unordered(40)
            .collect()
            .await;
        rig.deliver_all(front).await;
        for (pair, told) in &told {
            let what = format!("seed {seed}: {told:?}");
            match told.status {
                201 | 200 => {
                    let sid = told.text("conversation_sid");
                    let conversation = rig.system.twilio.conversation(&sid).expect("it is there");
                    assert!(conversation.bound(&customer(*pair), SMS_NUMBER).is_some(), "{what}");
                    let is_system = told.body.get("interaction_sid").is_none();
                    let interactions = rig.system.twilio.interactions_on(&sid);
                    let has_it = interactions.iter().any(|one| one.sid == told.text("interaction_sid"));
                    assert!(is_system || has_it, "{what}");
                }
                202 => assert_eq!(told.text("status"), "pending", "{what}"),
                409 => {
                    let error = told.text("error");
                    let known = ["participant_in_conversation", "pair_busy", "conversation_closed"];
                    assert!(known.contains(&error.as_str()), "{what}");
                }
                _ => panic!("{what}"),
            }
        }
        let made = told.iter().filter(|(_, told)| told.status == 201).count();
        assert!(made >= 8, "seed {seed}: {made}");
        for _ in 0..3 {
            rig.sweep_after_a_minute().await;
            rig.deliver_all(front).await;
        }
        assert_sound(&rig, &format!("seed {seed}")).await;
    }
}
