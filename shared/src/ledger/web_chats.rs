//! The records of web chats: one item each, one conditional write per change.

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};

use super::{Ledger, LedgerError, item, unavailable};
use crate::{
    clock::Deadline,
    safeguard::Safeguard,
    web_chat::{Guest, WebChat},
};

impl Ledger {
    /// The record of a web chat, as it is now.
    pub async fn web_chat(&self, guest: &Guest, deadline: Deadline) -> Result<Option<WebChat>, LedgerError> {
        let item = self.item(item::web_chat_key(guest), deadline).await?;
        item.map(item::to_web_chat).transpose()
    }

    /// Writes a web chat: a new one, or the next version of one as it was `seen`. `false` where somebody else has
    /// written since.
    pub async fn write_web_chat(
        &self,
        seen: Option<&WebChat>,
        next: &WebChat,
        deadline: Deadline,
    ) -> Result<bool, LedgerError> {
        let request = self
            .client
            .put_item()
            .table_name(&*self.table)
            .set_item(Some(item::from_web_chat(next)?))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let request = match seen {
            _ if !Safeguard::WebChatVersion.is_on() => request,
            None => request.condition_expression("attribute_not_exists(pk)"),
            Some(seen) => request
                .condition_expression("version = :seen")
                .expression_attribute_values(":seen", AttributeValue::N(seen.version.to_string())),
        };
        let sent = deadline.run(Box::pin(request.send())).await.ok_or(LedgerError::Unavailable)?;
        let Err(error) = sent else { return Ok(true) };
        match error.as_service_error() {
            // The SDK sends a write again whose answer it lost, and meets what the first try wrote.
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let stored = failed.item().filter(|item| !item.is_empty()).cloned();
                Ok(stored.map(item::to_web_chat).transpose()?.as_ref() == Some(next))
            }
            _ => Err(unavailable(&error)),
        }
    }
}
