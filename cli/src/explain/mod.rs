//! The life of one conversation, joined from what flexglue has written down and what Twilio shows: what happened and when,
//! where it stands, who should act, and what heals it.
//!
//! It is asked for (`facts`) and then only read: `chain` answers the questions of Twilio's own
//! [troubleshooting](https://www.twilio.com/docs/flex/developer/conversations/faq-and-troubleshooting) in their order,
//! `story` tells what happened, `standing` where that leaves the customer. Nothing of it is about a person: no address,
//! no name and no message is told.

mod chain;
mod facts;
mod find;
mod show;
mod standing;
mod story;

use serde::Serialize;
use shared::{
    clock::{Deadline, Timestamp},
    rescue::Rescuer,
    sid::ConversationSid,
    webhook::PublicBaseUrl,
};

pub(crate) use self::chain::page_of;
pub use self::{
    chain::{Link, Mark},
    find::{FindError, Found, Name, find},
    show::text,
    standing::{Acts, Standing, State},
    story::{Entry, Source},
};

/// Everything that is told of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// Which conversation.
    pub conversation_sid: ConversationSid,
    /// When it was looked at.
    pub at: Timestamp,
    /// Twilio's questions, in their order, with the answers.
    pub chain: Vec<Link>,
    /// What happened, oldest first.
    pub story: Vec<Entry>,
    /// Where it stands.
    pub standing: Standing,
}

/// Tells the life of a conversation. Nothing is changed by it. What cannot be asked is told as such.
pub async fn explain(
    rescuer: &Rescuer,
    public_base_url: Option<&PublicBaseUrl>,
    sid: &ConversationSid,
    deadline: Deadline,
) -> Explanation {
    let facts = facts::gather(rescuer, sid, deadline).await;
    Explanation {
        conversation_sid: sid.clone(),
        at: facts.now,
        chain: chain::chain(&facts, public_base_url),
        story: story::story(&facts),
        standing: standing::standing(&facts, sid, public_base_url),
    }
}
