//! What a sweep tells of itself.

use serde::Serialize;
use shared::{reach::ReachId, rescue::Ending, sid::ConversationSid, web_chat::Guest};

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Records that were due.
    pub due: usize,
    /// What was left half-way is done.
    pub finished: usize,
    /// Undone, or done again.
    pub compensated: usize,
    /// Conversations that no webhook had told of, opened.
    pub adopted: usize,
    /// Agents were invited again.
    pub reinvited: usize,
    /// Closed.
    pub closed: usize,
    /// Nothing was to be done, or it is left for a later sweep.
    pub left: usize,
    /// Could not be dealt with.
    pub errors: usize,
    /// What a sweep that changes nothing would have done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Planned>,
}

/// What would be done for one conversation, outbound reach or web chat.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// The conversation, where there is one already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_sid: Option<ConversationSid>,
    /// The outbound reach, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_id: Option<ReachId>,
    /// The guest of the web chat, where it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<Guest>,
    /// What would be done, in words for a person.
    pub would: String,
}

impl SweepReport {
    pub(crate) fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Finished => self.finished += 1,
            Ending::Compensated => self.compensated += 1,
            Ending::Reinvited => self.reinvited += 1,
            Ending::Closed => self.closed += 1,
            Ending::Left => self.left += 1,
            Ending::Error => self.errors += 1,
        }
    }
}
