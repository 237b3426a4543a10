//! Does what must be done for a customer whom nobody serves, one step at a time.

use std::time::Duration;

use super::{Ending, Rescuer};
use crate::{
    clock::{Deadline, Timestamp},
    conversation::{
        Contact, Conversation, Interaction, MessageName, Picture, Step, Transition, picture::Channel,
    },
    ledger::LedgerError,
    opening::{Claim, Opened, contact_of},
    routing::routing_parameter,
    safeguard::Safeguard,
    telemetry::Metric,
    twilio::{CallError, EndOfTasks, MessageContent, NewMessage, Refusal},
};

/// As whom flexglue speaks. A message that a REST call adds fires no webhooks.
pub const AUTHOR: &str = "system";

/// How much of the time is kept for writing down what Twilio answered.
const RECORDING_TIME: Duration = Duration::from_millis(700);

/// Less time than this is not enough for a step.
const SHORTEST: Duration = Duration::from_millis(500);

/// A change of the record that is to be written.
type Change = Box<dyn Fn(&Conversation, Timestamp) -> Option<Transition> + Send + Sync>;

/// What became of one step.
enum Taken {
    /// It is done: this is to be written, and the next step may follow.
    Done(Change),
    /// It waits: this is to be written, and that is all for now.
    NotNow(Change),
    /// Nobody knows. The lease runs out, and whoever takes over looks.
    Unknown,
    /// There is no channel to invite agents into.
    NoChannel,
}

impl Rescuer {
    /// Takes the steps of a record that `owner` is at work on, as far as they go. `in_doubt` where somebody
    /// else may have taken the first of them already.
    pub(super) async fn take_steps(
        &self,
        mut record: Conversation,
        owner: &str,
        picture: &Picture,
        mut in_doubt: bool,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let mut ending = Ending::Left;
        while let Some(step) = record.next_step().filter(|_| record.is_at_work(owner)) {
            // The right to act ends with the lease, whatever time the invocation has left.
            let now = self.opener.clock.now();
            let lease = record.may_act_until().unwrap_or(now).since(now);
            let asking = deadline.leaving(RECORDING_TIME).or_sooner(lease);
            if asking.remaining() < SHORTEST {
                return Ok(ending);
            }
            let taken = match step {
                Step::Tell(message) => self.tell(&record, owner, message, in_doubt, asking).await,
                Step::Reinvite => self.reinvite(&record, owner, picture, asking).await,
                Step::Close => self.close(&record, owner, picture, asking).await,
            };
            in_doubt = false;
            record = match taken {
                Taken::Done(change) => {
                    ending = match step {
                        Step::Tell(_) => ending,
                        Step::Reinvite => Ending::Reinvited,
                        Step::Close => Ending::Closed,
                    };
                    match self.change(record, deadline, change).await? {
                        Some(record) => record,
                        None => return Ok(ending),
                    }
                }
                Taken::NotNow(change) => {
                    self.change(record, deadline, change).await?;
                    return Ok(ending);
                }
                Taken::Unknown => return Ok(ending),
                Taken::NoChannel => return self.reinvite_anew(record, owner, deadline).await,
            };
        }
        Ok(ending)
    }

    async fn tell(
        &self,
        record: &Conversation,
        owner: &str,
        message: MessageName,
        in_doubt: bool,
        asking: Deadline,
    ) -> Taken {
        let owner = owner.to_owned();
        let told = {
            let owner = owner.clone();
            Taken::Done(Box::new(move |record, now| record.told(&owner, message, now)))
        };
        let not_told = |code| {
            let owner = owner.clone();
            Taken::Done(Box::new(move |record: &Conversation, now| {
                record.not_told(&owner, message, code, now)
            }))
        };
        let Some(text) = self.messages.text(message) else { return not_told(None) };
        if in_doubt && Safeguard::LookForMessage.is_on() {
            match self.has_been_told(record, message, asking).await {
                Ok(true) => return told,
                Ok(false) => {}
                // The conversation is gone, or Twilio refuses to tell: nothing can be said there either.
                Err(CallError::Refused(Refusal::Rejected { code, .. })) => return not_told(code),
                // Nobody knows still: whoever comes next looks again.
                Err(error) => {
                    tracing::warn!(%error, "it could not be looked up whether the customer was told");
                    return Taken::Unknown;
                }
            }
        }
        let new = NewMessage {
            author: AUTHOR.to_owned(),
            content: MessageContent::Text(text.clone()),
            name: Some(message.as_str().to_owned()),
            fire_webhooks: false,
        };
        match self.opener.twilio.send_message(&record.sid, new, asking).await {
            Ok(_) => {
                self.opener.metrics.count(Metric::CustomerTold);
                told
            }
            Err(CallError::Refused(Refusal::Rejected { status, code, .. })) => {
                tracing::warn!(status, code, conversation_sid = %record.sid, "a customer could not be told");
                not_told(code)
            }
            Err(CallError::Unknown(doubt)) => {
                tracing::warn!(%doubt, "it is not known whether the customer was told");
                Taken::Unknown
            }
            Err(error) => put_off(&owner, &error),
        }
    }

    /// Whether a message stands in the conversation already: each carries its name as an attribute.
    async fn has_been_told(
        &self,
        record: &Conversation,
        message: MessageName,
        deadline: Deadline,
    ) -> Result<bool, CallError> {
        let messages = self.opener.twilio.newest_messages(&record.sid, deadline).await?;
        Ok(messages.items.iter().any(|found| found.name().as_deref() == Some(message.as_str())))
    }

