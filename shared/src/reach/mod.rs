//! What flexglue knows of one outbound reach (an agent, a back end or a reminder that writes to a customer first),
//! and how that may change. Pure: it knows neither DynamoDB nor Twilio nor HTTP, and the time is an argument.
//!
//! A reach is made in steps, each recorded before the next begins, by one owner with a lease. Whoever takes over
//! after a lease may find the step in progress taken already, and looks first. It ends done, or refused with
//! nothing left behind; until then it holds its pair of addresses, so that no second reach for the same customer
//! comes between its look and its conversation. The table of steps is in `docs/design.md`.

pub mod request;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use self::request::{FirstWords, InitiatedBy, Initiator, OnConflict, ReachRequest, Template};
use crate::{
    clock::Timestamp,
    conversation::{AtWork, pace},
    safeguard::Safeguard,
    sid::{ConversationSid, InteractionSid, MessageSid, TaskSid, WorkerSid},
    twilio::ConversationState,
};

/// The name of a reach: 32 hexadecimal digits. It follows from who asked and from their idempotency key, so that
/// the same request finds the same reach, and nobody else's.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReachId(Box<str>);

/// Why a text is no [`ReachId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 32 hexadecimal digits")]
pub struct ReachIdError;

impl ReachId {
    /// The reach of this caller and idempotency key.
    #[must_use]
    pub fn of(caller: &Caller, idempotency_key: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(caller.scope());
        digest.update([0]);
        digest.update(idempotency_key);
        Self(hexadecimal(&digest.finalize()[..16]).into())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The unique name of the conversation that this reach makes: by it an answer that was lost is looked up.
    #[must_use]
    pub fn unique_name(&self) -> String {
        format!("flexglue-{}", self.0)
    }
}

impl FromStr for ReachId {
    type Err = ReachIdError;

    fn from_str(text: &str) -> Result<Self, ReachIdError> {
        let digits = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 32 && digits(text) { Ok(Self(text.into())) } else { Err(ReachIdError) }
    }
}

impl TryFrom<String> for ReachId {
    type Error = ReachIdError;

    fn try_from(text: String) -> Result<Self, ReachIdError> {
        text.parse()
    }
}

impl From<ReachId> for String {
    fn from(id: ReachId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for ReachId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ReachId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A back end, by one of the API keys. All of them are one caller here: a key that was rotated between two
    /// tries must not make two reaches of one.
    BackEnd,
    /// Somebody in Flex.
    Worker(WorkerSid),
}

impl Caller {
    fn scope(&self) -> &str {
        match self {
            Self::BackEnd => "back-end",
            Self::Worker(worker) => worker.as_str(),
        }
    }
}

/// The record of one reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Which.
    pub id: ReachId,
    /// Counts the writes; each goes only onto the version that its writer saw.
    pub version: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: Stage,
    /// Who asked.
    pub caller: Caller,
    /// A digest of what was asked for, to the letter: the same key with another request is a mistake.
    pub fingerprint: String,
    /// What was asked for. What it holds about a person is dropped at the end.
    pub request: ReachRequest,
    /// The conversation, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationSid>,
    /// Whether that conversation was there before, and was joined.
    #[serde(default)]
    pub joined: bool,
    /// A conversation that was made, and is not needed: another has the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare: Option<ConversationSid>,
    /// The Interaction, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<InteractionSid>,
    /// The task that was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSid>,
    /// What became of the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Fate>,
    /// How often the same thing was tried, or looked at.
    #[serde(default)]
    pub attempts: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the sweeper must look at it, if ever. Kept in the index by the ledger.
    #[serde(skip)]
    pub due_at: Option<Timestamp>,
    /// When it may be forgotten, if ever.
    #[serde(skip)]
    pub forget_at: Option<Timestamp>,
}

/// Where a reach stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// It is being made.
    Making {
        /// What is to be done next.
        step: Step,
        /// Who is at work on it; nobody while it waits for its time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_work: Option<AtWork>,
    },
    /// It cannot be made: what there is of it is being undone, and then this answer stands.
    Undoing {
        /// Why.
        refusal: Refusal,
        /// Who is at work on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_work: Option<AtWork>,
    },
    /// It is made.
    Done,
    /// It was not made, and nothing of it is left.
    Refused {
        /// Why.
        refusal: Refusal,
    },
}

