//! The compiled function, as Lambda runs it.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "these are tests, helpers and all")]

use flexglue_tests::{
    loopback::{Account, TABLE},
    runtime_api::Instance,
};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_orphan-sweeper");

/// What `EventBridge` sends on a schedule.
fn scheduled() -> Value {
    json!({
        "version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event",
        "source": "aws.events", "account": "123456789012", "time": "2026-11-21T05:00:00Z",
        "region": "us-east-1", "resources": ["arn:aws:events:us-east-1:123456789012:rule/EveryMinute"],
        "detail": {}
    })
}

/// A claim whose owner died long ago, as it stands in the table.
fn abandoned(account: &Account) -> Value {
    let conversation =
        account.twilio.customer_writes("+15551230001", "+15557770000", "hello").conversation_sid;
    let item = json!({
        "pk": {"S": format!("conversation#{conversation}")}, "sk": {"S": "record"},
        "sid": {"S": conversation}, "version": {"N": "1"},
        "stage": {"S": "claimed"}, "owner": {"S": "dead"}, "lease_until": {"N": "1"},
        "message": {"M": {"author": {"S": "+15551230001"}, "attributes": {"S": "{}"}}},
        "attempts": {"N": "1"}, "set_up_failures": {"N": "0"}, "reinvites": {"N": "0"},
        "created_at": {"N": "1"}, "updated_at": {"N": "1"},
        "due_shard": {"S": "due#03"}, "due_at": {"N": "1"}
    });
    let put = json!({"TableName": TABLE, "Item": item}).to_string();
    assert_eq!(account.dynamo.call("PutItem", put.as_bytes()).status(), 200);
    conversation.into()
}

#[tokio::test]
async fn a_schedule_finishes_what_is_due_and_a_dry_run_only_looks() {
    let account = Account::start().await;
    let function = Instance::start(BINARY, account.environment.clone()).await.unwrap();
    let mut nothing = json!({
        "due": 0, "finished": 0, "compensated": 0, "adopted": 0, "reinvited": 0, "closed": 0, "left": 0,
        "errors": 0
    });
    assert_eq!(function.invoke(scheduled()).await.unwrap(), nothing);

    let conversation = abandoned(&account);
    let report = function.invoke(json!({"dry_run": true})).await.unwrap();
    assert_eq!((&report["due"], &report["left"]), (&json!(1), &json!(1)));
    assert!(account.twilio.interactions().is_empty());

    let report = function.invoke(scheduled()).await.unwrap();
    nothing["due"] = 1.into();
    nothing["finished"] = 1.into();
    assert_eq!(report, nothing);
    assert_eq!(account.twilio.interactions_on(conversation.as_str().unwrap()).len(), 1);
}
