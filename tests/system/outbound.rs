//! Reaching out: every kind, every conflict, every way in which it may break.

use std::time::Duration;

use flexglue::local::{gateway::Routes, system::SMS_NUMBER};
use flexglue_tests::{
    outbound::{ask, reach, tell, with},
    rig::{CUSTOMER, Rig},
};
use serde_json::{Value, json};
use shared::conversation::Stage;
use simulator::{ConversationState, TaskStatus};

/// The conversations of our service that are not closed.
fn open_conversations(rig: &Rig) -> Vec<simulator::Conversation> {
    let mut conversations = rig.system.twilio.conversations();
    conversations.retain(|conversation| conversation.state != ConversationState::Closed);
    conversations
}

fn task_attributes(rig: &Rig, task: &str) -> Value {
    Value::Object(rig.system.twilio.task(task).expect("the task is there").attributes)
}

fn body(rig: &Rig, kind: &str) -> Value {
    reach(&rig.system.twilio.settings(), kind)
}

/// What the customer was sent.
fn words(rig: &Rig, conversation: &str) -> Vec<(String, String)> {
    let messages = rig.system.twilio.messages(conversation);
    messages.into_iter().map(|message| (message.author, message.body.unwrap_or_default())).collect()
}

async fn front(rig: &Rig) -> Routes {
    rig.front().await
}

#[tokio::test(start_paused = true)]
async fn an_agent_reaches_out_and_has_the_task() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let told = ask(&front, "k1", &body(&rig, "agent")).await;
    assert_eq!((told.status, told.text("status")), (201, "open".to_owned()), "{told:?}");
    rig.pass(Duration::from_secs(1)).await;
    let sid = told.text("conversation_sid");
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert!(conversation.bound(CUSTOMER, SMS_NUMBER).is_some());
    assert_eq!(conversation.closed_after_ms, Some(24 * 3600 * 1000));
    assert_eq!(rig.live_interactions(&sid)[0].sid, told.text("interaction_sid"));
    let task = rig.system.twilio.task(&told.text("task_sid")).unwrap();
    assert_eq!(task.status, TaskStatus::Assigned, "the agent who began has it");
    let attributes = Value::Object(task.attributes);
    assert_eq!(attributes["case"], 7);
    assert_eq!(attributes["customerName"], "Ada");
    assert_eq!(attributes["direction"], "outbound");
    assert_eq!(attributes["outbound"], json!({"id": told.text("id"), "initiatedBy": "agent"}));
    assert_eq!(words(&rig, &sid), [("system".to_owned(), "Your order is ready.".to_owned())]);
    assert!(rig.system.twilio.warnings().is_empty());
    assert!(matches!(rig.record(&sid).await.unwrap().stage, Stage::SettingUp));
    let told = tell(&front, &told.text("id")).await;
    assert_eq!(told.body["message"]["status"], "sent");
    rig.sweep_after_a_minute().await;
    assert!(matches!(rig.record(&sid).await.unwrap().stage, Stage::Open));
    assert_eq!(tell(&front, &told.text("id")).await.body["message"]["status"], "delivered");
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_asked_to_be_contacted_is_routed_like_one_who_writes() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let told = ask(&front, "k1", &body(&rig, "api")).await;
    assert_eq!(told.status, 201, "{told:?}");
    rig.pass(Duration::from_secs(1)).await;
    let task = rig.system.twilio.task(&told.text("task_sid")).unwrap();
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.routing_target, None);
    assert_eq!(task.workflow_sid, rig.system.twilio.settings().workflow_sid);
    assert_eq!(task_attributes(&rig, &task.sid)["outbound"]["initiatedBy"], "api");
}

#[tokio::test(start_paused = true)]
async fn a_reminder_that_is_answered_becomes_one_interaction_with_its_context() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let told = ask(&front, "k1", &body(&rig, "system")).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert!(told.body.get("interaction_sid").is_none() && told.body.get("task_sid").is_none());
    let sid = told.text("conversation_sid");
    assert!(rig.system.twilio.interactions().is_empty());
    assert_eq!(words(&rig, &sid), [("system".to_owned(), "Your order is ready.".to_owned())]);
    rig.sweep_after_a_minute().await;
    assert!(rig.system.twilio.interactions().is_empty(), "nobody has answered");
    let written = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Thank you! Until when?");
    assert_eq!(written.conversation_sid, sid);
    let answers = rig.deliver_all(&front).await;
    assert_eq!(answers.iter().filter(|answer| answer.outcome == "created").count(), 1, "{answers:?}");
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Hello?");
    rig.deliver_all(&front).await;
    let live = rig.live_interactions(&sid);
    assert_eq!(live.len(), 1);
    let attributes = task_attributes(&rig, &live[0].task_sid);
    assert_eq!(attributes["outbound"], json!({"id": told.text("id"), "initiatedBy": "system"}));
    assert_eq!((&attributes["case"], &attributes["customerName"]), (&json!(7), &json!("Ada")));
    assert_eq!(attributes["direction"], "inbound");
}

