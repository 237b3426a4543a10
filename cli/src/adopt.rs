//! Makes sure that a conversation is served, now and by hand: what is not known gets its Interaction, through the same
//! claim as the webhook's; what is known is looked after, as the sweeper does when it is due.

use serde::Serialize;
use shared::{
    clock::{Deadline, Timestamp},
    conversation::{Contact, Conversation, FirstMessage, Interaction, Standing},
    ledger::LedgerError,
    opening::{Opened, contact_of, first_of_customer},
    personal::Personal,
    rescue::{Ending, Rescuer},
    sid::{ConversationSid, InteractionSid},
    twilio::{CallError, ConversationState},
};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Adopted {
    /// It has its Interaction now.
    Opened {
        /// Which.
        interaction_sid: InteractionSid,
    },
    /// Twilio had an Interaction on it that flexglue did not know; now it does.
    Found {
        /// Which.
        interaction_sid: InteractionSid,
    },
    /// It was flexglue's already, and has been looked after.
    LookedAfter {
        /// Its Interaction, where it has one now.
        interaction_sid: Option<InteractionSid>,
        /// What that came to.
        ending: Ending,
        /// When flexglue looks again.
        due_at: Option<Timestamp>,
    },
    /// Somebody is asking for its Interaction right now.
    InProgress,
    /// flexglue asks for its Interaction when it is due.
    Deferred {
        /// When.
        due_at: Option<Timestamp>,
    },
    /// Twilio refused the Interaction.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's [error code](https://www.twilio.com/docs/api/errors).
        code: Option<u32>,
    },
    /// Twilio knows no such conversation.
    Unknown,
    /// The conversation is closed, which is final.
    Over,
    /// No customer takes part in it, so that there is nobody to be served.
    NoCustomer,
}

impl Adopted {
    /// Whether somebody serves the customer now, or soon will without anybody's doing.
    #[must_use]
    pub fn is_well(&self) -> bool {
        match self {
            Self::Opened { .. } | Self::Found { .. } | Self::InProgress | Self::Deferred { .. } => true,
            Self::LookedAfter { ending, .. } => *ending != Ending::Error,
            Self::Refused { .. } | Self::Unknown | Self::Over | Self::NoCustomer => false,
        }
    }
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// Twilio could not be asked.
    #[error(transparent)]
    Twilio(#[from] CallError),
    /// The table could not be asked or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Makes sure that the conversation `sid` is served.
///
/// # Errors
/// Where Twilio or the table could not be asked. Nothing is lost then: what was begun is due.
pub async fn adopt(
    rescuer: &Rescuer,
    sid: &ConversationSid,
    deadline: Deadline,
) -> Result<Adopted, AdoptError> {
    let opener = &rescuer.opener;
    let Some(conversation) = opener.twilio.conversation(sid, deadline).await? else {
        return Ok(Adopted::Unknown);
    };
    let record = opener.ledger.get(sid, deadline).await?;
    if let Some(record) = record.clone().filter(Conversation::is_looked_after) {
        let ending = Box::pin(rescuer.look_after(record, deadline)).await?;
        let record = opener.ledger.get(sid, deadline).await?;
        return Ok(Adopted::LookedAfter {
            ending,
            due_at: record.as_ref().and_then(|record| record.due_at),
            interaction_sid: record.and_then(|record| record.interaction).map(|interaction| interaction.sid),
        });
    }
    if conversation.state == ConversationState::Closed {
        return Ok(Adopted::Over);
    }
    let participants = opener.twilio.participants(sid, deadline).await?;
    let Some(customer) = Contact::among(participants.items.into_iter().map(contact_of)) else {
        return Ok(Adopted::NoCustomer);
    };
    let messages = opener.twilio.newest_messages(sid, deadline).await?.items;
    let attributes = conversation.attributes.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let attributes = Personal(attributes.unwrap_or_default());
    let message = match first_of_customer(messages, Some(&customer)) {
        Some(message) => {
            FirstMessage { author: message.author, participant: message.participant_sid, attributes }
        }
        // Whoever adopts it wants an agent in it, whether or not the customer has said anything.
        None => FirstMessage {
            author: customer.address.or(customer.identity),
            participant: customer.participant,
            attributes,
        },
    };
    let claim = match opener.claim(sid, &message, record, deadline).await? {
        Ok(claim) => claim,
        Err(standing) => return stands(standing, rescuer, sid, deadline).await,
    };
    Ok(match opener.open(claim, true, deadline).await {
        Opened::Created(Interaction { sid, .. }) => Adopted::Opened { interaction_sid: sid },
        Opened::Adopted(Interaction { sid, .. }) => Adopted::Found { interaction_sid: sid },
        Opened::NotACustomer => Adopted::NoCustomer,
        Opened::Refused { status, code } => Adopted::Refused { status, code },
        Opened::Over => Adopted::Over,
        Opened::Deferred => Adopted::Deferred { due_at: due_at(rescuer, sid, deadline).await? },
    })
}

async fn stands(
    standing: Standing,
    rescuer: &Rescuer,
    sid: &ConversationSid,
    deadline: Deadline,
) -> Result<Adopted, AdoptError> {
    Ok(match standing {
        // Opened since it was read.
        Standing::AlreadyOpen | Standing::InProgress => Adopted::InProgress,
        Standing::Deferred => Adopted::Deferred { due_at: due_at(rescuer, sid, deadline).await? },
        Standing::Refused { status, code } => Adopted::Refused { status, code },
        Standing::Over => Adopted::Over,
        Standing::NotACustomer => Adopted::NoCustomer,
    })
}

async fn due_at(
    rescuer: &Rescuer,
    sid: &ConversationSid,
    deadline: Deadline,
) -> Result<Option<Timestamp>, LedgerError> {
    Ok(rescuer.opener.ledger.get(sid, deadline).await?.and_then(|record| record.due_at))
}
