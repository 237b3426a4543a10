//! What the ledger relies on in DynamoDB, asked of every engine at hand through the real SDK over HTTP: of
//! the embedded one always, and of the one at `FLEXGLUE_SECOND_DYNAMODB` where that is set (`run.sh` sets
//! it). Where two engines that do not know each other agree, the local tests are worth believing.

#![expect(clippy::unwrap_used, reason = "helpers of a test are the test")]

mod engine;

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::{
        put_item::PutItemError, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError,
    },
    types::{
        AttributeValue, ConditionCheck, Delete, KeysAndAttributes, Put,
        ReturnValuesOnConditionCheckFailure::AllOld, TimeToLiveStatus, TransactWriteItem,
    },
};
use engine::{Engine, Item, every_engine, item, number, text};

/// A put that asks for the old item where its condition fails.
fn conditional_put(engine: &Engine, item: Item, condition: &str) -> Put {
    Put::builder()
        .table_name(&engine.table)
        .set_item(Some(item))
        .condition_expression(condition)
        .return_values_on_condition_check_failure(AllOld)
        .build()
        .unwrap()
}

fn write(put: Put) -> TransactWriteItem {
    TransactWriteItem::builder().put(put).build()
}

async fn get(engine: &Engine, pk: &str) -> Option<Item> {
    let request = engine.client.get_item().table_name(&engine.table).consistent_read(true);
    request.key("pk", text(pk)).key("sk", text("record")).send().await.unwrap().item
}

#[tokio::test]
async fn a_first_put_wins_and_a_second_one_is_told_who_won() {
    for engine in every_engine("first-put").await {
        let put = |owner| {
            engine
                .client
                .put_item()
                .table_name(&engine.table)
                .set_item(Some(item("CH1", &[("owner", text(owner))])))
                .condition_expression("attribute_not_exists(pk)")
                .return_values_on_condition_check_failure(AllOld)
                .send()
        };
        put("first").await.unwrap();

        let error = put("second").await.unwrap_err().into_service_error();
        assert!(error.is_conditional_check_failed_exception(), "{engine}: {error:?}");
        let PutItemError::ConditionalCheckFailedException(failed) = error else {
            unreachable!("it is one by the line above")
        };
        assert_eq!(failed.item, Some(item("CH1", &[("owner", text("first"))])), "{engine}");
        assert_eq!(get(&engine, "CH1").await.unwrap()["owner"], text("first"), "{engine}");
    }
}

#[tokio::test]
async fn a_record_changes_only_from_the_version_that_was_read() {
    for engine in every_engine("version").await {
        let put = |from: u32, to: u32| {
            engine
                .client
                .put_item()
                .table_name(&engine.table)
                .set_item(Some(item("CH1", &[("version", number(to))])))
                .condition_expression("attribute_not_exists(pk) OR #version = :v")
                .expression_attribute_names("#version", "version")
                .expression_attribute_values(":v", number(from))
                .send()
        };
        put(0, 1).await.unwrap();
        put(1, 2).await.unwrap();
        let error = put(1, 3).await.unwrap_err().into_service_error();
        assert!(error.is_conditional_check_failed_exception(), "{engine}: {error:?}");
        assert_eq!(get(&engine, "CH1").await.unwrap()["version"], number(2), "{engine}");
    }
}

#[tokio::test]
async fn a_transaction_writes_all_or_nothing_and_tells_which_condition_failed() {
    for engine in every_engine("transaction").await {
        let transact = |owner: &str, other: &str| {
            let claim = item("CH1", &[("owner", text(owner))]);
            engine
                .client
                .transact_write_items()
                .transact_items(write(conditional_put(&engine, claim, "attribute_not_exists(pk)")))
                .transact_items(write(
                    Put::builder()
                        .table_name(&engine.table)
                        .set_item(Some(item(other, &[])))
                        .build()
                        .unwrap(),
                ))
                .send()
        };
        transact("first", "pair-1").await.unwrap();
        assert!(get(&engine, "pair-1").await.is_some(), "{engine}");

        let error = transact("second", "pair-2").await.unwrap_err().into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
            panic!("{engine}: {error:?}")
        };
        let reasons = canceled.cancellation_reasons();
        let codes: Vec<_> = reasons.iter().map(|reason| reason.code().unwrap_or_default()).collect();
        assert_eq!(codes, ["ConditionalCheckFailed", "None"], "{engine}");
        assert_eq!(reasons[0].item, Some(item("CH1", &[("owner", text("first"))])), "{engine}");
        assert!(get(&engine, "pair-2").await.is_none(), "{engine}: nothing is written by half");
    }
}