#[tokio::test(start_paused = true)]
async fn a_flow_hears_of_replies_where_one_is_named() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let flow = format!("FW{:032x}", 7);
    let told = ask(&front, "k1", &with(body(&rig, "system"), &json!({"flow_sid": flow}))).await;
    assert_eq!(told.status, 201, "{told:?}");
    let webhooks = rig.system.twilio.conversation(&told.text("conversation_sid")).unwrap().webhooks;
    assert_eq!(webhooks.len(), 1);
    assert_eq!(webhooks[0].target, simulator::Target::Studio { flow_sid: flow });
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Thank you!");
    for _ in 0..10 {
        rig.deliver_all(&front).await;
        rig.sweep_after_a_minute().await;
    }
    assert!(rig.system.twilio.interactions().is_empty(), "the flow has it");
}

// --- The customer is in a conversation already -------------------------------------------------------------

/// How often Twilio was asked to do something.
fn posts(rig: &Rig) -> usize {
    rig.system.twilio.requests().iter().filter(|request| request.method == "POST").count()
}

/// The locks on pairs of addresses that are held.
fn locks(rig: &Rig) -> usize {
    let items = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
    items.iter().filter(|item| format!("{item:?}").contains("pair#")).count()
}

/// The customer has written, and an agent of this number serves them; gives conversation, Interaction and task.
async fn served(rig: &Rig, front: &Routes, agent: usize) -> (String, String, String) {
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    rig.deliver_all(front).await;
    rig.pass(Duration::from_secs(1)).await;
    let interaction = rig.live_interactions(&sid).remove(0);
    let worker = rig.system.twilio.settings().workers[agent].sid.clone();
    rig.system.twilio.agent_accepts(&interaction.task_sid, &worker).unwrap();
    (sid, interaction.sid, interaction.task_sid)
}

/// Nothing but what was there before is there, closed conversations and locks included.
fn assert_nothing_left(rig: &Rig, before: usize) {
    let conversations: Vec<_> =
        rig.system.twilio.conversations().into_iter().map(|found| (found.sid, found.state)).collect();
    assert_eq!(conversations.len(), before, "{conversations:?}");
    assert_eq!(locks(rig), 0);
}

/// Trap 13.
#[tokio::test(start_paused = true)]
async fn active_and_inactive_conversations_are_in_the_way_and_closed_ones_are_not() {
    for kind in ["agent", "api", "system"] {
        let rig = Rig::new();
        let front = front(&rig).await;
        let (sid, interaction, task) = served(&rig, &front, 0).await;
        let path = format!("/v1/Conversations/{sid}");
        for (number, state) in ["active", "inactive"].into_iter().enumerate() {
            rig.rest(http::Method::POST, &path, &format!("State={state}")).await;
            let before = posts(&rig);
            let told = ask(&front, &format!("k{number}"), &body(&rig, kind)).await;
            assert_eq!(posts(&rig), before, "nothing is made in order to find out");
            let expected = (409, "participant_in_conversation", &*sid, state, &*interaction);
            let seen = ["error", "conversation_sid", "state", "interaction_sid"].map(|name| told.text(name));
            let [error, conversation, state, interaction] = &seen;
            assert_eq!(
                (told.status, &**error, &**conversation, &**state, &**interaction),
                expected,
                "{kind}"
            );
            assert_nothing_left(&rig, 1);
            let again = ask(&front, &format!("k{number}"), &body(&rig, kind)).await;
            assert_eq!((again.status, &again.body), (told.status, &told.body), "{kind}");
        }
        rig.system.twilio.agent_ends_chat(&task).unwrap();
        let told = ask(&front, "k9", &body(&rig, kind)).await;
        assert_eq!(told.status, 201, "{kind}: {told:?}");
    }
}

/// A customer who has been here before: the conversation that counts is on the last of several pages.
#[tokio::test(start_paused = true)]
async fn every_page_of_a_customers_past_is_looked_at() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let mut newest = String::new();
    for _ in 0..120 {
        if !newest.is_empty() {
            rig.system.twilio.close_conversation(&newest, simulator::Reason::Api).unwrap();
        }
        newest = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    }
    drop(rig.system.twilio.take_webhooks());
    // The list is sorted by SID: whichever page it is on, the open one must be found.
    let told = ask(&front, "k1", &body(&rig, "agent")).await;
    assert_eq!((told.status, told.text("conversation_sid")), (409, newest));
    assert_eq!(posts(&rig), 0, "nothing was made in order to find out");
}

/// Trap 14: Twilio decides when the participant is added, and need not say which conversation it is.
#[tokio::test(start_paused = true)]
async fn the_pair_is_taken_where_no_look_could_have_shown_it() {
    for named in [true, false] {
        for conflict in ["reject", "join", "replace"] {
            let rig = Rig::with(1, |account| account.conflict_names_conversation = named, &[]);
            let front = front(&rig).await;
            let elsewhere = rig.system.twilio.conversation_elsewhere(CUSTOMER, SMS_NUMBER);
            let asked = with(body(&rig, "agent"), &json!({"on_conflict": conflict}));
            let told = ask(&front, "k1", &asked).await;
            assert_eq!((told.status, &*told.text("error")), (409, "participant_in_conversation"), "{told:?}");
            assert_eq!(told.text("conversation_sid"), if named { elsewhere.clone() } else { String::new() });
            assert_nothing_left(&rig, 0);
            let theirs = rig.system.twilio.conversation(&elsewhere).unwrap();
            assert_eq!(theirs.state, ConversationState::Active, "it is another service's");
        }
    }
}

