//! The protocol as a state machine: who may do what next, and what comes of it.
//!
//! Every decision is taken by the functions that the product runs: [`Claim::decide`], [`Claim::decide_to_take_over`],
//! [`Conversation::when_due`], [`after_look`], [`after_asking`], [`after_asking_whether_over`], [`Known::change`],
//! [`Conversation::found`], [`Follows::of`] and so on. What is written anew here is the order in which
//! `Opener::open`, `Rescuer::look_after`, `Rescuer::tidy_up` and `Ledger::transition` call them, one step to each
//! request that leaves the process, and what Twilio and DynamoDB do.

use std::hash::{Hash, Hasher};

use shared::{
    clock::Timestamp,
    conversation::{Conversation, FirstMessage, OrphanRules, Stage, Transition, WhenDue, pace},
    ledger::Decision,
    opening::{
        Claim,
        answers::{Found, Known, after_asking, after_asking_whether_over, after_look},
    },
    rescue::Follows,
    sid::ConversationSid,
    twilio::{CallError, ConversationState, Doubt, Refusal},
};
use stateright::{Model, Property};

use crate::{
    account::{Account, Request, Status, interaction},
    record::Record,
};

/// When the conversation begins.
pub(crate) const BEGUN: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// No conversation of the model needs as many writes: one that has had them never comes to rest.
const MOST_VERSIONS: u64 = 100;

// The promises.
pub(crate) const ONE: &str = "a conversation has one living Interaction at most";
pub(crate) const CLAIM: &str = "nobody asks whose claim is not standing";
pub(crate) const BACK: &str = "the record never goes back";
const AGAIN: &str = "what stands is not opened again";
const VAIN: &str = "no sweep without a fault is in vain";
pub(crate) const REST: &str = "it comes to rest";
pub(crate) const END: &str = "where nothing more happens by itself, the customer is served or it is over";

/// What is checked.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub(crate) struct Protocol {
    /// Webhooks of customers' messages: the first is of the first message, the others of the same or a second one.
    pub(crate) webhooks: usize,
    /// Sweepers at once.
    pub(crate) sweepers: usize,
    /// How much may go wrong in one history: processes that die, requests, answers and set-ups that fail.
    pub(crate) faults: u8,
    /// Whether Twilio may close the conversation, at any point.
    pub(crate) closes: bool,
    /// Whether it may then leave the channels that stand.
    pub(crate) leaves: bool,
    /// Whether Twilio may carry a request out after the lease under which it was sent.
    pub(crate) late: bool,
    /// Whether Twilio drops a second channel on one conversation itself (45353).
    pub(crate) guard: bool,
    /// What is left out of the protocol.
    pub(crate) flaw: Option<Flaw>,
}

/// Something left out of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A write is carried out whatever stands there.
    NoCondition,
    /// The sweeper takes claims over before their lease has ended.
    NoLease,
    /// Whoever takes a claim over does not look at Twilio before asking.
    NoLook,
    /// Whether to look is decided upon the record that was read, not the one that was taken over.
    StaleLook,
    /// Owners ask for as long as they live.
    NoEndOfAsking,
    /// Whoever was refused gives the claim back, whoever holds it.
    NoOwner,
    /// What Twilio holds is not written down.
    NoRecord,
    /// Where an Interaction has failed, another is asked for though somebody may still be asking.
    NoWaiting,
    /// A claim is not due.
    NotDue,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) now: Timestamp,
    pub(crate) record: Option<Record>,
    pub(crate) account: Account,
    pub(crate) processes: Vec<Process>,
    pub(crate) faults: u8,
    /// A promise that the last step broke.
    pub(crate) broken: Option<Broken>,
}

/// A process: a webhook's, the webhook's that tells of the end, a sweeper's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) kind: Kind,
    pub(crate) at: At,
    /// How often it has begun. Of a sweeper's this is not counted.
    pub(crate) begun: u8,
    /// Whether Twilio may send its webhook (again).
    pub(crate) may_begin: bool,
    /// Whether it is so slow, or was frozen so long, that time passes under its hands.
    slow: bool,
    /// Version, time and faults left when its sweep began.
    since: Option<(u64, Timestamp, u8)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Message,
    End,
    Sweeper,
}

