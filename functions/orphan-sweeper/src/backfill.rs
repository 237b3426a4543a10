//! `{"backfill_hours": N}`: takes in from TaskRouter's log what its callback told while nobody listened. What is
//! known already changes nothing, so it may be asked for again and again.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::{
    clock::Deadline,
    conversation::{TaskFacts, TaskNews, Terminal},
    personal::Personal,
    rescue::Ending,
    twilio::{EventQuery, EventResource, Next},
};

use crate::{AT_ONCE, OrphanSweeper, PER_RECORD, SHORTEST, SweepReport};

impl OrphanSweeper {
    pub(crate) async fn backfill(&self, hours: u32, report: &mut SweepReport, deadline: Deadline) {
        let opener = &self.rescuer.opener;
        let since = opener.clock.now() - Duration::from_hours(hours.into());
        for terminal in Terminal::ALL {
            let mut next: Option<Next> = None;
            loop {
                if deadline.remaining() < SHORTEST {
                    tracing::warn!("the time was over before the log was read: ask again");
                    report.count(Ending::Left);
                    return;
                }
                let query = EventQuery::OfType(terminal.as_str());
                let workspace = &opener.defaults.workspace;
                let page = opener.twilio.events(workspace, &query, since, next.as_ref(), deadline).await;
                let page = match page {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::warn!(%error, "TaskRouter's log cannot be read now: ask again");
                        report.count(Ending::Left);
                        return;
                    }
                };
                let mut endings = stream::iter(page.items)
                    .map(|event| self.take_in(event, deadline))
                    .buffer_unordered(AT_ONCE);
                while let Some(ending) = endings.next().await {
                    // What was known, or is none of ours, is not worth a line.
                    if let Some(ending) = ending.filter(|ending| *ending != Ending::Left) {
                        report.count(ending);
                    }
                }
                drop(endings);
                next = page.next;
                if next.is_none() {
                    break;
                }
            }
        }
    }

    async fn take_in(&self, event: EventResource, deadline: Deadline) -> Option<Ending> {
        let news = TaskNews::named(&event.event_type)?;
        let (at, task, workflow) = (event.at()?, event.task()?, event.workflow());
        let attributes = event.event_data.task_attributes.as_ref();
        let attributes = attributes.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let facts = TaskFacts {
            task,
            attributes: Personal(attributes),
            workflow,
            task_channel: event.event_data.task_channel_unique_name,
            priority: None,
        };
        let heard = self.rescuer.hear(news, at, facts, deadline.or_sooner(PER_RECORD)).await;
        heard.unwrap_or_else(|error| Some(self.failed(&error)))
    }
}
