//! Rate limits that all instances of a function share: one small item for each caller, with one conditional write
//! for each request as a rule.
//!
//! The item holds when the bucket will be full again (the generic cell rate algorithm): a request that comes when
//! it is full leaves it full one interval later, and one that would put that further away than a minute is
//! refused. So a whole minute's worth may come at once, and no more than that in the minute after.

use std::time::Duration;

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::put_item::PutItemError,
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

/// How often is tried while others of the same caller write.
const TRIES: u32 = 10;

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
        let interval = PERIOD / rate;
        // As a rule the bucket is full: then nothing has to be read.
        let mut seen = None;
        for _ in 0..TRIES {
            let full_at = seen.unwrap_or(now).max(now) + interval;
            let too_far = full_at.since(now + PERIOD);
            if !too_far.is_zero() {
                return Ok(Admission::TooMany(too_far));
            }
            let request = self
                .client
                .put_item()
                .table_name(&*self.table)
                .item("pk", AttributeValue::S(format!("limit#{name}")))
                .item("sk", AttributeValue::S("bucket".to_owned()))
                .item("full_at", number(full_at.as_millis()))
                .item("forget_at", number((full_at + REMEMBER).as_seconds()))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let request = match seen {
                None => request
                    .condition_expression("attribute_not_exists(pk) OR full_at <= :now")
                    .expression_attribute_values(":now", number(now.as_millis())),
                Some(seen) => request
                    .condition_expression("full_at = :seen")
                    .expression_attribute_values(":seen", number(seen.as_millis())),
            };
            let sent = deadline.run(Box::pin(request.send())).await.ok_or(LedgerError::Unavailable)?;
            let Err(error) = sent else { return Ok(Admission::Admitted) };
            // Who was a moment faster, or an earlier request of this minute.
            seen = stored(&error)?;
        }
        Err(LedgerError::Contended)
    }
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// When the bucket that a write met will be full.
fn stored(error: &SdkError<PutItemError>) -> Result<Option<Timestamp>, LedgerError> {
    let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
        return Err(unavailable(error));
    };
    let full_at = |item: &Item| item.get("full_at")?.as_n().ok()?.parse().ok();
    Ok(failed.item().and_then(full_at).map(Timestamp::from_millis))
}
