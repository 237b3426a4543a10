//! [Participant conversations](https://www.twilio.com/docs/conversations/api/participant-conversation-resource):
//! which conversations an address takes part in, the closed ones too.

use serde::Deserialize;

use super::{
    Call, CallError, ConversationState, MessagingBinding, Page, Twilio,
    page::{Next, RawPage},
};
use crate::{
    clock::Deadline,
    sid::{ChatServiceSid, ConversationSid},
};

/// One conversation that somebody takes, or took, part in.
#[derive(Clone, Debug, Deserialize)]
pub struct ParticipantConversation {
    /// The conversation.
    pub conversation_sid: ConversationSid,
    /// Where it stands.
    pub conversation_state: ConversationState,
    /// The service that the conversation belongs to.
    #[serde(default)]
    pub chat_service_sid: Option<ChatServiceSid>,
    /// The pair of addresses.
    #[serde(default)]
    pub participant_messaging_binding: Option<MessagingBinding>,
}

impl Twilio {
    /// One page of the conversations that `address` takes or took part in, exactly as written (with its
    /// `whatsapp:` prefix). Twilio filters neither by state nor by our address; the caller does, on every page.
    pub async fn participant_conversations(
        &self,
        address: &str,
        after: Option<&Next>,
        deadline: Deadline,
    ) -> Result<Page<ParticipantConversation>, CallError> {
        self.conversations_of("Address", address, after, deadline).await
    }

    /// One page of the conversations that a chat identity takes or took part in.
    pub async fn conversations_of_identity(
        &self,
        identity: &str,
        deadline: Deadline,
    ) -> Result<Page<ParticipantConversation>, CallError> {
        self.conversations_of("Identity", identity, None, deadline).await
    }

    async fn conversations_of(
        &self,
        parameter: &'static str,
        participant: &str,
        after: Option<&Next>,
        deadline: Deadline,
    ) -> Result<Page<ParticipantConversation>, CallError> {
        let mut fields = vec![(parameter, participant.to_owned()), ("PageSize", "50".to_owned())];
        fields.extend(after.into_iter().flat_map(Next::fields));
        let call = Call::get(&self.bases.conversations, "/v1/ParticipantConversations".to_owned(), fields);
        self.send::<RawPage>(call, deadline).await?.read("conversations")
    }
}