/// A record and the lock that goes with it: which of two conditions failed is told, and a lock that is gone
/// already, or is another's, is told apart.
#[tokio::test]
async fn a_lock_goes_with_its_record_and_only_its_owners() {
    for engine in every_engine("lock").await {
        let begin = |record: &str, lock: &str| {
            let record =
                conditional_put(&engine, item(record, &[("version", number(1))]), "attribute_not_exists(pk)");
            let lock =
                conditional_put(&engine, item(lock, &[("reach", text("first"))]), "attribute_not_exists(pk)");
            let request = engine.client.transact_write_items();
            request.transact_items(write(record)).transact_items(write(lock)).send()
        };
        begin("reach-1", "pair").await.unwrap();
        for (record, lock, codes) in [
            ("reach-1", "other", ["ConditionalCheckFailed", "None"]),
            ("reach-2", "pair", ["None", "ConditionalCheckFailed"]),
            ("reach-1", "pair", ["ConditionalCheckFailed", "ConditionalCheckFailed"]),
        ] {
            let error = begin(record, lock).await.unwrap_err().into_service_error();
            let TransactWriteItemsError::TransactionCanceledException(canceled) = error else {
                panic!("{engine}: {error:?}")
            };
            let reasons = canceled.cancellation_reasons();
            let told: Vec<_> = reasons.iter().map(|reason| reason.code().unwrap_or_default()).collect();
            assert_eq!(told, codes, "{engine}: {record} {lock}");
        }
        let finish = |owner: &str| {
            let unlock = Delete::builder()
                .table_name(&engine.table)
                .key("pk", text("pair"))
                .key("sk", text("record"))
                .condition_expression("attribute_not_exists(pk) OR reach = :reach")
                .expression_attribute_values(":reach", text(owner))
                .build()
                .unwrap();
            let put = Put::builder()
                .table_name(&engine.table)
                .set_item(Some(item("reach-1", &[])))
                .build()
                .unwrap();
            let request = engine.client.transact_write_items().transact_items(write(put));
            request.transact_items(TransactWriteItem::builder().delete(unlock).build()).send()
        };
        assert!(finish("second").await.is_err(), "{engine}: it is another's");
        assert!(get(&engine, "pair").await.is_some(), "{engine}");
        finish("first").await.unwrap();
        assert!(get(&engine, "pair").await.is_none(), "{engine}");
        finish("first").await.unwrap();
        begin("reach-2", "pair").await.unwrap();
    }
}

