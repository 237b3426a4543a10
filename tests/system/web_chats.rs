//! Web chats: how they begin, go on and end, and what becomes of them when everything breaks.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use flexglue::local::{gateway::Routes, system};
use flexglue_tests::{
    chat::{begin, begun, end, reads, refresh},
    outbound::Told,
    rig::{Answer, Rig, forever},
    wires::{Forgetful, Fuse, Gate},
};
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use serde_json::{Value, json};
use shared::{
    parts::Parts,
    transport::{Transport, TransportError},
    web_chat::{Stage, WebChat},
    web_chat_host::{NotBegun, Wanted},
};
use simulator::{ConversationState, Fault, Matcher, Misbehaviour, Reason, TaskStatus, Times};

fn requests(rig: &Rig) -> Vec<String> {
    rig.system
        .twilio
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

async fn chats(rig: &Rig) -> Vec<WebChat> {
    let mut chats = Vec::new();
    for item in rig.system.dynamo.items(&rig.system.settings.table).unwrap() {
        if let Some(guest) = item["pk"].as_str().unwrap_or_default().strip_prefix("webchat#") {
            let guest = guest.parse().unwrap();
            chats.extend(rig.ledger().await.web_chat(&guest, forever()).await.unwrap());
        }
    }
    chats
}

fn state(rig: &Rig, told: &Told) -> ConversationState {
    rig.system.twilio.conversation(&told.text("conversationSid")).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_chat_begins_with_its_first_message_and_becomes_one_interaction() {
    let rig = Rig::new();
    let front = rig.front().await;
    let form = json!({"friendlyName": "Ada", "email": "ada@example.com", "query": "Where is my order?"});
    let told = begin(&front, &form).await;
    assert_eq!(told.status, 200, "{told:?}");
    let names: Vec<_> = told.body.as_object().unwrap().keys().collect();
    assert_eq!(names, ["conversationSid", "expiration", "identity", "token"]);
    let now = rig.system.clock.now().as_millis();
    assert_eq!(told.body["expiration"].as_u64().unwrap(), now / 1000 * 1000 + 3_600_000);
    assert!(told.text("identity").starts_with("guest-"));
    assert_eq!(requests(&rig).len(), 2, "the chat and its message: {:?}", requests(&rig));

    let sid = told.text("conversationSid");
    let read = reads(&rig, &sid, &told.text("token")).await;
    let read: Value = serde_json::from_slice(read.body()).unwrap();
    let messages: Vec<_> =
        read["messages"].as_array().unwrap().iter().map(|one| (&one["author"], &one["body"])).collect();
    assert_eq!(messages, [(&json!(told.text("identity")), &json!("Where is my order?"))]);

    assert_eq!(rig.deliver_all(&front).await, [Answer::new(200, "created")]);
    let asked = requests(&rig);
    assert!(
        !asked.iter().any(|request| request.starts_with("GET") && request.contains("Participants")),
        "{asked:?}"
    );
    let interaction = rig.live_interactions(&sid).remove(0);
    let task = rig.system.twilio.task(&interaction.task_sid).unwrap();
    for (name, value) in [
        ("channelType", json!("web")),
        ("from", json!(told.text("identity"))),
        ("customerName", json!("Ada")),
        ("preEngagement", json!({"friendlyName": "Ada", "email": "ada@example.com"})),
    ] {
        assert_eq!(task.attributes[name], value, "{name}");
    }
    assert!(!task.attributes.contains_key("customerId"));
    assert_eq!((rig.metric("WebChatBegun"), rig.metric("InteractionCreated")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_query_it_waits_for_the_first_message() {
    let rig = Rig::new();
    let front = rig.front().await;
    for form in [json!({}), json!({"query": "  "})] {
        let told = begin(&front, &form).await;
        let sid = told.text("conversationSid");
        assert!(rig.system.twilio.messages(&sid).is_empty());
        rig.deliver_all(&front).await;
        assert!(rig.live_interactions(&sid).is_empty());
        rig.system.twilio.customer_writes_in(&sid, &told.text("identity"), "hello").unwrap();
        assert_eq!(rig.deliver_all(&front).await, [Answer::new(200, "created")]);
        let task = rig.live_interactions(&sid).remove(0).task_sid;
        assert_eq!(rig.system.twilio.task(&task).unwrap().attributes["customerName"], "Customer");
    }
}

/// Trap 27.
#[tokio::test(start_paused = true)]
async fn nothing_that_a_browser_sends_stands_among_the_routing_attributes() {
    for as_text in [false, true] {
        let rig = Rig::with(1, |account| account.pre_engagement_as_text = as_text, &[]);
        let front = rig.front().await;
        let forged = json!({
            "from": "+15551230009", "customerAddress": "boss", "customerName": "Boss", "channelType": "voice",
            "customerId": "cust_1", "identity": "alice", "skills": ["vip"], "priority": 99, "known_worker_sid": "WK",
            "conversationSid": "CH0", "preEngagement": {"vip": true}, "query": "Hello",
        });
        let told = begin(&front, &forged).await;
        assert_eq!(told.status, 200, "{told:?}");
        assert_ne!(told.text("identity"), "alice");
        rig.deliver_all(&front).await;
        let task = rig.live_interactions(&told.text("conversationSid")).remove(0).task_sid;
        let attributes = rig.system.twilio.task(&task).unwrap().attributes;
        assert_eq!(attributes["customerName"], "Customer", "they gave no friendlyName");
        assert_eq!(
            (&attributes["from"], &attributes["channelType"]),
            (&json!(told.text("identity")), &json!("web"))
        );
        for name in ["customerId", "identity", "skills", "priority", "known_worker_sid", "vip"] {
            assert!(!attributes.contains_key(name), "{name}");
        }
        assert_eq!(attributes["preEngagement"]["skills"], json!(["vip"]));
        assert!(attributes["preEngagement"].get("query").is_none(), "it is the first message");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_refreshed_for_the_same_guest_while_the_chat_goes_on() {
    let rig = Rig::new();
    let front = rig.front().await;
    let told = begun(&front).await;
    let sid = told.text("conversationSid");
    rig.pass(Duration::from_mins(57)).await;
    let fresh = refresh(&front, &told.text("token")).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_eq!(fresh.body.as_object().unwrap().keys().collect::<Vec<_>>(), ["expiration", "token"]);
    let later = fresh.body["expiration"].as_u64().unwrap() - told.body["expiration"].as_u64().unwrap();
    assert_eq!(later, 57 * 60 * 1000);
    rig.pass(Duration::from_mins(57)).await;
    assert_eq!(reads(&rig, &sid, &fresh.text("token")).await.status(), 200, "the same guest at Twilio");
    assert_eq!(reads(&rig, &sid, &told.text("token")).await.status(), 401, "the old one is over");
    assert_eq!(refresh(&front, &told.text("token")).await.status, 403, "nor is it good for another");
    assert_eq!(refresh(&front, &fresh.text("token")).await.status, 200);
}

/// Trap 19.
#[tokio::test(start_paused = true)]
async fn no_token_is_refreshed_for_a_chat_that_is_closed() {
    let rig = Rig::new();
    let front = rig.front().await;
    for deleted in [false, true] {
        let told = begun(&front).await;
        let sid = told.text("conversationSid");
        assert_eq!(refresh(&front, &told.text("token")).await.status, 200);
        if deleted {
            rig.rest(Method::DELETE, &format!("/v1/Conversations/{sid}"), "").await;
        } else {
            rig.system.twilio.close_conversation(&sid, Reason::Timer).unwrap();
        }
        let other = refresh(&rig.front().await, &told.text("token")).await;
        assert_eq!(
            (other.status, &*other.text("error")),
            (403, "chat_over"),
            "another instance asks at once"
        );
        assert_eq!(refresh(&front, &told.text("token")).await.status, 403, "and all know what it heard");
    }
    let told = begun(&front).await;
    assert_eq!(refresh(&front, &told.text("token")).await.status, 200);
    rig.system.twilio.close_conversation(&told.text("conversationSid"), Reason::Timer).unwrap();
    rig.pass(Duration::from_secs(20)).await;
    assert_eq!(
        refresh(&front, &told.text("token")).await.status,
        403,
        "what Twilio said is believed for 20 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_chat_is_refreshed_until_its_longest_time_is_over_and_no_token_outlives_it() {
    let rig = Rig::with(1, |_| {}, &[("WEBCHAT_SESSION_HOURS", "3"), ("WEBCHAT_TOKEN_TTL_SECONDS", "3000")]);
    let front = rig.front().await;
    let began = rig.system.clock.now();
    let mut told = begun(&front).await;
    for _ in 0..4 {
        rig.pass(Duration::from_mins(40)).await;
        told = refresh(&front, &told.text("token")).await;
        assert_eq!(told.status, 200, "{told:?}");
    }
    let session_until = (began + Duration::from_hours(3)).as_seconds() * 1000;
    assert_eq!(told.body["expiration"].as_u64().unwrap(), session_until, "20 minutes are left");
    rig.pass(Duration::from_secs(20 * 60 - 1)).await;
    assert_eq!(refresh(&front, &told.text("token")).await.status, 200);
    rig.pass(Duration::from_secs(1)).await;
    assert_eq!(refresh(&front, &told.text("token")).await.status, 403);
}

#[tokio::test(start_paused = true)]
async fn twilio_that_cannot_be_asked_is_no_reason_to_refuse_a_token_nor_to_give_one() {
    let rig = Rig::new();
    let front = rig.front().await;
    let told = begun(&front).await;
    for what in [
        Misbehaviour::Status { status: 500, code: 20500, retry_after: None },
        Misbehaviour::Status { status: 429, code: 20429, retry_after: None },
        Misbehaviour::Hang,
        Misbehaviour::Malformed,
    ] {
        rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what });
        let fresh = refresh(&front, &told.text("token")).await;
        assert_eq!((fresh.status, fresh.retry_after), (503, Some(2)), "{fresh:?}");
        rig.system.twilio.behave();
    }
    assert_eq!(refresh(&front, &told.text("token")).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_customer_ends_their_chat_and_twice_is_once() {
    let rig = Rig::new();
    let front = rig.front().await;
    for accepted in [false, true] {
        let told = begun(&front).await;
        let (sid, token) = (told.text("conversationSid"), told.text("token"));
        rig.deliver_all(&front).await;
        rig.pass(Duration::from_secs(1)).await;
        let interaction = rig.live_interactions(&sid).remove(0);
        if accepted {
            let worker = rig.system.twilio.settings().workers[0].sid.clone();
            rig.system.twilio.agent_accepts(&interaction.task_sid, &worker).unwrap();
        }
        let ended = end(&front, &token).await;
        assert_eq!((ended.status, ended.body), (204, Value::Null));
        assert_eq!(state(&rig, &told), ConversationState::Closed);
        assert!(rig.live_interactions(&sid).is_empty(), "its channel is closed, and no task is offered");
        let task = rig.system.twilio.task(&interaction.task_sid).unwrap().status;
        let expected = if accepted { TaskStatus::Wrapping } else { TaskStatus::Canceled };
        assert_eq!(task, expected, "an agent who is in it wraps up");
        let before = requests(&rig).len();
        assert_eq!(end(&front, &token).await.status, 204);
        assert_eq!(requests(&rig).len(), before, "nothing is left to be done");
        assert_eq!(refresh(&front, &token).await.status, 403);
    }
    assert_eq!(rig.metric("WebChatEnded"), 2);
}

/// An end is a promise from the moment it is written down.
#[tokio::test(start_paused = true)]
async fn an_end_that_twilio_does_not_hear_of_is_made_true_by_the_sweeper() {
    let rig = Rig::new();
    let front = rig.front().await;
    let told = begun(&front).await;
    rig.deliver_all(&front).await;
    rig.pass(Duration::from_secs(1)).await;
    let what = Misbehaviour::Status { status: 503, code: 20503, retry_after: None };
    rig.system.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what });
    assert_eq!(end(&front, &told.text("token")).await.status, 204);
    assert_eq!(refresh(&front, &told.text("token")).await.status, 403, "it is over for them at once");
    for _ in 0..10 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(state(&rig, &told), ConversationState::Active);
    rig.system.twilio.behave();
    for _ in 0..6 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(state(&rig, &told), ConversationState::Closed);
    assert!(rig.live_interactions(&told.text("conversationSid")).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_chat_in_which_nothing_was_said_is_closed_once_nobody_can_come_back() {
    let rig = Rig::new();
    let front = rig.front().await;
    let silent = begin(&front, &json!({})).await;
    let refreshed = begin(&front, &json!({})).await;
    let spoken = begun(&front).await;
    let joined = begin(&front, &json!({})).await;
    rig.joins(&joined.text("conversationSid"), "alice").await;
    rig.deliver_all(&front).await;
    let unheard = begun(&front).await;
    let _never_delivered = rig.system.twilio.take_webhooks();
    rig.pass(Duration::from_mins(30)).await;
    assert_eq!(refresh(&front, &refreshed.text("token")).await.status, 200);
    for _ in 0..30 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(state(&rig, &silent), ConversationState::Active, "a token may be good for a minute longer");
    rig.sweep_after_a_minute().await;
    rig.sweep_after_a_minute().await;
    assert_eq!(state(&rig, &silent), ConversationState::Closed);
    assert_eq!(state(&rig, &refreshed), ConversationState::Active);
    for _ in 0..30 {
        rig.sweep_after_a_minute().await;
    }
    assert_eq!(state(&rig, &refreshed), ConversationState::Closed);
    for open in [&spoken, &joined, &unheard] {
        assert_eq!(state(&rig, open), ConversationState::Active);
    }
    for served in [&spoken, &unheard] {
        assert_eq!(rig.live_interactions(&served.text("conversationSid")).len(), 1);
    }
    assert!(chats(&rig).await.iter().all(|chat| chat.stage == Stage::Over));
    assert_eq!(rig.metric("WebChatAbandoned"), 2);
}

/// Asks a process that is killed at `step`. What it answered, if it did.
async fn begun_and_killed_at(rig: &Rig, step: usize) -> Option<Told> {
    let fuse = Fuse::at(step);
    let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
    let front = rig.front_in(&world);
    fuse.guard(begin(&front, &json!({"query": "Hello"}))).await
}

/// What must be true of chats whose customers were told that they did not begin, once everything has come to rest:
/// closed, and nobody is offered a task; or, where it had begun and only the answer is missing, one Interaction.
async fn assert_sound(rig: &Rig, what: &str) {
    for chat in chats(rig).await {
        assert!(matches!(chat.stage, Stage::Open { .. } | Stage::Over), "{what}: {chat:?}");
    }
    for conversation in rig.system.twilio.conversations() {
        let live = rig.live_interactions(&conversation.sid).len();
        let said = conversation.messages.len();
        if conversation.state == ConversationState::Closed {
            assert_eq!(live, 0, "{what}: closed, and a task is offered");
        } else {
            let chats = chats(rig).await;
            assert!(chats.iter().any(|chat| matches!(chat.stage, Stage::Open { .. })), "{what}: {chats:?}");
            assert_eq!((live, said), (1, 1), "{what}: {conversation:?}");
        }
        let record = rig.record(&conversation.sid).await;
        let is_over = record.is_some_and(|record| record.stage == shared::conversation::Stage::Closed);
        assert_eq!(is_over, conversation.state == ConversationState::Closed, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_of_its_beginning_a_chat_is_closed_by_one_sweep() {
    for webhooks_come_first in [false, true] {
        let mut deaths = 0;
        for step in 0.. {
            let rig = Rig::new();
            let answered = begun_and_killed_at(&rig, step).await;
            let front = rig.front().await;
            if webhooks_come_first {
                rig.deliver_all(&front).await;
            }
            rig.sweep_after_a_minute().await;
            rig.deliver_all(&front).await;
            rig.sweep_after_a_minute().await;
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("killed at step {step}, webhooks first: {webhooks_come_first}"))
                .await;
            if answered.is_some() {
                break;
            }
            deaths += 1;
        }
        assert_eq!(deaths, 14, "two limits, three records, the chat and its message are two steps each");
    }
}

#[tokio::test(start_paused = true)]
async fn whichever_answer_is_lost_a_chat_has_begun_or_is_closed() {
    for (side, requests) in [("twilio", 2), ("dynamodb", 5)] {
        for lost in 0..requests {
            let rig = Rig::new();
            let forgetful =
                |to| Arc::new(Forgetful::new(to, move |number, _| number == lost)) as Arc<dyn Transport>;
            let world = if side == "twilio" {
                rig.system.world_through(forgetful, |to| to).await
            } else {
                rig.system.world_through(|to| to, forgetful).await
            };
            let told = begin(&rig.front_in(&world), &json!({"query": "Hello"})).await;
            let what = format!("{side}, answer {lost}: {told:?}");
            let front = rig.front().await;
            for _ in 0..3 {
                rig.deliver_all(&front).await;
                rig.sweep_after_a_minute().await;
            }
            assert_sound(&rig, &what).await;
            if told.status == 200 {
                assert_eq!(state(&rig, &told), ConversationState::Active, "{what}");
                assert_eq!(rig.system.twilio.messages(&told.text("conversationSid")).len(), 1, "{what}");
            } else {
                assert_eq!(told.status, 503, "{what}");
                let open = rig.system.twilio.conversations();
                assert!(open.iter().all(|one| one.state == ConversationState::Closed), "{what}");
            }
            // The SDK sends again what DynamoDB may not have heard; a message is looked for.
            let expected = if (side, lost) == ("twilio", 0) { 503 } else { 200 };
            assert_eq!(told.status, expected, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_twilio_does_not_do_is_told_and_nothing_is_left_of_it() {
    let status = |status, code| Misbehaviour::Status { status, code, retry_after: None };
    for (route, what, expected) in [
        ("POST /v2/WebChats", status(429, 45719), 503),
        ("POST /v2/WebChats", status(503, 45701), 503),
        ("POST /v2/WebChats", status(400, 45765), 502),
        ("POST /v2/WebChats", Misbehaviour::Hang, 503),
        ("POST /v2/WebChats", Misbehaviour::Malformed, 503),
        ("POST /v2/WebChats", Misbehaviour::LostBefore, 503),
        ("POST /v2/WebChats", Misbehaviour::LostAfter, 503),
        ("POST /v1/Conversations/{sid}/Messages", status(429, 20429), 503),
        ("POST /v1/Conversations/{sid}/Messages", status(500, 20500), 503),
        ("POST /v1/Conversations/{sid}/Messages", status(400, 50301), 502),
        ("POST /v1/Conversations/{sid}/Messages", Misbehaviour::Hang, 503),
        ("POST /v1/Conversations/{sid}/Messages", Misbehaviour::LostBefore, 503),
    ] {
        let rig = Rig::new();
        let front = rig.front().await;
        let on = Matcher::route(route);
        rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what: what.clone() });
        let told = begin(&front, &json!({"query": "Hello"})).await;
        let case = format!("{route} {what:?}: {told:?}");
        assert_eq!(told.status, expected, "{case}");
        assert_eq!(told.retry_after.is_some(), expected == 503, "{case}");
        assert!(!told.body.to_string().contains("guest-"), "{case}");
        rig.system.twilio.behave();
        rig.sweep_after_a_minute().await;
        rig.deliver_all(&front).await;
        rig.sweep_after_a_minute().await;
        assert_sound(&rig, &case).await;
        let open = rig.system.twilio.conversations();
        assert!(open.iter().all(|one| one.state == ConversationState::Closed), "{case}");
        assert_eq!(rig.metric("WebChatFailed"), 1, "{case}");
    }
}

/// The process was frozen for longer than its lease, and goes on where it was.
#[tokio::test(start_paused = true)]
async fn who_wakes_up_after_the_sweeper_has_closed_its_chat_gives_no_token() {
    for (side, number) in [("twilio", 1), ("twilio", 2), ("dynamodb", 3), ("dynamodb", 4)] {
        let rig = Rig::new();
        let gate = Gate::after(number);
        let world = match side {
            "twilio" => rig.system.world_through(|to| gate.wire(to), |to| to).await,
            _ => rig.system.world_through(|to| to, |to| gate.wire(to)).await,
        };
        let front = Arc::new(rig.front_in(&world));
        let frozen = tokio::spawn({
            let front = Arc::clone(&front);
            async move { begin(&front, &json!({"query": "Hello"})).await }
        });
        gate.reached().await;
        rig.sweep_after_a_minute().await;
        gate.open();
        let told = frozen.await.unwrap();
        let what = format!("{side}, held after {number}: {told:?}");
        let front = rig.front().await;
        for _ in 0..3 {
            rig.deliver_all(&front).await;
            rig.sweep_after_a_minute().await;
        }
        assert_sound(&rig, &what).await;
        assert!(told.status >= 500, "{what}");
    }
}

/// However much time an invocation has: who begins a chat asks within its lease only.
#[tokio::test(start_paused = true)]
async fn the_right_to_make_a_chat_ends_with_the_lease() {
    let rig = Rig::new();
    let gate = Gate::after(1);
    let world = rig.system.world_through(|to| to, |to| gate.wire(to)).await;
    let host = Parts::new("test", &rig.system.settings, &world).host;
    let wanted = Wanted {
        address: rig.system.settings.web_chat_address().unwrap(),
        customer_name: "Ada".to_owned().into(),
        pre_engagement: "{}".to_owned().into(),
        customer_id: None,
        query: None,
        token_until: rig.system.clock.now() + Duration::from_hours(1),
    };
    let frozen = tokio::spawn(async move { host.begin(wanted, forever()).await });
    gate.reached().await;
    rig.pass(Duration::from_secs(16)).await;
    gate.open();
    assert!(matches!(frozen.await.unwrap(), Err(NotBegun::NotNow { .. })));
    assert!(rig.system.twilio.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_step_of_its_end_a_chat_is_closed_by_one_sweep() {
    let mut deaths = 0;
    for step in 0.. {
        let rig = Rig::new();
        let front = rig.front().await;
        let told = begun(&front).await;
        rig.deliver_all(&front).await;
        rig.pass(Duration::from_secs(1)).await;
        let fuse = Fuse::at(step);
        let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
        let doomed = rig.front_in(&world);
        let ended = fuse.guard(end(&doomed, &told.text("token"))).await;
        if ended.is_none() && step < 3 {
            // Nothing is written: their page was not answered, and they try again.
            assert_eq!(end(&front, &told.text("token")).await.status, 204);
        }
        rig.sweep_after_a_minute().await;
        let what = format!("killed at step {step}");
        assert_eq!(state(&rig, &told), ConversationState::Closed, "{what}");
        assert_sound(&rig, &what).await;
        if ended.is_some() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 12, "{deaths} deaths");
}

/// The sweeper dies at each of its own steps; the next goes on.
#[tokio::test(start_paused = true)]
async fn a_sweeper_that_dies_while_it_closes_a_chat_is_followed_by_another() {
    for begin_step in [6, 8, 10] {
        for step in 0.. {
            let rig = Rig::new();
            assert!(begun_and_killed_at(&rig, begin_step).await.is_none());
            rig.pass(Duration::from_mins(1)).await;
            let fuse = Fuse::at(step);
            let world = rig.system.world_through(|to| fuse.wire(to), |to| fuse.wire(to)).await;
            let sweeper = rig.system.orphan_sweeper(&world);
            let swept = fuse.guard(system::sweep(&sweeper)).await;
            rig.sweep_after_a_minute().await;
            let front = rig.front().await;
            rig.deliver_all(&front).await;
            rig.sweep_after_a_minute().await;
            assert_sound(&rig, &format!("begun until step {begin_step}, sweeper killed at {step}")).await;
            if swept.is_some() {
                break;
            }
        }
    }
}

/// Two tabs, one of which ends what the other refreshes.
#[tokio::test(start_paused = true)]
async fn ends_and_refreshes_at_once_never_leave_it_open() {
    use futures_util::future::join_all;
    for seed in 0..20 {
        let rig = Rig::with(seed, |_| {}, &[]);
        let told = begun(&rig.front().await).await;
        let token = told.text("token");
        let front = rig.front_in(&rig.unhurried_world().await);
        let asks = (0..8).map(|number| {
            let (front, token) = (&front, token.as_str());
            async move {
                if number % 4 == 3 {
                    end(front, token).await.status
                } else {
                    refresh(front, token).await.status
                }
            }
        });
        let answers = join_all(asks).await;
        assert!(answers.iter().all(|status| [200, 204, 403].contains(status)), "seed {seed}: {answers:?}");
        assert_eq!(state(&rig, &told), ConversationState::Closed, "seed {seed}: {answers:?}");
        assert_eq!(refresh(&front, &token).await.status, 403, "seed {seed}");
    }
}

/// Gives a web chat's guest another identity than it was told, which Twilio does not document that it does.
#[derive(Debug)]
struct OtherIdentity(Arc<dyn Transport>);

impl Transport for OtherIdentity {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            let is_chat = request.uri().path().ends_with("/WebChats");
            let mut answer = self.0.send(request).await?;
            if is_chat {
                let mut body: Value = serde_json::from_slice(answer.body()).unwrap();
                body["identity"] = "somebody".into();
                *answer.body_mut() = Bytes::from(body.to_string());
            }
            Ok(answer)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_guest_of_another_name_gets_no_token_that_leads_nowhere() {
    let rig = Rig::new();
    let world = rig.system.world_through(|to| Arc::new(OtherIdentity(to)), |to| to).await;
    let told = begin(&rig.front_in(&world), &json!({"query": "Hello"})).await;
    assert_eq!(told.status, 503, "{told:?}");
    rig.sweep_after_a_minute().await;
    assert_sound(&rig, "another identity").await;
    assert!(rig.system.twilio.conversations().iter().all(|one| one.state == ConversationState::Closed));
}

/// Keeps back what is to make a web chat, and says that it is lost.
#[derive(Clone, Debug)]
struct Slow {
    to: Arc<dyn Transport>,
    kept: Arc<Mutex<Option<Request<Bytes>>>>,
}

impl Transport for Slow {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        if !request.uri().path().ends_with("/WebChats") {
            return self.to.send(request);
        }
        *self.kept.lock().unwrap() = Some(request);
        Box::pin(async { Err(TransportError::Lost) })
    }
}

/// Twilio makes the chat, but long after everybody has stopped waiting for its answer.
#[tokio::test(start_paused = true)]
async fn a_chat_that_turns_up_late_is_closed_all_the_same() {
    for seconds in [0, 10, 70, 100] {
        let rig = Rig::new();
        let kept = Arc::new(Mutex::new(None));
        let slow = |to| Arc::new(Slow { to, kept: Arc::clone(&kept) }) as Arc<dyn Transport>;
        let world = rig.system.world_through(slow, |to| to).await;
        assert_eq!(begin(&rig.front_in(&world), &json!({"query": "Hello"})).await.status, 503);
        let mut passed = 0;
        while passed < seconds {
            passed += 10;
            rig.pass(Duration::from_secs(10)).await;
            if passed % 60 == 0 {
                rig.sweep().await;
            }
        }
        let request = kept.lock().unwrap().take().unwrap();
        rig.system.twilio.call(request).await.unwrap();
        assert_eq!(rig.system.twilio.conversations().len(), 1);
        for _ in 0..3 {
            rig.sweep_after_a_minute().await;
        }
        assert_sound(&rig, &format!("after {seconds} s")).await;
        assert!(chats(&rig).await.iter().all(|chat| chat.stage == Stage::Over), "{seconds} s");
    }
}

/// A table that cannot be written: nobody is let in, and nothing is made.
#[tokio::test(start_paused = true)]
async fn without_the_table_no_chat_begins_and_none_is_refreshed() {
    #[derive(Debug)]
    struct Down;
    impl Transport for Down {
        fn send(&self, _: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
            Box::pin(async { Err(TransportError::NotSent) })
        }
    }
    let rig = Rig::new();
    let told = begun(&rig.front().await).await;
    let before = requests(&rig).len();
    let world = rig.system.world_through(|to| to, |_| Arc::new(Down)).await;
    let front: Routes = rig.front_in(&world);
    for answer in [
        begin(&front, &json!({})).await,
        refresh(&front, &told.text("token")).await,
        end(&front, &told.text("token")).await,
    ] {
        assert_eq!((answer.status, answer.retry_after), (503, Some(2)), "{answer:?}");
    }
    assert_eq!(requests(&rig).len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_would_become_of_it() {
    let rig = Rig::new();
    assert!(begun_and_killed_at(&rig, 8).await.is_none());
    rig.pass(Duration::from_mins(1)).await;
    let sweeper = rig.system.orphan_sweeper(&rig.system.world().await);
    let request = serde_json::from_value(json!({"dry_run": true})).unwrap();
    let report = sweeper.sweep(request, forever()).await;
    assert_eq!(report.plan[0].would, "close a web chat that was left half-way");
    assert!(report.plan[0].guest.is_some());
    assert!(rig.system.twilio.conversations().iter().all(|one| one.state == ConversationState::Active));
}
