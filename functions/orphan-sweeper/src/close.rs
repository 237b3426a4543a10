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
            Ok(living) => self.close_at_twilio(&record, living, deadline).await,
            Err(error) => Err(error),
        };
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

    async fn close_at_twilio(
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
        // A channel that never came up leaves the conversation as it was.
        self.opener.twilio.close_conversation(&record.sid, deadline).await
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
