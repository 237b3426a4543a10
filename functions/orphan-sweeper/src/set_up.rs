//! Twilio accepts an Interaction before it exists. Whether it came up is looked at a little later: one that did
//! not is made again once, then the conversation is given up.

use shared::{
    clock::Deadline,
    conversation::{Conversation, Interaction},
    ledger::LedgerError,
    opening::Opened,
    telemetry::Metric,
    twilio::{CallError, ChannelResource, ChannelStatus},
};

use crate::{Ending, OrphanSweeper};

impl OrphanSweeper {
    pub(crate) async fn check_set_up(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let Some(interaction) = &record.interaction else {
            return self.set_up_failed(record, None, deadline).await;
        };
        let channel = match self.channel(interaction, deadline).await {
            Ok(channel) => channel,
            Err(error) => {
                tracing::warn!(%error, "the channel of an Interaction could not be looked at");
                self.change(record, deadline, Conversation::still_setting_up).await?;
                return Ok(Ending::Left);
            }
        };
        match channel.as_ref().map(|channel| channel.status) {
            // Not there yet, or not there any more: the limit tells.
            None | Some(ChannelStatus::SetUp) => self.still_setting_up(record, deadline).await,
            Some(ChannelStatus::Failed) => {
                let code = channel.and_then(|channel| channel.error_code);
                self.set_up_failed(record, code, deadline).await
            }
            Some(ChannelStatus::Closed) => {
                self.change(record, deadline, |record, now| {
                    Conversation::closed(Some(record), &record.sid, now)
                })
                .await?;
                Ok(Ending::Closed)
            }
            Some(
                ChannelStatus::Active
                | ChannelStatus::Inactive
                | ChannelStatus::Pause
                | ChannelStatus::Transfer
                | ChannelStatus::Unheard,
            ) => {
                self.change(record, deadline, Conversation::confirmed).await?;
                Ok(Ending::Finished)
            }
        }
    }

    /// The channel of an Interaction; where the answer to its creation did not name it, the only one it has.
    async fn channel(
        &self,
        interaction: &Interaction,
        deadline: Deadline,
    ) -> Result<Option<ChannelResource>, CallError> {
        let twilio = &self.opener.twilio;
        match &interaction.channel {
            Some(channel) => twilio.interaction_channel(&interaction.sid, channel, deadline).await,
            None => match twilio.interaction_channels(&interaction.sid, deadline).await {
                Ok(channels) => Ok(channels.items.into_iter().next()),
                Err(error) if error.is_not_found() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    async fn still_setting_up(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        if record.is_overdue(self.opener.clock.now()) {
            return self.set_up_failed(record, None, deadline).await;
        }
        self.change(record, deadline, Conversation::still_setting_up).await?;
        Ok(Ending::Left)
    }

    /// Makes the Interaction again, unless Twilio holds another: a channel also fails because the
    /// conversation had one already ([45353](https://www.twilio.com/docs/api/errors/45353)).
    async fn set_up_failed(
        &self,
        record: Conversation,
        code: Option<u32>,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        self.opener.metrics.count(Metric::SetUpFailed);
        tracing::error!(conversation_sid = %record.sid, code, "an Interaction did not come up");
        let sid = record.sid.clone();
        let Some(claim) = self.opener.retry_set_up(record, code, deadline).await? else {
            // Given up, or somebody else's by now.
            let record = self.opener.ledger.get(&sid, deadline).await?;
            return match record {
                Some(record) => self.close(record, deadline).await,
                None => Ok(Ending::Left),
            };
        };
        Ok(match self.opener.open(claim, true, deadline).await {
            Opened::Created(_) | Opened::Adopted(_) => Ending::Compensated,
            other => other.into(),
        })
    }
}
