//! Opens the Interaction of a conversation: claim, ask, record. The same steps serve the webhook and the
//! sweeper.
//!
//! Between any two steps the process may die, and any answer may be lost. What is left then is always a
//! claim that is due: the sweeper takes it over after its lease, asks Twilio whether the Interaction exists,
//! and goes on from there. That is why nothing is undone here when an outcome is unknown.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Clock, Deadline, Timestamp},
    conversation::{
        Contact, Conversation, FirstMessage, Interaction, Routing, Sender, Standing, Transition, contact,
        pace,
    },
    ledger::{Decision, Ledger, LedgerError},
    random::Random,
    routing::{RoutingDefaults, RoutingRules, new_interaction, reinvite_routing},
    safeguard::Safeguard,
    sid::ConversationSid,
    telemetry::{Metric, Metrics},
    twilio::{
        CallError, ChannelStatus, ConversationState, EventQuery, FlexTask, MessageResource,
        ParticipantResource, Refusal, TaskResource, Twilio,
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

/// What Twilio holds for a conversation.
enum Found {
    Interaction(Interaction),
    ConversationOver,
    Nothing,
}

/// How much of the time is kept for writing down what Twilio answered.
const RECORDING_TIME: Duration = Duration::from_millis(700);

/// "Conversation is closed or not found"
/// ([45376](https://www.twilio.com/docs/api/errors/45376)).
const CONVERSATION_OVER: u32 = 45376;

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
                if current.is_some_and(|current| current.is_claimed_by(&owner)) {
                    return Decision::Leave(Ok(()));
                }
                match Conversation::claim(current, sid, message.clone(), &owner, self.clock.now()) {
                    Ok(claimed) => Decision::Write(Box::new(claimed), Ok(())),
                    Err(standing) => Decision::Leave(Err(standing)),
                }
            })
            .await?;
        Ok(standing.and_then(|()| record.map(|record| Claim { record, owner }).ok_or(Standing::InProgress)))
    }

    /// Takes a record over that is due. `None` where somebody else was faster.
    pub async fn take_over(
        &self,
        record: Conversation,
        deadline: Deadline,
    ) -> Result<Option<Claim>, LedgerError> {
        let owner = self.random.token();
        let take_over = |current: &Conversation| current.take_over(&owner, self.clock.now());
        let record =
            self.ledger.record(Some(record), deadline, |current| current.and_then(take_over)).await?;
        Ok(record.and_then(|record| Claim::of(record, owner)))
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
        if look {
            match self.look(&claim.record, asking).await {
                Ok(Found::Interaction(found)) => return self.adopt(&claim, found, deadline).await,
                Ok(Found::ConversationOver) => return self.over(&claim.record, deadline).await,
                Ok(Found::Nothing) => {}
                Err(error) => {
                    // Still not known whether there is an Interaction: the claim stands, and is due again.
                    tracing::warn!(%error, "Twilio could not be asked whether the Interaction exists");
                    return self.deferred();
                }
            }
        }
        let asked_by = claim.record.opens_for_reach();
        let (contact, sender) = match self.sender(&claim.record, asking).await {
            Ok(known) => known,
            Err(error) if error.is_temporary() => return self.put_off(&claim, &error, deadline).await,
            // Twilio lists no participants. If the conversation is gone too, it says so next.
            Err(_) => (claim.record.contact.clone(), Sender::Customer),
        };
        if sender == Sender::SomebodyElse {
            return self.not_a_customer(&claim, contact, deadline).await;
        }
        let routing = self.routing(&claim.record, contact.as_ref());
        let new = new_interaction(&claim.record.sid, &routing, asked_by, &self.defaults.workspace);
        match self.twilio.create_interaction(&new, asking).await {
            Ok(created) => {
                let interaction = Interaction {
                    channel: created.channel_sid().cloned(),
                    task: created.task_sid().cloned(),
                    sid: created.sid,
                    since: self.clock.now(),
                };
                self.accepted(&claim, interaction, routing, deadline).await
            }
            Err(error) if error.has_code(CONVERSATION_OVER) => {
                self.over_or_not_yet(&claim, &error, asking, deadline).await
            }
            Err(CallError::Refused(Refusal::Rejected { status, code, .. })) => {
                self.refused(&claim, status, code, deadline).await
            }
            Err(error @ CallError::Refused(_)) => self.put_off(&claim, &error, deadline).await,
            Err(error @ CallError::Unknown(_)) if !Safeguard::Doubt.is_on() => {
                self.put_off(&claim, &error, deadline).await
            }
            Err(CallError::Unknown(doubt)) => {
                // It may exist. The claim stands; whoever takes it over looks first.
                tracing::warn!(%doubt, "it is not known whether the Interaction was created");
                self.deferred()
            }
        }
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
        // A task that ended is not shown for long.
        let asked = record.asked_since.filter(|asked| self.clock.now().since(*asked) > pace::TASK_SHOWN);
        if let (None, Some(asked)) = (&found, asked) {
            found = self.find_in_log(record, asked, deadline).await?;
        }
        Ok(found.map_or(Found::Nothing, Found::Interaction))
    }

    /// The Interaction that lives on a conversation, as TaskRouter's log of the tasks created since then tells.
    async fn find_in_log(
        &self,
        record: &Conversation,
        since: Timestamp,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        /// A thousand tasks. A look that came later than that would find Twilio's own guard against duplicates.
        const MOST_PAGES: usize = 10;
        let query = EventQuery::OfType("task.created");
        let mut next = None;
        for _ in 0..MOST_PAGES {
            let page =
                self.twilio.events(&self.defaults.workspace, &query, since, next.as_ref(), deadline).await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.is_temporary() => return Err(error),
                // Twilio does not show it, so it tells nothing.
                Err(_) => break,
            };
            for task in page.items.iter().filter_map(|event| event.flex_task(&record.sid)) {
                if record.failed.as_ref() == Some(&task.interaction) {
                    continue;
                }
                let living = self.living(task, deadline).await?;
                if living.is_some() {
                    return Ok(living);
                }
            }
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(None)
    }

    /// The Interaction that lives on a conversation, as its tasks tell.
    pub async fn find_interaction(
        &self,
        sid: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        let tasks = self.twilio.tasks_of_conversation(&self.defaults.workspace, sid, deadline).await?;
        for task in tasks.iter().filter_map(TaskResource::flex) {
            let living = self.living(task, deadline).await?;
            if living.is_some() {
                return Ok(living);
            }
        }
        Ok(None)
    }

    /// The Interaction of a task, where its channel has neither failed nor been closed.
    pub(crate) async fn living(
        &self,
        task: FlexTask,
        deadline: Deadline,
    ) -> Result<Option<Interaction>, CallError> {
        let channel = self.twilio.interaction_channel(&task.interaction, &task.channel, deadline).await?;
        let lives = channel
            .is_some_and(|channel| !matches!(channel.status, ChannelStatus::Failed | ChannelStatus::Closed));
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

    async fn accepted(
        &self,
        claim: &Claim,
        interaction: Interaction,
        routing: Routing,
        deadline: Deadline,
    ) -> Opened {
        self.metrics.count(Metric::InteractionCreated);
        tracing::info!(interaction_sid = %interaction.sid, "Interaction accepted");
        let recorded = self.record_interaction(claim, &interaction, true, Some(routing), deadline).await;
        if recorded { Opened::Created(interaction) } else { self.deferred() }
    }

    async fn adopt(&self, claim: &Claim, found: Interaction, deadline: Deadline) -> Opened {
        self.metrics.count(Metric::InteractionAdopted);
        tracing::info!(interaction_sid = %found.sid, "Interaction found at Twilio");
        let routing = self.routing(&claim.record, claim.record.contact.as_ref());
        let recorded = self.record_interaction(claim, &found, false, Some(routing), deadline).await;
        if recorded { Opened::Adopted(found) } else { self.deferred() }
    }

    async fn record_interaction(
        &self,
        claim: &Claim,
        interaction: &Interaction,
        accepted: bool,
        routing: Option<Routing>,
        deadline: Deadline,
    ) -> bool {
        let change = |current: &Conversation| {
            current.has_interaction(interaction.clone(), accepted, routing.clone(), self.clock.now())
        };
        let Some(record) = self.write(&claim.record, deadline, change).await else { return false };
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

    async fn put_off(&self, claim: &Claim, error: &CallError, deadline: Deadline) -> Opened {
        tracing::warn!(%error, "the Interaction is put off");
        let asked_pause = match error {
            CallError::Refused(Refusal::Throttled { retry_after }) => *retry_after,
            _ => None,
        };
        let change = |current: &Conversation| current.put_off(&claim.owner, asked_pause, self.clock.now());
        // Where this cannot be written the claim stands instead, and is due as well.
        let _ = self.write(&claim.record, deadline, change).await;
        self.deferred()
    }

    async fn refused(&self, claim: &Claim, status: u16, code: Option<u32>, deadline: Deadline) -> Opened {
        self.metrics.count(Metric::InteractionRefused);
        tracing::error!(status, code, "Twilio refused the Interaction");
        let change = |current: &Conversation| current.refused(&claim.owner, status, code, self.clock.now());
        let _ = self.write(&claim.record, deadline, change).await;
        Opened::Refused { status, code }
    }

    /// Flex says that the conversation is closed or not found. It may also be so new that Flex has not heard
    /// of it: Conversations itself is asked which of the two it is.
    async fn over_or_not_yet(
        &self,
        claim: &Claim,
        error: &CallError,
        asking: Deadline,
        deadline: Deadline,
    ) -> Opened {
        match self.twilio.conversation(&claim.record.sid, asking).await {
            Ok(None) => self.over(&claim.record, deadline).await,
            Ok(Some(conversation)) if conversation.state == ConversationState::Closed => {
                self.over(&claim.record, deadline).await
            }
            Ok(Some(_)) | Err(_) => self.put_off(claim, error, deadline).await,
        }
    }

    async fn over(&self, record: &Conversation, deadline: Deadline) -> Opened {
        let change =
            |current: &Conversation| Conversation::closed(Some(current), &current.sid, self.clock.now());
        let _ = self.write(record, deadline, change).await;
        Opened::Over
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
