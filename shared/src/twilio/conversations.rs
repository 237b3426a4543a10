//! [Conversation resource](https://www.twilio.com/docs/conversations/api/conversation-resource).

use serde::Deserialize;

use super::{Call, CallError, Twilio, messages::AnyAnswer};
use crate::{clock::Deadline, personal::Personal, sid::ConversationSid};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConversationState {
    /// Being made.
    Initializing,
    /// Messages flow.
    Active,
    /// Asleep: the next message wakes it. It still holds its pair of addresses.
    Inactive,
    /// Over, for good.
    Closed,
    /// A state that Twilio has added since.
    #[serde(other)]
    Unheard,
}

/// A conversation as Twilio knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct ConversationResource {
    /// Its SID.
    pub sid: ConversationSid,
    /// Where it stands.
    pub state: ConversationState,
    /// Its attributes, a JSON text.
    #[serde(default)]
    pub attributes: Option<Personal<String>>,
}

impl Twilio {
    /// The conversation, or `None` where there is none (any more).
    pub async fn conversation(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Option<ConversationResource>, CallError> {
        let call = Call::get(&self.bases.conversations, format!("/v1/Conversations/{sid}"), Vec::new());
        match self.send(call, deadline).await {
            Ok(conversation) => Ok(Some(conversation)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Closes a conversation, for good. One that is closed or gone already counts as closed.
    pub async fn close_conversation(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        /// "Conversation is in the final state closed".
        const ALREADY_CLOSED: u32 = 50377;
        let call = Call::post(
            &self.bases.conversations,
            format!("/v1/Conversations/{sid}"),
            vec![("State", "closed".to_owned())],
        );
        match self.send(call, deadline).await {
            Ok(AnyAnswer {}) => Ok(()),
            Err(error) if error.is_not_found() || error.has_code(ALREADY_CLOSED) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
