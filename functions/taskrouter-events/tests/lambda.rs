//! The compiled function, as Lambda runs it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "these are tests, helpers and all"
)]

use std::time::Duration;

use flexglue_tests::{
    loopback::{Account, TABLE},
    runtime_api::Instance,
};
use serde_json::{Value, json};
use simulator::{Fault, Matcher, Misbehaviour, Times};

const BINARY: &str = env!("CARGO_BIN_EXE_taskrouter-events");
const URL: &str = "https://abcdef1234.execute-api.us-east-1.amazonaws.com/webhooks/taskrouter";

/// A callback as API Gateway hands it over, signed.
fn callback(account: &Account, fields: &[(&str, &str)]) -> Value {
    let settings = account.twilio.settings();
    let common = [("AccountSid", settings.account_sid.as_str()), ("WorkspaceSid", &settings.workspace_sid)];
    let form: Vec<(String, String)> =
        common.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    let signature = simulator::sign(&settings.auth_token, URL, &form);
    json!({
        "version": "2.0", "routeKey": "POST /webhooks/taskrouter", "rawPath": "/webhooks/taskrouter",
        "rawQueryString": "",
        "headers": {
            "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
            "host": "abcdef1234.execute-api.us-east-1.amazonaws.com",
            "x-twilio-signature": signature,
            "i-twilio-idempotency-token": "e01a6ef8-7c0a-4ca9-9ee1-d3c5b7e1ff6d",
        },
        "requestContext": {
            "accountId": "123456789012", "apiId": "abcdef1234", "stage": "$default",
            "domainName": "abcdef1234.execute-api.us-east-1.amazonaws.com", "domainPrefix": "abcdef1234",
            "http": {
                "method": "POST", "path": "/webhooks/taskrouter", "protocol": "HTTP/1.1",
                "sourceIp": "3.88.0.1", "userAgent": "TwilioProxy/1.1",
            },
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "POST /webhooks/taskrouter",
            "time": "21/Nov/2026:05:00:00 +0000", "timeEpoch": 1_795_237_200_000_u64,
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// An Interaction whose task was canceled, and what TaskRouter tells of it.
async fn orphan(account: &Account) -> (String, Value) {
    let conversation =
        account.twilio.customer_writes("+15551230001", "+15557770000", "hello").conversation_sid;
    let settings = account.twilio.settings();
    let post = async |path: String, form: &[(&str, &str)]| {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        let login = format!("{}:{}", settings.account_sid, settings.auth_token);
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = http::Request::post(path)
            .header("authorization", format!("Basic {}", BASE64_STANDARD.encode(login)))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes::Bytes::from(body))
            .unwrap();
        let answer = account.twilio.call(request).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    };
    let channel = json!({
        "type": "sms", "initiated_by": "customer", "properties": {"media_channel_sid": conversation},
    });
    let routing = json!({"properties": {
        "workspace_sid": settings.workspace_sid, "workflow_sid": settings.workflow_sid,
        "task_channel_unique_name": "chat", "attributes": {"from": "+15551230001", "skill": "billing"},
    }});
    let form = [("Channel", &*channel.to_string()), ("Routing", &*routing.to_string())];
    post("/v1/Interactions".to_owned(), &form).await;
    // The channel is set up a moment after the answer.
    while account.twilio.interactions()[0].channel.status != simulator::ChannelStatus::Active {
        tokio::task::yield_now().await;
    }
    let task = account.twilio.tasks().remove(0);
    let path = format!("/v1/Workspaces/{}/Tasks/{}", settings.workspace_sid, task.sid);
    post(path, &[("AssignmentStatus", "canceled")]).await;
    let attributes = Value::Object(task.attributes).to_string();
    let event = callback(
        account,
        &[
            ("EventType", "task.canceled"),
            ("TaskSid", &task.sid),
            ("TaskAttributes", &attributes),
            ("WorkflowSid", &task.workflow_sid),
            ("TaskChannelUniqueName", "chat"),
            ("Timestamp", "1795237200"),
        ],
    );
    (conversation, event)
}

#[tokio::test]
async fn a_canceled_task_is_followed_by_a_re_invite_and_answered_204() {
    let account = Account::start().await;
    let (conversation, event) = orphan(&account).await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    for _ in 0..2 {
        let answer = function.invoke(event.clone()).await.unwrap();
        assert_eq!(answer["statusCode"], 204, "{answer}");
        assert_eq!(answer["headers"]["content-type"], "application/json");
    }
    let waiting = account.twilio.tasks().pop().unwrap();
    assert_eq!(
        (&waiting.attributes["skill"], &waiting.attributes["flexglueReinvites"]),
        (&json!("billing"), &json!(1))
    );
    assert_eq!(account.twilio.messages(&conversation).len(), 2, "the customer's, and one of ours");
    let logs = function.logs();
    assert!(logs.stdout.contains(&conversation) && !logs.stdout.contains("+1555"), "{}", logs.stdout);
}

#[tokio::test]
async fn what_is_forged_foreign_or_of_no_concern_is_answered_and_changes_nothing() {
    let account = Account::start().await;
    let (_, good) = orphan(&account).await;
    let calls = account.asked().len();
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let mut forged = good.clone();
    forged["headers"]["x-twilio-signature"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAA=".into();
    let task = ("TaskSid", "WT00000000000000000000000000000001");
    let foreign = format!("WS{:032x}", 99);
    for (event, status) in [
        (forged, 403),
        (callback(&account, &[("EventType", "task.canceled"), task, ("TaskAttributes", "{}")]), 204),
        (callback(&account, &[("EventType", "worker.activity.update")]), 204),
        (callback(&account, &[("EventType", "task.canceled"), task, ("WorkspaceSid", &foreign)]), 400),
        (callback(&account, &[("EventType", "task.canceled"), ("TaskSid", "nonsense")]), 400),
    ] {
        let answer = function.invoke(event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{answer}");
    }
    assert_eq!(account.asked().len(), calls);
    assert!(account.dynamo.items(TABLE).unwrap().is_empty());
}

/// TaskRouter waits ten seconds; what is written down is safe.
#[tokio::test]
async fn a_twilio_that_says_nothing_is_answered_204_in_time_and_the_record_is_due() {
    let account = Account::start().await;
    let (_, event) = orphan(&account).await;
    account.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Forever, what: Misbehaviour::Hang });
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), function.invoke(event)).await;
    assert_eq!(answer.expect("an answer in time").unwrap()["statusCode"], 204);
    let items = account.dynamo.items(TABLE).unwrap();
    let record = items.iter().find(|item| item["sk"] == "record").expect("it is written down");
    assert!(record["due_at"].is_u64(), "{record}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_503_so_that_it_is_sent_again() {
    let mut account = Account::start().await;
    let (_, event) = orphan(&account).await;
    account.environment.insert("TABLE_NAME".to_owned(), "no-such-table".to_owned());
    let function = Instance::start(BINARY, account.environment).await.unwrap();
    assert_eq!(function.invoke(event).await.unwrap()["statusCode"], 503);
}
