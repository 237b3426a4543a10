//! The events that flexglue reads, field by field
//! ([Conversations webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)).
//!
//! `InstanceSid` and `ChannelSid` are older names of `ChatServiceSid` and `ConversationSid`; scoped webhooks
//! still send them ([Set up Flex Conversations](https://www.twilio.com/docs/flex/developer/conversations/setup)).

use std::{convert::Infallible, str::FromStr};

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::{
    personal::Personal,
    sid::{
        AccountSid, ChatServiceSid, ConversationParticipantSid, ConversationSid, ConversationWebhookSid,
        MessageSid,
    },
};

const CONVERSATION: &[&str] = &["ConversationSid", "ChannelSid"];
const CHAT_SERVICE: &[&str] = &["ChatServiceSid", "InstanceSid"];

/// `onMessageAdded`. The text and the media are not kept: routing needs neither.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageAdded {
    /// The account that the webhook speaks for.
    pub account_sid: AccountSid,
    /// The Conversations service.
    pub chat_service_sid: Option<ChatServiceSid>,
    /// The conversation.
    pub conversation_sid: ConversationSid,
    /// The message.
    pub message_sid: Option<MessageSid>,
    /// The place of the message in the conversation, from 0. Rises; the order of delivery need not.
    pub index: Option<u64>,
    /// Who wrote: an address, an identity or `system`.
    pub author: Option<Personal<String>>,
    /// The participant that wrote; none if the author is no participant.
    pub participant_sid: Option<ConversationParticipantSid>,
    /// The identity of the SDK client that wrote.
    pub client_identity: Option<Personal<String>>,
    /// `SDK`, `API` or another word; Twilio lists no others, and sends them.
    pub source: Option<String>,
    /// The attributes of the conversation, where pre-engagement data is. Empty if they cannot be read.
    pub conversation_attributes: Personal<Map<String, Value>>,
    /// The Messaging Service (`MG…`).
    pub messaging_service_sid: Option<String>,
    /// How often Twilio has tried before, as it says.
    pub retry_count: Option<u32>,
    /// The webhook of the conversation that fired; none if it is one of the service or the account.
    pub webhook_sid: Option<ConversationWebhookSid>,
}

impl MessageAdded {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        // All are read before the first `?`, so that every wrong one is named.
        let account_sid = fields.required(&["AccountSid"]);
        let chat_service_sid = fields.optional(CHAT_SERVICE);
        let conversation_sid = fields.required(CONVERSATION);
        let participant_sid = fields.optional(&["ParticipantSid"]);
        Some(Self {
            account_sid: account_sid?,
            chat_service_sid,
            conversation_sid: conversation_sid?,
            message_sid: fields.lenient("MessageSid"),
            index: fields.lenient("Index"),
            author: fields.personal("Author"),
            participant_sid,
            client_identity: fields.personal("ClientIdentity"),
            source: fields.lenient("Source"),
            conversation_attributes: fields.attributes("ChannelAttributes"),
            messaging_service_sid: fields.lenient("MessagingServiceSid"),
            retry_count: fields.lenient("RetryCount"),
            webhook_sid: fields.lenient("WebhookSid"),
        })
    }
}

/// `onParticipantAdded`.
#[derive(Clone, Debug, PartialEq)]
pub struct ParticipantAdded {
    /// The account that the webhook speaks for.
    pub account_sid: AccountSid,
    /// The Conversations service.
    pub chat_service_sid: Option<ChatServiceSid>,
    /// The conversation.
    pub conversation_sid: ConversationSid,
    /// The participant.
    pub participant_sid: ConversationParticipantSid,
    /// The identity of a chat participant; SMS and WhatsApp participants have a binding instead.
    pub identity: Option<Personal<String>>,
    /// The addresses of an SMS or WhatsApp participant.
    pub binding: Option<Binding>,
    /// The attributes of the participant. Empty if they cannot be read.
    pub attributes: Personal<Map<String, Value>>,
}

impl ParticipantAdded {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let account_sid = fields.required(&["AccountSid"]);
        let chat_service_sid = fields.optional(CHAT_SERVICE);
        let conversation_sid = fields.required(CONVERSATION);
        let participant_sid = fields.required(&["ParticipantSid"]);
        Some(Self {
            account_sid: account_sid?,
            chat_service_sid,
            conversation_sid: conversation_sid?,
            participant_sid: participant_sid?,
            identity: fields.personal("Identity"),
            binding: Binding::read(fields),
            attributes: fields.attributes("Attributes"),
        })
    }
}

/// How a participant is reached outside of Conversations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// `SMS`, `CHAT`, `WHATSAPP` or another word.
    pub kind: Option<String>,
    /// The participant's own address.
    pub address: Option<Personal<String>>,
    /// The address of ours that the participant writes to.
    pub proxy_address: Option<Personal<String>>,
    /// The address of ours under which the participant appears to others (group texts).
    pub projected_address: Option<Personal<String>>,
}

impl Binding {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let binding = Self {
            kind: fields.lenient("MessagingBinding.Type"),
            address: fields.personal("MessagingBinding.Address"),
            proxy_address: fields.personal("MessagingBinding.ProxyAddress"),
            projected_address: fields.personal("MessagingBinding.ProjectedAddress"),
        };
        let nothing = Self { kind: None, address: None, proxy_address: None, projected_address: None };
        (binding != nothing).then_some(binding)
    }
}

/// `onConversationStateUpdated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateUpdated {
    /// The account that the webhook speaks for.
    pub account_sid: AccountSid,
    /// The Conversations service.
    pub chat_service_sid: Option<ChatServiceSid>,
    /// The conversation.
    pub conversation_sid: ConversationSid,
    /// What it was.
    pub from: ConversationState,
    /// What it is.
    pub to: ConversationState,
    /// `API`, `TIMER`, `EVENT` or another word.
    pub reason: Option<String>,
}

impl StateUpdated {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let account_sid = fields.required(&["AccountSid"]);
        let chat_service_sid = fields.optional(CHAT_SERVICE);
        let conversation_sid = fields.required(CONVERSATION);
        let from = fields.required(&["StateFrom"]);
        let to = fields.required(&["StateTo"]);
        Some(Self {
            account_sid: account_sid?,
            chat_service_sid,
            conversation_sid: conversation_sid?,
            from: from?,
            to: to?,
            reason: fields.lenient("Reason"),
        })
    }
}

/// `onConversationRemoved`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationRemoved {
    /// The account that the webhook speaks for.
    pub account_sid: AccountSid,
    /// The Conversations service.
    pub chat_service_sid: Option<ChatServiceSid>,
    /// The conversation.
    pub conversation_sid: ConversationSid,
}

impl ConversationRemoved {
    pub(super) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let account_sid = fields.required(&["AccountSid"]);
        let chat_service_sid = fields.optional(CHAT_SERVICE);
        let conversation_sid = fields.required(CONVERSATION);
        Some(Self { account_sid: account_sid?, chat_service_sid, conversation_sid: conversation_sid? })
    }
}

/// The state of a conversation
/// ([States and timers](https://www.twilio.com/docs/conversations/states-timers)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConversationState {
    /// Messages flow.
    Active,
    /// Nobody wrote for a while; the next message makes it active. It still holds its participants'
    /// addresses.
    Inactive,
    /// Over for good.
    Closed,
    /// A state that is not known here.
    Other(String),
}

impl FromStr for ConversationState {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "active" => Self::Active,
            "inactive" => Self::Inactive,
            "closed" => Self::Closed,
            other => Self::Other(other.to_owned()),
        })
    }
}
