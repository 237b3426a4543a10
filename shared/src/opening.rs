//! Opens the Interaction of a conversation: claim, ask, record. The same steps serve the webhook and the
//! sweeper.
//!
//! Between any two steps the process may die, and any answer may be lost. What is left then is always a
//! claim that is due: the sweeper takes it over after its lease, asks Twilio whether the Interaction exists,
//! and goes on from there. That is why nothing is undone here when an outcome is unknown.
//!
//! What follows from an answer is pure ([`answers`]); here it is asked for and written down.

pub mod answers;

use std::{sync::Arc, time::Duration};

use self::answers::{Found, Known, after_asking, after_asking_whether_over, after_look};
use crate::{
    clock::{Clock, Deadline, Timestamp},
    conversation::{
        Contact, Conversation, FirstMessage, Interaction, Routing, Sender, Standing, Transition, contact,
        pace,
    },
    ledger::{Decision, Ledger, LedgerError},
    random::Random,
    routing::{RoutingDefaults, RoutingRules, new_interaction, reinvite_routing},
    sid::ConversationSid,
    telemetry::{Metric, Metrics},
    twilio::{
        CallError, ConversationState, EventQuery, FlexTask, MessageResource, ParticipantResource,
        TaskResource, Twilio,
    },
};

/// Opens Interactions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Opener {
    /// The records.
    pub ledger: Ledger,
    /// Twilio.
    pub twilio: Twilio,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Makes the tokens of owners.
    pub random: Arc<dyn Random>,
    /// The operator's rules.
    pub rules: Arc<RoutingRules>,
    /// Where everything else goes.
    pub defaults: Arc<RoutingDefaults>,
    /// Counts.
    pub metrics: Metrics,
}

/// How long opening connections may take: with the first event, no function waits for it.
const WARM_UP_LIMIT: Duration = Duration::from_secs(2);

impl Opener {
    /// Reads the credentials and opens connections to the table and to Twilio, side by side: what the first event would
    /// otherwise wait for, one after the other. What fails fails again where it matters, and is told there.
    pub async fn warm_up(&self) {
        let deadline = Deadline::within(WARM_UP_LIMIT);
        tokio::join!(self.ledger.warm_up(deadline), self.twilio.warm_up(deadline));
    }
}

/// The right to ask for the Interaction of a conversation.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The record, as it was when the right was won.
    pub record: Conversation,
    /// Whose right it is.
    pub owner: String,
}

impl Claim {
    /// The claim that `owner` holds on a record; `None` where it holds none.
    #[must_use]
    pub fn of(record: Conversation, owner: String) -> Option<Self> {
        record.is_claimed_by(&owner).then_some(Self { record, owner })
    }

    /// What `owner`, who wants to claim a conversation for a customer's message, does about the record as it
    /// stands. A claim of its own is there where the ledger's first try was carried out and not answered.
    #[must_use]
    pub fn decide(
        current: Option<&Conversation>,
        sid: &ConversationSid,
        message: &FirstMessage,
        owner: &str,
        now: Timestamp,
    ) -> Decision<Result<(), Standing>> {
        if current.is_some_and(|current| current.is_claimed_by(owner)) {
            return Decision::Leave(Ok(()));
        }
        match Conversation::claim(current, sid, message.clone(), owner, now) {
            Ok(claimed) => Decision::Write(Box::new(claimed), Ok(())),
            Err(standing) => Decision::Leave(Err(standing)),
        }
    }

    /// What `owner`, who wants to take a record over, does about it as it stands; with that, whether to look at
    /// Twilio before asking. The record that is taken over in the end tells that, not the one that was read first:
    /// somebody may have claimed it in between, asked and died.
    #[must_use]
    pub fn decide_to_take_over(
        current: Option<&Conversation>,
        owner: &str,
        now: Timestamp,
    ) -> Decision<bool> {
        match current.and_then(|current| Some((current.take_over(owner, now)?, current.must_look()))) {
            Some((taken, look)) => Decision::Write(Box::new(taken), look),
            // Not to be had; or it is, and the answer to that write was lost: a look is never wrong.
            None => Decision::Leave(true),
        }
    }
}

/// What became of an attempt to open an Interaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Twilio accepted it.
    Created(Interaction),
    /// It was there already, and is recorded now.
    Adopted(Interaction),
    /// The message was not a customer's.
    NotACustomer,
    /// Not now, or nobody knows: the record is due and the sweeper goes on.
    Deferred,
    /// Twilio refused for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: Option<u32>,
    },
    /// The conversation is over.
    Over,
}