/// The writes of a rate limit.
#[tokio::test]
async fn a_number_is_set_and_counted_up_on_conditions_and_told_where_they_do_not_hold() {
    for engine in every_engine("limit").await {
        let update = |expression: &str, condition: &str| {
            engine
                .client
                .update_item()
                .table_name(&engine.table)
                .key("pk", text("limit"))
                .key("sk", text("record"))
                .update_expression(expression)
                .condition_expression(condition)
                .expression_attribute_values(":one", number(1))
                .return_values_on_condition_check_failure(AllOld)
        };
        let fill = |now: u32| {
            update("SET full_at = :full_at, taken = :one", "attribute_not_exists(pk) OR full_at <= :now")
                .expression_attribute_values(":full_at", number(now + 60))
                .expression_attribute_values(":now", number(now))
                .send()
        };
        let take = |now: u32| {
            update("SET taken = taken + :one", "full_at > :now AND taken < :rate")
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":rate", number(2))
                .send()
        };
        let stored = |error: UpdateItemError| match error {
            UpdateItemError::ConditionalCheckFailedException(failed) => failed.item.unwrap_or_default(),
            error => panic!("{engine}: {error:?}"),
        };
        assert_eq!(stored(take(0).await.unwrap_err().into_service_error()), HashMap::default(), "{engine}");
        fill(40).await.unwrap();
        let met = stored(fill(99).await.unwrap_err().into_service_error());
        assert_eq!((&met["full_at"], &met["taken"]), (&number(100), &number(1)), "{engine}");
        take(99).await.unwrap();
        let met = stored(take(99).await.unwrap_err().into_service_error());
        assert_eq!((&met["full_at"], &met["taken"]), (&number(100), &number(2)), "{engine}");
        fill(100).await.unwrap();
        take(101).await.unwrap();
    }
}

#[tokio::test]
async fn a_condition_check_alone_guards_what_else_a_transaction_writes() {
    for engine in every_engine("check").await {
        let check = ConditionCheck::builder()
            .table_name(&engine.table)
            .key("pk", text("CH1"))
            .key("sk", text("record"))
            .condition_expression("attribute_exists(pk)")
            .build()
            .unwrap();
        let error = engine
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().condition_check(check).build())
            .transact_items(write(conditional_put(&engine, item("CH2", &[]), "attribute_not_exists(pk)")))
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        assert!(error.is_transaction_canceled_exception(), "{engine}: {error:?}");
        assert!(get(&engine, "CH2").await.is_none(), "{engine}");
    }
}

#[tokio::test]
async fn what_was_never_written_is_not_there() {
    for engine in every_engine("absent").await {
        assert!(get(&engine, "CH1").await.is_none(), "{engine}");
    }
}

/// One page of what is due in shard `0` by `until`: the `pk`s, and where the next page begins.
async fn due(engine: &Engine, until: u32, start: Option<Item>) -> (Vec<String>, Option<Item>) {
    let page = engine
        .client
        .query()
        .table_name(&engine.table)
        .index_name("due")
        .key_condition_expression("due_shard = :s AND due_at <= :t")
        .expression_attribute_values(":s", text("0"))
        .expression_attribute_values(":t", number(until))
        .set_exclusive_start_key(start)
        .limit(2)
        .send()
        .await
        .unwrap();
    let keys = page.items().iter().map(|item| item["pk"].as_s().unwrap().clone()).collect();
    (keys, page.last_evaluated_key)
}

async fn put_due(engine: &Engine, pk: &str, shard: &str, at: u32) {
    let attributes = [("due_shard", text(shard)), ("due_at", number(at)), ("owner", text("x"))];
    let item = item(pk, &attributes);
    engine.client.put_item().table_name(&engine.table).set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn the_index_gives_what_is_due_in_order_and_page_by_page() {
    for engine in every_engine("due").await {
        // Written out of order, and with times whose text sorts otherwise than their value.
        for (pk, shard, at) in
            [("c", "0", 100), ("a", "0", 9), ("later", "0", 101), ("b", "0", 10), ("other", "1", 1)]
        {
            put_due(&engine, pk, shard, at).await;
        }
        engine
            .client
            .put_item()
            .table_name(&engine.table)
            .set_item(Some(item("nothing-due", &[])))
            .send()
            .await
            .unwrap();

        let (first, start) = due(&engine, 100, None).await;
        assert_eq!(first, ["a", "b"], "{engine}");
        let (second, start) = due(&engine, 100, start).await;
        assert_eq!(second, ["c"], "{engine}");
        assert!(start.is_none(), "{engine}");
    }
}

#[tokio::test]
async fn a_record_without_a_due_time_leaves_the_index() {
    for engine in every_engine("leaves").await {
        put_due(&engine, "a", "0", 1).await;
        assert_eq!(due(&engine, 10, None).await.0, ["a"], "{engine}");
        engine
            .client
            .put_item()
            .table_name(&engine.table)
            .set_item(Some(item("a", &[])))
            .send()
            .await
            .unwrap();
        assert!(due(&engine, 10, None).await.0.is_empty(), "{engine}");
    }
}

#[tokio::test]
async fn the_index_holds_keys_and_nothing_else() {
    for engine in every_engine("keys-only").await {
        put_due(&engine, "a", "0", 1).await;
        let query = engine.client.query().table_name(&engine.table).index_name("due");
        let page = query
            .key_condition_expression("due_shard = :s")
            .expression_attribute_values(":s", text("0"))
            .send()
            .await
            .unwrap();
        let mut names: Vec<_> = page.items()[0].keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["due_at", "due_shard", "pk", "sk"], "{engine}");
    }
}

