//! The steps of a reach.

use std::time::Duration;

use serde_json::json;

use super::{Reacher, Taken, troubled};
use crate::{
    clock::{Deadline, Timestamp},
    closing::Trouble,
    conversation::{Conversation, Interaction, Stage, pace},
    opening::{Claim, Opened, first_of_customer},
    reach::{self, Fate, InitiatedBy, Initiator, Reach, ReachId, Refusal, Step},
    rescue::AUTHOR,
    safeguard::Safeguard,
    sid::ConversationSid,
    twilio::{
        ADDRESS_INVALID, ALREADY_THERE, CallError, ConversationState, MessageResource, NewConversation,
        NewMessage, PAIR_IN_USE, PROXY_ADDRESS_INVALID, REACH_ATTRIBUTE, Refusal as Refused,
    },
};

/// How long somebody else is waited for who is opening the same conversation right now.
pub(super) const WAIT_FOR_OTHERS: Duration = Duration::from_millis(800);

/// "Conversation with provided unique name already exists"
/// ([50353](https://www.twilio.com/docs/api/errors/50353)).
const NAME_TAKEN: u32 = 50353;

/// "Conversation is in the final state closed" ([50377](https://www.twilio.com/docs/api/errors/50377)).
const CONVERSATION_CLOSED: u32 = 50377;

/// How long WhatsApp takes free texts after the customer's last message, less a margin.
const WINDOW: Duration = Duration::from_mins(24 * 60 - 5);

impl Reacher {
    /// Takes one step. `in_doubt` where it may have been taken already.
    pub(super) async fn take(&self, reach: &Reach, step: Step, in_doubt: bool, asking: Deadline) -> Taken {
        let taken = match step {
            Step::Look => self.look(reach, asking).await,
            Step::Conversation => self.make_conversation(reach, asking).await,
            Step::Webhook => self.attach(reach, asking).await,
            Step::Participant => self.add_customer(reach, asking).await,
            Step::Join => self.join(reach, asking).await,
            Step::Interaction => self.open(reach, asking).await,
            Step::Message => self.say(reach, in_doubt, asking).await,
        };
        taken.unwrap_or_else(|trouble| match trouble {
            // It was there a moment ago: somebody has closed or deleted it.
            Trouble::Twilio(error)
                if reach.conversation.is_some()
                    && (error.is_not_found() || error.has_code(CONVERSATION_CLOSED)) =>
            {
                Taken::Refused(Refusal::ConversationOver)
            }
            trouble => troubled(trouble, |status, code| Refusal::Twilio { step, status, code }),
        })
    }

    async fn look(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        match self.holder(reach, asking).await {
            Ok(Some(holder)) => self.meets(reach, holder, asking).await,
            Ok(None) => Ok(Taken::done()),
            Err(error) if error.is_temporary() => Err(error.into()),
            // It is only advice: Twilio says so again when the customer is added.
            Err(error) => {
                tracing::warn!(%error, "Twilio does not show a customer's conversations");
                Ok(Taken::done())
            }
        }
    }

