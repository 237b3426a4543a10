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
    sid::{ChatServiceSid, ConversationSid, FlowSid},
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
    #[serde(default)]
    flow_sid: Option<String>,
}

impl ScopedWebhookResource {
    /// Where it goes, for a `webhook`.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.configuration.as_ref()?.url.as_deref()
    }

    /// The flow that it starts, for a `studio`.
    #[must_use]
    pub fn flow(&self) -> Option<&str> {
        self.configuration.as_ref()?.flow_sid.as_deref()
    }

    /// Whether somebody hears of replies by it: a flow, or whoever hears of messages.
    #[must_use]
    pub fn hears_replies(&self) -> bool {
        self.target.as_deref() == Some("studio") || self.hears_messages()
    }

    /// Whether it hears of messages. One that does not say what it hears may hear of everything.
    #[must_use]
    pub fn hears_messages(&self) -> bool {
        let filters = self.configuration.as_ref().and_then(|configuration| configuration.filters.as_ref());
        filters.is_none_or(|filters| filters.iter().any(|filter| filter == "onMessageAdded"))
    }
}

/// A conversation to be made.
#[derive(Clone, Debug)]
pub struct NewConversation {
    /// A name that no other conversation of the service has: by it an answer that was lost is looked up.
    pub unique_name: String,
    /// Its attributes, a JSON text, 16 KB at most.
    pub attributes: String,
    /// When it falls asleep and when it closes by itself.
    pub timers: Timers,
}

/// After how long without a message a conversation changes its state, as ISO 8601 durations
/// ([timers](https://www.twilio.com/docs/conversations/states-timers)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// `inactive`: a minute at least.
    pub inactive: Option<String>,
    /// `closed`: ten minutes at least.
    pub closed: Option<String>,
}

/// A webhook to be attached to one conversation, for its customer's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewScopedWebhook {
    /// Ours.
    Webhook {
        /// Where it goes, 512 characters at most.
        url: String,
    },
    /// A Studio flow.
    Studio {
        /// Which.
        flow: FlowSid,
    },
}

impl NewScopedWebhook {
    /// The events that ours hears: what opens an Interaction, and the end.
    pub const EVENTS: [&str; 3] = ["onMessageAdded", "onConversationStateUpdated", "onConversationRemoved"];

    /// Whether this is the one.
    #[must_use]
    pub fn is(&self, attached: &ScopedWebhookResource) -> bool {
        match self {
            Self::Webhook { url } => attached.url() == Some(url),
            Self::Studio { flow } => attached.flow() == Some(flow.as_str()),
        }
    }
}

impl Twilio {
    /// Makes a conversation in a service, once: where the outcome is unknown, its unique name tells
    /// ([`Twilio::conversation_named`]). Its state is given with it, which its timers need
    /// ([50382](https://www.twilio.com/docs/api/errors/50382)).
    pub async fn create_conversation(
        &self,
        service: &ChatServiceSid,
        new: NewConversation,
        deadline: Deadline,
    ) -> Result<ConversationResource, CallError> {
        let mut fields = vec![
            ("UniqueName", new.unique_name),
            ("Attributes", new.attributes),
            ("State", "active".to_owned()),
        ];
        fields.extend(new.timers.inactive.map(|after| ("Timers.Inactive", after)));
        fields.extend(new.timers.closed.map(|after| ("Timers.Closed", after)));
        let path = format!("/v1/Services/{service}/Conversations");
        self.send(Call::post(&self.bases.conversations, path, fields), deadline).await
    }

    /// The conversation of this unique name, or `None` where there is none.
    pub async fn conversation_named(
        &self,
        service: &ChatServiceSid,
        unique_name: &str,
        deadline: Deadline,
    ) -> Result<Option<ConversationResource>, CallError> {
        let path = format!("/v1/Services/{service}/Conversations/{unique_name}");
        match self.send(Call::get(&self.bases.conversations, path, Vec::new()), deadline).await {
            Ok(conversation) => Ok(Some(conversation)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a conversation in which nobody has said anything. One that is gone already counts as deleted.
    pub async fn delete_conversation(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let call = Call::delete(&self.bases.conversations, format!("/v1/Conversations/{sid}"));
        match self.send(call, deadline).await {
            Ok(AnyAnswer {}) => Ok(()),
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Attaches a webhook to a conversation, once: where the outcome is unknown, the list tells
    /// ([`Twilio::scoped_webhooks`]).
    pub async fn attach_webhook(
        &self,
        sid: &ConversationSid,
        new: &NewScopedWebhook,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let fields = match new {
            NewScopedWebhook::Webhook { url } => {
                let mut fields = vec![
                    ("Target", "webhook".to_owned()),
                    ("Configuration.Url", url.clone()),
                    ("Configuration.Method", "post".to_owned()),
                ];
                let filter = |event: &str| ("Configuration.Filters", event.to_owned());
                fields.extend(NewScopedWebhook::EVENTS.map(filter));
                fields
            }
            NewScopedWebhook::Studio { flow } => {
                vec![("Target", "studio".to_owned()), ("Configuration.FlowSid", flow.to_string())]
            }
        };
        let path = format!("/v1/Conversations/{sid}/Webhooks");
        let AnyAnswer {} = self.send(Call::post(&self.bases.conversations, path, fields), deadline).await?;
        Ok(())
    }

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
