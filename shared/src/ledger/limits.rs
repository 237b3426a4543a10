//! Rate limits that all instances of a function share: one small item for each caller, with one conditional write
//! for each request as a rule.
//!
//! The item is a bucket that is filled again, whole, a minute after it was first drawn from. So no more than a
//! minute's worth is ever let in within that minute, and a crowd costs one write each: taking from the bucket is
//! one atomic step of DynamoDB's, which nobody has to try again because somebody else was faster.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Item, Ledger, LedgerError, unavailable};
use crate::clock::{Deadline, Timestamp};

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// It may not, before so much time has passed.
    TooMany(Duration),
}

/// The time over which a rate counts.
const PERIOD: Duration = Duration::from_mins(1);

/// How long the item of somebody who has gone is kept.
const REMEMBER: Duration = Duration::from_hours(1);

/// How often is tried where a minute ends between two tries of ours.
const TRIES: u32 = 3;

/// What stands in the table of a caller.
struct Bucket {
    /// How many were taken since it was filled.
    taken: u32,
    /// When it is filled again.
    full_at: Timestamp,
}

impl Ledger {
    /// Counts one request of `name` against `rate` a minute; 0 is no limit. The name is part of a key: it should
    /// be a digest of whatever tells of a person.
    pub async fn admit(
        &self,
        name: &str,
        rate: u32,
        now: Timestamp,
        deadline: Deadline,
    ) -> Result<Admission, LedgerError> {
        if rate == 0 {
            return Ok(Admission::Admitted);
        }
        for _ in 0..TRIES {
            // As a rule nobody has drawn from it lately, or it is empty: either way this one write tells.
            let fill = self
                .bucket(name)
                .update_expression("SET full_at = :full_at, taken = :one, forget_at = :forget_at")
                .condition_expression("attribute_not_exists(pk) OR full_at <= :now")
                .expression_attribute_values(":full_at", number((now + PERIOD).as_millis()))
                .expression_attribute_values(":forget_at", number((now + REMEMBER).as_seconds()))
                .expression_attribute_values(":one", number(1));
            let Some(bucket) = write(fill, now, deadline).await? else { return Ok(Admission::Admitted) };
            if bucket.taken >= rate {
                return Ok(Admission::TooMany(bucket.full_at.since(now)));
            }
            let take = self
                .bucket(name)
                .update_expression("SET taken = taken + :one")
                .condition_expression("full_at > :now AND taken < :rate")
                .expression_attribute_values(":rate", number(rate.into()))
                .expression_attribute_values(":one", number(1));
            let Some(bucket) = write(take, now, deadline).await? else { return Ok(Admission::Admitted) };
            if bucket.full_at > now {
                return Ok(Admission::TooMany(bucket.full_at.since(now)));
            }
        }
        Err(LedgerError::Contended)
    }

    fn bucket(&self, name: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&*self.table)
            .key("pk", AttributeValue::S(format!("limit#{name}")))
            .key("sk", AttributeValue::S("bucket".to_owned()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Writes a bucket. `None` where that was done, else what stands there.
async fn write(
    request: UpdateItemFluentBuilder,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Option<Bucket>, LedgerError> {
    let request = request.expression_attribute_values(":now", number(now.as_millis()));
    let sent = deadline.run(Box::pin(request.send())).await.ok_or(LedgerError::Unavailable)?;
    sent.map_or_else(|error| stored(&error).map(Some), |_| Ok(None))
}

/// What stands where a write met something else than it wanted. A bucket that was forgotten in between is due to
/// be filled.
fn stored(error: &SdkError<UpdateItemError>) -> Result<Bucket, LedgerError> {
    let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
        return Err(unavailable(error));
    };
    let Some(item) = failed.item().filter(|item| !item.is_empty()) else {
        return Ok(Bucket { taken: 0, full_at: Timestamp::from_millis(0) });
    };
    let read = |item: &Item, name: &str| item.get(name)?.as_n().ok()?.parse::<u64>().ok();
    let bucket = || {
        let taken = u32::try_from(read(item, "taken")?).ok()?;
        Some(Bucket { taken, full_at: Timestamp::from_millis(read(item, "full_at")?) })
    };
    bucket().ok_or(LedgerError::Unreadable)
}
