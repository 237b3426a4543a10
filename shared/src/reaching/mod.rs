//! Makes outbound reaches: asks Twilio step by step, and records each step before the next. The same serves
//! `outbound-participant` and the sweeper.
//!
//! What follows what is pure ([`crate::reach`]); here it meets Twilio and the ledger. `steps` does,
//! `conflict` decides what becomes of a customer who is in a conversation already, `undo` leaves nothing behind.
//!
//! Between any two steps the process may die, and any answer may be lost. What is left then is a reach that is
//! due: whoever takes it over looks whether the step was taken (the conversation carries the reach's name, the
//! message its id, the task too; Twilio itself says that a participant is there already), and goes on.

mod conflict;
mod steps;
mod undo;

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Deadline, Timestamp},
    closing::Trouble,
    conversation::{Outbound, Routing},
    ledger::LedgerError,
    opening::Opener,
    reach::{Reach, ReachId, Refusal, Stage},
    rescue::Ending,
    sid::ChatServiceSid,
    telemetry::Metric,
    twilio::{CallError, Timers},
};

/// Makes reaches. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reacher {
    /// Opens Interactions, and holds ledger, Twilio client, clock and counts.
    pub opener: Opener,
    /// The service that conversations are made in.
    pub service: ChatServiceSid,
    /// When conversations that flexglue makes end by themselves.
    pub timers: Arc<Timers>,
}

/// How much of the time is kept for writing down what Twilio answered.
const RECORDING_TIME: Duration = Duration::from_millis(700);

/// Less time than this is not enough for a step.
const SHORTEST: Duration = Duration::from_millis(500);

/// What became of one step.
enum Taken {
    /// It is taken: this is to be written, and the next may follow.
    Done(Box<dyn FnOnce(&mut Reach) + Send>),
    /// Somebody else is at something that must come first: asked again after this.
    Again(Duration),
    /// It waits, as long as Twilio asked at least.
    NotNow(Option<Duration>),
    /// Somebody else is at something that must end first, by this moment.
    NotBefore(Timestamp),
    /// Nobody knows. The lease runs out, and whoever takes over looks.
    Unknown,
    /// It cannot be taken. What was made is undone, and then this answer stands.
    Refused(Refusal),
    /// There is nothing left to undo.
    Undone,
}

impl Taken {
    fn done() -> Self {
        Self::Done(Box::new(|_| {}))
    }

    fn with(change: impl FnOnce(&mut Reach) + Send + 'static) -> Self {
        Self::Done(Box::new(change))
    }
}

impl Reacher {
    /// Goes on with a reach that `owner` is at work on, as far as the time reaches. `in_doubt` where somebody else
    /// may have taken the step in progress already. Gives the record as it is then: where it is not over, it is
    /// due, and the sweeper goes on.
    pub async fn go_on(
        &self,
        mut reach: Reach,
        owner: &str,
        mut in_doubt: bool,
        deadline: Deadline,
    ) -> Reach {
        let mut waited = 0;
        while reach.is_at_work(owner) {
            // The right to ask ends with the lease, whatever time the invocation has left.
            let now = self.opener.clock.now();
            let lease = reach.may_act_until().unwrap_or(now).since(now);
            let asking = deadline.leaving(RECORDING_TIME).or_sooner(lease);
            if asking.remaining() < SHORTEST {
                return reach;
            }
            let taken = match &reach.stage {
                Stage::Making { step, .. } => Box::pin(self.take(&reach, *step, in_doubt, asking)).await,
                _ => Box::pin(self.undo(&reach, asking)).await,
            };
            let now = self.opener.clock.now();
            let next = match taken {
                Taken::Done(change) => reach.goes_on(owner, now, change),
                Taken::Again(pause) => {
                    // Whoever is at it now is done at once, or is dead and its right ends in its time: the longer it takes,
                    // the less often it is looked whether it has.
                    let pause = self.opener.random.up_to(pause * 2_u32.saturating_pow(waited));
                    // Never past half of what is left: in the end it is looked once more.
                    tokio::time::sleep(pause.min(asking.remaining() / 2)).await;
                    waited += 1;
                    continue;
                }
                // It may not even be known yet whether it was taken: whoever comes next looks.
                Taken::NotNow(_) if in_doubt => return reach,
                Taken::NotNow(pause) => reach.put_off(pause, now),
                Taken::NotBefore(then) => reach.wait_until(then, now),
                Taken::Unknown => return reach,
                Taken::Refused(refusal) => reach.refused(refusal, owner, now),
                Taken::Undone => match reach.undone(now) {
                    Some(undone) => undone,
                    None => return reach,
                },
            };
            (in_doubt, waited) = (false, 0);
            match self.opener.ledger.write_reach(&reach, &next, deadline).await {
                Ok(true) => reach = next,
                // Whoever has written goes on.
                Ok(false) => return reach,
                Err(error) => {
                    self.opener.metrics.count(Metric::TableUnavailable);
                    tracing::error!(%error, reach = %reach.id, "a reach could not be written down");
                    return reach;
                }
            }
            self.note(&reach);
        }
        reach
    }