/// The customer writes between our look and our participant: a conversation comes into being that nobody saw.
#[tokio::test(start_paused = true)]
async fn a_customer_who_writes_at_that_very_moment_is_not_blocked() {
    use flexglue_tests::wires::Gate;
    for named in [true, false] {
        for (conflict, status) in [("reject", 409), ("join", 200), ("replace", 201)] {
            let rig = Rig::with(1, |account| account.conflict_names_conversation = named, &[]);
            let healthy = front(&rig).await;
            // The second answer of Twilio is the new conversation's.
            let gate = Gate::after(2);
            let world = rig.system.world_through(|to| gate.wire(to), |to| to).await;
            let front = std::sync::Arc::new(rig.front_in(&world));
            let asked = with(body(&rig, "agent"), &json!({"on_conflict": conflict}));
            let reaching = tokio::spawn({
                let (front, asked) = (std::sync::Arc::clone(&front), asked.clone());
                async move { ask(&front, "k1", &asked).await }
            });
            gate.reached().await;
            let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
            rig.deliver_all(&healthy).await;
            rig.pass(Duration::from_secs(1)).await;
            gate.open();
            let told = reaching.await.unwrap();
            assert_eq!(told.status, status, "{conflict}: {told:?}");
            let open = open_conversations(&rig);
            assert_eq!(open.len(), 1, "{conflict}");
            assert_eq!(open[0].sid == sid, conflict != "replace", "{conflict}");
            assert_eq!(rig.live_interactions(&open[0].sid).len(), 1, "{conflict}");
            assert_eq!(locks(&rig), 0);
            let made = rig.system.twilio.conversations().len();
            assert_eq!(made, if conflict == "replace" { 2 } else { 1 }, "a spare one is deleted");
        }
    }
}

/// Twilio refuses the participant, and a moment later the conversation that was in the way is closed.
#[tokio::test(start_paused = true)]
async fn what_was_in_the_way_and_is_closed_is_not_in_the_way() {
    use flexglue_tests::wires::Gate;
    let rig = Rig::new();
    let [making, adding] = [Gate::after(2), Gate::after(3)];
    let world = rig.system.world_through(|to| adding.wire(making.wire(to)), |to| to).await;
    let front = std::sync::Arc::new(rig.front_in(&world));
    let body = body(&rig, "agent");
    let reaching = tokio::spawn({
        let front = std::sync::Arc::clone(&front);
        async move { ask(&front, "k1", &body).await }
    });
    making.reached().await;
    let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
    making.open();
    adding.reached().await;
    rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
    adding.open();
    let told = reaching.await.unwrap();
    assert_eq!(told.status, 201, "{told:?}");
    assert_ne!(told.text("conversation_sid"), sid);
}

#[tokio::test(start_paused = true)]
async fn joining_a_conversation_whose_agent_is_another_invites_and_never_adds() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let (sid, interaction, task) = served(&rig, &front, 1).await;
    let join = with(body(&rig, "agent"), &json!({"on_conflict": "join"}));
    let told = ask(&front, "k1", &join).await;
    assert_eq!((told.status, told.text("status")), (200, "open".to_owned()), "{told:?}");
    assert_eq!((told.text("conversation_sid"), told.text("interaction_sid")), (sid.clone(), interaction));
    let invited = rig.system.twilio.task(&told.text("task_sid")).unwrap();
    assert_ne!(invited.sid, task);
    assert!(invited.by_invite);
    let settings = rig.system.twilio.settings();
    assert_eq!(invited.routing_target, Some(settings.workers[0].sid.clone()));
    let people = |rig: &Rig| rig.system.twilio.participants(&sid).len();
    assert_eq!(people(&rig), 2, "the customer and the agent who was there");
    rig.system.twilio.agent_accepts(&invited.sid, &settings.workers[0].sid).unwrap();
    assert_eq!(people(&rig), 3);
    // The agent who is in it joins again: they are there.
    let told = ask(&front, "k2", &join).await;
    assert_eq!((told.status, told.text("task_sid")), (200, invited.sid));
    assert_eq!(rig.live_interactions(&sid).len(), 1);
}

/// They are still in it, but TaskRouter has taken the conversation away from them.
#[tokio::test(start_paused = true)]
async fn an_agent_whose_task_is_gone_is_invited_anew() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let (sid, _, task) = served(&rig, &front, 0).await;
    rig.system.twilio.task_is_deleted(&task).unwrap();
    let told = ask(&front, "k1", &with(body(&rig, "agent"), &json!({"on_conflict": "join"}))).await;
    assert_eq!((told.status, told.text("conversation_sid")), (200, sid), "{told:?}");
    let invited = rig.system.twilio.task(&told.text("task_sid")).unwrap();
    assert_ne!(invited.sid, task);
    assert_eq!(invited.routing_target, Some(rig.system.twilio.settings().workers[0].sid.clone()));
}

