//! The records of outbound reaches, each with the lock on its pair of addresses: both are written together, so that
//! there is never a lock whose reach nobody knows, nor a second reach between the first one's look and its end.
//!
//! The lock has no time: it goes when its reach is over, and a reach whose process died is due, so that somebody
//! brings it there.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::transact_write_items::{TransactWriteItemsError, builders::TransactWriteItemsFluentBuilder},
    types::{
        AttributeValue, CancellationReason, Delete, Put, ReturnValuesOnConditionCheckFailure,
        TransactWriteItem,
    },
};

use super::{CONFLICT_PAUSE, Ledger, LedgerError, item, unavailable};
use crate::{
    clock::Deadline,
    reach::{Reach, ReachId},
    safeguard::Safeguard,
};

/// What came of beginning a reach.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// It is written down, and its owner may go on.
    Ours,
    /// It was asked for before; this is how it stands.
    Known(Box<Reach>),
    /// Another reach for the same pair of addresses is under way.
    PairBusy,
}

/// How often a write is tried while somebody else's is under way.
const TRIES: u32 = 8;

impl Ledger {
    /// The record of a reach, as it is now.
    pub async fn reach(&self, id: &ReachId, deadline: Deadline) -> Result<Option<Reach>, LedgerError> {
        let item = self.item(item::reach_key(id), deadline).await?;
        item.map(item::to_reach).transpose()
    }

    /// Writes a new reach down and takes its pair of addresses, both or neither.
    pub async fn begin_reach(&self, reach: &Reach, deadline: Deadline) -> Result<Begun, LedgerError> {
        let (pk, sk) = item::pair_key(&reach.request.pair());
        let lock = Put::builder()
            .table_name(&*self.table)
            .item("pk", AttributeValue::S(pk))
            .item("sk", AttributeValue::S(sk))
            .item("reach", AttributeValue::S(reach.id.to_string()))
            .item("since", AttributeValue::N(reach.created_at.as_millis().to_string()))
            .set_condition_expression(
                Safeguard::PairLock.is_on().then(|| "attribute_not_exists(pk)".to_owned()),
            );
        let record = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item::from_reach(reach)?))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = || {
            let put = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
                let put = put.build().map_err(|_| LedgerError::Unreadable)?;
                Ok(TransactWriteItem::builder().put(put).build())
            };
            let items = vec![put(record.clone())?, put(lock.clone())?];
            Ok(self.client.transact_write_items().set_transact_items(Some(items)))
        };
        match self.transact(request, deadline).await? {
            None => Ok(Begun::Ours),
            Some(Refused { record: Some(known), .. }) => {
                let known = item::to_reach(known)?;
                // Our own first try, whose answer the SDK lost, or another request with the same key.
                Ok(if known == *reach { Begun::Ours } else { Begun::Known(Box::new(known)) })
            }
            Some(Refused { record: None, .. }) => Ok(Begun::PairBusy),
        }
    }

    /// Writes how far a reach has come, and lets its pair of addresses go where it is over. `false` where somebody
    /// else has written since it was `seen`: they go on.
    pub async fn write_reach(
        &self,
        seen: &Reach,
        next: &Reach,
        deadline: Deadline,
    ) -> Result<bool, LedgerError> {
        let record = Put::builder()
            .table_name(&*self.table)
            .set_item(Some(item::from_reach(next)?))
            .condition_expression(if Safeguard::ReachVersion.is_on() {
                "version = :seen"
            } else {
                "version > :seen OR version <= :seen"
            })
            .expression_attribute_values(":seen", AttributeValue::N(seen.version.to_string()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .map_err(|_| LedgerError::Unreadable)?;
        let mut items = vec![TransactWriteItem::builder().put(record).build()];
        if next.is_final() && !seen.is_final() && Safeguard::Unlock.is_on() {
            let (pk, sk) = item::pair_key(&seen.request.pair());
            let unlock = Delete::builder()
                .table_name(&*self.table)
                .key("pk", AttributeValue::S(pk))
                .key("sk", AttributeValue::S(sk))
                .condition_expression("attribute_not_exists(pk) OR reach = :reach")
                .expression_attribute_values(":reach", AttributeValue::S(seen.id.to_string()))
                .build()
                .map_err(|_| LedgerError::Unreadable)?;
            items.push(TransactWriteItem::builder().delete(unlock).build());
        }
        let request = || Ok(self.client.transact_write_items().set_transact_items(Some(items.clone())));
        match self.transact(request, deadline).await? {
            None => Ok(true),
            Some(Refused { record: Some(known) }) => Ok(item::to_reach(known)? == *next),
            Some(Refused { record: None }) => Ok(false),
        }
    }

    /// Sends a transaction, again while it meets others. `None` where it was carried out.
    async fn transact(
        &self,
        request: impl Fn() -> Result<TransactWriteItemsFluentBuilder, LedgerError>,
        deadline: Deadline,
    ) -> Result<Option<Refused>, LedgerError> {
        for _ in 0..TRIES {
            let request = request()?.client_request_token(self.random.token());
            let sent = deadline.run(Box::pin(request.send())).await.ok_or(LedgerError::Unavailable)?;
            let Err(error) = sent else { return Ok(None) };
            if let Some(refused) = refused(&error)? {
                return Ok(Some(refused));
            }
            tokio::time::sleep(self.random.up_to(CONFLICT_PAUSE)).await;
        }
        Err(LedgerError::Contended)
    }
}

/// A condition did not hold.
struct Refused {
    /// What stands at the first item's key, where its condition was the one.
    record: Option<item::Item>,
}

/// What a transaction that was not carried out says; `None` where it met another.
fn refused(error: &SdkError<TransactWriteItemsError>) -> Result<Option<Refused>, LedgerError> {
    let canceled = match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => canceled,
        Some(TransactWriteItemsError::TransactionInProgressException(_)) => return Ok(None),
        _ => return Err(unavailable(error)),
    };
    let reasons = canceled.cancellation_reasons();
    let is = |reason: &CancellationReason, code| reason.code() == Some(code);
    if reasons.iter().any(|reason| is(reason, "ConditionalCheckFailed")) {
        let first = reasons.first().filter(|reason| is(reason, "ConditionalCheckFailed"));
        let record = first.and_then(|reason| reason.item()).filter(|item| !item.is_empty()).cloned();
        return Ok(Some(Refused { record }));
    }
    if reasons.iter().any(|reason| is(reason, "TransactionConflict")) {
        return Ok(None);
    }
    Err(unavailable(error))
}