#[tokio::test]
async fn records_expire_by_forget_at() {
    for engine in every_engine("ttl").await {
        let table = engine.client.describe_time_to_live().table_name(&engine.table);
        let ttl = table.send().await.unwrap().time_to_live_description.unwrap();
        assert_eq!(ttl.attribute_name(), Some("forget_at"), "{engine}");
        assert!(
            matches!(ttl.time_to_live_status(), Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)),
            "{engine}: {ttl:?}"
        );
    }
}

#[tokio::test]
async fn an_index_key_of_the_wrong_type_is_refused() {
    for engine in every_engine("wrong-type").await {
        if !engine.embedded {
            // moto takes it.
            continue;
        }
        let attributes = [("due_shard", text("0")), ("due_at", text("1"))];
        let put = engine.client.put_item().table_name(&engine.table);
        let error = put.set_item(Some(item("a", &attributes))).send().await.unwrap_err();
        assert_eq!(engine::code(&error), Some("ValidationException"), "{engine}");
    }
}

#[tokio::test]
async fn a_transaction_repeated_with_its_token_is_done_once() {
    for engine in every_engine("token").await {
        if !engine.embedded {
            // moto does not look at the token.
            continue;
        }
        for _ in 0..2 {
            // The second one would fail its condition if it were done again.
            let put = conditional_put(&engine, item("CH1", &[]), "attribute_not_exists(pk)");
            let request = engine.client.transact_write_items().transact_items(write(put));
            request.client_request_token("the-same-request").send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_update_changes_only_what_it_names() {
    for engine in every_engine("update").await {
        let request = engine.client.put_item().table_name(&engine.table);
        request.set_item(Some(item("a", &[("owner", text("x"))]))).send().await.unwrap();
        engine
            .client
            .update_item()
            .table_name(&engine.table)
            .key("pk", text("a"))
            .key("sk", text("record"))
            .update_expression("SET tries = if_not_exists(tries, :none) + :one")
            .expression_attribute_values(":none", number(0))
            .expression_attribute_values(":one", number(1))
            .send()
            .await
            .unwrap();
        let expected = item("a", &[("owner", text("x")), ("tries", AttributeValue::N("1".to_owned()))]);
        assert_eq!(get(&engine, "a").await, Some(expected), "{engine}");
    }
}

/// Discovery asks for a hundred records at once.
#[tokio::test]
async fn a_batch_gives_those_that_are_there() {
    for engine in every_engine("batch").await {
        for number in 0..60 {
            let put = engine.client.put_item().table_name(&engine.table);
            put.set_item(Some(item(&format!("CH{number}"), &[]))).send().await.unwrap();
        }
        let keys = (0..100).map(|number| {
            Item::from([("pk".to_owned(), text(&format!("CH{number}"))), ("sk".to_owned(), text("record"))])
        });
        let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).build().unwrap();
        let answer = engine.client.batch_get_item().request_items(&engine.table, keys).send().await.unwrap();
        let found = &answer.responses.unwrap()[&engine.table];
        assert_eq!(found.len(), 60, "{engine}");
        assert!(answer.unprocessed_keys.is_none_or(|keys| keys.is_empty()), "{engine}");
    }
}