/// The customer has just written, and their webhook is being answered: whoever joins waits for that, and not for the
/// sweeper.
#[tokio::test(start_paused = true)]
async fn joining_a_conversation_that_is_being_opened_waits_a_moment() {
    use flexglue_tests::wires::Gate;
    let rig = Rig::new();
    let healthy = front(&rig).await;
    let gate = Gate::after(1);
    let world = rig.system.world_through(|to| gate.wire(to), |to| to).await;
    let slow = std::sync::Arc::new(rig.front_in(&world));
    let message = rig.message(CUSTOMER, "hello");
    let webhook = tokio::spawn({
        let slow = std::sync::Arc::clone(&slow);
        async move { slow.handle(message).await }
    });
    gate.reached().await;
    let join = with(body(&rig, "agent"), &json!({"on_conflict": "join"}));
    let joining = ask(&healthy, "k1", &join);
    let opening = async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        gate.open();
        webhook.await.unwrap()
    };
    let (told, _) = tokio::join!(joining, opening);
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(rig.live_interactions(&told.text("conversation_sid")).len(), 1);
}

/// Found by the simulation: whoever waited for a claim whose owner had died asked again and again, the same questions each
/// time, until its time was over.
#[tokio::test(start_paused = true)]
async fn joining_a_conversation_whose_claim_is_held_by_the_dead_asks_less_and_less_often() {
    use flexglue_tests::wires::{Fuse, Meter};
    let rig = Rig::new();
    // The claim is written, and then nothing more.
    let fuse = Fuse::at(1);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let dead = rig.front_in(&world);
    assert!(fuse.guard(dead.handle(rig.message(CUSTOMER, "hello"))).await.is_none());
    let meter = Meter::default();
    let world = rig.system.world_through(|to| to, |to| meter.wire(to)).await;
    let front = rig.front_in(&world);
    let asked = rig.system.twilio.requests().len();
    let join = with(body(&rig, "agent"), &json!({"on_conflict": "join"}));
    assert_eq!(ask(&front, "k1", &join).await.status, 202);
    let (reads, writes) = meter.requests();
    let of_twilio = rig.system.twilio.requests().len() - asked;
    assert!(reads + writes <= 15 && of_twilio <= 12, "{reads} reads, {writes} writes, {of_twilio} of Twilio");
    for _ in 0..3 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(tell(&front, &ask(&front, "k1", &join).await.text("id")).await.text("status"), "open");
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn joining_a_conversation_without_an_interaction_opens_one() {
    for kind in ["agent", "api"] {
        let rig = Rig::new();
        let front = front(&rig).await;
        let reminder = ask(&front, "k1", &body(&rig, "system")).await;
        let join = with(body(&rig, kind), &json!({"on_conflict": "join"}));
        let told = ask(&front, "k2", &join).await;
        assert_eq!(told.status, 200, "{kind}: {told:?}");
        assert_eq!(told.text("conversation_sid"), reminder.text("conversation_sid"));
        rig.pass(Duration::from_secs(1)).await;
        let live = rig.live_interactions(&told.text("conversation_sid"));
        assert_eq!(live.len(), 1);
        assert_eq!(live[0].sid, told.text("interaction_sid"));
        let attributes = task_attributes(&rig, &live[0].task_sid);
        assert_eq!(attributes["outbound"], json!({"id": told.text("id"), "initiatedBy": kind}));
        // The customer answers: the agent has it, and nobody else.
        rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Yes?");
        rig.deliver_all(&front).await;
        assert_eq!(rig.live_interactions(&told.text("conversation_sid")).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_to_be_contacted_joins_whoever_serves_the_customer() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let (sid, interaction, task) = served(&rig, &front, 0).await;
    let join = with(body(&rig, "api"), &json!({"on_conflict": "join", "message": null}));
    let told = ask(&front, "k1", &join).await;
    assert_eq!((told.status, told.text("interaction_sid")), (200, interaction.clone()), "{told:?}");
    assert_eq!(told.text("task_sid"), task, "nobody else is needed");
    // Parked: nobody is there, so that somebody is invited.
    rig.system.twilio.agent_parks(&task).unwrap();
    let told = ask(&front, "k2", &join).await;
    assert_eq!((told.status, told.text("interaction_sid")), (200, interaction));
    let invited = rig.system.twilio.task(&told.text("task_sid")).unwrap();
    assert_eq!((invited.status, invited.routing_target), (TaskStatus::Pending, None));
    assert_eq!(words(&rig, &sid).len(), 1, "nothing was said");
}

#[tokio::test(start_paused = true)]
async fn a_reminder_that_joins_is_said_where_the_customer_is() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let (sid, interaction, _) = served(&rig, &front, 0).await;
    let join = with(body(&rig, "system"), &json!({"on_conflict": "join"}));
    let told = ask(&front, "k1", &join).await;
    assert_eq!((told.status, told.text("interaction_sid")), (200, interaction), "{told:?}");
    assert_eq!(words(&rig, &sid).last().unwrap().1, "Your order is ready.");
    // A conversation that nobody serves: a reminder before this one.
    let other = json!({"to": "+15551230002", "on_conflict": "join"});
    let first = ask(&front, "k2", &with(body(&rig, "system"), &other)).await;
    let second = ask(&front, "k3", &with(body(&rig, "system"), &other)).await;
    assert_eq!((second.status, second.text("conversation_sid")), (200, first.text("conversation_sid")));
    let conversation = rig.system.twilio.conversation(&first.text("conversation_sid")).unwrap();
    assert_eq!((conversation.webhooks.len(), conversation.messages.len()), (1, 2));
    rig.system.twilio.customer_writes("+15551230002", SMS_NUMBER, "Yes?");
    rig.deliver_all(&front).await;
    let live = rig.live_interactions(&conversation.sid);
    assert_eq!(live.len(), 1);
    let attributes = task_attributes(&rig, &live[0].task_sid);
    assert_eq!(attributes["outbound"]["id"], second.text("id"), "what was said last is what they answer");
}

#[tokio::test(start_paused = true)]
async fn replacing_closes_what_no_agent_is_in_and_nothing_else() {
    for kind in ["agent", "api", "system"] {
        let rig = Rig::new();
        let front = front(&rig).await;
        let (sid, _, task) = served(&rig, &front, 1).await;
        let replace = with(body(&rig, kind), &json!({"on_conflict": "replace"}));
        let told = ask(&front, "k1", &replace).await;
        assert_eq!((told.status, told.text("conversation_sid")), (409, sid.clone()), "an agent is in it");
        assert_eq!(rig.system.twilio.conversation(&sid).unwrap().state, ConversationState::Active);
        rig.system.twilio.agent_parks(&task).unwrap();
        let told = ask(&front, "k2", &replace).await;
        assert_eq!(told.status, 201, "{kind}: {told:?}");
        let open = open_conversations(&rig);
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].sid, told.text("conversation_sid"));
        assert_ne!(open[0].sid, sid);
        assert!(rig.live_interactions(&sid).is_empty(), "its channel is closed with it");
        assert!(matches!(rig.record(&sid).await.unwrap().stage, Stage::Closed));
        assert_eq!(rig.metric("ConversationReplaced"), 1);
    }
}

