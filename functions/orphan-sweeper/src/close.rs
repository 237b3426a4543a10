//! Closes what was given up, through the Interaction's channel where there is one: that closes the
//! conversation and ends the tasks
//! ([channels](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interaction-channels)).

use shared::{
    clock::{Deadline, Timestamp},
    conversation::{ClosingReason, Conversation, Interaction, Stage, Transition},
    ledger::LedgerError,
    telemetry::Metric,
    twilio::CallError,
};

use crate::{Ending, OrphanSweeper};

impl OrphanSweeper {
    pub(crate) async fn close(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let Stage::Closing { reason } = record.stage else { return Ok(Ending::Left) };
        let given_up = reason != ClosingReason::ClosedMeanwhile;
        let closed = match self.opener.find_interaction(&record.sid, deadline).await {
            // Somebody opened it after all, by hand or by a flow: an agent may be in it.
            Ok(Some(living)) if given_up => {
                let adopt =
                    |record: &Conversation, now| record.has_interaction(living.clone(), false, None, now);
                self.change(record, deadline, adopt).await?;
                return Ok(Ending::Finished);
            }
            Ok(living) if given_up => self.close_unless_served(&record, living, deadline).await,
            // Twilio has closed the conversation: only a channel that was made for it meanwhile is left.
            Ok(living) => self.close_channel(&record, living, deadline).await.map(|()| true),
            Err(error) => Err(error),
        };
        if matches!(closed, Ok(false)) {
            tracing::warn!(conversation_sid = %record.sid, "not closed: somebody else takes part in it");
            self.change(record, deadline, Conversation::close_later).await?;
            return Ok(Ending::Left);
        }
        if let Err(error) = closed {
            tracing::warn!(conversation_sid = %record.sid, %error, "a conversation could not be closed");
            self.change(record, deadline, Conversation::close_later).await?;
            return Ok(Ending::Left);
        }
        if given_up {
            self.opener.metrics.count(Metric::ConversationGivenUp);
            tracing::error!(conversation_sid = %record.sid, ?reason, "a conversation was given up");
        }
        self.change(record, deadline, Conversation::has_been_closed).await?;
        Ok(Ending::Closed)
    }

    /// Closes channel and conversation, unless somebody besides the customer takes part: an agent may have
    /// been brought in by other means. Whether it did.
    async fn close_unless_served(
        &self,
        record: &Conversation,
        living: Option<Interaction>,
        deadline: Deadline,
    ) -> Result<bool, CallError> {
        match self.opener.twilio.participants(&record.sid, deadline).await {
            Ok(participants) if participants.items.len() > 1 => return Ok(false),
            Ok(_) => {}
            Err(error) if error.is_not_found() => return Ok(true),
            Err(error) => return Err(error),
        }
        self.close_channel(record, living, deadline).await?;
        // A channel that never came up leaves the conversation as it was.
        self.opener.twilio.close_conversation(&record.sid, deadline).await?;
        Ok(true)
    }

    async fn close_channel(
        &self,
        record: &Conversation,
        living: Option<Interaction>,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        if let Some(interaction) = living.as_ref().or(record.interaction.as_ref())
            && let Some(channel) = &interaction.channel
        {
            self.opener.twilio.close_interaction_channel(&interaction.sid, channel, deadline).await?;
        }
        Ok(())
    }

    /// Writes a change of a record as it stands.
    pub(crate) async fn change(
        &self,
        record: Conversation,
        deadline: Deadline,
        change: impl Fn(&Conversation, Timestamp) -> Option<Transition>,
    ) -> Result<(), LedgerError> {
        let now = self.opener.clock.now();
        self.opener
            .ledger
            .record(Some(record), deadline, |current| current.and_then(|current| change(current, now)))
            .await?;
        Ok(())
    }
}
