//! The schedule, once a minute: makes it true in the end. Whatever a crash, a lost answer or a Twilio that was
//! down left half-way stands in the index of what is due; the sweeper takes each such record and brings it to
//! an end. Webhooks only make it faster.
//!
//! Any number of sweepers may run side by side: whose conditional write wins has the record.

mod close;
mod report;
mod set_up;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use shared::{
    clock::Deadline,
    config::Settings,
    conversation::Stage,
    ledger::{DUE_SHARDS, LedgerError},
    opening::{Opened, Opener},
    parts::{Parts, World},
    sid::ConversationSid,
    telemetry::Metric,
};

pub use self::report::{Ending, SweepReport};

/// What a sweep is asked to do. EventBridge sends more, which is of no interest.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct SweepRequest {
    /// Looks, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The function.
#[derive(Debug)]
pub struct OrphanSweeper {
    opener: Opener,
}

/// Records taken from each part of the index in one sweep: 1,600 in all. What is left over is the oldest of
/// the next.
const PER_SHARD: i32 = 100;

/// Records worked on at once. Twilio answers three questions for tasks a second, and asks to slow down
/// otherwise, which the client obeys.
const AT_ONCE: usize = 8;

/// What one record may take at most: several of Twilio's answers, or a few that do not come.
const PER_RECORD: Duration = Duration::from_secs(8);

/// With less time than this left no further record is begun.
const SHORTEST: Duration = Duration::from_secs(3);

impl OrphanSweeper {
    /// The function as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        Self { opener: Parts::new("orphan-sweeper", settings, world).opener }
    }

    /// Brings what is due to an end, as far as the time reaches; the rest is left for the next sweep.
    pub async fn sweep(&self, request: SweepRequest, deadline: Deadline) -> SweepReport {
        let mut report = SweepReport::default();
        let due = match self.due(deadline).await {
            Ok(due) => due,
            Err(error) => {
                self.failed(&error);
                report.count(Ending::Error);
                return report;
            }
        };
        report.due = due.len();
        self.opener.metrics.add(Metric::SweepDue, due.len() as u64);
        if request.dry_run {
            report.left = due.len();
            return report;
        }
        let endings = stream::iter(due).map(|sid| self.settle(sid, deadline)).buffer_unordered(AT_ONCE);
        let report = endings
            .fold(report, |mut report, ending| async move {
                report.count(ending);
                report
            })
            .await;
        tracing::info!(?report, "swept");
        report
    }

    /// The conversations that are due, from all parts of the index.
    async fn due(&self, deadline: Deadline) -> Result<Vec<ConversationSid>, LedgerError> {
        let now = self.opener.clock.now();
        let shards: Vec<_> = stream::iter(0..DUE_SHARDS)
            .map(|shard| self.opener.ledger.due(shard, now, PER_SHARD, deadline))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let shards: Vec<_> = shards.into_iter().collect::<Result<_, _>>()?;
        Ok(shards.concat())
    }

    /// Brings one record to its end, or a step nearer.
    async fn settle(&self, sid: ConversationSid, deadline: Deadline) -> Ending {
        if deadline.remaining() < SHORTEST {
            return Ending::Left;
        }
        let deadline = deadline.or_sooner(PER_RECORD);
        self.settle_in_time(&sid, deadline).await.unwrap_or_else(|error| {
            self.failed(&error);
            Ending::Error
        })
    }

    async fn settle_in_time(&self, sid: &ConversationSid, deadline: Deadline) -> Result<Ending, LedgerError> {
        let now = self.opener.clock.now();
        let record = self.opener.ledger.get(sid, deadline).await?;
        // The index lags: somebody may have dealt with it.
        let Some(record) = record.filter(|record| record.due_at.is_some_and(|due| due <= now)) else {
            return Ok(Ending::Left);
        };
        match record.stage {
            Stage::Claimed { .. } | Stage::Waiting | Stage::Refused { .. } => {
                let look = record.must_look();
                match self.opener.take_over(record, deadline).await? {
                    Some(claim) => Ok(self.opener.open(claim, look, deadline).await.into()),
                    None => Ok(Ending::Left),
                }
            }
            Stage::SettingUp => self.check_set_up(record, deadline).await,
            Stage::Closing { .. } => self.close(record, deadline).await,
            Stage::Seen | Stage::Open | Stage::Closed => Ok(Ending::Left),
        }
    }

    /// Notes what could not be dealt with; it stays due.
    fn failed(&self, error: &dyn std::error::Error) {
        self.opener.metrics.count(Metric::SweepError);
        tracing::error!(%error, "left for the next sweep");
    }
}

impl From<Opened> for Ending {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Created(_) | Opened::Adopted(_) | Opened::NotACustomer => Self::Finished,
            // Closed once it is certain that no Interaction was made for it meanwhile.
            Opened::Over | Opened::Deferred => Self::Left,
            Opened::Refused { .. } => Self::Error,
        }
    }
}