/// The customer writes between our participant and our Interaction, and the service's own webhook tells of it: there
/// is one Interaction, and the agent who wanted to reach them is in it.
#[tokio::test(start_paused = true)]
async fn a_customer_who_writes_into_the_new_conversation_is_served_and_the_agent_joins() {
    use flexglue_tests::wires::Gate;
    for (kind, invited) in [("agent", 1), ("api", 0)] {
        let rig = Rig::with(
            1,
            |account| {
                let url = "https://flexglue.example/webhooks/conversations".to_owned();
                let filters = vec!["onMessageAdded".to_owned()];
                account.service_webhook = Some(simulator::ServiceWebhook { url, filters });
            },
            &[],
        );
        let healthy = front(&rig).await;
        // The third answer of Twilio is the participant's.
        let gate = Gate::after(3);
        let world = rig.system.world_through(|to| gate.wire(to), |to| to).await;
        let front = std::sync::Arc::new(rig.front_in(&world));
        let body = body(&rig, kind);
        let reaching = tokio::spawn({
            let front = std::sync::Arc::clone(&front);
            async move { ask(&front, "k1", &body).await }
        });
        gate.reached().await;
        let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
        let outcomes: Vec<_> = rig.deliver_all(&healthy).await.into_iter().map(|one| one.outcome).collect();
        assert!(outcomes.contains(&"created".to_owned()), "{outcomes:?}");
        rig.pass(Duration::from_secs(1)).await;
        gate.open();
        let told = reaching.await.unwrap();
        assert_eq!((told.status, told.text("conversation_sid")), (201, sid.clone()), "{kind}: {told:?}");
        assert_eq!(rig.live_interactions(&sid).len(), 1, "{kind}");
        let invites = rig
            .system
            .twilio
            .tasks()
            .into_iter()
            .filter(|task| task.by_invite && task.routing_target.is_some());
        assert_eq!(invites.count(), invited, "{kind}");
    }
}

// --- The same again ----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn the_same_key_gets_the_same_answer_for_a_day_and_makes_nothing() {
    let rig = Rig::new();
    let front = front(&rig).await;
    let asked = body(&rig, "agent");
    let first = ask(&front, "k1", &asked).await;
    for hours in [0, 1, 22] {
        rig.pass(Duration::from_hours(hours)).await;
        for _ in 0..3 {
            rig.sweep_after_a_minute().await;
        }
        let again = ask(&front, "k1", &asked).await;
        assert_eq!((again.status, &again.body), (200, &first.body), "after {hours} h");
    }
    // The order of its members is not what a request says.
    let reordered: Value = serde_json::from_str(&asked.to_string()).unwrap();
    assert_eq!(ask(&front, "k1", &reordered).await.status, 200);
    let other = ask(&front, "k1", &with(asked, &json!({"customer_name": "Bob"}))).await;
    assert_eq!((other.status, &*other.text("error")), (422, "idempotency_key_reused"));
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    assert_eq!(words(&rig, &first.text("conversation_sid")).len(), 1);
}