/// What is to be done, in this order. Not every reach needs all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Ask Twilio whether the pair of addresses is in a conversation. Advisory: it may be in one a moment later.
    Look,
    /// Make the conversation.
    Conversation,
    /// Have it tell of replies, before there can be one.
    Webhook,
    /// Have the customer take part. Here Twilio decides, for good, whether the pair is free.
    Participant,
    /// Bring an agent into the conversation that the customer is in already.
    Join,
    /// Make the Interaction.
    Interaction,
    /// Send the first message.
    Message,
}

/// What became of the first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Fate {
    /// Twilio took it.
    Sent {
        /// Which it is, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sid: Option<MessageSid>,
    },
    /// Twilio did not take it.
    Refused {
        /// Its error code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
    },
    /// It reached the customer.
    Delivered,
    /// It did not reach the customer.
    Undelivered {
        /// Twilio's error code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
    },
    /// It could not be sent in time.
    GivenUp,
}

/// Why a reach was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Refusal {
    /// The pair of addresses is in a conversation that is not closed.
    ParticipantInConversation {
        /// Which, where Twilio tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<ConversationSid>,
        /// `active` or `inactive`.
        state: String,
        /// Its Interaction, where flexglue knows of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interaction: Option<InteractionSid>,
    },
    /// Twilio says that an address is none.
    AddressInvalid {
        /// `to` or `from`.
        field: String,
    },
    /// Twilio did not take the first message: the customer has opted out
    /// ([21610](https://www.twilio.com/docs/api/errors/21610)), or cannot be reached.
    MessageRefused {
        /// Its error code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
    },
    /// Twilio refused something else for good.
    Twilio {
        /// What was asked for.
        step: Step,
        /// HTTP status.
        status: u16,
        /// Its error code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
    },
    /// Somebody closed the conversation meanwhile.
    ConversationOver,
    /// It could not be made within [`pace::REACH_LIMIT`].
    TooLate,
}

impl Refusal {
    /// The pair is taken.
    #[must_use]
    pub fn taken(
        conversation: Option<ConversationSid>,
        state: Option<ConversationState>,
        interaction: Option<InteractionSid>,
    ) -> Self {
        let state = if state == Some(ConversationState::Inactive) { "inactive" } else { "active" };
        Self::ParticipantInConversation { conversation, state: state.to_owned(), interaction }
    }
}

impl Reach {
    /// A new reach, with the right to make it for `owner`.
    #[must_use]
    pub fn begin(
        id: ReachId,
        caller: Caller,
        fingerprint: String,
        request: ReachRequest,
        owner: &str,
        now: Timestamp,
    ) -> Self {
        let mut begun = Self {
            id,
            version: 1,
            stage: Stage::Making { step: Step::Look, at_work: None },
            caller,
            fingerprint,
            request,
            conversation: None,
            joined: false,
            spare: None,
            interaction: None,
            task: None,
            message: None,
            attempts: 0,
            created_at: now,
            updated_at: now,
            due_at: None,
            forget_at: None,
        };
        begun.put_to_work(owner, now);
        begun
    }