    async fn reinvite(
        &self,
        record: &Conversation,
        owner: &str,
        picture: &Picture,
        asking: Deadline,
    ) -> Taken {
        let owner = owner.to_owned();
        if let Some(before) = record.no_reinvite_before().filter(|before| self.opener.clock.now() < *before) {
            return Taken::NotNow(Box::new(move |record, now| record.paused(&owner, before, now)));
        }
        let channel =
            record.interaction.as_ref().and_then(|known| Some((&known.sid, known.channel.as_ref()?)));
        let Some((interaction, channel)) = channel.filter(|_| picture.channel == Some(Channel::Active))
        else {
            return Taken::NoChannel;
        };
        let number = record.reinvites + 1;
        let routing = self.opener.again(record, record.contact.as_ref(), number);
        let routing = routing_parameter(&routing, &self.opener.defaults.workspace);
        match self.opener.twilio.create_invite(interaction, channel, &routing, asking).await {
            Ok(invite) => {
                self.opener.metrics.count(Metric::Reinvited);
                let task = invite.task_sid().cloned();
                Taken::Done(Box::new(move |record, now| record.reinvited(&owner, number, task.as_ref(), now)))
            }
            Err(error) if error.is_not_found() => Taken::NoChannel,
            Err(CallError::Refused(Refusal::Rejected { status, code, .. })) => {
                self.opener.metrics.count(Metric::ReinviteRefused);
                tracing::error!(status, code, conversation_sid = %record.sid, "Twilio refused to invite agents");
                Taken::NotNow(Box::new(move |record, now| record.reinvite_refused(&owner, code, now)))
            }
            Err(CallError::Unknown(doubt)) => {
                tracing::warn!(%doubt, "it is not known whether agents were invited");
                Taken::Unknown
            }
            Err(error) => put_off(&owner, &error),
        }
    }

    /// The channel is gone: agents are invited by a new Interaction.
    async fn reinvite_anew(
        &self,
        record: Conversation,
        owner: &str,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let record = self.change(record, deadline, |record, now| record.reinvited_anew(owner, now)).await?;
        let Some(claim) = record.and_then(|record| Claim::of(record, owner.to_owned())) else {
            return Ok(Ending::Left);
        };
        Ok(match self.opener.open(claim, false, deadline).await {
            Opened::Created(_) => {
                self.opener.metrics.count(Metric::Reinvited);
                Ending::Reinvited
            }
            other => other.into(),
        })
    }

    /// Closes channel and conversation. Both may be closed already, so an unknown outcome is tried again.
    async fn close(&self, record: &Conversation, owner: &str, picture: &Picture, asking: Deadline) -> Taken {
        let closed = async {
            if self.somebody_else_is_in(record, picture, asking).await? {
                return Ok(false);
            }
            self.close_channel(record.interaction.as_ref(), asking).await?;
            // A channel that never came up leaves the conversation as it was.
            self.opener.twilio.close_conversation(&record.sid, asking).await?;
            Ok::<_, CallError>(true)
        };
        match closed.await {
            Ok(true) => {
                self.opener.metrics.count(Metric::ConversationGivenUp);
                tracing::error!(conversation_sid = %record.sid, "a conversation was closed without an agent");
                Taken::Done(Box::new(Conversation::has_been_closed))
            }
            Ok(false) => {
                tracing::warn!(conversation_sid = %record.sid, "not closed: somebody else takes part in it");
                let owner = owner.to_owned();
                Taken::NotNow(Box::new(move |record, now| record.step_put_off(&owner, None, now)))
            }
            Err(error) => put_off(owner, &error),
        }
    }

    /// Whether somebody besides the customer takes part, such as an agent who was brought in by other means.
    /// Agents whose task was taken away from them do not count.
    async fn somebody_else_is_in(
        &self,
        record: &Conversation,
        picture: &Picture,
        deadline: Deadline,
    ) -> Result<bool, CallError> {
        let participants = match self.opener.twilio.participants(&record.sid, deadline).await {
            Ok(participants) => participants.items.into_iter().map(contact_of).collect::<Vec<_>>(),
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let customer = Contact::among(participants.clone());
        let others = participants
            .iter()
            .filter(|other| other.address.is_none() && Some(*other) != customer.as_ref())
            .count();
        Ok(others > picture.agents.as_ref().map_or(0, Vec::len))
    }

    async fn close_channel(
        &self,
        interaction: Option<&Interaction>,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        if let Some(interaction) = interaction
            && let Some(channel) = &interaction.channel
        {
            let (twilio, tasks) = (&self.opener.twilio, EndOfTasks::Completed);
            twilio.close_interaction_channel(&interaction.sid, channel, tasks, deadline).await?;
        }
        Ok(())
    }

    /// The conversation is over, and an Interaction may have been made for it meanwhile: its channel is
    /// closed, so that no task of it reaches an agent.
    pub(super) async fn tidy_up(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let closed = async {
            let living = self.opener.find_interaction(&record.sid, deadline).await?;
            self.close_channel(living.as_ref().or(record.interaction.as_ref()), deadline).await
        };
        if let Err(error) = closed.await {
            tracing::warn!(conversation_sid = %record.sid, %error, "a channel could not be closed");
            self.change(record, deadline, Conversation::close_later).await?;
            return Ok(Ending::Left);
        }
        self.change(record, deadline, Conversation::has_been_closed).await?;
        Ok(Ending::Closed)
    }
}

/// Twilio did not do it for now.
fn put_off(owner: &str, error: &CallError) -> Taken {
    tracing::warn!(%error, "a step is put off");
    let asked_pause = match error {
        CallError::Refused(Refusal::Throttled { retry_after }) => *retry_after,
        _ => None,
    };
    let owner = owner.to_owned();
    Taken::NotNow(Box::new(move |record, now| record.step_put_off(&owner, asked_pause, now)))
}