/// Trap 28.
#[tokio::test(start_paused = true)]
async fn while_one_is_under_way_the_same_key_and_the_same_pair_are_told_to_wait() {
    use flexglue_tests::wires::Gate;
    let rig = Rig::new();
    let healthy = front(&rig).await;
    for held in 1..=4 {
        let customer = format!("+1555124000{held}");
        let asked = with(body(&rig, "agent"), &json!({"to": customer}));
        let gate = Gate::after(held);
        let world = rig.system.world_through(|to| gate.wire(to), |to| to).await;
        let front = std::sync::Arc::new(rig.front_in(&world));
        let key = format!("k{held}");
        let reaching = tokio::spawn({
            let (front, asked, key) = (std::sync::Arc::clone(&front), asked.clone(), key.clone());
            async move { ask(&front, &key, &asked).await }
        });
        gate.reached().await;
        let same = ask(&healthy, &key, &asked).await;
        assert_eq!((same.status, &*same.text("error"), same.retry_after), (409, "in_progress", Some(2)));
        let pair = ask(&healthy, &format!("other{held}"), &asked).await;
        assert_eq!((pair.status, &*pair.text("error"), pair.retry_after), (409, "pair_busy", Some(2)));
        let stranger = json!({"to": format!("+1555125000{held}")});
        assert_eq!(ask(&healthy, &format!("stranger{held}"), &with(asked, &stranger)).await.status, 201);
        gate.open();
        assert_eq!(reaching.await.unwrap().status, 201);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_nobody_is_at_work_on_is_gone_on_with_by_whoever_asks_again() {
    use simulator::{Fault, Matcher, Misbehaviour, Times};
    let rig = Rig::new();
    let front = front(&rig).await;
    let down = Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(30) };
    let on = Matcher::route("POST /v1/Interactions");
    rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what: down });
    let asked = body(&rig, "agent");
    let first = ask(&front, "k1", &asked).await;
    assert_eq!((first.status, &*first.text("status")), (202, "pending"), "{first:?}");
    assert_eq!(tell(&front, &first.text("id")).await.body, first.body);
    let again = ask(&front, "k1", &asked).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    rig.system.twilio.behave();
    rig.pass(Duration::from_mins(1)).await;
    rig.system.twilio.tick();
    let again = ask(&front, "k1", &asked).await;
    assert_eq!((again.status, &*again.text("status")), (200, "open"), "{again:?}");
    assert_eq!(words(&rig, &again.text("conversation_sid")).len(), 1);
    assert_eq!(rig.system.twilio.interactions().len(), 1);
    assert_eq!(locks(&rig), 0);
}

// --- The first message ------------------------------------------------------------------------------------

const OPTED_OUT: u32 = 21610;

/// Whether closing a conversation ends its channel, nobody could confirm.
#[tokio::test(start_paused = true)]
async fn a_message_that_twilio_refuses_ends_what_no_agent_is_in() {
    use simulator::Unreachable;
    for closing_ends_channel in [true, false] {
        let rig = Rig::with(1, |account| account.closing_ends_channel = closing_ends_channel, &[]);
        let front = front(&rig).await;
        rig.system.twilio.cannot_be_reached(CUSTOMER, OPTED_OUT, Unreachable::AtOnce);
        for kind in ["api", "system"] {
            let told = ask(&front, kind, &body(&rig, kind)).await;
            assert_eq!((told.status, &*told.text("error")), (422, "message_refused"), "{kind}: {told:?}");
            assert_eq!(told.body["code"], OPTED_OUT);
            rig.pass(Duration::from_secs(1)).await;
            assert!(open_conversations(&rig).is_empty(), "{kind}");
            assert_eq!(locks(&rig), 0);
            let tasks = rig.system.twilio.tasks();
            let waiting = tasks.iter().filter(|task| task.status == TaskStatus::Pending).count();
            assert_eq!(waiting, 0, "{kind}: no agent is offered a customer who cannot be written to");
            let seen = tell(&front, &reach_id(kind)).await;
            assert_eq!(
                (seen.text("status"), seen.text("error")),
                ("refused".into(), "message_refused".into())
            );
        }
    }
}

/// The id of the reach of a back end's key.
fn reach_id(key: &str) -> String {
    shared::reach::ReachId::of(&shared::reach::Caller::BackEnd, key).to_string()
}

