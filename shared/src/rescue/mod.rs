//! Looks after conversations: asks Twilio how one stands, and does what must be done. The same serves
//! TaskRouter's callback and the sweeper.
//!
//! What is asked next, and what follows from the answers, is pure ([`crate::conversation::picture`],
//! [`crate::conversation::rescue`]); here it meets Twilio and the ledger. `hear` takes news in,
//! `look` asks, `steps` does.

mod hear;
mod look;
mod steps;

pub use self::steps::AUTHOR;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    clock::{Deadline, Timestamp},
    conversation::{Conversation, CustomerMessages, Finding, OrphanRules, Stage, Step, Transition},
    ledger::LedgerError,
    opening::{Claim, Opened, Opener},
    telemetry::Metric,
};

/// Looks after conversations. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rescuer {
    /// Opens Interactions, and holds ledger, Twilio client, clock and counts.
    pub opener: Opener,
    /// What is to be done for customers whom nobody serves.
    pub rules: Arc<OrphanRules>,
    /// What they are told.
    pub messages: Arc<CustomerMessages>,
}

/// How it ended for one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// What was left half-way is done.
    Finished,
    /// An Interaction that did not come up was made again.
    Compensated,
    /// Agents were invited again.
    Reinvited,
    /// The conversation is closed.
    Closed,
    /// Nothing is to be done now: all is well, somebody else has it, or Twilio could not be asked.
    Left,
    /// It could not be dealt with. It stays due.
    Error,
}

/// What would be done for a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How it stands.
    pub finding: Finding,
    /// What would be done, in order.
    pub steps: Vec<Step>,
}

/// What follows once it is written down how a conversation stands.
#[derive(Clone, Debug)]
pub enum Follows {
    /// Steps are to be taken.
    Steps {
        /// The record.
        record: Conversation,
        /// Who takes them.
        owner: String,
        /// Whether somebody else may have taken the first of them already.
        in_doubt: bool,
    },
    /// The Interaction is to be made again, after a look.
    Open(Claim),
    /// The first step is due at once.
    LookAgain(Conversation),
    /// Nothing.
    End(Ending),
}

impl Follows {
    /// What follows for `owner`, who looked at the record `before` and finds it as `after` now.
    #[must_use]
    pub fn of(before: &Conversation, after: Option<Conversation>, owner: String) -> Self {
        let Some(record) = after.filter(|record| record.version != before.version) else {
            return Self::End(Ending::Left);
        };
        if record.is_at_work(&owner) {
            let in_doubt = matches!(before.stage, Stage::Orphaned { at_work: Some(_), .. });
            return Self::Steps { record, owner, in_doubt };
        }
        match record.stage {
            Stage::Claimed { .. } => Claim::of(record, owner).map_or(Self::End(Ending::Left), Self::Open),
            // Given up just now.
            Stage::Orphaned { at_work: None, .. } if !matches!(before.stage, Stage::Orphaned { .. }) => {
                Self::LookAgain(record)
            }
            Stage::Closed => Self::End(Ending::Closed),
            Stage::Open if !matches!(before.stage, Stage::Open) => Self::End(Ending::Finished),
            Stage::SettingUp if !matches!(before.stage, Stage::SettingUp) => Self::End(Ending::Finished),
            _ => Self::End(Ending::Left),
        }
    }
}

impl Rescuer {
    /// Asks Twilio how a conversation with an Interaction stands, and does what must be done.
    ///
    /// What was found counts only for the record that was looked at: where somebody else has written
    /// meanwhile, nothing is done, and what they wrote is due in its turn.
    pub async fn look_after(&self, record: Conversation, deadline: Deadline) -> Result<Ending, LedgerError> {
        if matches!(record.stage, Stage::Closing) {
            return self.tidy_up(record, deadline).await;
        }
        let before = record.clone();
        let (finding, picture) = match self.look(&record, deadline).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(conversation_sid = %record.sid, %error, "Twilio could not be asked how it stands");
                let looked_in_vain = move |current: &Conversation, now| {
                    (current.version == before.version).then(|| current.looked_in_vain(now)).flatten()
                };
                self.change(record, deadline, looked_in_vain).await?;
                return Ok(Ending::Left);
            }
        };
        if let Finding::Failed(code) = &finding {
            self.opener.metrics.count(Metric::SetUpFailed);
            tracing::error!(conversation_sid = %record.sid, code, "an Interaction did not come up");
        }
        let owner = self.opener.random.token();
        let record = self
            .change(record, deadline, |current, now| {
                if current.version != before.version {
                    return None;
                }
                current.found(&finding, &picture, &self.rules, &owner, now)
            })
            .await?;
        match Follows::of(&before, record, owner) {
            Follows::Steps { record, owner, in_doubt } => {
                if !matches!(before.stage, Stage::Orphaned { .. }) {
                    self.opener.metrics.count(Metric::Orphaned);
                    tracing::warn!(conversation_sid = %record.sid, ?finding, "nobody serves a customer");
                }
                self.take_steps(record, &owner, &picture, in_doubt, deadline).await
            }
            Follows::Open(claim) => Ok(match self.opener.open(claim, true, deadline).await {
                Opened::Created(_) | Opened::Adopted(_) => Ending::Compensated,
                other => other.into(),
            }),
            Follows::LookAgain(record) => Box::pin(self.look_after(record, deadline)).await,
            Follows::End(ending) => Ok(ending),
        }
    }

    /// What [`Rescuer::look_after`] would do; nothing is done and nothing written. `None` where Twilio cannot
    /// be asked.
    pub async fn plan(&self, record: &Conversation, deadline: Deadline) -> Option<Plan> {
        let (finding, picture) = self.look(record, deadline).await.ok()?;
        let after = record.found(&finding, &picture, &self.rules, "plan", self.opener.clock.now());
        let steps = match after.map(|after| after.next.stage) {
            Some(Stage::Orphaned { steps, done, .. }) => steps.into_iter().skip(done).collect(),
            _ => Vec::new(),
        };
        Some(Plan { finding, steps })
    }

    /// Writes a change of a record as it stands. The record afterwards.
    async fn change(
        &self,
        record: Conversation,
        deadline: Deadline,
        change: impl Fn(&Conversation, Timestamp) -> Option<Transition>,
    ) -> Result<Option<Conversation>, LedgerError> {
        let now = self.opener.clock.now();
        let change = |current: Option<&Conversation>| current.and_then(|current| change(current, now));
        self.opener.ledger.record(Some(record), deadline, change).await
    }
}

impl From<Opened> for Ending {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Created(_) | Opened::Adopted(_) | Opened::NotACustomer => Self::Finished,
            // Closed once it is certain that no Interaction was made for it meanwhile.
            Opened::Over | Opened::Deferred => Self::Left,
            Opened::Refused { .. } => Self::Error,
        }
    }
}