/// Where a process is: always just before something that leaves it, or that reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Not begun, done or dead.
    Nowhere,
    /// A write is on the way to the table: decided upon the version `seen`.
    Writing { wish: Wish, seen: Option<u64>, next: Record },
    /// It looks whether the conversation is over.
    LookingWhetherOver(Held),
    /// It looks for an Interaction.
    Looking(Held),
    /// It is about to ask for the Interaction.
    AboutToAsk(Held),
    /// It waits for the answer.
    Asking(Held, Option<Answer>),
    /// Flex has said that the conversation is closed or not found; it asks Conversations.
    AskingWhetherOver(Held),
    /// It looks how a conversation stands.
    LookingAfter(Record),
    /// It looks for what is to be closed with a conversation.
    TidyingUp(Record),
    /// It closes a channel.
    ClosingChannel(Record, Option<u8>),
}

/// A claim that a process holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    record: Record,
    owner: String,
}

/// What a write is for. Where it meets another version, the same is decided again upon that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Claim { owner: String, look: bool },
    TakeOver { owner: String, look: Option<bool> },
    Settle { owner: String, answer: Answer, at: Timestamp },
    LookedAfter { owner: String, before: Record },
    LookedInVain,
    Over,
    Closed,
    CloseLater,
}

/// What comes back from Twilio: [`Answer::known`] hands it to the product as the product's client would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    /// To a look.
    Found(u8),
    FoundOver,
    FoundNothing,
    CannotLook,
    /// To the request for an Interaction.
    Accepted(u8),
    NotNow,
    Refused,
    Unknown,
    /// Closed or not found, says Flex; whether it is closed, says Conversations, where it could be asked.
    ClosedOrNotFound(Option<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Broken {
    AskedWithoutClaim,
    WentBack,
    OpenedAgain,
    SweptInVain,
    NeverRests,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// A webhook arrives; it reads the record first, or takes the conversation for new.
    Arrives { process: usize, reads: bool },
    /// A sweep begins.
    Sweeps(usize),
    /// A process does what it is about to do, and it goes well.
    Steps(usize),
    /// A write is carried out, its answer is lost, and the SDK sends it again.
    WritesTwice(usize),
    /// Twilio does not do what it is asked, for now.
    NotNow(usize),
    /// Twilio refuses the Interaction for good.
    Refuses(usize),
    /// The answer does not come in time.
    TimesOut(usize),
    /// A process dies.
    Dies(usize),
    /// Twilio carries a request out.
    CarriesOut(usize),
    /// Twilio refuses a request, as the conversation is over.
    FindsOver(usize),
    /// A request whose sender does not wait any more never arrives.
    Vanishes(usize),
    /// A set-up comes to its end.
    SetsUp(u8),
    /// A set-up fails.
    FailsToSetUp(u8),
    /// A set-up comes to no end.
    Hangs(u8),
    /// Twilio closes the conversation.
    Closes { with_channels: bool },
    /// Time passes, to the next moment at which anything depends on it.
    Passes,
}

impl Action {
    /// Whether it happens by itself in the end. What may never happen is no way out of anything.
    fn is_certain(self) -> bool {
        matches!(
            self,
            Self::Sweeps(_) | Self::Steps(_) | Self::CarriesOut(_) | Self::SetsUp(_) | Self::Passes
        )
    }

    fn is_fault(self) -> bool {
        matches!(
            self,
            Self::WritesTwice(_)
                | Self::NotNow(_)
                | Self::Refuses(_)
                | Self::TimesOut(_)
                | Self::Dies(_)
                | Self::FailsToSetUp(_)
                | Self::Hangs(_)
        )
    }
}

impl Default for Protocol {
    fn default() -> Self {
        Self {
            webhooks: 2,
            sweepers: 1,
            faults: 2,
            closes: false,
            leaves: false,
            late: false,
            guard: false,
            flaw: None,
        }
    }
}

fn sid() -> ConversationSid {
    "CH00000000000000000000000000000001".parse().expect("well formed")
}

fn message() -> FirstMessage {
    FirstMessage { author: Some("+15551230001".to_owned().into()), ..FirstMessage::default() }
}

impl Answer {
    /// What the owner of a claim knows by this; `None` where it asks for the Interaction next.
    fn known(self, at: Timestamp) -> Option<Known> {
        let rejected =
            |code| Refusal::Rejected { status: 400, code: Some(code), message: String::new().into() };
        let lost = CallError::from(Doubt::AnswerLost);
        let asked = match self {
            Self::Found(number) => return after_look(Ok(Found::Interaction(interaction(number, at)))),
            Self::FoundOver => return after_look(Ok(Found::ConversationOver)),
            Self::FoundNothing => return after_look(Ok(Found::Nothing)),
            Self::CannotLook => return after_look(Err(lost)),
            Self::Accepted(number) => Ok(interaction(number, at)),
            Self::NotNow => Err(Refusal::NotSent.into()),
            Self::Refused => Err(rejected(20001).into()),
            Self::Unknown => Err(lost.clone()),
            Self::ClosedOrNotFound(_) => Err(rejected(45376).into()),
        };
        let state = match self {
            Self::ClosedOrNotFound(Some(true)) => Ok(Some(ConversationState::Closed)),
            Self::ClosedOrNotFound(Some(false)) => Ok(Some(ConversationState::Active)),
            _ => Err(lost),
        };
        Some(after_asking(asked).unwrap_or_else(|doubted| after_asking_whether_over(&state, doubted)))
    }
}

/// Two states are one where nothing that can happen tells them apart: times count by how far ahead they are.
impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { now, record, account, processes, faults, broken } = self;
        let Account { over, interactions, requests } = account;
        (faults, broken, over, interactions).hash(state);
        for Request { from, owner, lease_until } in requests {
            (from, owner, lease_until.since(*now)).hash(state);
        }
        match record {
            Some(record) => record.hash_at(*now, state),
            None => (BEGUN + pace::DISCOVERY_GRACE).since(*now).hash(state),
        }
        for Process { kind: _, at, begun, may_begin, slow, since } in processes {
            at.hash_at(*now, state);
            // Of these only whether anything has changed since counts.
            let version = record.as_ref().map_or(0, |record| record.version);
            let unchanged = since.map(|since| since == (version, *now, *faults));
            (begun, may_begin, slow, unchanged).hash(state);
        }
    }
}

