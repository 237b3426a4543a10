//! `onConversationStateUpdated` to closed, and `onConversationRemoved`: the conversation is over. It is
//! recorded even where it was never heard of, so that a message that arrives late finds it closed.

use shared::{clock::Deadline, conversation::Conversation, sid::ConversationSid};

use crate::{InboundWebhook, Outcome};

impl InboundWebhook {
    pub(crate) async fn over(&self, sid: &ConversationSid, deadline: Deadline) -> Outcome {
        let closed =
            |current: Option<&Conversation>| Conversation::closed(current, sid, self.opener.clock.now());
        self.recorded(self.opener.ledger.record(None, deadline, closed).await)
    }
}