    fn note(&self, reach: &Reach) {
        match &reach.stage {
            Stage::Done => {
                self.opener.metrics.count(Metric::ReachDone);
                tracing::info!(reach = %reach.id, conversation_sid = reach.conversation.as_ref().map(tracing::field::display), "a customer was reached out to");
            }
            Stage::Refused { refusal } => {
                self.opener.metrics.count(Metric::ReachRefused);
                tracing::warn!(reach = %reach.id, ?refusal, "a reach was not made");
            }
            Stage::Making { .. } | Stage::Undoing { .. } => {}
        }
    }

    /// Brings a reach that is due a step nearer to its end: the sweeper's part.
    pub async fn settle(&self, id: &ReachId, deadline: Deadline) -> Result<Ending, LedgerError> {
        let now = self.opener.clock.now();
        let reach = self.opener.ledger.reach(id, deadline).await?;
        // The index lags: somebody may have dealt with it.
        let Some(reach) = reach.filter(|reach| reach.due_at.is_some_and(|due| due <= now)) else {
            return Ok(Ending::Left);
        };
        if reach.is_final() {
            return self.look_for_delivery(reach, deadline).await;
        }
        let reach = self.resume(reach, deadline).await?;
        Ok(match reach.stage {
            Stage::Done => Ending::Finished,
            Stage::Refused { .. } => Ending::Compensated,
            Stage::Making { .. } | Stage::Undoing { .. } => Ending::Left,
        })
    }

    /// Takes a reach over, if it is due, and goes on with it.
    pub async fn resume(&self, reach: Reach, deadline: Deadline) -> Result<Reach, LedgerError> {
        let owner = self.opener.random.token();
        let Some((taken, in_doubt)) = reach.take_over(&owner, self.opener.clock.now()) else {
            return Ok(reach);
        };
        if !self.opener.ledger.write_reach(&reach, &taken, deadline).await? {
            return Ok(reach);
        }
        self.note(&taken);
        Ok(Box::pin(self.go_on(taken, &owner, in_doubt, deadline)).await)
    }

    /// How its Interaction, or its invite, is routed.
    fn routing(&self, reach: &Reach) -> Routing {
        let (outbound, contact) = (Self::outbound(reach), reach.request.contact());
        let Opener { rules, defaults, .. } = &self.opener;
        rules.route_reach(&reach.request.initiator, &outbound, &contact, defaults)
    }

    /// What its conversation has to know of a reach.
    fn outbound(reach: &Reach) -> Outbound {
        Outbound {
            reach: reach.id.clone(),
            initiated_by: reach.request.initiator.kind(),
            customer_name: reach.request.customer_name.clone(),
            attributes: reach.request.attributes.clone(),
        }
    }
}

/// What a step that met trouble says.
fn troubled(trouble: Trouble, refused: impl FnOnce(u16, Option<u32>) -> Refusal) -> Taken {
    use crate::twilio::Refusal as Twilio;
    match trouble {
        Trouble::Ledger(error) => {
            tracing::error!(%error, "a step could not be recorded");
            Taken::Unknown
        }
        Trouble::Twilio(CallError::Unknown(doubt)) => {
            tracing::warn!(%doubt, "it is not known whether a step was taken");
            Taken::Unknown
        }
        Trouble::Twilio(CallError::Refused(Twilio::NotSent)) => Taken::NotNow(None),
        Trouble::Twilio(CallError::Refused(Twilio::Throttled { retry_after })) => Taken::NotNow(retry_after),
        Trouble::Twilio(CallError::Refused(Twilio::Rejected { status, code, .. })) => {
            tracing::warn!(status, code, "Twilio refused a step");
            Taken::Refused(refused(status, code))
        }
    }
}