#[tokio::test(start_paused = true)]
async fn an_agent_who_is_there_is_told_that_the_message_was_refused() {
    use simulator::Unreachable;
    let rig = Rig::new();
    let front = front(&rig).await;
    rig.system.twilio.cannot_be_reached(CUSTOMER, OPTED_OUT, Unreachable::AtOnce);
    let told = ask(&front, "k1", &body(&rig, "agent")).await;
    assert_eq!(told.status, 201, "{told:?}");
    assert_eq!(told.body["message"], json!({"status": "refused", "code": OPTED_OUT}));
    rig.pass(Duration::from_secs(1)).await;
    assert_eq!(rig.live_interactions(&told.text("conversation_sid")).len(), 1);
    assert_eq!(ask(&front, "k1", &body(&rig, "agent")).await.body, told.body);
}

#[tokio::test(start_paused = true)]
async fn a_joined_conversation_outlives_a_message_that_is_refused() {
    use simulator::Unreachable;
    let rig = Rig::new();
    let front = front(&rig).await;
    let (sid, ..) = served(&rig, &front, 1).await;
    rig.system.twilio.cannot_be_reached(CUSTOMER, OPTED_OUT, Unreachable::AtOnce);
    for kind in ["agent", "api", "system"] {
        let told = ask(&front, kind, &with(body(&rig, kind), &json!({"on_conflict": "join"}))).await;
        assert_eq!(told.status, 200, "{kind}: {told:?}");
        assert_eq!(told.body["message"]["status"], "refused", "{kind}");
    }
    assert_eq!(rig.system.twilio.conversation(&sid).unwrap().state, ConversationState::Active);
}

/// Twilio takes the message and delivers it later, or does not.
#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_arrive_is_found_out_and_ends_what_nobody_is_in() {
    use simulator::Unreachable;
    for (kind, ends) in [("agent", false), ("api", true), ("system", true)] {
        let rig = Rig::with(1, |account| account.closing_ends_channel = false, &[]);
        let front = front(&rig).await;
        rig.system.twilio.cannot_be_reached(CUSTOMER, 30003, Unreachable::Later);
        let told = ask(&front, "k1", &body(&rig, kind)).await;
        assert_eq!(told.status, 201, "{kind}: {told:?}");
        for _ in 0..2 {
            rig.sweep_after_a_minute().await;
        }
        let seen = tell(&front, &told.text("id")).await;
        assert_eq!(seen.body["message"], json!({"status": "undelivered", "code": 30003}), "{kind}");
        assert_eq!(open_conversations(&rig).is_empty(), ends, "{kind}");
        assert_eq!(rig.live_interactions(&told.text("conversation_sid")).is_empty(), ends, "{kind}");
        assert_eq!(rig.metric("ReachUndelivered"), 1);
        // The request that made it is answered as it was.
        assert_eq!(ask(&front, "k1", &body(&rig, kind)).await.body, told.body);
        let items = rig.system.dynamo.items(&rig.system.settings.table).unwrap();
        let reach = items.iter().find(|item| item["pk"] == format!("reach#{}", told.text("id")));
        assert!(reach.unwrap().get("due_at").is_none(), "nothing is left to look for");
    }
}