/// How much of the time is kept for writing down what Twilio answered.
const RECORDING_TIME: Duration = Duration::from_millis(700);

impl Opener {
    /// Claims the right to open `sid`, for a customer's message. `seen` is the record as last seen, if it was.
    pub async fn claim(
        &self,
        sid: &ConversationSid,
        message: &FirstMessage,
        seen: Option<Conversation>,
        deadline: Deadline,
    ) -> Result<Result<Claim, Standing>, LedgerError> {
        let owner = self.random.token();
        let (standing, record) = self
            .ledger
            .transition(seen, deadline, |current| {
                Claim::decide(current, sid, message, &owner, self.clock.now())
            })
            .await?;
        Ok(standing.and_then(|()| record.map(|record| Claim { record, owner }).ok_or(Standing::InProgress)))
    }

    /// Takes a record over that is due; with the claim comes whether to look at Twilio before asking. `None` where
    /// somebody else was faster.
    pub async fn take_over(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Option<(Claim, bool)>, LedgerError> {
        let owner = self.random.token();
        let (look, record) = self
            .ledger
            .transition(Some(record), deadline, |current| {
                Claim::decide_to_take_over(current, &owner, self.clock.now())
            })
            .await?;
        Ok(record.and_then(|record| Claim::of(record, owner)).map(|claim| (claim, look)))
    }

    /// Asks Twilio for the Interaction of a claimed conversation and records it. With `look`, asks first
    /// whether there is one: somebody who held the claim before may have asked.
    ///
    /// Never fails: what could not be done or written leaves a record that is due.
    pub async fn open(&self, claim: Claim, look: bool, deadline: Deadline) -> Opened {
        // The right to ask ends with the lease, whatever time the invocation has left.
        let now = self.clock.now();
        let lease = claim.record.may_ask_until().unwrap_or(now).since(now);
        let asking = deadline.leaving(RECORDING_TIME).or_sooner(lease);
        if look && let Some(known) = after_look(self.look(&claim.record, asking).await) {
            let routing = self.routing(&claim.record, claim.record.contact.as_ref());
            return self.settle(&claim, known, Some(routing), deadline).await;
        }
        let asked_by = claim.record.opens_for_reach();
        let (contact, sender) = match self.sender(&claim.record, asking).await {
            Ok(known) => known,
            Err(error) if error.is_temporary() => {
                return self.settle(&claim, Known::NotNow(error), None, deadline).await;
            }
            // Twilio lists no participants. If the conversation is gone too, it says so next.
            Err(_) => (claim.record.contact.clone(), Sender::Customer),
        };
        if sender == Sender::SomebodyElse {
            return self.not_a_customer(&claim, contact, deadline).await;
        }
        let routing = self.routing(&claim.record, contact.as_ref());
        let new = new_interaction(&claim.record.sid, &routing, asked_by, &self.defaults.workspace);
        let created = self.twilio.create_interaction(&new, asking).await.map(|created| Interaction {
            channel: created.channel_sid().cloned(),
            task: created.task_sid().cloned(),
            sid: created.sid,
            since: self.clock.now(),
        });
        let known = match after_asking(created) {
            Ok(known) => known,
            Err(doubted) => {
                let conversation = self.twilio.conversation(&claim.record.sid, asking).await;
                let state = conversation.map(|found| found.map(|found| found.state));
                after_asking_whether_over(&state, doubted)
            }
        };
        self.settle(&claim, known, Some(routing), deadline).await
    }

    /// How the Interaction is to be routed: as the rules or an outbound reach say, or, where it takes the place
    /// of an earlier one, as that was, with the number of the re-invite that it is.
    fn routing(&self, record: &Conversation, contact: Option<&Contact>) -> Routing {
        match (record.reinvites, &record.routing) {
            (0, Some(asked)) if record.opens_for_reach().is_some() => asked.clone(),
            (0, _) => self.by_rules(record, contact),
            (number, _) => self.again(record, contact, number),
        }
    }

    fn by_rules(&self, record: &Conversation, contact: Option<&Contact>) -> Routing {
        let message = record.message.clone().unwrap_or_default();
        self.rules.route(&message, contact, record.outbound.as_ref(), &self.defaults)
    }

    /// How the re-invite of this number is to be routed: as the Interaction was first; where nobody knows, as
    /// the rules say.
    pub(crate) fn again(&self, record: &Conversation, contact: Option<&Contact>, number: u32) -> Routing {
        let first = record.routing.clone().unwrap_or_else(|| self.by_rules(record, contact));
        reinvite_routing(&first, number, &self.defaults)
    }

    /// What Twilio holds: the conversation's state, then its tasks, then the channels they name.
    async fn look(&self, record: &Conversation, deadline: Deadline) -> Result<Found, CallError> {
        match self.twilio.conversation(&record.sid, deadline).await? {
            None => return Ok(Found::ConversationOver),
            Some(conversation) if conversation.state == ConversationState::Closed => {
                return Ok(Found::ConversationOver);
            }
            Some(_) => {}
        }
        let mut found = self.find_interaction(&record.sid, deadline).await?;
        if found.is_none() {
            found = self.find_asked_for(record, record.asked_until, deadline).await?;
        }
        Ok(found.map_or(Found::Nothing, Found::Interaction))
    }

    /// An Interaction that lives, that the record does not know, and that others asked for until then and had no answer,
    /// as TaskRouter's log tells: a task that ended is not shown for long, one that was deleted not at all, and one
    /// whose attributes were overwritten is not found by them. What was made by others since is of no interest.
    pub(crate) async fn find_asked_for(
        &self,
        record: &Conversation,
        until: Option<Timestamp>,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        let (Some(since), Some(until)) = (record.asked_since, until) else { return Ok(None) };
        let (since, until) = (since - pace::CLOCKS_DIFFER, until + pace::LEASE_MARGIN);
        let tasks = self.tasks_in_log(&record.sid, since, until, deadline).await?;
        self.first_living(tasks.into_iter().filter(|task| !record.knows(&task.interaction)), deadline).await
    }

    /// The tasks that were created for a conversation in that time, as TaskRouter's log tells: the newest first, and of
    /// the newest thousand tasks of all conversations.
    pub(crate) async fn tasks_in_log(
        &self,
        sid: &ConversationSid,
        since: Timestamp,
        until: Timestamp,
        deadline: Deadline,
    ) -> Result<Vec<FlexTask>, CallError> {
        const MOST_PAGES: usize = 10;
        let query = EventQuery::OfTypeUntil("task.created", until);
        let (mut tasks, mut next) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let page =
                self.twilio.events(&self.defaults.workspace, &query, since, next.as_ref(), deadline).await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.is_temporary() => return Err(error),
                // Twilio does not show it, so it tells nothing.
                Err(_) => break,
            };
            tasks.extend(page.items.iter().filter_map(|event| event.flex_task(sid)));
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(tasks)
    }

