//! [Web chats](https://www.twilio.com/docs/flex/developer/conversations/webchats-resource): a conversation of Flex
//! with a guest in it, made with one call.

use serde::Deserialize;

use super::{Call, CallError, Twilio};
use crate::{
    clock::Deadline,
    personal::Personal,
    sid::{AddressSid, ConversationSid},
};

/// A web chat to be begun.
#[derive(Clone, Debug)]
pub struct NewWebChat {
    /// The address, of type chat, that it belongs to: its conversation gets what that one attaches.
    pub address: AddressSid,
    /// The guest's identity. Twilio makes one up where it is told none; by this one a chat whose answer was lost
    /// is found again ([`Twilio::conversations_of_identity`]).
    pub identity: String,
    /// The guest's name, for agents to see.
    pub customer_name: Personal<String>,
    /// What the customer filled in: a JSON text, which Twilio keeps as `pre_engagement_data` among the
    /// conversation's attributes.
    pub pre_engagement: Personal<String>,
}

/// A web chat that has begun.
#[derive(Clone, Debug, Deserialize)]
pub struct WebChatResource {
    /// Its conversation.
    pub conversation_sid: ConversationSid,
    /// Its guest.
    pub identity: String,
}

impl Twilio {
    /// Begins a web chat, once: where the outcome is unknown, its guest's conversations tell.
    pub async fn create_web_chat(
        &self,
        new: NewWebChat,
        deadline: Deadline,
    ) -> Result<WebChatResource, CallError> {
        let fields = vec![
            ("AddressSid", new.address.to_string()),
            // As Twilio's own sample names them.
            ("ChatFriendlyName", "Webchat widget".to_owned()),
            ("CustomerFriendlyName", new.customer_name.0),
            ("PreEngagementData", new.pre_engagement.0),
            ("Identity", new.identity),
        ];
        self.send(Call::post(&self.bases.flex, "/v2/WebChats".to_owned(), fields), deadline).await
    }
}
