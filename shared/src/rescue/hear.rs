//! Takes in what TaskRouter tells of a task: writes it down first, then looks.

use super::{Ending, Rescuer};
use crate::{
    clock::{Deadline, Timestamp},
    conversation::{Conversation, Stage, TaskEvent, TaskFacts, TaskNews},
    ledger::LedgerError,
    sid::ConversationSid,
    telemetry::Metric,
};

impl Rescuer {
    /// Takes in what happened to a task. Once it is written down it is safe: whatever becomes of this process,
    /// the sweeper goes on. `None` where the task is none of a Flex Interaction.
    pub async fn hear(
        &self,
        news: TaskNews,
        at: Timestamp,
        facts: TaskFacts,
        deadline: Deadline,
    ) -> Result<Option<Ending>, LedgerError> {
        let task = facts.task.clone();
        let Some((sid, event)) = self.place(news, at, facts, deadline).await? else { return Ok(None) };
        let span = tracing::Span::current();
        span.record("conversation_sid", sid.as_str());
        span.record("interaction_sid", event.interaction.as_str());
        span.record("task_sid", task.as_str());
        // It is known as a rule, so a read comes first.
        let seen = self.opener.ledger.get(&sid, deadline).await?;
        let now = self.opener.clock.now();
        let hears = |current: Option<&Conversation>| Conversation::hears(current, &sid, &event, now);
        let record = self.opener.ledger.record(seen, deadline, hears).await?;
        let Some(record) = record.filter(|record| needs_a_look(record, &event)) else {
            return Ok(Some(Ending::Left));
        };
        match Box::pin(self.look_after(record, deadline)).await {
            Ok(ending) => Ok(Some(ending)),
            Err(error) => {
                // It is written down, and due.
                tracing::warn!(%error, "left for the sweeper");
                Ok(Some(Ending::Error))
            }
        }
    }

    /// The event with the conversation it speaks of. The task's attributes name it; where somebody has
    /// overwritten them, what was recorded when the task was new does.
    async fn place(
        &self,
        news: TaskNews,
        at: Timestamp,
        facts: TaskFacts,
        deadline: Deadline,
    ) -> Result<Option<(ConversationSid, TaskEvent)>, LedgerError> {
        let task = facts.task.clone();
        let event = facts.event(news, at, &self.opener.defaults);
        if let Some(event) = &event
            && let Some(sid) = &event.conversation
        {
            return Ok(Some((sid.clone(), event.clone())));
        }
        let ledger = &self.opener.ledger;
        let Some(sid) = ledger.conversation_of_task(&task, deadline).await? else {
            if event.is_some() {
                self.opener.metrics.count(Metric::UnknownConversation);
                tracing::warn!(task_sid = %task, "a task of Flex that names no conversation");
            }
            return Ok(None);
        };
        if let Some(event) = event {
            return Ok(Some((sid, event)));
        }
        let interaction = ledger.get(&sid, deadline).await?.and_then(|record| record.interaction);
        Ok(interaction.and_then(|interaction| {
            let channel = interaction.channel?;
            let conversation = Some(sid.clone());
            let interaction = interaction.sid;
            let (reinvite, routing) = (0, None);
            Some((sid, TaskEvent { news, at, task, interaction, channel, conversation, reinvite, routing }))
        }))
    }
}

/// Whether the end of this very task is what the record waits to have looked at.
fn needs_a_look(record: &Conversation, event: &TaskEvent) -> bool {
    let ended = matches!(event.news, TaskNews::Ended(_));
    let is_last =
        record.last_end.as_ref().is_some_and(|last| !last.handled && last.task.as_ref() == Some(&event.task));
    ended && is_last && matches!(record.stage, Stage::SettingUp | Stage::Open)
}
