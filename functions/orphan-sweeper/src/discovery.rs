//! Walks Twilio's own list of conversations for those that no record knows: a webhook was lost, or met a table
//! that was down. A conversation with a customer who wrote, that nobody serves and that is ours, is opened as its
//! webhook would have opened it.
//!
//! A walk goes on where the last sweep stopped. How far it is stands in the table, and one sweeper is on it at a
//! time; two would only do the same work twice.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::Value;
use shared::{
    clock::{Deadline, Timestamp},
    conversation::{Contact, Conversation, FirstMessage, Sender, contact, pace},
    ledger::{LedgerError, Walk},
    opening::{Opened, contact_of},
    personal::Personal,
    rescue::{AUTHOR, Ending},
    safeguard::Safeguard,
    sid::InteractionSid,
    telemetry::Metric,
    twilio::{CallError, ConversationResource, Next, Refusal, ScopedWebhookResource},
    webhook::is_our_webhook,
};

use crate::{OrphanSweeper, PER_RECORD, Planned, SHORTEST, SweepReport};

/// A list that is walked.
struct List {
    state: &'static str,
    /// How much rarer than the first one: an inactive conversation wakes with the customer's next message.
    rarer: u32,
}

const LISTS: [List; 2] = [List { state: "active", rarer: 1 }, List { state: "inactive", rarer: 12 }];

/// Pages of a hundred conversations that one sweep reads of one list.
const PAGES: usize = 20;

/// Conversations looked at at once.
const AT_ONCE: usize = 4;

/// How long a sweep may be on a walk. Longer than any sweep lives.
const HOLD: Duration = Duration::from_mins(1);

/// Why a walk stops.
#[derive(Debug)]
enum Stop {
    Twilio(CallError),
    Ledger(LedgerError),
}

/// Whom the webhooks of a conversation tell of its messages.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serving {
    /// flexglue.
    Us,
    /// A Studio flow, or another back end.
    SomebodyElse,
    /// None of its own: the webhook of the whole service may.
    Nobody,
}

/// What is to be done with a conversation that nobody told of.
enum Verdict {
    /// A customer waits: it is opened for this message.
    Open(FirstMessage),
    /// It is not ours, or nobody waits.
    LeaveAlone,
}

impl OrphanSweeper {
    /// Goes on with each walk that is due.
    pub(crate) async fn discover(&self, report: &mut SweepReport, deadline: Deadline) {
        let Some(period) = self.discovery.filter(|_| Safeguard::Discovery.is_on()) else { return };
        for list in &LISTS {
            match self.walk(list, period * list.rarer, report, deadline).await {
                Ok(()) => {}
                Err(Stop::Ledger(error)) => report.count(self.failed(&error)),
                Err(Stop::Twilio(error)) => {
                    tracing::warn!(%error, state = list.state, "discovery stops here, and goes on later");
                    report.count(Ending::Left);
                }
            }
        }
    }

    async fn walk(
        &self,
        list: &List,
        period: Duration,
        report: &mut SweepReport,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let opener = &self.rescuer.opener;
        let name = walk_of(list.state);
        let seen = opener.ledger.walk(&name, deadline).await.map_err(Stop::Ledger)?;
        let now = opener.clock.now();
        let Some(mut walk) = begin(seen.as_ref(), period, now) else { return Ok(()) };
        let write = async |seen: Option<&Walk>, walk: &Walk| {
            opener.ledger.go_on_with_walk(&name, seen, walk, deadline).await.map_err(Stop::Ledger)
        };
        if !write(seen.as_ref(), &walk).await? {
            return Ok(());
        }
        let mut stopped = Ok(());
        for _ in 0..PAGES {
            if deadline.remaining() < SHORTEST {
                break;
            }
            let after = walk.next.as_deref().and_then(Next::from_query);
            match self.page(list.state, after.as_ref(), report, deadline).await {
                Ok(next) => walk.next = next.map(|next| next.query()),
                Err(stop) => {
                    // A page that Twilio does not know any more: the next walk begins anew.
                    if matches!(&stop, Stop::Twilio(error) if !error.is_temporary()) {
                        walk.next = None;
                    }
                    stopped = Err(stop);
                    break;
                }
            }
            if walk.next.is_none() {
                break;
            }
        }
        let held = walk.clone();
        walk.version += 1;
        walk.held_until = opener.clock.now();
        write(Some(&held), &walk).await?;
        stopped
    }

