//! [Conversation messages](https://www.twilio.com/docs/conversations/api/conversation-message-resource).

use serde::Deserialize;

use super::{Call, CallError, Page, Twilio, page::RawPage};
use crate::{
    clock::Deadline,
    personal::Personal,
    sid::{ConversationParticipantSid, ConversationSid, MessageSid},
};

/// An answer of which nothing is needed but that it came.
#[derive(Deserialize)]
pub(super) struct AnyAnswer {}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who says it.
    pub author: String,
    /// What it says, 1,600 characters at most.
    pub body: Personal<String>,
    /// Its attributes, a JSON text.
    pub attributes: Option<String>,
    /// Whether webhooks are to hear of it.
    pub fire_webhooks: bool,
}

/// A message as Twilio keeps it.
#[derive(Clone, Debug, Deserialize)]
pub struct MessageResource {
    /// Its SID.
    pub sid: MessageSid,
    /// Who said it.
    #[serde(default)]
    pub author: Option<Personal<String>>,
    /// What it says.
    #[serde(default)]
    pub body: Option<Personal<String>>,
    /// Its place in the conversation.
    #[serde(default)]
    pub index: Option<u64>,
    /// The participant who said it, where it was one.
    #[serde(default)]
    pub participant_sid: Option<ConversationParticipantSid>,
    /// Its attributes, a JSON text.
    #[serde(default)]
    pub attributes: Option<Personal<String>>,
}

impl Twilio {
    /// Adds a message to a conversation, once: where the outcome is unknown it is not sent again.
    pub async fn send_message(
        &self,
        conversation: &ConversationSid,
        message: NewMessage,
        deadline: Deadline,
    ) -> Result<MessageResource, CallError> {
        let mut call = Call::post(
            &self.bases.conversations,
            format!("/v1/Conversations/{conversation}/Messages"),
            vec![("Author", message.author), ("Body", message.body.0)],
        );
        call.fields.extend(message.attributes.map(|attributes| ("Attributes", attributes)));
        call.fire_webhooks = message.fire_webhooks;
        self.send(call, deadline).await
    }

    /// The newest messages of a conversation, newest first, 50 at most.
    pub async fn newest_messages(
        &self,
        conversation: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Page<MessageResource>, CallError> {
        let call = Call::get(
            &self.bases.conversations,
            format!("/v1/Conversations/{conversation}/Messages"),
            vec![("Order", "desc".to_owned()), ("PageSize", "50".to_owned())],
        );
        self.send::<RawPage>(call, deadline).await?.read("messages")
    }
}
