//! Leaves nothing of a reach behind that could not be made; and looks, after one that was, whether its message
//! has arrived.

use super::{Reacher, Taken, steps::is_its_own, troubled};
use crate::{
    clock::{Deadline, Timestamp},
    closing::Trouble,
    conversation::{self, Contact, Conversation, FirstMessage},
    ledger::LedgerError,
    opening::{contact_of, first_of_customer},
    reach::{Fate, Reach, Refusal, Stage},
    rescue::Ending,
    sid::{ConversationSid, MessageSid},
    telemetry::Metric,
    twilio::{ConversationState, ReceiptResource},
};

impl Reacher {
    /// Undoes what was made for a reach. Tried until it is done: what cannot be undone now is due again.
    pub(super) async fn undo(&self, reach: &Reach, asking: Deadline) -> Taken {
        match self.undone(reach, asking).await {
            Ok(None) => Taken::Undone,
            Ok(Some(then)) => Taken::NotBefore(then),
            // What Twilio refuses for good may be mended; giving up would leave the customer's number blocked.
            Err(trouble) => match troubled(trouble, |_, _| Refusal::ConversationOver) {
                Taken::Refused(_) => Taken::NotNow(None),
                taken => taken,
            },
        }
    }

    /// `None` where nothing of it is left; otherwise when somebody's right ends to what must end first.
    async fn undone(&self, reach: &Reach, asking: Deadline) -> Result<Option<Timestamp>, Trouble> {
        if let Some(spare) = &reach.spare {
            self.remove(spare, asking).await?;
        }
        let mut made = reach.conversation.clone();
        if let (true, Some(joined)) = (reach.joined, &made) {
            return self.give_back(reach, joined, asking).await;
        }
        if made.is_none() {
            // The answer to its making may have been lost.
            let name = reach.id.unique_name();
            made = self
                .opener
                .twilio
                .conversation_named(&self.service, &name, asking)
                .await?
                .map(|made| made.sid);
        }
        if let Some(made) = made {
            self.remove(&made, asking).await?;
        }
        Ok(None)
    }

    /// Leaves a conversation that was joined as it was, where the reach has claimed it and has no Interaction.
    /// While the owner of that claim may be asking for one: until when.
    async fn give_back(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        asking: Deadline,
    ) -> Result<Option<Timestamp>, Trouble> {
        let Some(seen) = self.opener.ledger.get(sid, asking).await? else { return Ok(None) };
        let now = self.opener.clock.now();
        if let (true, conversation::Stage::Claimed { lease_until, .. }) =
            (is_its_own(&seen, &reach.id), &seen.stage)
        {
            if now < *lease_until {
                return Ok(Some(*lease_until));
            }
            // Its owner may have asked before it died. What it asked for stands then, and is looked after.
            if self.opener.find_interaction(sid, asking).await?.is_some() {
                return Ok(None);
            }
        }
        let given_back = |current: Option<&Conversation>| current?.given_back(&reach.id, now);
        self.opener.ledger.record(Some(seen), asking, given_back).await?;
        Ok(None)
    }

    /// Removes a conversation that a reach has made: deletes it where nobody ever took part in it, closes it
    /// otherwise. An agent who has come into it meanwhile keeps it, and a customer who has written into it is
    /// served instead.
    pub(super) async fn remove(&self, sid: &ConversationSid, asking: Deadline) -> Result<(), Trouble> {
        let twilio = &self.opener.twilio;
        let seen = self.opener.ledger.get(sid, asking).await?;
        let shown = twilio.conversation(sid, asking).await?;
        if shown.is_none_or(|shown| shown.state == ConversationState::Closed) {
            return self.is_over_if_known(sid, seen, asking).await;
        }
        let participants = twilio.participants(sid, asking).await?.items;
        let messages = twilio.newest_messages(sid, asking).await?.items;
        if participants.is_empty() && messages.is_empty() {
            twilio.delete_conversation(sid, asking).await?;
            return self.is_over_if_known(sid, seen, asking).await;
        }
        let people: Vec<Contact> = participants.into_iter().map(contact_of).collect();
        if people.iter().any(|one| one.address.is_none()) {
            return Ok(());
        }
        let contact = Contact::among(people);
        if let (Some(message), Some(contact)) = (first_of_customer(messages, contact.as_ref()), contact) {
            let message = FirstMessage {
                author: message.author,
                participant: message.participant_sid,
                ..FirstMessage::default()
            };
            let now = self.opener.clock.now();
            let handed_over = |current: Option<&Conversation>| {
                Conversation::handed_over(current, sid, message.clone(), contact.clone(), now)
            };
            self.opener.ledger.record(seen, asking, handed_over).await?;
            return Ok(());
        }
        self.opener.close(sid, asking).await
    }