impl At {
    fn hash_at<H: Hasher>(&self, now: Timestamp, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Nowhere => {}
            Self::Writing { wish, seen, next } => {
                wish.hash_at(now, state);
                seen.hash(state);
                next.hash_at(now, state);
            }
            Self::LookingWhetherOver(held)
            | Self::Looking(held)
            | Self::AboutToAsk(held)
            | Self::AskingWhetherOver(held) => held.hash_at(now, state),
            Self::Asking(held, answer) => {
                held.hash_at(now, state);
                answer.hash(state);
            }
            Self::LookingAfter(record) | Self::TidyingUp(record) => record.hash_at(now, state),
            Self::ClosingChannel(record, known) => {
                record.hash_at(now, state);
                known.hash(state);
            }
        }
    }
}

impl Held {
    fn hash_at<H: Hasher>(&self, now: Timestamp, state: &mut H) {
        self.record.hash_at(now, state);
        self.owner.hash(state);
    }
}

impl Wish {
    fn hash_at<H: Hasher>(&self, now: Timestamp, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Claim { owner, look } => (owner, look).hash(state),
            Self::TakeOver { owner, look } => (owner, look).hash(state),
            Self::Settle { owner, answer, at } => {
                (owner, answer, (*at + pace::SET_UP_LIMIT).since(now)).hash(state);
            }
            Self::LookedAfter { owner, before } => {
                owner.hash(state);
                before.hash_at(now, state);
            }
            Self::LookedInVain | Self::Over | Self::Closed | Self::CloseLater => {}
        }
    }
}

impl State {
    fn token(&self, process: usize) -> String {
        let version = self.record.as_ref().map_or(0, |record| record.version);
        format!("{process}@{version}")
    }

    /// Whether all is as it is to be: the customer has one Interaction, which the record knows, or the conversation
    /// is over and the record knows that, or it was given up.
    pub(crate) fn is_settled(&self) -> bool {
        let stand = |known: Option<u8>| {
            let coming = |status| matches!(status, Status::Active | Status::SettingUp);
            self.account.living().all(|number| Some(number) == known || !coming(self.account.status(number)))
        };
        match self.record.as_ref().map(|record| (&record.stage, record.knows())) {
            // Given up, and handed over to the rescue: it is due, and its steps are not of this model.
            Some((Stage::Orphaned { .. }, _)) => true,
            Some((Stage::Open, Some(known))) if !self.account.over => {
                self.account.status(known) == Status::Active && stand(Some(known))
            }
            // What was known of when it closed is Twilio's to close.
            Some((Stage::Closed, known)) if self.account.over => stand(known),
            None | Some((Stage::Seen, _)) if self.account.over => stand(None),
            _ => false,
        }
    }