    /// The Interaction that lives on a conversation, as its tasks tell.
    pub async fn find_interaction(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        let tasks = self.twilio.tasks_of_conversation(&self.defaults.workspace, sid, deadline).await?;
        self.first_living(tasks.iter().filter_map(TaskResource::flex), deadline).await
    }

    /// The Interaction of the first of these tasks whose channel has neither failed nor been closed.
    pub(crate) async fn first_living(
        &self,
        tasks: impl Iterator<Item = FlexTask> + Send,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        for task in tasks {
            let living = self.living(task, deadline).await?;
            if living.is_some() {
                return Ok(living);
            }
        }
        Ok(None)
    }

    /// The Interaction of a task, where its channel has neither failed nor been closed.
    async fn living(&self, task: FlexTask, deadline: Deadline) -> Result<Option<Interaction>, CallError> {
        let channel = self.twilio.interaction_channel(&task.interaction, &task.channel, deadline).await?;
        let lives = channel.is_some_and(|channel| channel.status.lives());
        Ok(lives.then(|| Interaction {
            sid: task.interaction,
            channel: Some(task.channel),
            task: Some(task.task),
            since: self.clock.now(),
        }))
    }

    /// The customer, and whether the message is theirs: as recorded where that tells enough, else as Twilio
    /// lists the participants.
    async fn sender(
        &self,
        record: &Conversation,
        deadline: Deadline,
    ) -> Result<(Option<Contact>, Sender), CallError> {
        if record.opens_for_reach().is_some() {
            return Ok((record.contact.clone(), Sender::Customer));
        }
        let message = record.message.as_ref();
        let author = message.and_then(|message| message.author.as_ref()).map(|author| author.as_str());
        let participant = message.and_then(|message| message.participant.as_ref());
        let recorded = contact::sender(author, participant, record.contact.as_ref());
        let has_proxy = record.contact.as_ref().is_some_and(|contact| contact.proxy_address.is_some());
        let needs_proxy =
            self.rules.need_proxy_address() && !has_proxy && author.is_some_and(contact::is_address);
        if recorded != Sender::Unclear && !needs_proxy {
            return Ok((record.contact.clone(), recorded));
        }
        let participants = self.twilio.participants(&record.sid, deadline).await?;
        let contact = Contact::among(participants.items.into_iter().map(contact_of));
        let sender = contact::sender_among(author, participant, contact.as_ref());
        Ok((contact, sender))
    }

