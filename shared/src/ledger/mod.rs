//! Keeps the records of conversations in DynamoDB: one table, one conditional write per transition.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | the record of a conversation | `conversation#CH…` | `record` |
//! | what happened to it, one small item each | `conversation#CH…` | `history#` + time + version |
//! | which conversation a task belongs to | `task#WT…` | `conversation` |
//! | how far the sweeper has come in a list of Twilio's | `walk` | the list |
//! | the record of an outbound reach | `reach#` + its id | `record` |
//! | which reach for a pair of addresses is under way | `pair#` + a digest of both | `lock` |
//! | the record of a web chat | `webchat#` + its guest | `record` |
//! | how much a caller has asked for lately | `limit#` + who | `bucket` |
//!
//! A transition and its history entry are written together or not at all
//! ([`TransactWriteItems`](https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html)),
//! (and with them the item that leads from a new task to it), on the condition that the record is still at the
//! version that the writer saw. Who loses learns the
//! record that won from the refusal itself, without a read. The table's definition is in `template.yaml`.

mod item;
mod limits;
mod reaches;
mod web_chats;

use std::{collections::HashMap, sync::Arc, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{
        AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem,
    },
};
use serde::de::DeserializeOwned;

use self::item::{HistoryItem, Item, PointerItem, WalkItem, conversation_key};
pub use self::{
    item::{DUE_INDEX, DUE_SHARDS, Due, Walk},
    limits::Admission,
    reaches::Begun,
};
use crate::{
    aws::{self, Lazy},
    clock::{Deadline, Timestamp},
    conversation::{Conversation, Happening, Transition},
    random::Random,
    safeguard::Safeguard,
    sid::{ConversationSid, TaskSid},
};

/// The keeper of the records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Lazy<Client>,
    table: Arc<str>,
    random: Arc<dyn Random>,
}

/// What somebody who has seen a record wants.
#[derive(Debug)]
pub enum Decision<T> {
    /// To write this, and then go on with `T`.
    Write(Box<Transition>, T),
    /// To leave it as it is, and go on with `T`.
    Leave(T),
}

/// Why the ledger could not be asked or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// DynamoDB did not do it, or not in time. Whether a write took place is not known.
    #[error("DynamoDB did not answer as it should")]
    Unavailable,
    /// What is stored is not a record of ours.
    #[error("a stored record could not be read")]
    Unreadable,
    /// Others wrote the same record again and again.
    #[error("the record changed under every attempt")]
    Contended,
}

/// How often a transition is decided anew because somebody else wrote meanwhile. Fifty webhooks of one
/// message at once settle in two.
const DECISIONS: u32 = 12;

/// How long to wait after somebody else's write was under way.
const CONFLICT_PAUSE: Duration = Duration::from_millis(30);

enum Written {
    Done,
    /// Somebody else had written before; this stands there now.
    Lost(Option<Box<Conversation>>),
    /// Somebody else is writing right now.
    Conflict,
}

impl Ledger {
    /// A ledger in `table`.
    #[must_use]
    pub fn new(client: Lazy<Client>, table: &str, random: Arc<dyn Random>) -> Self {
        Self { client, table: table.into(), random }
    }

