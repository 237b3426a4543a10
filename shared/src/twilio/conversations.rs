//! [Conversation resource](https://www.twilio.com/docs/conversations/api/conversation-resource).

use serde::Deserialize;

use super::{
    Call, CallError, Page, Twilio,
    messages::AnyAnswer,
    page::{Next, RawPage},
};
use crate::{
    clock::{Deadline, Timestamp},
    personal::Personal,
    sid::{ChatServiceSid, ConversationSid},
};

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
    /// When it was made, RFC 3339.
    #[serde(default)]
    date_created: Option<String>,
}

impl ConversationResource {
    /// When it was made, where Twilio says.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.date_created.as_deref().and_then(Timestamp::from_rfc_3339)
    }
}

/// A webhook that is attached to one conversation
/// ([scoped webhooks](https://www.twilio.com/docs/conversations/api/conversation-scoped-webhook-resource)).
#[derive(Clone, Debug, Deserialize)]
pub struct ScopedWebhookResource {
    /// `webhook`, `studio` or `trigger`.
    #[serde(default)]
    pub target: Option<String>,
    #[serde(default)]
    configuration: Option<ScopedWebhookConfiguration>,
}

#[derive(Clone, Debug, Deserialize)]
struct ScopedWebhookConfiguration {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    filters: Option<Vec<String>>,
}

impl ScopedWebhookResource {
    /// Where it goes, for a `webhook`.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.configuration.as_ref()?.url.as_deref()
    }

    /// Whether it hears of messages. One that does not say what it hears may hear of everything.
    #[must_use]
    pub fn hears_messages(&self) -> bool {
        let filters = self.configuration.as_ref().and_then(|configuration| configuration.filters.as_ref());
        filters.is_none_or(|filters| filters.iter().any(|filter| filter == "onMessageAdded"))
    }
}

impl Twilio {
    /// One page of a service's conversations in a state, 100 at most.
    pub async fn conversations(
        &self,
        service: &ChatServiceSid,
        state: &'static str,
        after: Option<&Next>,
        deadline: Deadline,
    ) -> Result<Page<ConversationResource>, CallError> {
        let mut fields = vec![("State", state.to_owned()), ("PageSize", "100".to_owned())];
        fields.extend(after.into_iter().flat_map(Next::fields));
        let path = format!("/v1/Services/{service}/Conversations");
        let call = Call::get(&self.bases.conversations, path, fields);
        self.send::<RawPage>(call, deadline).await?.read("conversations")
    }

    /// The webhooks that are attached to a conversation; it may have five.
    pub async fn scoped_webhooks(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Page<ScopedWebhookResource>, CallError> {
        let path = format!("/v1/Conversations/{sid}/Webhooks");
        let call = Call::get(&self.bases.conversations, path, Vec::new());
        self.send::<RawPage>(call, deadline).await?.read("webhooks")
    }

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