    /// The next moment at which anything depends on the time.
    fn next_moment(&self, protocol: &Protocol) -> Option<Timestamp> {
        let mut moments = Vec::new();
        if let Some(record) = &self.record {
            moments.extend([record.due_at, record.lease(), record.may_ask_until(), record.asking_until]);
            if matches!(record.stage, Stage::Refused { .. }) {
                moments.push(Some(record.updated_at + pace::REFUSED_PAUSE));
            }
        } else if !self.account.over {
            moments.push(Some(BEGUN + pace::DISCOVERY_GRACE));
        }
        for process in &self.processes {
            moments.push(process.at.held().and_then(|held| held.record.may_ask_until()));
        }
        moments.extend(self.account.requests.iter().map(|request| Some(request.lease_until)));
        let next = moments.into_iter().flatten().filter(|moment| *moment > self.now).min()?;
        // The assumption: what is carried out at all is carried out before the lease ends.
        let early = self.account.requests.iter().all(|request| next < request.lease_until);
        // A set-up takes less than 15 s, or for ever.
        let looks = self.record.as_ref().is_some_and(|record| {
            record.due_at == Some(next) && matches!(record.stage, Stage::SettingUp | Stage::Open)
        });
        let early = early || protocol.late;
        (early && !(looks && self.account.interactions.contains(&Status::SettingUp))).then_some(next)
    }
}

impl At {
    fn held(&self) -> Option<&Held> {
        match self {
            Self::LookingWhetherOver(held)
            | Self::Looking(held)
            | Self::AboutToAsk(held)
            | Self::Asking(held, _)
            | Self::AskingWhetherOver(held) => Some(held),
            _ => None,
        }
    }
}

impl Held {
    /// Whether there is time left to ask Twilio for something.
    fn may_ask(&self, protocol: &Protocol, now: Timestamp) -> bool {
        protocol.flaw == Some(Flaw::NoEndOfAsking)
            || self.record.may_ask_until().is_some_and(|until| now < until)
    }
}

impl Protocol {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Goes on to a claim: the beginning of `Opener::open`.
    fn open(record: Record, owner: String, look: bool) -> At {
        let held = Held { record, owner };
        if look { At::LookingWhetherOver(held) } else { At::AboutToAsk(held) }
    }

    /// Decides what to write upon `current`, as the wish was first decided and is decided again.
    fn decide(
        &self,
        state: &State,
        wish: &mut Wish,
        current: Option<&Record>,
    ) -> Result<Transition, Option<Record>> {
        let now = state.now;
        let as_it_is = || current.cloned();
        let given = current.map(|current| &**current);
        let transition = match wish {
            Wish::Claim { owner, .. } => {
                return match Claim::decide(given, &sid(), &message(), owner, now) {
                    Decision::Write(mut claimed, _) => {
                        if self.is(Flaw::NotDue) {
                            claimed.next.due_at = None;
                        }
                        Ok(*claimed)
                    }
                    Decision::Leave(Ok(())) => Err(as_it_is()),
                    Decision::Leave(Err(_)) => Err(None),
                };
            }
            Wish::TakeOver { owner, look } => {
                let now = if self.is(Flaw::NoLease) { now + pace::LEASE } else { now };
                let (decided, taken) = match Claim::decide_to_take_over(given, owner, now) {
                    Decision::Write(taken, decided) => (decided, Some(*taken)),
                    Decision::Leave(decided) => (decided, None),
                };
                // With the flaw, as it was decided upon the record that was read.
                if !self.is(Flaw::StaleLook) || look.is_none() {
                    *look = Some(decided);
                }
                taken
            }
            Wish::Settle { owner, answer, at } => {
                let known = answer.known(*at);
                let known = known.filter(|known| {
                    !self.is(Flaw::NoRecord) || !matches!(known, Known::Accepted(_) | Known::Found(_))
                });
                given.zip(known).and_then(|(current, known)| {
                    let owner = match &current.stage {
                        Stage::Claimed { owner: holder, .. } if self.is(Flaw::NoOwner) => holder,
                        _ => owner,
                    };
                    known.change(current, owner, None, now)
                })
            }
            Wish::LookedAfter { owner, before } => given.and_then(|current| {
                if current.version != before.version {
                    return None;
                }
                let (finding, picture) = state.account.look(before, now);
                current.found(&finding, &picture, &OrphanRules::default(), owner, now)
            }),
            Wish::LookedInVain => given.and_then(|current| current.looked_in_vain(now)),
            Wish::Over => Conversation::closed(given, &sid(), now),
            Wish::Closed => given.and_then(|current| current.has_been_closed(now)),
            Wish::CloseLater => given.and_then(|current| current.close_later(now)),
        };
        transition.ok_or_else(as_it_is)
    }
}

