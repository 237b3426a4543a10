//! The schedule, once a minute: makes it true in the end. Webhooks only make it faster.
//!
//! - **What is due** (here): whatever a crash, a lost answer or a Twilio that was down left half-way stands in the
//!   index of what is due, and so does every open conversation now and then; each such record is brought to an
//!   end, or looked at.
//! - **What nobody told of** (`discovery`): Twilio's own list of conversations, compared with the records.
//! - **What TaskRouter told while nobody listened** (`backfill`): its log of events, after an outage, on demand.
//!
//! Any number of sweepers may run side by side: whose conditional write wins has the record.

mod backfill;
mod discovery;
mod plan;
mod report;

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use shared::{
    clock::Deadline,
    config::Settings,
    conversation::WhenDue,
    ledger::{DUE_SHARDS, Due, LedgerError},
    parts::{Parts, World},
    reaching::Reacher,
    rescue::{Ending, Rescuer},
    sid::{ChatServiceSid, ConversationSid},
    telemetry::Metric,
    web_chat_host::WebChatHost,
    webhook::PublicBaseUrl,
};

pub use self::{
    discovery::walk_of,
    report::{Planned, SweepReport},
};

/// What a sweep is asked to do. EventBridge sends more, which is of no interest.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct SweepRequest {
    /// Looks, and changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Takes in what TaskRouter told in so many hours past; it remembers 30 days.
    #[serde(default)]
    pub backfill_hours: u32,
}

/// The function.
#[derive(Debug)]
pub struct OrphanSweeper {
    rescuer: Rescuer,
    reacher: Reacher,
    host: WebChatHost,
    chat_service: ChatServiceSid,
    public_base_url: Option<PublicBaseUrl>,
    system_authors: Vec<String>,
    discovery: Option<Duration>,
}

/// Records taken from each part of the index in one sweep: 1,600 in all. What is left over is the oldest of
/// the next.
const PER_SHARD: i32 = 400;

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
        let Parts { rescuer, reacher, host, .. } = Parts::new("orphan-sweeper", settings, world);
        Self {
            rescuer,
            reacher,
            host,
            chat_service: settings.chat_service.clone(),
            public_base_url: settings.public_base_url.clone(),
            system_authors: settings.system_authors.clone(),
            discovery: settings.discovery,
        }
    }

    /// Brings what is due to an end, as far as the time reaches; the rest is left for the next sweep. Then
    /// takes in what was asked for, and discovers.
    pub async fn sweep(&self, request: SweepRequest, deadline: Deadline) -> SweepReport {
        let mut report = SweepReport::default();
        let due = match self.due(deadline).await {
            Ok(due) => due,
            Err(error) => {
                report.count(self.failed(&error));
                return report;
            }
        };
        report.due = due.len();
        self.rescuer.opener.metrics.add(Metric::SweepDue, due.len() as u64);
        if request.dry_run {
            return Box::pin(self.plan(due, report, deadline)).await;
        }
        let mut endings = stream::iter(due).map(|due| self.settle(due, deadline)).buffer_unordered(AT_ONCE);
        while let Some(ending) = endings.next().await {
            report.count(ending);
        }
        drop(endings);
        if request.backfill_hours > 0 {
            Box::pin(self.backfill(request.backfill_hours, &mut report, deadline)).await;
        }
        Box::pin(self.discover(&mut report, deadline)).await;
        tracing::info!(?report, "swept");
        report
    }

    /// What is due, from all parts of the index.
    async fn due(&self, deadline: Deadline) -> Result<Vec<Due>, LedgerError> {
        let now = self.rescuer.opener.clock.now();
        let ledger = &self.rescuer.opener.ledger;
        let shards: Vec<_> = stream::iter(0..DUE_SHARDS)
            .map(|shard| ledger.due(shard, now, PER_SHARD, deadline))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let shards: Vec<_> = shards.into_iter().collect::<Result<_, _>>()?;
        Ok(shards.concat())
    }

    /// Brings one record to its end, or a step nearer.
    async fn settle(&self, due: Due, deadline: Deadline) -> Ending {
        if deadline.remaining() < SHORTEST {
            return Ending::Left;
        }
        let deadline = deadline.or_sooner(PER_RECORD);
        let settled = match &due {
            Due::Conversation(sid) => Box::pin(self.settle_in_time(sid, deadline)).await,
            Due::Reach(id) => Box::pin(self.reacher.settle(id, deadline)).await,
            Due::WebChat(guest) => Box::pin(self.host.settle(guest, deadline)).await,
        };
        settled.unwrap_or_else(|error| self.failed(&error))
    }

    async fn settle_in_time(&self, sid: &ConversationSid, deadline: Deadline) -> Result<Ending, LedgerError> {
        let opener = &self.rescuer.opener;
        let now = opener.clock.now();
        let record = opener.ledger.get(sid, deadline).await?;
        // The index lags: somebody may have dealt with it.
        let due = record.and_then(|record| Some((record.when_due(now)?, record)));
        match due {
            Some((WhenDue::TakeOver, record)) => match opener.take_over(record, deadline).await? {
                Some((claim, look)) => Ok(Box::pin(opener.open(claim, look, deadline)).await.into()),
                None => Ok(Ending::Left),
            },
            Some((WhenDue::LookAfter, record)) => Box::pin(self.rescuer.look_after(record, deadline)).await,
            None => Ok(Ending::Left),
        }
    }

    /// Notes what could not be dealt with; it stays due.
    fn failed(&self, error: &dyn std::error::Error) -> Ending {
        self.rescuer.opener.metrics.count(Metric::SweepError);
        tracing::error!(%error, "left for the next sweep");
        Ending::Error
    }
}
