//! `onParticipantAdded`: tells the addresses of a customer before they write. Chat identities are not
//! recorded: who joins by identity may be the customer, an agent or a bot, and Twilio's list tells when it
//! matters.

use shared::{
    clock::Deadline,
    conversation::{Contact, Conversation},
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
            customer_id: None,
            joined: None,
        };
        let sid = event.conversation_sid;
        let joined = |current: Option<&Conversation>| {
            Conversation::joined(current, &sid, contact.clone(), self.opener.clock.now())
        };
        self.recorded(self.opener.ledger.record(None, deadline, joined).await)
    }
}
