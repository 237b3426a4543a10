//! [Conversation messages](https://www.twilio.com/docs/conversations/api/conversation-message-resource).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Call, CallError, Page, Twilio, page::RawPage};
use crate::{
    clock::{Deadline, Timestamp},
    personal::Personal,
    sid::{ContentSid, ConversationParticipantSid, ConversationSid, MessageSid},
};

/// An answer of which nothing is needed but that it came.
#[derive(Deserialize)]
pub(super) struct AnyAnswer {}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Who says it.
    pub author: String,
    /// What it says.
    pub content: MessageContent,
    /// A name by which it is found again ([`MessageResource::name`]), if it is to have one.
    pub name: Option<String>,
    /// Whether webhooks are to hear of it.
    pub fire_webhooks: bool,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageContent {
    /// A text of 1,600 characters at most.
    Text(Personal<String>),
    /// A template of the [Content API](https://www.twilio.com/docs/content), which WhatsApp wants where the
    /// customer has not written for a day.
    Template {
        /// Which.
        sid: ContentSid,
        /// What its placeholders stand for, a JSON text.
        variables: Option<Personal<String>>,
    },
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
    /// When it was said, RFC 3339.
    #[serde(default)]
    date_created: Option<String>,
}

impl MessageResource {
    /// The name under which flexglue sent it, where flexglue did: by it a message whose answer was lost is found
    /// again.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let attributes: Map<String, Value> = serde_json::from_str(self.attributes.as_ref()?).ok()?;
        attributes.get(NAME_ATTRIBUTE)?.as_str().map(str::to_owned)
    }

    /// When it was said, where Twilio says.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.date_created.as_deref().and_then(Timestamp::from_rfc_3339)
    }
}

/// The message attribute that carries the name under which flexglue sent a message.
const NAME_ATTRIBUTE: &str = "flexglue";

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
            vec![("Author", message.author)],
        );
        match message.content {
            MessageContent::Text(body) => call.fields.push(("Body", body.0)),
            MessageContent::Template { sid, variables } => {
                call.fields.push(("ContentSid", sid.into()));
                call.fields.extend(variables.map(|variables| ("ContentVariables", variables.0)));
            }
        }
        let attributes = |name: String| serde_json::json!({ NAME_ATTRIBUTE: name }).to_string();
        call.fields.extend(message.name.map(|name| ("Attributes", attributes(name))));
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
