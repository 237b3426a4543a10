//! [Delivery receipts](https://www.twilio.com/docs/conversations/api/receipt-resource): whether a message has
//! reached somebody outside. A message is accepted first and delivered afterwards, or not.

use serde::Deserialize;

use super::{Call, CallError, Page, Twilio, page::RawPage};
use crate::{
    clock::Deadline,
    sid::{ConversationSid, MessageSid},
};

/// What became of a message on its way to one participant.
#[derive(Clone, Debug, Deserialize)]
pub struct ReceiptResource {
    /// `sent`, `delivered`, `read`, `failed`, `undelivered`; `queued` and others before.
    #[serde(default)]
    status: Option<String>,
    /// Why not, where it was not: an [error code](https://www.twilio.com/docs/api/errors); 0 or nothing else.
    #[serde(default)]
    error_code: Option<u32>,
}

impl ReceiptResource {
    /// Whether it has arrived. Some channels never tell more than `sent`.
    #[must_use]
    pub fn is_delivered(&self) -> bool {
        matches!(self.status.as_deref(), Some("delivered" | "read"))
    }

    /// Whether it will never arrive.
    #[must_use]
    pub fn is_undelivered(&self) -> bool {
        matches!(self.status.as_deref(), Some("failed" | "undelivered"))
    }

    /// Why not.
    #[must_use]
    pub fn code(&self) -> Option<u32> {
        self.error_code.filter(|code| *code != 0)
    }
}

impl Twilio {
    /// The receipts of a message; none before the channel has told anything.
    pub async fn receipts(
        &self,
        conversation: &ConversationSid,
        message: &MessageSid,
        deadline: Deadline,
    ) -> Result<Page<ReceiptResource>, CallError> {
        let path = format!("/v1/Conversations/{conversation}/Messages/{message}/Receipts");
        let call = Call::get(&self.bases.conversations, path, Vec::new());
        self.send::<RawPage>(call, deadline).await?.read("delivery_receipts")
    }
}