/// The steps of a process.
impl Protocol {
    /// Decides, and sends the write off where there is one.
    fn wish(&self, state: &State, process: usize, mut wish: Wish, current: Option<&Record>) -> At {
        match self.decide(state, &mut wish, current) {
            Ok(transition) => At::Writing {
                wish,
                seen: current.map(|current| current.version),
                next: Record::new(transition.next),
            },
            Err(record) => self.goes_on(state, process, wish, record),
        }
    }

    /// What follows a wish that is done, with the record as it stands.
    fn goes_on(&self, state: &State, process: usize, wish: Wish, record: Option<Record>) -> At {
        match wish {
            Wish::Claim { owner, look } => {
                record.map_or(At::Nowhere, |record| Self::open(record, owner, look && !self.is(Flaw::NoLook)))
            }
            Wish::TakeOver { owner, look } => {
                match record.and_then(|record| Claim::of(record.taken(), owner)) {
                    Some(claim) => {
                        let look = look != Some(false) && !self.is(Flaw::NoLook);
                        Self::open(Record::new(claim.record), claim.owner, look)
                    }
                    None => At::Nowhere,
                }
            }
            Wish::LookedAfter { owner, before } => {
                match Follows::of(&before, record.map(|record| record.taken()), owner) {
                    Follows::Open(claim) => {
                        Self::open(Record::new(claim.record), claim.owner, !self.is(Flaw::NoLook))
                    }
                    Follows::LookAgain(record) => {
                        let (record, before) = (Record::new(record.clone()), Record::new(record));
                        let owner = state.token(process);
                        self.wish(state, process, Wish::LookedAfter { owner, before }, Some(&record))
                    }
                    // The rescue's steps are not of this model.
                    Follows::Steps { .. } | Follows::End(_) => At::Nowhere,
                }
            }
            Wish::Settle { .. } | Wish::LookedInVain | Wish::Over | Wish::Closed | Wish::CloseLater => {
                At::Nowhere
            }
        }
    }

    /// The beginning of a sweep, as far as this conversation goes; `None` where it has nothing to do with it.
    fn sweep(&self, state: &State, process: usize) -> Option<At> {
        let owner = state.token(process);
        let now = if self.is(Flaw::NoLease) { state.now + pace::LEASE } else { state.now };
        let Some(record) = &state.record else {
            let waits = state.account.over || state.now < BEGUN + pace::DISCOVERY_GRACE;
            return (!waits).then(|| self.wish(state, process, Wish::Claim { owner, look: true }, None));
        };
        Some(match record.when_due(now)? {
            WhenDue::TakeOver => {
                self.wish(state, process, Wish::TakeOver { owner, look: None }, Some(record))
            }
            WhenDue::LookAfter if matches!(record.stage, Stage::Closing) => At::TidyingUp(record.clone()),
            WhenDue::LookAfter => At::LookingAfter(record.clone()),
        })
    }

