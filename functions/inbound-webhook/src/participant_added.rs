//! `onParticipantAdded`: tells the addresses of a customer before they write. Chat identities are not
//! recorded: who joins by identity may be the customer, an agent or a bot, and Twilio's list tells when it
//! matters.

use shared::{
    clock::Deadline,
    conversation::{Contact, Conversation},
    ledger::Decision,
    telemetry::Metric,
    webhook::ParticipantAdded,
};

use crate::{InboundWebhook, Outcome};

impl InboundWebhook {
    pub(crate) async fn participant_added(&self, event: ParticipantAdded, deadline: Deadline) -> Outcome {
        let Some(binding) = event.binding.filter(|binding| binding.address.is_some()) else {
            return Outcome::Ignored;
        };
        let contact = Contact {
            participant: Some(event.participant_sid),
            kind: binding.kind,
            address: binding.address,
            proxy_address: binding.proxy_address,
            identity: event.identity,
            joined: None,
        };
        let sid = event.conversation_sid;
        let recorded = self
            .opener
            .ledger
            .transition(None, deadline, |current| {
                match Conversation::joined(current, &sid, contact.clone(), self.opener.clock.now()) {
                    Some(transition) => Decision::Write(transition, ()),
                    None => Decision::Leave(()),
                }
            })
            .await;
        match recorded {
            Ok(_) => Outcome::Ignored,
            Err(error) => {
                self.opener.metrics.count(Metric::TableUnavailable);
                tracing::error!(%error, "the participant could not be recorded");
                Outcome::Unavailable
            }
        }
    }
}
