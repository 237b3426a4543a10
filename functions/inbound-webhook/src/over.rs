//! `onConversationStateUpdated` to closed, and `onConversationRemoved`: the conversation is over. It is
//! recorded even where it was never heard of, so that a message that arrives late finds it closed.

use shared::{
    clock::Deadline, conversation::Conversation, ledger::Decision, sid::ConversationSid, telemetry::Metric,
};

use crate::{InboundWebhook, Outcome};

impl InboundWebhook {
    pub(crate) async fn over(&self, sid: &ConversationSid, deadline: Deadline) -> Outcome {
        let recorded = self
            .opener
            .ledger
            .transition(None, deadline, |current| {
                match Conversation::closed(current, sid, self.opener.clock.now()) {
                    Some(transition) => Decision::Write(transition, ()),
                    None => Decision::Leave(()),
                }
            })
            .await;
        match recorded {
            Ok(_) => Outcome::Ignored,
            Err(error) => {
                self.opener.metrics.count(Metric::TableUnavailable);
                tracing::error!(%error, "the end of the conversation could not be recorded");
                Outcome::Unavailable
            }
        }
    }
}