    /// The next step of a process, all going well. `state` already without the effects of it.
    fn step(&self, state: &mut State, process: usize) -> Option<At> {
        let now = state.now;
        let settle = |held: &Held, answer| {
            let wish = Wish::Settle { owner: held.owner.clone(), answer, at: now };
            (wish, held.record.clone())
        };
        Some(match state.processes[process].at.clone() {
            At::Nowhere | At::Asking(_, None) => return None,
            At::Writing { wish, seen, next } => {
                let stands = state.record.as_ref().map(|record| record.version);
                if stands == seen || self.is(Flaw::NoCondition) {
                    let next = if self.is(Flaw::NoWaiting) { next.without_asking_until() } else { next };
                    state.write(next.clone());
                    self.goes_on(state, process, wish, Some(next))
                } else {
                    let current = state.record.clone();
                    self.wish(state, process, wish, current.as_ref())
                }
            }
            At::LookingWhetherOver(held) if !held.may_ask(self, now) => {
                let (wish, record) = settle(&held, Answer::CannotLook);
                self.wish(state, process, wish, Some(&record))
            }
            At::LookingWhetherOver(held) if state.account.over => {
                let (wish, record) = settle(&held, Answer::FoundOver);
                self.wish(state, process, wish, Some(&record))
            }
            At::LookingWhetherOver(held) => At::Looking(held),
            At::Looking(held) => {
                let answer = if held.may_ask(self, now) {
                    state.account.living().next().map_or(Answer::FoundNothing, Answer::Found)
                } else {
                    Answer::CannotLook
                };
                if answer.known(now).is_none() {
                    return Some(At::AboutToAsk(held));
                }
                let (wish, record) = settle(&held, answer);
                self.wish(state, process, wish, Some(&record))
            }
            At::AboutToAsk(held) if !held.may_ask(self, now) => {
                let (wish, record) = settle(&held, Answer::NotNow);
                self.wish(state, process, wish, Some(&record))
            }
            At::AboutToAsk(held) => {
                state.asks(process, &held, self.late);
                At::Asking(held, None)
            }
            At::Asking(held, Some(Answer::ClosedOrNotFound(_))) => At::AskingWhetherOver(held),
            At::Asking(held, Some(answer)) => {
                let (wish, record) = settle(&held, answer);
                self.wish(state, process, wish, Some(&record))
            }
            At::AskingWhetherOver(held) => {
                let over = held.may_ask(self, now).then_some(state.account.over);
                let (wish, record) = settle(&held, Answer::ClosedOrNotFound(over));
                self.wish(state, process, wish, Some(&record))
            }
            At::LookingAfter(record) => {
                let wish = Wish::LookedAfter { owner: state.token(process), before: record.clone() };
                self.wish(state, process, wish, Some(&record))
            }
            At::TidyingUp(record) => {
                let known = state.account.living().next().or(record.knows());
                At::ClosingChannel(record, known)
            }
            At::ClosingChannel(record, known) => {
                if let Some(known) = known
                    && state.account.status(known).lives()
                {
                    state.account.set(known, Status::Closed);
                }
                self.wish(state, process, Wish::Closed, Some(&record))
            }
        })
    }

    /// Twilio does not do what a process asks of it, for now.
    fn not_now(&self, state: &State, process: usize) -> Option<At> {
        let settle = |held: Held, answer| {
            let wish = Wish::Settle { owner: held.owner, answer, at: state.now };
            Some(self.wish(state, process, wish, Some(&held.record)))
        };
        match state.processes[process].at.clone() {
            At::LookingWhetherOver(held) | At::Looking(held) => settle(held, Answer::CannotLook),
            At::AboutToAsk(held) if held.may_ask(self, state.now) => settle(held, Answer::NotNow),
            At::AskingWhetherOver(held) => settle(held, Answer::ClosedOrNotFound(None)),
            At::LookingAfter(record) => Some(self.wish(state, process, Wish::LookedInVain, Some(&record))),
            At::TidyingUp(record) | At::ClosingChannel(record, _) => {
                Some(self.wish(state, process, Wish::CloseLater, Some(&record)))
            }
            _ => None,
        }
    }

    fn refuses(&self, state: &State, process: usize) -> Option<At> {
        match state.processes[process].at.clone() {
            At::AboutToAsk(held) if held.may_ask(self, state.now) => {
                let wish = Wish::Settle { owner: held.owner, answer: Answer::Refused, at: state.now };
                Some(self.wish(state, process, wish, Some(&held.record)))
            }
            _ => None,
        }
    }

    /// The answer to the request for an Interaction is lost, or late, or a 5xx: nobody knows.
    fn times_out(&self, state: &State, process: usize) -> Option<At> {
        match state.processes[process].at.clone() {
            At::Asking(held, _) => {
                let wish = Wish::Settle { owner: held.owner, answer: Answer::Unknown, at: state.now };
                Some(self.wish(state, process, wish, Some(&held.record)))
            }
            _ => None,
        }
    }

    /// The SDK sends a write again that was carried out: it finds its own, and decides upon that.
    fn writes_twice(&self, state: &mut State, process: usize) -> Option<At> {
        let At::Writing { wish, seen, next } = state.processes[process].at.clone() else { return None };
        if state.record.as_ref().map(|record| record.version) != seen {
            return None;
        }
        state.write(next.clone());
        Some(self.wish(state, process, wish, Some(&next)))
    }
}

impl State {
    fn write(&mut self, next: Record) {
        if let Some(before) = &self.record {
            // What does not come up for ever is taken for failed in the end.
            let lives = before.knows().map(|known| self.account.status(known));
            let lives = lives.is_some_and(|status| status.lives() && status != Status::Hung);
            let stood = matches!(before.stage, Stage::SettingUp | Stage::Open);
            let opens = matches!(next.stage, Stage::Seen | Stage::Claimed { .. } | Stage::Waiting);
            if next.version <= before.version {
                self.broken = Some(Broken::WentBack);
            } else if stood && lives && opens && !self.account.over {
                self.broken = Some(Broken::OpenedAgain);
            }
        }
        if next.version > MOST_VERSIONS {
            self.broken = Some(Broken::NeverRests);
        }
        self.record = Some(next);
    }

