//! Closes a conversation for whoever may: with its Interaction, so that no task of it reaches an agent, and with its
//! record.

use crate::{
    clock::Deadline,
    conversation::{Conversation, Interaction},
    ledger::LedgerError,
    opening::Opener,
    sid::ConversationSid,
    twilio::{CallError, EndOfTasks},
};

/// Why something that needs both Twilio and the table could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// Twilio.
    #[error(transparent)]
    Twilio(#[from] CallError),
    /// The table.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Opener {
    /// Closes a conversation with whatever Interaction it has, and records it. Closed already is closed as well: it
    /// may be asked for again wherever its outcome is not known.
    pub async fn close(&self, sid: &ConversationSid, asking: Deadline) -> Result<(), Trouble> {
        let record = self.ledger.get(sid, asking).await?;
        let known = record.and_then(|record| record.interaction);
        let interaction = match known {
            Some(known) => Some(known),
            None => self.find_interaction(sid, asking).await?,
        };
        if let Some(interaction) = interaction {
            self.close_channel(&interaction, asking).await?;
        }
        // A channel that never came up leaves the conversation as it was.
        self.twilio.close_conversation(sid, asking).await?;
        self.record_closed(sid, asking).await
    }

    /// Agents who are in it wrap up, as after every conversation; tasks that nobody has taken are over.
    async fn close_channel(&self, interaction: &Interaction, asking: Deadline) -> Result<(), CallError> {
        let Some(channel) = &interaction.channel else { return Ok(()) };
        let participants = self.twilio.interaction_participants(&interaction.sid, channel, asking).await;
        let is_served = match participants {
            Ok(participants) => participants.items.iter().any(|one| one.kind == "agent"),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let tasks = if is_served { EndOfTasks::WrapUp } else { EndOfTasks::Completed };
        self.twilio.close_interaction_channel(&interaction.sid, channel, tasks, asking).await
    }

    /// Records that a conversation is over. Where somebody is asking for its Interaction right now, that is closed as
    /// well once it is known.
    pub async fn record_closed(&self, sid: &ConversationSid, asking: Deadline) -> Result<(), Trouble> {
        let now = self.clock.now();
        let closed = |current: Option<&Conversation>| Conversation::closed(current, sid, now);
        self.ledger.record(None, asking, closed).await?;
        Ok(())
    }
}