    /// Whether it is over, and its answer stands.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.stage, Stage::Done | Stage::Refused { .. })
    }

    fn at_work(&self) -> Option<&AtWork> {
        match &self.stage {
            Stage::Making { at_work, .. } | Stage::Undoing { at_work, .. } => at_work.as_ref(),
            Stage::Done | Stage::Refused { .. } => None,
        }
    }

    /// Whether `owner` is the one to go on.
    #[must_use]
    pub fn is_at_work(&self, owner: &str) -> bool {
        self.at_work().is_some_and(|at_work| at_work.owner == owner || !Safeguard::Owner.is_on())
    }

    /// Until when whoever is at work may ask Twilio for something; `None` where nobody is.
    #[must_use]
    pub fn may_act_until(&self) -> Option<Timestamp> {
        self.at_work().map(|at_work| at_work.until - pace::LEASE_MARGIN)
    }

    /// How long somebody else must wait at least before it can have moved on.
    #[must_use]
    pub fn wait(&self, now: Timestamp) -> Duration {
        self.due_at.unwrap_or(now).since(now)
    }

    /// The step to be taken, while it is being made.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        match &self.stage {
            Stage::Making { step, .. } => Some(*step),
            _ => None,
        }
    }

    fn put_to_work(&mut self, owner: &str, now: Timestamp) {
        let until = now + pace::LEASE;
        if let Stage::Making { at_work, .. } | Stage::Undoing { at_work, .. } = &mut self.stage {
            *at_work = Some(AtWork { owner: owner.to_owned(), until });
            self.due_at = pace::due_after_lease(until, self.attempts, now);
        }
    }

    /// The record's next version, with `change` made to it.
    fn next(&self, now: Timestamp, change: impl FnOnce(&mut Self)) -> Self {
        let mut next = Self {
            version: self.version + 1,
            updated_at: now,
            due_at: None,
            forget_at: None,
            ..self.clone()
        };
        change(&mut next);
        if next.is_final() {
            next.forget_at = Some(next.created_at.max(now) + pace::REMEMBER_REACH);
            next.request.forget_the_person();
        }
        next
    }

    /// Takes it over, once it is due; and whether the step in progress may have been taken already. One that has
    /// not been made within [`pace::REACH_LIMIT`] is given up: nobody wants to be called back hours later.
    #[must_use]
    pub fn take_over(&self, owner: &str, now: Timestamp) -> Option<(Self, bool)> {
        if self.is_final() || self.due_at.is_none_or(|due| now < due) {
            return None;
        }
        let in_doubt = self.at_work().is_some();
        let too_late = now.since(self.created_at) > pace::REACH_LIMIT;
        let taken = self.next(now, |next| {
            // Who waited on purpose has counted its try already.
            next.attempts += u32::from(in_doubt);
            match next.step() {
                Some(Step::Message) if too_late && self.serves_without_words() => {
                    next.message = Some(Fate::GivenUp);
                    next.stage = Stage::Done;
                }
                Some(_) if too_late => {
                    next.stage = Stage::Undoing { refusal: Refusal::TooLate, at_work: None };
                    next.put_to_work(owner, now);
                }
                _ => next.put_to_work(owner, now),
            }
        });
        Some((taken, in_doubt))
    }

    /// Whether it is of use without its first message: an agent is in it, or on the way.
    fn serves_without_words(&self) -> bool {
        self.interaction.is_some()
    }

    /// The step is taken; the next one is `owner`'s as well, until none is left.
    #[must_use]
    pub fn goes_on(&self, owner: &str, now: Timestamp, change: impl FnOnce(&mut Self)) -> Self {
        self.next(now, |next| {
            let taken = next.step();
            next.attempts = 0;
            change(next);
            // A change may have chosen another way.
            if next.step() == taken {
                next.stage = match taken.and_then(|step| next.after(step)) {
                    Some(step) => Stage::Making { step, at_work: None },
                    None => Stage::Done,
                };
            }
            if next.is_final() {
                next.look_for_delivery(now);
            } else {
                next.put_to_work(owner, now);
            }
        })
    }

    /// The step after `step`, by what was asked for.
    fn after(&self, step: Step) -> Option<Step> {
        let waits_for_reply = matches!(self.request.initiator, Initiator::System { .. });
        let words = self.request.message.as_ref().map(|_| Step::Message);
        match step {
            Step::Look => Some(Step::Conversation),
            Step::Conversation if waits_for_reply => Some(Step::Webhook),
            Step::Conversation | Step::Webhook => Some(Step::Participant),
            Step::Participant if !waits_for_reply => Some(Step::Interaction),
            Step::Participant | Step::Interaction | Step::Join => words,
            Step::Message => None,
        }
    }

    /// The customer is in another conversation, which is joined. What was made so far is not needed.
    pub fn joins(&mut self, conversation: ConversationSid) {
        self.spare = self.conversation.take();
        self.conversation = Some(conversation);
        self.joined = true;
        self.stage = Stage::Making { step: Step::Join, at_work: None };
    }

    /// Twilio did not do it for now: tried again after a pause, `asked_pause` at least.
    #[must_use]
    pub fn put_off(&self, asked_pause: Option<Duration>, now: Timestamp) -> Self {
        self.next(now, |next| {
            next.attempts += 1;
            if let Stage::Making { at_work, .. } | Stage::Undoing { at_work, .. } = &mut next.stage {
                *at_work = None;
            }
            next.due_at = Some(now + pace::retry(next.attempts).max(asked_pause.unwrap_or_default()));
        })
    }

    /// Somebody else is at something until `then`: due then, and no later. With a pause that grows, reach and
    /// conversation would come due together for ever, and the reach find the conversation's owner at work each time.
    #[must_use]
    pub fn wait_until(&self, then: Timestamp, now: Timestamp) -> Self {
        let mut waiting = self.put_off(None, now);
        waiting.due_at = Some(then);
        waiting
    }

    /// It cannot be made. What there is of it is `owner`'s to undo.
    #[must_use]
    pub fn refused(&self, refusal: Refusal, owner: &str, now: Timestamp) -> Self {
        self.next(now, |next| {
            next.attempts = 0;
            // A joined conversation is not ours, but must be as it was. One that was asked for may be there, although
            // Twilio refuses it now: an earlier answer may have been lost.
            let may_be_there = self.step() == Some(Step::Conversation);
            let touched = self.conversation.is_some() || self.spare.is_some() || may_be_there;
            next.stage =
                if touched { Stage::Undoing { refusal, at_work: None } } else { Stage::Refused { refusal } };
            next.put_to_work(owner, now);
        })
    }

    /// Nothing of it is left.
    #[must_use]
    pub fn undone(&self, now: Timestamp) -> Option<Self> {
        let Stage::Undoing { refusal, .. } = &self.stage else { return None };
        let refusal = refusal.clone();
        Some(self.next(now, |next| next.stage = Stage::Refused { refusal }))
    }

    /// The message whose delivery is still to be looked for.
    #[must_use]
    pub fn undelivered_message(&self) -> Option<&MessageSid> {
        match (&self.stage, &self.message) {
            (Stage::Done, Some(Fate::Sent { sid })) => sid.as_ref(),
            _ => None,
        }
    }

    fn look_for_delivery(&mut self, now: Timestamp) {
        self.due_at = match self.undelivered_message() {
            Some(_) => pace::delivery(self.attempts).map(|pause| now + pause),
            None => None,
        };
    }

    /// Somebody has looked what became of the message; `None` where that is not known yet.
    #[must_use]
    pub fn delivery(&self, fate: Option<Fate>, now: Timestamp) -> Self {
        self.next(now, |next| {
            match fate {
                Some(fate) => next.message = Some(fate),
                None => next.attempts += 1,
            }
            next.look_for_delivery(now);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn sid(last: u8) -> ConversationSid {
        format!("CH{last:032x}").parse().unwrap()
    }

    fn begun(initiator: Initiator) -> Reach {
        let caller = Caller::BackEnd;
        let id = ReachId::of(&caller, "key");
        let request = ReachRequest { initiator, ..request::tests::request() };
        Reach::begin(id, caller, "digest".to_owned(), request, "a", at(0))
    }

    /// The steps of a reach that meets nothing.
    fn steps(mut reach: Reach) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(step) = reach.step() {
            steps.push(step);
            reach = reach.goes_on("a", at(1), |_| {});
        }
        steps
    }

    #[test]
    fn every_kind_takes_its_own_steps_in_the_order_of_the_contract() {
        use Step::{Conversation, Interaction, Look, Message, Participant, Webhook};
        let agent = [Look, Conversation, Participant, Interaction, Message];
        assert_eq!(steps(begun(request::tests::agent())), agent);
        assert_eq!(steps(begun(Initiator::Api)), agent);
        let system = [Look, Conversation, Webhook, Participant, Message];
        assert_eq!(steps(begun(request::tests::system())), system);
        let mut silent = begun(Initiator::Api);
        silent.request.message = None;
        assert_eq!(steps(silent), agent[..4]);
    }

    #[test]
    fn the_same_key_is_another_reach_for_another_caller() {
        let worker = |last: u8| Caller::Worker(format!("WK{last:032x}").parse().unwrap());
        let ids = [Caller::BackEnd, worker(1), worker(2)].map(|caller| ReachId::of(&caller, "key"));
        assert!(ids[0] != ids[1] && ids[1] != ids[2]);
        assert_eq!(ids[0], ReachId::of(&Caller::BackEnd, "key"));
        assert_eq!(ids[0].as_str().parse(), Ok(ids[0].clone()));
        for wrong in ["", "0", &"G".repeat(32), &"A".repeat(32), &format!("{}0", ids[0])] {
            assert_eq!(wrong.parse::<ReachId>(), Err(ReachIdError), "{wrong}");
        }
    }

    #[test]
    fn it_is_due_from_the_first_moment_and_taken_over_only_after_its_lease() {
        let reach = begun(Initiator::Api);
        assert_eq!(reach.due_at, Some(at(20)));
        assert_eq!(reach.take_over("b", at(19)), None);
        let (taken, in_doubt) = reach.take_over("b", at(20)).unwrap();
        assert!(in_doubt && taken.is_at_work("b") && !taken.is_at_work("a"));
        let waiting = taken.put_off(Some(Duration::from_secs(40)), at(21));
        assert_eq!(waiting.take_over("c", at(60)), None);
        let (_, in_doubt) = waiting.take_over("c", at(61)).unwrap();
        assert!(!in_doubt, "nothing was asked for while it waited");
    }

    #[test]
    fn a_refusal_is_final_only_when_nothing_is_left() {
        let reach = begun(Initiator::Api);
        let taken = || Refusal::taken(Some(sid(9)), None, None);
        assert!(reach.refused(taken(), "a", at(1)).is_final(), "nothing was made");
        let made = reach.goes_on("a", at(1), |_| {}).goes_on("a", at(1), |next| {
            next.conversation = Some(sid(1));
        });
        let undoing = made.refused(taken(), "a", at(2));
        assert!(!undoing.is_final() && undoing.is_at_work("a") && undoing.due_at.is_some());
        let refused = undoing.undone(at(3)).unwrap();
        assert_eq!(refused.stage, Stage::Refused { refusal: taken() });
        assert!(refused.forget_at.is_some() && refused.due_at.is_none());
    }

    #[test]
    fn what_was_joined_is_not_left_before_it_is_as_it_was() {
        let mut made = begun(Initiator::Api);
        made.conversation = Some(sid(1));
        let joining = made.goes_on("a", at(1), |next| next.joins(sid(2)));
        assert_eq!((joining.step(), &joining.spare), (Some(Step::Join), &Some(sid(1))));
        assert!(!joining.refused(Refusal::ConversationOver, "a", at(2)).is_final(), "the spare one is left");
        let joined = joining.goes_on("a", at(2), |next| next.spare = None);
        assert_eq!(joined.step(), Some(Step::Message));
        let refused = joined.refused(Refusal::ConversationOver, "a", at(3));
        assert!(!refused.is_final() && refused.undone(at(4)).unwrap().is_final());
    }

    #[test]
    fn what_cannot_be_made_in_an_hour_is_given_up_unless_an_agent_is_there_already() {
        let late = at(3601 + 20);
        let (given_up, _) = begun(Initiator::Api).take_over("b", late).unwrap();
        assert!(matches!(given_up.stage, Stage::Undoing { refusal: Refusal::TooLate, .. }));
        let mut silent = begun(Initiator::Api);
        silent.stage = Stage::Making { step: Step::Message, at_work: None };
        silent.interaction = Some("KD00000000000000000000000000000001".parse().unwrap());
        let (done, _) = silent.take_over("b", late).unwrap();
        assert_eq!((done.stage, done.message), (Stage::Done, Some(Fate::GivenUp)));
    }

    #[test]
    fn delivery_is_looked_for_a_few_times() {
        let mut reach = begun(Initiator::Api);
        reach.stage = Stage::Making { step: Step::Message, at_work: None };
        let sid: MessageSid = "IM00000000000000000000000000000001".parse().unwrap();
        let mut done = reach.goes_on("a", at(1), |next| next.message = Some(Fate::Sent { sid: Some(sid) }));
        let mut looks = 0;
        while let Some(due) = done.due_at {
            looks += 1;
            done = done.delivery(None, due);
        }
        assert_eq!(looks, 3);
        let delivered = done.delivery(Some(Fate::Delivered), at(9000));
        assert_eq!((delivered.due_at, delivered.message), (None, Some(Fate::Delivered)));
    }

    #[test]
    fn nothing_about_a_person_is_kept_once_it_is_over() {
        let done = begun(Initiator::Api).refused(Refusal::TooLate, "a", at(1));
        let kept = serde_json::to_string(&done).unwrap();
        for personal in ["hello", "Ada", "case", "+15551230001"] {
            assert!(!kept.contains(personal), "{kept}");
        }
    }
}