    /// The record of a conversation, as it is now.
    pub async fn get(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Option<Conversation>, LedgerError> {
        let item = self.item((conversation_key(sid), item::RECORD.to_owned()), deadline).await?;
        item.map(item::to_conversation).transpose()
    }

    /// The conversation that a task belongs to, where that was ever heard.
    pub async fn conversation_of_task(
        &self,
        task: &TaskSid,
        deadline: Deadline,
    ) -> Result<Option<ConversationSid>, LedgerError> {
        let item = self.item(item::pointer_key(task), deadline).await?;
        let pointer: Option<PointerItem> = item.map(read).transpose()?;
        Ok(pointer.map(|pointer| pointer.conversation))
    }

    /// How far a walk has come.
    pub async fn walk(&self, name: &str, deadline: Deadline) -> Result<Option<Walk>, LedgerError> {
        let item = self.item(item::walk_key(name), deadline).await?;
        let walk: Option<WalkItem> = item.map(read).transpose()?;
        Ok(walk.map(|item| item.walk))
    }

    /// Writes how far a walk has come. `false` where somebody else has written since it was `seen`.
    pub async fn go_on_with_walk(
        &self,
        name: &str,
        seen: Option<&Walk>,
        walk: &Walk,
        deadline: Deadline,
    ) -> Result<bool, LedgerError> {
        let request =
            self.client.put_item().table_name(&*self.table).set_item(Some(item::from_walk(name, walk)?));
        let request = match seen {
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => request
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", AttributeValue::N(seen.version.to_string())),
        };
        match deadline.run(Box::pin(request.send())).await.ok_or(LedgerError::Unavailable)? {
            Ok(_) => Ok(true),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(false)
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Asks for what is never there, so that the connection stands and the SDK has found its way.
    pub(crate) async fn warm_up(&self, deadline: Deadline) {
        drop(self.item(("warm-up".to_owned(), "warm-up".to_owned()), deadline).await);
    }

    async fn item(
        &self,
        (pk, sk): (String, String),
        deadline: Deadline,
    ) -> Result<Option<Item>, LedgerError> {
        let key = HashMap::from([
            ("pk".to_owned(), AttributeValue::S(pk)),
            ("sk".to_owned(), AttributeValue::S(sk)),
        ]);
        let request =
            self.client.get_item().table_name(&*self.table).set_key(Some(key)).consistent_read(true);
        let answer = deadline
            .run(Box::pin(request.send()))
            .await
            .ok_or(LedgerError::Unavailable)?
            .map_err(|error| unavailable(&error))?;
        Ok(answer.item)
    }

    /// The records of conversations, of those that have one. They may be a moment old.
    pub async fn known(
        &self,
        sids: &[ConversationSid],
        deadline: Deadline,
    ) -> Result<HashMap<ConversationSid, Conversation>, LedgerError> {
        /// The most keys that one request may name.
        const MOST: usize = 100;
        let mut known = HashMap::new();
        for sids in sids.chunks(MOST) {
            let keys = sids.iter().map(|sid| {
                HashMap::from([
                    ("pk".to_owned(), AttributeValue::S(conversation_key(sid))),
                    ("sk".to_owned(), AttributeValue::S(item::RECORD.to_owned())),
                ])
            });
            let keys = KeysAndAttributes::builder().set_keys(Some(keys.collect())).build();
            let mut left =
                HashMap::from([(self.table.to_string(), keys.map_err(|_| LedgerError::Unreadable)?)]);
            // A large answer comes in parts.
            while !left.is_empty() {
                let request = self.client.batch_get_item().set_request_items(Some(left));
                let answer = deadline
                    .run(Box::pin(request.send()))
                    .await
                    .ok_or(LedgerError::Unavailable)?
                    .map_err(|error| unavailable(&error))?;
                let items = answer.responses.unwrap_or_default().into_values().flatten();
                let records = items.filter_map(|item| readable(item, item::to_conversation));
                known.extend(records.map(|record| (record.sid.clone(), record)));
                left = answer.unprocessed_keys.unwrap_or_default();
            }
        }
        Ok(known)
    }

    /// Decides on a record and writes what was decided, again for as long as others write in between.
    ///
    /// `seen` is the record as the caller last saw it, `None` for a conversation that it takes for new; it
    /// may be wrong, `decide` is then asked again with what stands there. Nothing is read first.
    pub async fn transition<T>(
        &self,
        seen: Option<Conversation>,
        deadline: Deadline,
        mut decide: impl FnMut(Option<&Conversation>) -> Decision<T>,
    ) -> Result<(T, Option<Conversation>), LedgerError> {
        let mut current = seen;
        for _ in 0..DECISIONS {
            let (transition, outcome) = match decide(current.as_ref()) {
                Decision::Leave(outcome) => return Ok((outcome, current)),
                Decision::Write(transition, outcome) => (transition, outcome),
            };
            let written = deadline
                .run(Box::pin(self.write(current.as_ref(), &transition)))
                .await
                .ok_or(LedgerError::Unavailable)??;
            match written {
                Written::Done => return Ok((outcome, Some(transition.next))),
                Written::Lost(stored) => current = stored.map(|stored| *stored),
                Written::Conflict => {
                    tokio::time::sleep(self.random.up_to(CONFLICT_PAUSE)).await;
                    current = self.get(&transition.next.sid, deadline).await?;
                }
            }
        }
        Err(LedgerError::Contended)
    }

    /// Writes a change onto the record, whatever it has become since it was `seen`; where the change has
    /// nothing to say about it, nothing. The record afterwards.
    pub async fn record(
        &self,
        seen: Option<Conversation>,
        deadline: Deadline,
        change: impl Fn(Option<&Conversation>) -> Option<Transition>,
    ) -> Result<Option<Conversation>, LedgerError> {
        let ((), record) = self
            .transition(seen, deadline, |current| match change(current) {
                Some(transition) => Decision::Write(Box::new(transition), ()),
                None => Decision::Leave(()),
            })
            .await?;
        Ok(record)
    }

    async fn write(
        &self,
        current: Option<&Conversation>,
        transition: &Transition,
    ) -> Result<Written, LedgerError> {
        // The SDK sends a write again whose answer it lost. DynamoDB knows it by this token for ten minutes;
        // where it does not, the refusal shows what the first try wrote, and the decision finds it done.
        let token = self.random.token();
        let mut put = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item::from_conversation(&transition.next)?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        put = match current {
            _ if !Safeguard::ConversationVersion.is_on() => put,
            None => put.condition_expression("attribute_not_exists(pk)"),
            Some(current) => put
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", AttributeValue::N(current.version.to_string())),
        };
        let history = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item::from_happening(&transition.next, &transition.happening)?));
        let item = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
            put.build()
                .map(|put| TransactWriteItem::builder().put(put).build())
                .map_err(|_| LedgerError::Unreadable)
        };
        let task = |record: &Conversation| record.interaction.as_ref()?.task.clone();
        let new_task = task(&transition.next).filter(|new| current.and_then(task).as_ref() != Some(new));
        let pointer = match &new_task {
            Some(new) => {
                let pointer = item::from_pointer(new, &transition.next.sid, transition.next.updated_at)?;
                Some(item(Put::builder().table_name(&*self.table).set_item(Some(pointer)))?)
            }
            None => None,
        };
        let mut items = vec![item(put)?, item(history)?];
        items.extend(pointer);
        let sent = self
            .client
            .transact_write_items()
            .client_request_token(token)
            .set_transact_items(Some(items))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(Written::Done),
            Err(error) => lost(&error),
        }
    }

    /// What happened to a conversation, oldest first.
    pub async fn history(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Vec<Happening>, LedgerError> {
        let mut pages = self
            .client
            .query()
            .table_name(&*self.table)
            .key_condition_expression("pk = :pk AND begins_with(sk, :history)")
            .expression_attribute_values(":pk", AttributeValue::S(conversation_key(sid)))
            .expression_attribute_values(":history", AttributeValue::S(item::HISTORY.to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut history = Vec::new();
        while let Some(found) = deadline.run(pages.next()).await.ok_or(LedgerError::Unavailable)? {
            let found: HistoryItem = read(found.map_err(|error| unavailable(&error))?)?;
            history.push(found.happening);
        }
        Ok(history)
    }

    /// What of one shard is due by `now`, the longest due first, `limit` at most. The index
    /// follows the table after a moment, so what it names may have been dealt with already.
    pub async fn due(
        &self,
        shard: u8,
        now: Timestamp,
        limit: i32,
        deadline: Deadline,
    ) -> Result<Vec<Due>, LedgerError> {
        let request = self
            .client
            .query()
            .table_name(&*self.table)
            .index_name(DUE_INDEX)
            .key_condition_expression("due_shard = :shard AND due_at <= :now")
            .expression_attribute_values(":shard", AttributeValue::S(item::shard_key(shard)))
            .expression_attribute_values(":now", AttributeValue::N(now.as_millis().to_string()))
            .limit(limit);
        let answer = deadline
            .run(Box::pin(request.send()))
            .await
            .ok_or(LedgerError::Unavailable)?
            .map_err(|error| unavailable(&error))?;
        let items = answer.items.unwrap_or_default().into_iter();
        Ok(items.filter_map(|item| readable(item, |item| Due::of(&item))).collect())
    }
}

/// One item of many. What somebody has damaged by hand, or a newer version has written, must not keep anybody from the
/// others. Its key is logged, so that somebody can look at it.
fn readable<T>(item: Item, read: impl FnOnce(Item) -> Result<T, LedgerError>) -> Option<T> {
    let key = item.get("pk").and_then(|key| key.as_s().ok()).cloned();
    read(item).inspect_err(|error| tracing::error!(%error, key, "passed over")).ok()
}

fn read<T: DeserializeOwned>(item: Item) -> Result<T, LedgerError> {
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|_| LedgerError::Unreadable)
}

/// What a write that was not carried out says.
fn lost(error: &SdkError<TransactWriteItemsError>) -> Result<Written, LedgerError> {
    let canceled = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
        // An earlier try of this very write, whose answer the SDK did not wait for.
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => return Ok(Written::Conflict),
        _ => return Err(unavailable(error)),
    };
    let reasons = canceled.cancellation_reasons();
    let is = |reason: &CancellationReason, code| reason.code() == Some(code);
    if let Some(reason) = reasons.iter().find(|reason| is(reason, "ConditionalCheckFailed")) {
        let stored = reason.item().filter(|stored| !stored.is_empty()).cloned();
        return Ok(Written::Lost(stored.map(item::to_conversation).transpose()?.map(Box::new)));
    }
    if reasons.iter().any(|reason| is(reason, "TransactionConflict")) {
        return Ok(Written::Conflict);
    }
    Err(unavailable(error))
}

/// Notes why DynamoDB did not do something; for the caller it is all the same.
fn unavailable<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> LedgerError {
    tracing::error!(reason = aws::reason(error), "DynamoDB did not do it");
    LedgerError::Unavailable
}