    /// Looks at one page, and does what is to be done, conversation by conversation: where Twilio stops it, what
    /// was done is done, and trouble with one keeps no other from being found: the next walk comes by again. Gives
    /// the next page.
    async fn page(
        &self,
        state: &'static str,
        after: Option<&Next>,
        report: &mut SweepReport,
        deadline: Deadline,
    ) -> Result<Option<Next>, Stop> {
        let (unknown, next) = self.unknown_on_page(state, after, deadline).await?;
        let mut looked = stream::iter(unknown)
            .map(async |conversation| {
                let deadline = deadline.or_sooner(PER_RECORD);
                match self.verdict_if_shown(&conversation, deadline).await? {
                    Some(verdict) => Ok(self.carry_out(&conversation, verdict, deadline).await),
                    None => Ok(Ok(None)),
                }
            })
            .buffer_unordered(AT_ONCE);
        while let Some(opened) = looked.next().await {
            match opened? {
                Ok(Some(Opened::Created(_))) => {
                    self.rescuer.opener.metrics.count(Metric::ConversationAdopted);
                    report.adopted += 1;
                }
                Ok(Some(other)) => report.count(other.into()),
                Ok(None) => {}
                Err(error) => report.count(self.failed(&error)),
            }
        }
        Ok(next)
    }

    /// The conversations of one page that nobody takes care of, and the next page.
    async fn unknown_on_page(
        &self,
        state: &'static str,
        after: Option<&Next>,
        deadline: Deadline,
    ) -> Result<(Vec<ConversationResource>, Option<Next>), Stop> {
        let twilio = &self.rescuer.opener.twilio;
        let page = twilio.conversations(&self.chat_service, state, after, deadline).await;
        let page = page.map_err(Stop::Twilio)?;
        let unknown = self.unknown(page.items, deadline).await.map_err(Stop::Ledger)?;
        Ok((unknown, page.next))
    }

    /// What is to be done with a conversation; `None` where Twilio does not show it. It may be gone by now.
    async fn verdict_if_shown(
        &self,
        conversation: &ConversationResource,
        deadline: Deadline,
    ) -> Result<Option<Verdict>, Stop> {
        match self.verdict(conversation, deadline).await {
            Ok(verdict) => Ok(Some(verdict)),
            // Meant for everything that is asked.
            Err(error @ CallError::Refused(Refusal::Throttled { .. })) => Err(Stop::Twilio(error)),
            Err(error) => {
                tracing::warn!(conversation_sid = %conversation.sid, %error, "not looked at");
                Ok(None)
            }
        }
    }

    /// Of these conversations those that nobody takes care of, as far as the records know.
    async fn unknown(
        &self,
        conversations: Vec<ConversationResource>,
        deadline: Deadline,
    ) -> Result<Vec<ConversationResource>, LedgerError> {
        let opener = &self.rescuer.opener;
        let now = opener.clock.now();
        let made = |conversation: &ConversationResource| conversation.created_at().unwrap_or(now);
        let old_enough = |conversation: &ConversationResource| {
            conversation.created_at().is_none_or(|made| made + pace::DISCOVERY_GRACE <= now)
        };
        let mut found: Vec<_> = conversations.into_iter().filter(old_enough).collect();
        let sids: Vec<_> = found.iter().map(|conversation| conversation.sid.clone()).collect();
        let known = opener.ledger.known(&sids, deadline).await?;
        found.retain(|conversation| {
            known.get(&conversation.sid).is_none_or(|record| !record.is_no_discovery(made(conversation), now))
        });
        Ok(found)
    }

    /// What is to be done with a conversation, as Twilio shows it.
    async fn verdict(
        &self,
        conversation: &ConversationResource,
        deadline: Deadline,
    ) -> Result<Verdict, CallError> {
        let twilio = &self.rescuer.opener.twilio;
        let attributes = conversation.attributes.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let attributes: serde_json::Map<String, Value> = attributes.unwrap_or_default();
        // The sample for parking writes the Interaction there.
        let is_interaction =
            |value: &Value| value.as_str().is_some_and(|text| text.parse::<InteractionSid>().is_ok());
        if attributes.values().any(is_interaction) {
            return Ok(Verdict::LeaveAlone);
        }
        let webhooks = twilio.scoped_webhooks(&conversation.sid, deadline).await?;
        let serves = self.serving(&webhooks.items);
        if serves == Serving::SomebodyElse {
            return Ok(Verdict::LeaveAlone);
        }
        let participants = twilio.participants(&conversation.sid, deadline).await?;
        let customer = Contact::among(participants.items.into_iter().map(contact_of));
        // Colleagues chat among themselves in the same service: a chat is ours only where its webhook says so.
        let is_one = |customer: &Contact| customer.address.is_some() || serves == Serving::Us;
        let Some(customer) = customer.filter(is_one) else { return Ok(Verdict::LeaveAlone) };
        let messages = twilio.newest_messages(&conversation.sid, deadline).await?;
        // Newest first: an answer comes before what it answers.
        let (mut answer, mut first) = (false, None);
        for message in messages.items {
            let author = message.author.as_ref().map(|author| author.as_str());
            if author
                .is_some_and(|author| author == AUTHOR || self.system_authors.iter().any(|own| own == author))
            {
                continue;
            }
            match contact::sender_among(author, message.participant_sid.as_ref(), Some(&customer)) {
                // An agent, a bot or a back end has answered: somebody serves it, or did.
                Sender::Customer if answer => return Ok(Verdict::LeaveAlone),
                Sender::Customer => first = Some(message),
                // Or only wrote first, and waits for the customer.
                Sender::SomebodyElse | Sender::Unclear => answer = true,
            }
        }
        Ok(first.map_or(Verdict::LeaveAlone, |message| {
            Verdict::Open(FirstMessage {
                author: message.author,
                participant: message.participant_sid,
                attributes: Personal(attributes),
            })
        }))
    }