    /// Records that a conversation is over of which there is a record.
    async fn is_over_if_known(
        &self,
        sid: &ConversationSid,
        seen: Option<Conversation>,
        asking: Deadline,
    ) -> Result<(), Trouble> {
        if seen.is_some() { self.opener.record_closed(sid, asking).await } else { Ok(()) }
    }

    /// Looks whether the first message has reached the customer. Twilio accepts a message first and delivers it
    /// afterwards, or does not: an opted-out or unreachable number shows only now.
    pub(super) async fn look_for_delivery(
        &self,
        reach: Reach,
        deadline: Deadline,
    ) -> Result<Ending, LedgerError> {
        let looked = match (&reach.conversation, reach.undelivered_message()) {
            (Some(sid), Some(message)) => self.delivery(&reach, sid, message, deadline).await,
            _ => Ok(Some(Fate::Sent { sid: None })),
        };
        let fate = match looked {
            Ok(fate) => fate,
            Err(Trouble::Ledger(error)) => return Err(error),
            Err(Trouble::Twilio(error)) => {
                tracing::warn!(%error, reach = %reach.id, "Twilio could not be asked whether a message arrived");
                None
            }
        };
        let undelivered = matches!(fate, Some(Fate::Undelivered { .. }));
        let next = reach.delivery(fate, self.opener.clock.now());
        let written = self.opener.ledger.write_reach(&reach, &next, deadline).await?;
        Ok(if written && undelivered { Ending::Compensated } else { Ending::Left })
    }

    /// What became of the first message; `None` where that is not known yet. Where it did not arrive, and nobody
    /// but the customer is in the conversation, there is nothing left to do in it.
    async fn delivery(
        &self,
        reach: &Reach,
        sid: &ConversationSid,
        message: &MessageSid,
        asking: Deadline,
    ) -> Result<Option<Fate>, Trouble> {
        let receipts = match self.opener.twilio.receipts(sid, message, asking).await {
            Ok(receipts) => receipts.items,
            // The conversation is gone: nobody will ever know.
            Err(error) if error.is_not_found() => return Ok(Some(Fate::Sent { sid: None })),
            Err(error) => return Err(error.into()),
        };
        if let Some(failed) = receipts.iter().find(|receipt| receipt.is_undelivered()) {
            let code = failed.code();
            tracing::warn!(code, reach = %reach.id, "a first message did not reach the customer");
            self.opener.metrics.count(Metric::ReachUndelivered);
            if !reach.joined && !self.somebody_else_is_in(sid, asking).await? {
                self.remove(sid, asking).await?;
            }
            return Ok(Some(Fate::Undelivered { code }));
        }
        let delivered = !receipts.is_empty() && receipts.iter().all(ReceiptResource::is_delivered);
        Ok(delivered.then_some(Fate::Delivered))
    }

    /// What a sweep would do about a reach, in words for a person.
    #[must_use]
    pub fn would(reach: &Reach) -> &'static str {
        match &reach.stage {
            Stage::Making { .. } => "go on with an outbound reach",
            Stage::Undoing { .. } => "undo an outbound reach that could not be made",
            Stage::Done => "look whether its first message was delivered",
            Stage::Refused { .. } => "nothing",
        }
    }
}
