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

/// The pair of addresses is in another conversation
/// ([50416](https://www.twilio.com/docs/api/errors/50416);
/// [50425](https://www.twilio.com/docs/api/errors/50425) from the resource that makes a conversation together
/// with its participants).
pub const PAIR_IN_USE: [u32; 2] = [50416, 50425];

/// The participant is in this very conversation
/// ([50437](https://www.twilio.com/docs/api/errors/50437)).
pub const ALREADY_THERE: u32 = 50437;

/// The customer's address is not valid ([50407](https://www.twilio.com/docs/api/errors/50407)).
pub const ADDRESS_INVALID: u32 = 50407;

/// Our address is not valid, or is the customer's
/// ([50408](https://www.twilio.com/docs/api/errors/50408), [50409](https://www.twilio.com/docs/api/errors/50409)).
pub const PROXY_ADDRESS_INVALID: [u32; 2] = [50408, 50409];

impl Twilio {
    /// Has somebody outside take part by a pair of addresses. Twilio allows a pair in one conversation that is
    /// not closed, and says so with [`PAIR_IN_USE`]. Asked again for the same conversation it says
    /// [`ALREADY_THERE`], so that an unknown outcome is found out by asking again.
    pub async fn add_customer(
        &self,
        sid: &ConversationSid,
        address: &str,
        proxy_address: &str,
        deadline: Deadline,
    ) -> Result<ParticipantResource, CallError> {
        let call = Call::post(
            &self.bases.conversations,
            format!("/v1/Conversations/{sid}/Participants"),
            vec![
                ("MessagingBinding.Address", address.to_owned()),
                ("MessagingBinding.ProxyAddress", proxy_address.to_owned()),
            ],
        );
        self.send(call, deadline).await
    }

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