    /// Makes the conversation. Its name is unique, so that one whose answer was lost is found by asking again.
    async fn make_conversation(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        let name = reach.id.unique_name();
        let new = NewConversation {
            unique_name: if Safeguard::UniqueName.is_on() { name } else { self.opener.random.token() },
            attributes: json!({
                REACH_ATTRIBUTE: {"id": reach.id, "initiatedBy": reach.request.initiator.kind()}
            })
            .to_string(),
            timers: (*self.timers).clone(),
        };
        match self.opener.twilio.create_conversation(&self.service, new, asking).await {
            Ok(made) => Ok(Taken::with(|next| next.conversation = Some(made.sid))),
            Err(error) if error.has_code(NAME_TAKEN) => {
                let name = reach.id.unique_name();
                let made = self.opener.twilio.conversation_named(&self.service, &name, asking).await?;
                Ok(match made {
                    Some(made) if made.state == ConversationState::Closed => {
                        Taken::Refused(Refusal::ConversationOver)
                    }
                    Some(made) => Taken::with(|next| next.conversation = Some(made.sid)),
                    None => Taken::NotNow(None),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has replies told of, before there can be one; and before that, writes down what the reply is about.
    async fn attach(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(Refusal::ConversationOver)) };
        let Initiator::System { webhook } = &reach.request.initiator else { return Ok(Taken::done()) };
        self.expect_reply(reach, sid, asking).await?;
        let wanted = webhook.webhook();
        let attached = self.opener.twilio.scoped_webhooks(sid, asking).await?;
        if !attached.items.iter().any(|one| wanted.is(one)) {
            self.opener.twilio.attach_webhook(sid, &wanted, asking).await?;
        }
        Ok(Taken::done())
    }

    pub(super) async fn expect_reply(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        asking: Deadline,
    ) -> Result<(), Trouble> {
        let now = self.opener.clock.now();
        let expects = |current: Option<&Conversation>| {
            Conversation::expects_reply(current, sid, Self::outbound(reach), reach.request.contact(), now)
        };
        self.opener.ledger.record(None, asking, expects).await?;
        Ok(())
    }

    async fn add_customer(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(Refusal::ConversationOver)) };
        let request = &reach.request;
        let added = self.opener.twilio.add_customer(sid, &request.to, &request.from, asking).await;
        let Err(error) = added else { return Ok(Taken::done()) };
        let invalid = |field: &str| Taken::Refused(Refusal::AddressInvalid { field: field.to_owned() });
        if error.has_code(ALREADY_THERE) {
            Ok(Taken::done())
        } else if PAIR_IN_USE.iter().any(|code| error.has_code(*code)) {
            match self.holder_named_by(reach, &error, asking).await? {
                Some(holder) if holder.conversation.as_ref() == Some(sid) => Ok(Taken::done()),
                // It has let go of the pair meanwhile.
                Some(holder) if holder.is_closed() => Ok(Taken::Again(WAIT_FOR_OTHERS)),
                holder => self.meets(reach, holder.unwrap_or_default(), asking).await,
            }
        } else if error.has_code(ADDRESS_INVALID) {
            Ok(invalid("to"))
        } else if PROXY_ADDRESS_INVALID.iter().any(|code| error.has_code(*code)) {
            Ok(invalid("from"))
        } else {
            Err(error.into())
        }
    }

    async fn open(&self, reach: &Reach, asking: Deadline) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(Refusal::ConversationOver)) };
        let seen = self.opener.ledger.get(sid, asking).await?;
        // The customer wrote first after all, and somebody heard: who wanted to reach them joins.
        let is_anothers =
            |record: &Conversation| record.interaction.is_some() && !is_its_own(record, &reach.id);
        if seen.as_ref().is_some_and(is_anothers) {
            let join = || reach::Stage::Making { step: Step::Join, at_work: None };
            return Ok(Taken::with(move |next| next.stage = join()));
        }
        self.open_on(reach, sid, seen, asking).await
    }

    /// Opens the Interaction of the reach on a conversation, through the same claim as the webhook.
    pub(super) async fn open_on(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        seen: Option<Conversation>,
        asking: Deadline,
    ) -> Result<Taken, Trouble> {
        let claim = match turn(seen.as_ref(), &reach.id, self.opener.clock.now()) {
            Turn::Has(interaction) => return Ok(has_interaction(Some(interaction))),
            Turn::Busy => return Ok(Taken::Again(WAIT_FOR_OTHERS)),
            Turn::Later(wait) => return Ok(Taken::NotNow(Some(wait))),
            Turn::Refused { status, code } => return Ok(refused_interaction(status, code)),
            Turn::Over => return Ok(Taken::Refused(Refusal::ConversationOver)),
            Turn::TakeOver(record) => self.opener.take_over(*record, asking).await?,
            Turn::Claim => self.claim(reach, sid, seen, asking).await?.map(|claim| (claim, false)),
        };
        let Some((claim, look)) = claim else { return Ok(Taken::Again(WAIT_FOR_OTHERS)) };
        Ok(match Box::pin(self.opener.open(claim, look, asking)).await {
            Opened::Created(interaction) | Opened::Adopted(interaction) => has_interaction(Some(interaction)),
            // The conversation's record is due, and the sweeper goes on with that first.
            Opened::Deferred => Taken::NotNow(Some(pace::LEASE)),
            Opened::Refused { status, code } => refused_interaction(status, code),
            Opened::NotACustomer | Opened::Over => Taken::Refused(Refusal::ConversationOver),
        })
    }

    async fn claim(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        seen: Option<Conversation>,
        asking: Deadline,
    ) -> Result<Option<Claim>, Trouble> {
        let owner = self.opener.random.token();
        let (outbound, contact) = (Self::outbound(reach), reach.request.contact());
        let routing = self.routing(reach);
        let now = self.opener.clock.now();
        let claims = |current: Option<&Conversation>| {
            if current.is_some_and(|current| current.is_claimed_by(&owner)) {
                return None;
            }
            let (outbound, routing, contact) = (outbound.clone(), routing.clone(), contact.clone());
            Conversation::claim_for_reach(current, sid, outbound, routing, contact, &owner, now).ok()
        };
        let record = self.opener.ledger.record(seen, asking, claims).await?;
        Ok(record.and_then(|record| Claim::of(record, owner)))
    }

    /// Sends the first message, once: it carries the reach's id.
    async fn say(&self, reach: &Reach, in_doubt: bool, asking: Deadline) -> Result<Taken, Trouble> {
        let Some(sid) = &reach.conversation else { return Ok(Taken::Refused(Refusal::ConversationOver)) };
        let Some(words) = &reach.request.message else { return Ok(Taken::done()) };
        let twilio = &self.opener.twilio;
        let mut window_is_open = false;
        if in_doubt || reach.joined && words.depends_on_window(reach.request.channel) {
            let messages = twilio.newest_messages(sid, asking).await?.items;
            let sent = messages.iter().find(|message| message.name().as_deref() == Some(reach.id.as_str()));
            if let Some(sent) = sent.filter(|_| in_doubt && Safeguard::LookForReachMessage.is_on()) {
                let sid = Some(sent.sid.clone());
                return Ok(Taken::with(|next| next.message = Some(Fate::Sent { sid })));
            }
            window_is_open = wrote_since(messages, reach, self.opener.clock.now() - WINDOW);
        }
        let Some(content) = words.content(reach.request.channel, window_is_open) else {
            return Ok(Taken::done());
        };
        let author = reach.request.author.as_ref().map_or(AUTHOR, |author| author.as_str());
        let new = NewMessage {
            author: author.to_owned(),
            content,
            name: Some(reach.id.to_string()),
            fire_webhooks: false,
        };
        match twilio.send_message(sid, new, asking).await {
            Ok(sent) => Ok(Taken::with(|next| next.message = Some(Fate::Sent { sid: Some(sent.sid) }))),
            Err(CallError::Refused(Refused::Rejected { status, code, .. }))
                if status != 401 && status != 404 && code != Some(CONVERSATION_CLOSED) =>
            {
                self.not_said(reach, sid, code, asking).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Twilio did not take the first message. Where an agent is in the conversation it is theirs to decide what
    /// now; else there is nothing left to do in it.
    async fn not_said(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        code: Option<u32>,
        asking: Deadline,
    ) -> Result<Taken, Trouble> {
        let by_agent = reach.request.initiator.kind() == InitiatedBy::Agent;
        let joined_for_more = reach.joined && reach.interaction.is_some();
        if by_agent || joined_for_more || self.somebody_else_is_in(sid, asking).await? {
            return Ok(Taken::with(move |next| next.message = Some(Fate::Refused { code })));
        }
        Ok(Taken::Refused(Refusal::MessageRefused { code }))
    }
}

/// Whether the customer has written since then.
fn wrote_since(messages: Vec<MessageResource>, reach: &Reach, since: Timestamp) -> bool {
    let recent = |message: &MessageResource| message.created_at().is_some_and(|at| at > since);
    let recent = messages.into_iter().filter(recent).collect();
    first_of_customer(recent, Some(&reach.request.contact())).is_some()
}

/// What a reach finds that wants an Interaction on a conversation.
enum Turn {
    /// It has one.
    Has(Interaction),
    /// Somebody is asking for it right now.
    Busy,
    /// Somebody will ask for it then.
    Later(Duration),
    /// It was asked for, for this very reach, and that was not brought to its end.
    TakeOver(Box<Conversation>),
    /// Nobody has asked for it.
    Claim,
    /// Twilio refused it to this very reach.
    Refused { status: u16, code: Option<u32> },
    /// The conversation is over, or about to be.
    Over,
}

/// Whether the conversation's Interaction is, or was to be, of this very reach.
pub(super) fn is_its_own(record: &Conversation, reach: &ReachId) -> bool {
    record.outbound.as_ref().is_some_and(|outbound| outbound.reach == *reach)
}

fn turn(record: Option<&Conversation>, reach: &ReachId, now: Timestamp) -> Turn {
    let Some(record) = record else { return Turn::Claim };
    let is_its_own = is_its_own(record, reach);
    let wait = record.due_at.unwrap_or(now).since(now);
    match (&record.stage, &record.interaction) {
        (Stage::Closing | Stage::Closed, _) | (Stage::Orphaned { .. }, None) => Turn::Over,
        (_, Some(interaction)) => Turn::Has(interaction.clone()),
        (Stage::Claimed { lease_until, .. }, None) if now < *lease_until => Turn::Busy,
        (Stage::Claimed { .. } | Stage::Waiting, None) if is_its_own && wait.is_zero() => {
            Turn::TakeOver(Box::new(record.clone()))
        }
        // The sweeper takes over what others have left.
        (Stage::Claimed { .. }, None) => Turn::Later(wait),
        (Stage::Waiting, None) if !wait.is_zero() => Turn::Later(wait),
        (Stage::Refused { status, code }, None) if is_its_own => {
            Turn::Refused { status: *status, code: *code }
        }
        _ => Turn::Claim,
    }
}

pub(super) fn has_interaction(interaction: Option<Interaction>) -> Taken {
    Taken::with(|next| {
        next.task = interaction.as_ref().and_then(|interaction| interaction.task.clone());
        next.interaction = interaction.map(|interaction| interaction.sid);
    })
}

fn refused_interaction(status: u16, code: Option<u32>) -> Taken {
    Taken::Refused(Refusal::Twilio { step: Step::Interaction, status, code })
}