    /// Whom the webhooks of a conversation tell of its messages.
    fn serving(&self, webhooks: &[ScopedWebhookResource]) -> Serving {
        if webhooks.iter().any(|webhook| webhook.target.as_deref() == Some("studio")) {
            return Serving::SomebodyElse;
        }
        let base = self.public_base_url.as_ref();
        let mut hearing = webhooks.iter().filter(|webhook| webhook.hears_messages()).peekable();
        if hearing.peek().is_none() {
            return Serving::Nobody;
        }
        let ours = hearing.any(|webhook| webhook.url().is_some_and(|url| is_our_webhook(url, base)));
        if ours { Serving::Us } else { Serving::SomebodyElse }
    }

    async fn carry_out(
        &self,
        conversation: &ConversationResource,
        verdict: Verdict,
        deadline: Deadline,
    ) -> Result<Option<Opened>, LedgerError> {
        let opener = &self.rescuer.opener;
        let sid = &conversation.sid;
        match verdict {
            Verdict::LeaveAlone => {
                let now = opener.clock.now();
                opener
                    .ledger
                    .record(None, deadline, |current| Conversation::left_alone(current, sid, now))
                    .await?;
                Ok(None)
            }
            Verdict::Open(message) => {
                let Ok(claim) = opener.claim(sid, &message, None, deadline).await? else { return Ok(None) };
                tracing::warn!(conversation_sid = %sid, "discovered: no webhook told of it");
                Ok(Some(opener.open(claim, true, deadline).await))
            }
        }
    }

    /// What discovery would open, from the first pages of each list.
    pub(crate) async fn plan_discovery(&self, report: &mut SweepReport, deadline: Deadline) {
        if self.discovery.is_none() {
            return;
        }
        for list in &LISTS {
            if let Err(stop) = self.plan_list(list, report, deadline).await {
                tracing::warn!(?stop, "discovery stops here");
            }
        }
    }

    async fn plan_list(&self, list: &List, report: &mut SweepReport, deadline: Deadline) -> Result<(), Stop> {
        let mut next = None;
        for _ in 0..PAGES {
            let (unknown, after) = self.unknown_on_page(list.state, next.as_ref(), deadline).await?;
            for conversation in unknown {
                if let Some(Verdict::Open(_)) = self.verdict_if_shown(&conversation, deadline).await? {
                    let would = "adopt: create its Interaction, unless Twilio has it already".to_owned();
                    report.plan.push(Planned {
                        conversation_sid: Some(conversation.sid),
                        would,
                        ..Planned::default()
                    });
                }
            }
            next = after;
            if next.is_none() || deadline.remaining() < SHORTEST {
                break;
            }
        }
        Ok(())
    }
}

/// The name of the walk through the conversations of a state.
#[must_use]
pub fn walk_of(state: &str) -> String {
    format!("conversations#{state}")
}

/// The walk to go on with; `None` where somebody is on it, or where the last one was not long ago.
fn begin(seen: Option<&Walk>, period: Duration, now: Timestamp) -> Option<Walk> {
    let held_until = now + HOLD;
    match seen {
        None => Some(Walk { version: 1, began_at: now, next: None, held_until }),
        Some(seen) if now < seen.held_until => None,
        Some(seen) if seen.next.is_some() => {
            Some(Walk { version: seen.version + 1, held_until, ..seen.clone() })
        }
        Some(seen) if now < seen.began_at + period => None,
        Some(seen) => Some(Walk { version: seen.version + 1, began_at: now, next: None, held_until }),
    }
}
