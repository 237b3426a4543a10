//! One event at a time: what each answers, and what Twilio and the table hold afterwards.

use std::time::Duration;

use flexglue::local::system::{SMS_NUMBER, WHATSAPP_NUMBER};
use flexglue_tests::rig::{Answer, CUSTOMER, Rig, every_event};
use serde_json::{Value, json};
use shared::conversation::{Stage, What};

#[tokio::test(start_paused = true)]
async fn a_first_message_becomes_one_interaction() {
    let rig = Rig::new();
    let front = rig.front().await;
    let request = rig.message(CUSTOMER, "hello");
    let response = front.handle(request).await;
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    let conversation = rig.system.twilio.conversations()[0].sid.clone();
    let interactions = rig.live_interactions(&conversation);
    assert_eq!(interactions.len(), 1);
    assert_eq!(response.status(), 200);
    assert_eq!(
        body,
        json!({"outcome": "created", "interaction_sid": interactions[0].sid, "conversation_sid": conversation})
    );
    let record = rig.record(&conversation).await.unwrap();
    assert_eq!(record.stage, Stage::SettingUp);
    assert_eq!(record.interaction.unwrap().sid.as_str(), interactions[0].sid);
    let history: Vec<What> = rig.history(&conversation).await.iter().map(|entry| entry.what).collect();
    assert_eq!(history, [What::Claimed, What::Accepted]);
    assert_eq!(rig.metric("InteractionCreated"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_first_message_costs_two_writes_and_one_call() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };
    let rig = Rig::new();
    let (to_twilio, to_dynamo) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move |to| {
            Arc::new(flexglue_tests::wires::Forgetful::new(to, move |_, _| {
                counter.fetch_add(1, Ordering::SeqCst);
                false
            })) as _
        }
    };
    let world = rig.system.world_through(count(&to_twilio), count(&to_dynamo)).await;
    let front = rig.front_in(&world);
    front.handle(rig.message(CUSTOMER, "hello")).await;
    assert_eq!((to_dynamo.swap(0, Ordering::SeqCst), to_twilio.swap(0, Ordering::SeqCst)), (2, 1));
    front.handle(rig.message(CUSTOMER, "and another thing")).await;
    assert_eq!((to_dynamo.load(Ordering::SeqCst), to_twilio.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_task_carries_who_the_customer_is_and_nothing_else_of_ours() {
    let rig = Rig::new();
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello")).await;
    let task = &rig.system.twilio.tasks()[0];
    assert_eq!(task.attributes["from"], CUSTOMER);
    assert_eq!(task.attributes["customerAddress"], CUSTOMER);
    assert_eq!(task.attributes["channelType"], "sms");
    assert!(!Value::Object(task.attributes.clone()).to_string().contains("hello"));
    assert_eq!(task.task_channel, "chat");
}

#[tokio::test(start_paused = true)]
async fn later_messages_find_it_open() {
    let rig = Rig::new();
    let front = rig.front().await;
    front.handle(rig.message(CUSTOMER, "hello")).await;
    for text in ["anybody?", "hello?"] {
        let answer = front.handle(rig.message(CUSTOMER, text)).await;
        assert_eq!(Answer::of(&answer), Answer::new(200, "already_open"));
    }
    assert_eq!(rig.system.twilio.interactions().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatsapp_is_its_own_channel() {
    let rig = Rig::new();
    let front = rig.front().await;
    rig.system.twilio.customer_writes("whatsapp:+15551230001", WHATSAPP_NUMBER, "hola");
    rig.deliver_all(&front).await;
    assert_eq!(rig.system.twilio.interactions()[0].channel.kind, "whatsapp");
}

#[tokio::test(start_paused = true)]
async fn a_web_chat_carries_its_pre_engagement_data_beside_the_routing() {
    let rig =
        Rig::with(1, every_event, &[("ROUTING_RULES", r#"[{"match":{"channel":"web"},"priority":5}]"#)]);
    let front = rig.front().await;
    let data = json!({"friendlyName": "Ada", "from": "forged", "skill": "vip"});
    let chat = rig.system.twilio.create_chat_conversation("web", "guest-1", &data);
    rig.system.twilio.customer_writes_in(&chat, "guest-1", "hello").unwrap();
    let answers = rig.deliver_all(&front).await;
    assert_eq!(answers, [Answer::new(200, "created")]);
    let task = &rig.system.twilio.tasks()[0];
    let attributes = &task.attributes;
    assert_eq!(task.priority, 5);
    assert_eq!(attributes["customerName"], "Ada");
    assert_eq!(attributes["from"], "guest-1");
    assert_eq!(attributes["preEngagement"]["skill"], "vip");
    assert!(attributes.get("skill").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_rule_about_our_number_is_answered_by_the_binding() {
    let rules = format!(r#"[{{"match":{{"proxy_address":"{SMS_NUMBER}"}},"priority":9}}]"#);
    for filters in [every_event as fn(&mut simulator::Settings), |_| {}] {
        let rig = Rig::with(1, filters, &[("ROUTING_RULES", &rules)]);
        let front = rig.front().await;
        rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
        rig.deliver_all(&front).await;
        assert_eq!(rig.system.twilio.tasks()[0].priority, 9);
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_conversation_ends_its_record() {
    for remove in [false, true] {
        let rig = Rig::with(1, every_event, &[]);
        let front = rig.front().await;
        rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
        rig.deliver_all(&front).await;
        let sid = rig.system.twilio.conversations()[0].sid.clone();
        rig.pass(Duration::from_mins(1)).await;
        if remove {
            rig.rest(http::Method::DELETE, &format!("/v1/Conversations/{sid}"), "").await;
        } else {
            rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
        }
        assert_eq!(rig.deliver_all(&front).await, [Answer::new(200, "ignored")]);
        let record = rig.record(&sid).await.unwrap();
        assert_eq!((record.stage, record.due_at), (Stage::Closed, None));
        assert!(record.forget_at.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_arrives_after_the_end_opens_nothing() {
    let rig = Rig::with(1, every_event, &[]);
    let front = rig.front().await;
    let late = rig.message(CUSTOMER, "hello");
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    rig.system.twilio.close_conversation(&sid, simulator::Reason::Api).unwrap();
    rig.deliver_all(&front).await;
    assert_eq!(Answer::of(&front.handle(late).await), Answer::new(200, "ignored"));
    assert!(rig.system.twilio.interactions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn participants_before_or_after_the_message_make_no_difference() {
    for participant_first in [true, false] {
        let rig = Rig::with(1, every_event, &[]);
        let front = rig.front().await;
        rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello");
        let mut webhooks = rig.system.twilio.take_webhooks();
        if !participant_first {
            webhooks.reverse();
        }
        for webhook in &webhooks {
            flexglue::local::system::deliver(&rig.system.twilio, &front, webhook).await;
        }
        let sid = rig.system.twilio.conversations()[0].sid.clone();
        let record = rig.record(&sid).await.unwrap();
        assert_eq!(record.stage, Stage::SettingUp);
        assert_eq!(record.contact.unwrap().proxy_address.unwrap().as_str(), SMS_NUMBER);
        assert_eq!(rig.live_interactions(&sid).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_twilio_refuses_for_good_is_failed_recorded_and_counted() {
    let rig = Rig::with(1, |_| {}, &[("TASK_CHANNEL", "no-such-channel")]);
    let front = rig.front().await;
    let response = front.handle(rig.message(CUSTOMER, "hello")).await;
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body, json!({"outcome": "failed", "code": 45367}));
    let sid = rig.system.twilio.conversations()[0].sid.clone();
    assert_eq!(rig.record(&sid).await.unwrap().stage, Stage::Refused { status: 400, code: Some(45367) });
    assert_eq!(rig.history(&sid).await.last().unwrap().code, Some(45367));
    assert_eq!(rig.metric("InteractionRefused"), 1);
}

/// The payload of Twilio's set-up guide: JSON under `conversation`.
#[tokio::test(start_paused = true)]
async fn the_json_payload_of_the_set_up_guide_is_understood() {
    let rig = Rig::new();
    let front = rig.front().await;
    let account = rig.system.twilio.settings();
    let conversation = rig.chat_of("customer1").await;
    let payload = json!({"conversation": {
        "EventType": "onMessageAdded", "InstanceSid": account.chat_service_sid, "Attributes": "{}",
        "DateCreated": "2022-02-21T05:01:46.886Z", "Index": "0", "From": "customer1",
        "MessageSid": "IM3032b674d70647a798ffa8e78eb23abf", "AccountSid": account.account_sid,
        "Source": "API", "ChannelSid": conversation, "RetryCount": "0", "Author": "customer1",
        "To": conversation, "Body": "hello", "WebhookSid": "WHae4ab4d5e7344cdab97274af52159f9c",
        "ConversationSid": conversation, "ChannelAttributes": {}
    }})
    .to_string();
    let hash = shared::signature::body_hash(payload.as_bytes());
    let url = format!("https://flexglue.example/webhooks/conversations?bodySHA256={hash}");
    let request = http::Request::post(&url)
        .header("content-type", "application/json")
        .header("x-twilio-signature", simulator::sign(&account.auth_token, &url, &[]))
        .body(payload.into())
        .unwrap();
    assert_eq!(Answer::of(&front.handle(request).await), Answer::new(200, "created"));
    assert_eq!(rig.live_interactions(&conversation).len(), 1);
}