    /// A process asks for the Interaction.
    fn asks(&mut self, process: usize, held: &Held, late: bool) {
        let holds = self.record.as_ref().is_some_and(|record| match &record.stage {
            Stage::Claimed { owner, .. } => *owner == held.owner,
            // It closed meanwhile: Twilio makes nothing of it.
            Stage::Closing | Stage::Closed => true,
            // What an earlier owner is told late has failed already, as a look would have found it otherwise.
            Stage::SettingUp | Stage::Open => {
                late || !record.knows().is_some_and(|known| self.account.status(known).lives())
            }
            _ => false,
        });
        if !holds {
            self.broken = Some(Broken::AskedWithoutClaim);
        }
        let lease_until = held.record.lease().unwrap_or(self.now);
        self.account.requests.push(Request { from: process, owner: held.owner.clone(), lease_until });
    }

    /// A process goes on, or has come to its end.
    fn goes_to(&mut self, process: usize, at: At) {
        let version = self.record.as_ref().map_or(0, |record| record.version);
        let (now, faults) = (self.now, self.faults);
        let this = &mut self.processes[process];
        this.at = at;
        this.slow &= this.at != At::Nowhere;
        if this.at == At::Nowhere && this.since.take() == Some((version, now, faults)) {
            self.broken = Some(Broken::SweptInVain);
        }
    }

    /// The process that waits for the answer to a request.
    fn waiting(&self, request: &Request) -> Option<usize> {
        let at = &self.processes[request.from].at;
        matches!(at, At::Asking(held, None) if held.owner == request.owner).then_some(request.from)
    }