    /// Writes down what is known now.
    async fn settle(
        &self,
        claim: &Claim,
        known: Known,
        routing: Option<Routing>,
        deadline: Deadline,
    ) -> Opened {
        self.note(&known);
        let change =
            |current: &Conversation| known.change(current, &claim.owner, routing.as_ref(), self.clock.now());
        let written = self.write(&claim.record, deadline, change).await;
        match known {
            Known::Accepted(interaction) if self.is_recorded(written.as_ref(), &interaction) => {
                Opened::Created(interaction)
            }
            Known::Found(interaction) if self.is_recorded(written.as_ref(), &interaction) => {
                Opened::Adopted(interaction)
            }
            // Where something cannot be written the claim stands instead, and is due as well.
            Known::Accepted(_) | Known::Found(_) | Known::NotNow(_) | Known::Nothing(_) => self.deferred(),
            Known::Refused { status, code } => Opened::Refused { status, code },
            Known::Over => Opened::Over,
        }
    }

    fn note(&self, known: &Known) {
        match known {
            Known::Accepted(interaction) => {
                self.metrics.count(Metric::InteractionCreated);
                tracing::info!(interaction_sid = %interaction.sid, "Interaction accepted");
            }
            Known::Found(interaction) => {
                self.metrics.count(Metric::InteractionAdopted);
                tracing::info!(interaction_sid = %interaction.sid, "Interaction found at Twilio");
            }
            Known::Over => {}
            Known::NotNow(error) => tracing::warn!(%error, "the Interaction is put off"),
            Known::Refused { status, code } => {
                self.metrics.count(Metric::InteractionRefused);
                tracing::error!(status, code, "Twilio refused the Interaction");
            }
            Known::Nothing(error) => tracing::warn!(%error, "it is not known whether the Interaction exists"),
        }
    }

    /// Whether what Twilio has could be written down; where the record knows another Interaction, that stays.
    fn is_recorded(&self, written: Option<&Conversation>, interaction: &Interaction) -> bool {
        let Some(record) = written else { return false };
        if record.interaction.as_ref().is_some_and(|known| known.sid != interaction.sid) {
            self.metrics.count(Metric::InteractionDuplicated);
            tracing::error!(interaction_sid = %interaction.sid, "the conversation had an Interaction already");
        }
        true
    }

    async fn not_a_customer(&self, claim: &Claim, contact: Option<Contact>, deadline: Deadline) -> Opened {
        let change =
            |current: &Conversation| current.not_a_customer(&claim.owner, contact.clone(), self.clock.now());
        match self.write(&claim.record, deadline, change).await {
            Some(_) => Opened::NotACustomer,
            None => self.deferred(),
        }
    }

    fn deferred(&self) -> Opened {
        self.metrics.count(Metric::InteractionDeferred);
        Opened::Deferred
    }

    /// Writes a change onto the record as it stands. The record afterwards; `None` where it could not be
    /// written.
    pub async fn write(
        &self,
        seen: &Conversation,
        deadline: Deadline,
        change: impl Fn(&Conversation) -> Option<Transition>,
    ) -> Option<Conversation> {
        let written =
            self.ledger.record(Some(seen.clone()), deadline, |current| current.and_then(&change)).await;
        match written {
            Ok(record) => record,
            Err(error) => {
                self.metrics.count(Metric::TableUnavailable);
                tracing::error!(%error, "the record could not be written");
                None
            }
        }
    }
}

/// A participant as a contact.
#[must_use]
pub fn contact_of(participant: ParticipantResource) -> Contact {
    let binding = participant.messaging_binding.unwrap_or_default();
    Contact {
        participant: Some(participant.sid),
        kind: binding.kind,
        address: binding.address,
        proxy_address: binding.proxy_address,
        identity: participant.identity,
        customer_id: None,
        joined: participant.date_created,
    }
}

/// The first thing that the customer said, of messages that Twilio lists newest first.
#[must_use]
pub fn first_of_customer(
    messages: Vec<MessageResource>,
    contact: Option<&Contact>,
) -> Option<MessageResource> {
    let is_theirs = |message: &MessageResource| {
        let author = message.author.as_ref().map(|author| author.as_str());
        author.is_some()
            && contact::sender_among(author, message.participant_sid.as_ref(), contact) == Sender::Customer
    };
    messages.into_iter().rev().find(is_theirs)
}