/// What was joined is not ours to end, whatever becomes of our message.
#[tokio::test(start_paused = true)]
async fn a_joined_conversation_outlives_a_message_that_does_not_arrive() {
    use simulator::Unreachable;
    let rig = Rig::new();
    let front = front(&rig).await;
    let first = ask(&front, "k1", &body(&rig, "system")).await;
    rig.system.twilio.cannot_be_reached(CUSTOMER, 30003, Unreachable::Later);
    let second = ask(&front, "k2", &with(body(&rig, "system"), &json!({"on_conflict": "join"}))).await;
    assert_eq!(second.text("conversation_sid"), first.text("conversation_sid"));
    for _ in 0..3 {
        rig.sweep_after_a_minute().await;
    }
    let seen = tell(&front, &second.text("id")).await;
    assert_eq!(seen.body["message"]["status"], "undelivered");
    assert_eq!(open_conversations(&rig).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_has_answered_by_other_means_keeps_the_conversation() {
    use simulator::Unreachable;
    let rig = Rig::new();
    let front = front(&rig).await;
    rig.system.twilio.cannot_be_reached(CUSTOMER, 30003, Unreachable::Later);
    let told = ask(&front, "k1", &body(&rig, "system")).await;
    rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "I had no signal");
    rig.deliver_all(&front).await;
    for _ in 0..3 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(rig.live_interactions(&told.text("conversation_sid")).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatsapp_gets_its_prefix_and_its_template() {
    let rig = Rig::with(1, |_| {}, &[("CONVERSATION_CLOSED_AFTER", "P7D")]);
    let front = front(&rig).await;
    let template = format!("HX{:032x}", 1);
    let asked = with(
        body(&rig, "agent"),
        &json!({
            "channel": "whatsapp",
            "message": {"body": "Hi!", "content_sid": template, "content_variables": {"1": "Ada"}},
        }),
    );
    let told = ask(&front, "k1", &asked).await;
    assert_eq!(told.status, 201, "{told:?}");
    let sid = told.text("conversation_sid");
    let conversation = rig.system.twilio.conversation(&sid).unwrap();
    assert!(conversation.bound("whatsapp:+15551230001", "whatsapp:+15557770000").is_some());
    let message = &conversation.messages[0];
    assert_eq!((&message.content_sid, &message.body), (&Some(template.clone()), &None));
    assert_eq!(message.content_variables.as_deref(), Some("{\"1\":\"Ada\"}"));
    // The customer answers: for a day, a free text is as good, and kinder.
    rig.system.twilio.customer_writes("whatsapp:+15551230001", "whatsapp:+15557770000", "Hi");
    let joins = with(asked, &json!({"on_conflict": "join"}));
    for (key, hours, is_text) in [("k2", 1, true), ("k3", 24, false)] {
        rig.pass(Duration::from_hours(hours)).await;
        let told = ask(&front, key, &joins).await;
        assert_eq!(told.status, 200, "{told:?}");
        let newest = rig.system.twilio.messages(&sid).pop().unwrap();
        assert_eq!(newest.body.is_some(), is_text, "after {hours} h");
    }
}

// --- Afterwards -------------------------------------------------------------------------------------------

/// An agent wrote first, the customer never answered, and the agent's task is gone: nobody waits for anything.
#[tokio::test(start_paused = true)]
async fn where_the_customer_never_answered_nobody_is_told_anything_and_the_conversation_is_closed() {
    use flexglue_tests::tale::STILL_WAITING;
    for answered in [false, true] {
        let rig = Rig::with(
            1,
            |account| flexglue::local::system::call_back(account, flexglue::local::system::PUBLIC_URL),
            &[],
        );
        let front = front(&rig).await;
        let told = ask(&front, "k1", &body(&rig, "agent")).await;
        rig.pass(Duration::from_secs(1)).await;
        rig.deliver_all(&front).await;
        let sid = told.text("conversation_sid");
        if answered {
            rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "Great!");
        }
        rig.system.twilio.task_is_deleted(&told.text("task_sid")).unwrap();
        for _ in 0..3 {
            rig.deliver_all(&front).await;
            rig.sweep_after_a_minute().await;
        }
        let state = rig.system.twilio.conversation(&sid).unwrap().state;
        let told: Vec<String> = words(&rig, &sid).into_iter().map(|(_, text)| text).collect();
        if answered {
            assert_eq!(state, ConversationState::Active);
            let live =
                rig.system.twilio.tasks().into_iter().filter(|task| task.status == TaskStatus::Pending);
            let live: Vec<_> = live.collect();
            assert_eq!((live.len(), &live[0].routing_target), (1, &None), "anybody may take it now");
        } else {
            assert_eq!(state, ConversationState::Closed);
            assert!(!told.iter().any(|text| text == STILL_WAITING), "{told:?}");
            assert_eq!(told.len(), 1);
        }
    }
}

/// The Interaction is accepted and does not come up: made again once, and then nothing is left of it.
#[tokio::test(start_paused = true)]
async fn an_interaction_of_a_reach_that_does_not_come_up_is_made_again_once() {
    use simulator::{Fault, Matcher, Misbehaviour, Times};
    for (failures, state) in [(1, ConversationState::Active), (2, ConversationState::Closed)] {
        let rig = Rig::new();
        let front = front(&rig).await;
        let what = Misbehaviour::FailSetUp { code: 45381 };
        rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(failures), what });
        let told = ask(&front, "k1", &body(&rig, "agent")).await;
        assert_eq!(told.status, 201);
        for _ in 0..4 {
            rig.sweep_after_a_minute().await;
        }
        let sid = told.text("conversation_sid");
        assert_eq!(rig.system.twilio.conversation(&sid).unwrap().state, state);
        assert_eq!(words(&rig, &sid).len(), 1, "nothing else is said to a customer who asked for nothing");
        if failures == 1 {
            let live = rig.live_interactions(&sid).remove(0);
            let task = rig.system.twilio.task(&live.task_sid).unwrap();
            assert_eq!(task.status, TaskStatus::Assigned, "the same agent has it");
        }
    }
}

/// A reminder is open for as long as its timers say, and no sweep touches it.
#[tokio::test(start_paused = true)]
async fn a_reminder_waits_for_its_reply_and_ends_by_its_timer() {
    let rig = Rig::with(
        1,
        |_| {},
        &[("CONVERSATION_CLOSED_AFTER", "PT2H"), ("CONVERSATION_INACTIVE_AFTER", "PT1H")],
    );
    let front = front(&rig).await;
    let sid = ask(&front, "k1", &body(&rig, "system")).await.text("conversation_sid");
    let state = || rig.system.twilio.conversation(&sid).unwrap().state;
    for _ in 0..50 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(state(), ConversationState::Active);
    rig.pass(Duration::from_mins(15)).await;
    assert_eq!(state(), ConversationState::Inactive);
    rig.pass(Duration::from_hours(2)).await;
    assert_eq!(state(), ConversationState::Closed);
    assert!(rig.system.twilio.interactions().is_empty());
    assert_eq!(ask(&front, "k2", &body(&rig, "system")).await.status, 201, "the number is free again");
}
