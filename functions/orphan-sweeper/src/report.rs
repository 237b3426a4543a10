//! What a sweep tells of itself.

use serde::Serialize;

/// How it ended for one record that was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// What was left half-way is done.
    Finished,
    /// An Interaction that did not come up was made again.
    Compensated,
    /// The conversation is closed.
    Closed,
    /// Not now: somebody else has it, or Twilio could not be asked. It stays due.
    Left,
    /// It could not be dealt with. It stays due.
    Error,
}

/// What a sweep did, record by record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// Records that were due.
    pub due: usize,
    /// Of them: what was left half-way is done.
    pub finished: usize,
    /// Of them: undone or done again.
    pub compensated: usize,
    /// Conversations that no webhook had told of, opened.
    pub adopted: usize,
    /// Of them: agents invited again.
    pub reinvited: usize,
    /// Of them: closed.
    pub closed: usize,
    /// Of them: left for a later sweep.
    pub left: usize,
    /// Of them: could not be dealt with.
    pub errors: usize,
}

impl SweepReport {
    pub(crate) fn count(&mut self, ending: Ending) {
        match ending {
            Ending::Finished => self.finished += 1,
            Ending::Compensated => self.compensated += 1,
            Ending::Closed => self.closed += 1,
            Ending::Left => self.left += 1,
            Ending::Error => self.errors += 1,
        }
    }
}
