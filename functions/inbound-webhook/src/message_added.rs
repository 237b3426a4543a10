//! `onMessageAdded`: the one event that opens Interactions.

use shared::{clock::Deadline, conversation::FirstMessage, ledger::LedgerError, webhook::MessageAdded};

use crate::{InboundWebhook, Outcome};

impl InboundWebhook {
    pub(crate) async fn message_added(&self, event: MessageAdded, deadline: Deadline) -> Outcome {
        let author = event.author.as_ref().map(|author| author.as_str()).unwrap_or_default();
        if self.system_authors.iter().any(|system| system == author) {
            return Outcome::Ignored;
        }
        self.open(event, deadline).await.unwrap_or_else(|error| self.unavailable(&error))
    }

    async fn open(&self, event: MessageAdded, deadline: Deadline) -> Result<Outcome, LedgerError> {
        let sid = event.conversation_sid;
        // The first message finds no record as a rule, so it is claimed without a look; any later one finds
        // the conversation open as a rule, so a read is enough. Either may be wrong and costs one call more.
        let is_first = event.index.is_none_or(|index| index == 0);
        let seen = if is_first { None } else { self.opener.ledger.get(&sid, deadline).await? };
        let message = FirstMessage {
            author: event.author,
            participant: event.participant_sid,
            attributes: event.conversation_attributes,
        };
        let claim = match self.opener.claim(&sid, &message, seen, deadline).await? {
            Ok(claim) => claim,
            Err(standing) => return Ok(standing.into()),
        };
        let opened = self.opener.open(claim, false, deadline).await;
        Ok(Outcome::of(opened, sid))
    }
}