    /// Twilio answers a request.
    fn answers(&mut self, number: usize, answer: impl FnOnce(&mut Account) -> Answer) {
        let request = self.account.requests.remove(number);
        let answer = answer(&mut self.account);
        if let Some(process) = self.waiting(&request)
            && let At::Asking(held, None) = self.processes[process].at.clone()
        {
            self.processes[process].at = At::Asking(held, Some(answer));
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let process = |kind| Process {
            kind,
            at: At::Nowhere,
            begun: 0,
            slow: false,
            may_begin: kind == Kind::Message,
            since: None,
        };
        let mut processes = vec![process(Kind::Message); self.webhooks];
        if self.closes {
            processes.push(process(Kind::End));
        }
        processes.extend(vec![process(Kind::Sweeper); self.sweepers]);
        let account = Account::default();
        vec![State { now: BEGUN, record: None, account, processes, faults: self.faults, broken: None }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for (number, process) in state.processes.iter().enumerate() {
            match (&process.at, process.kind) {
                (At::Nowhere, Kind::Message) if process.may_begin => {
                    actions.push(Action::Arrives { process: number, reads: false });
                    if number > 0 && state.record.is_some() {
                        actions.push(Action::Arrives { process: number, reads: true });
                    }
                }
                (At::Nowhere, Kind::End) if process.may_begin => {
                    actions.push(Action::Arrives { process: number, reads: false });
                }
                (At::Nowhere, Kind::Sweeper) => actions.push(Action::Sweeps(number)),
                (At::Nowhere, _) => {}
                _ => {
                    actions.push(Action::Steps(number));
                    actions.push(Action::WritesTwice(number));
                    actions.push(Action::NotNow(number));
                    actions.push(Action::Refuses(number));
                    actions.push(Action::TimesOut(number));
                    actions.push(Action::Dies(number));
                }
            }
        }
        for (number, request) in state.account.requests.iter().enumerate() {
            actions.push(Action::CarriesOut(number));
            if state.account.over {
                actions.push(Action::FindsOver(number));
            }
            if state.waiting(request).is_none() {
                actions.push(Action::Vanishes(number));
            }
        }
        for (number, status) in (1..).zip(&state.account.interactions) {
            if *status == Status::SettingUp {
                actions.push(Action::SetsUp(number));
                if !state.account.over {
                    actions.extend([Action::FailsToSetUp(number), Action::Hangs(number)]);
                }
            }
        }
        if self.closes && !state.account.over {
            let leaves = self.leaves && state.account.interactions.contains(&Status::Active);
            actions.push(Action::Closes { with_channels: true });
            actions.extend(leaves.then_some(Action::Closes { with_channels: false }));
        }
        if !state.is_settled() {
            actions.push(Action::Passes);
        }
        actions.retain(|action| !action.is_fault() || state.faults > 0);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        if action.is_fault() {
            state.faults -= 1;
        }
        match action {
            Action::Arrives { process, reads } => {
                let this = &mut state.processes[process];
                (this.may_begin, this.begun) = (false, this.begun + 1);
                let wish = match this.kind {
                    Kind::End => Wish::Over,
                    _ => Wish::Claim { owner: state.token(process), look: false },
                };
                let current = if reads { state.record.clone() } else { None };
                let at = self.wish(&state, process, wish, current.as_ref());
                state.goes_to(process, at);
            }
            Action::Sweeps(process) => {
                let at = self.sweep(&state, process)?;
                let version = state.record.as_ref().map_or(0, |record| record.version);
                state.processes[process].since = Some((version, state.now, state.faults));
                state.goes_to(process, at);
            }
            Action::Steps(process) => {
                let at = self.step(&mut state, process)?;
                state.goes_to(process, at);
            }
            Action::WritesTwice(process) => {
                let at = self.writes_twice(&mut state, process)?;
                state.goes_to(process, at);
            }
            Action::NotNow(process) => {
                let at = self.not_now(&state, process)?;
                state.goes_to(process, at);
            }
            Action::Refuses(process) => {
                let at = self.refuses(&state, process)?;
                state.goes_to(process, at);
            }
            Action::TimesOut(process) => {
                let at = self.times_out(&state, process)?;
                state.goes_to(process, at);
            }
            Action::Dies(process) => {
                let this = &mut state.processes[process];
                this.may_begin = this.kind == Kind::Message && this.begun == 1;
                state.goes_to(process, At::Nowhere);
            }
            Action::CarriesOut(number) => state.answers(number, |account| Answer::Accepted(account.make())),
            Action::FindsOver(number) => state.answers(number, |_| Answer::ClosedOrNotFound(None)),
            Action::Vanishes(number) => drop(state.account.requests.remove(number)),
            Action::SetsUp(number) => state.account.set_up(number, self.guard),
            Action::FailsToSetUp(number) => state.account.set(number, Status::Failed(45381)),
            Action::Hangs(number) => state.account.set(number, Status::Hung),
            Action::Closes { with_channels } => {
                state.account.close(with_channels);
                for process in &mut state.processes {
                    process.may_begin |= process.kind == Kind::End;
                }
            }
            Action::Passes => {
                state.now = state.next_moment(self)?;
                for process in &mut state.processes {
                    if process.at != At::Nowhere && !process.slow {
                        process.slow = true;
                        state.faults = state.faults.checked_sub(1)?;
                    }
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE, |protocol: &Self, state: &State| {
                // Where Twilio's own guard is what is left, it needs the second one's set-up to drop it.
                let by_guard = protocol.late && protocol.guard;
                let counts = |status: &&Status| status.lives() && (!by_guard || **status == Status::Active);
                state.account.interactions.iter().filter(counts).count() <= 1
            }),
            Property::always(CLAIM, |_, state: &State| state.broken != Some(Broken::AskedWithoutClaim)),
            Property::always(BACK, |_, state: &State| state.broken != Some(Broken::WentBack)),
            Property::always(AGAIN, |_, state: &State| state.broken != Some(Broken::OpenedAgain)),
            Property::always(VAIN, |_, state: &State| state.broken != Some(Broken::SweptInVain)),
            Property::always(REST, |_, state: &State| state.broken != Some(Broken::NeverRests)),
            Property::always(END, |protocol: &Self, state: &State| {
                if state.is_settled() || state.broken.is_some() {
                    return true;
                }
                let mut actions = Vec::new();
                protocol.actions(state, &mut actions);
                actions
                    .into_iter()
                    .any(|action| action.is_certain() && protocol.next_state(state, action).is_some())
            }),
            Property::sometimes("an Interaction is found and adopted", |_, state: &State| {
                state.processes.iter().any(|process| {
                    matches!(
                        &process.at,
                        At::Writing { wish: Wish::Settle { answer: Answer::Found(_), .. }, .. }
                    )
                })
            }),
            Property::sometimes("a customer is served", |_, state: &State| {
                state.is_settled() && !state.account.over && state.account.living().next().is_some()
            }),
        ]
    }
}
