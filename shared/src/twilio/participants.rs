//! [Conversation participants](https://www.twilio.com/docs/conversations/api/conversation-participant-resource).

use serde::Deserialize;

use super::{Call, CallError, Page, Twilio, page::RawPage};
use crate::{
    clock::Deadline,
    personal::Personal,
    sid::{ConversationParticipantSid, ConversationSid},
};

/// The addresses by which somebody outside takes part.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct MessagingBinding {
    /// `sms`, `whatsapp`, …
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// The customer's address.
    #[serde(default)]
    pub address: Option<Personal<String>>,
    /// Our address.
    #[serde(default)]
    pub proxy_address: Option<Personal<String>>,
}

/// Somebody in a conversation.
#[derive(Clone, Debug, Deserialize)]
pub struct ParticipantResource {
    /// Its SID.
    pub sid: ConversationParticipantSid,
    /// Who it is in chat; `None` for SMS and WhatsApp.
    #[serde(default)]
    pub identity: Option<Personal<String>>,
    /// How it is reached from outside; `None` in chat.
    #[serde(default)]
    pub messaging_binding: Option<MessagingBinding>,
    /// When it joined, RFC 3339.
    #[serde(default)]
    pub date_created: Option<String>,
}

impl Twilio {
    /// The first 50 participants of a conversation: the most that may take part by SMS or WhatsApp
    /// ([limits](https://www.twilio.com/docs/conversations/conversations-limits)), and more than a
    /// conversation of a contact centre ever has.
    pub async fn participants(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Page<ParticipantResource>, CallError> {
        let call = Call::get(
            &self.bases.conversations,
            format!("/v1/Conversations/{sid}/Participants"),
            vec![("PageSize", "50".to_owned())],
        );
        self.send::<RawPage>(call, deadline).await?.read("participants")
    }
}
