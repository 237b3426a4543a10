//! The changes that an outbound reach makes to the conversation that it has made, or joined.

use super::{
    BeforeReach, Contact, Conversation, FirstMessage, Happening, Interaction, Outbound, Routing, Stage,
    Standing, Transition, What,
};
use crate::{
    clock::Timestamp,
    reach::{InitiatedBy, ReachId},
    sid::ConversationSid,
};

impl Conversation {
    /// An outbound reach has a conversation in which the customer takes part: `owner` alone may now ask for the
    /// Interaction, which is routed as the reach says.
    pub fn claim_for_reach(
        current: Option<&Self>,
        sid: &ConversationSid,
        outbound: Outbound,
        routing: Routing,
        contact: Contact,
        owner: &str,
        now: Timestamp,
    ) -> Result<Transition, Standing> {
        let current = Self::known_or_new(current, sid, now);
        current.claimable(now)?;
        Ok(current.claimed(owner, now, What::Claimed, |next| {
            next.before_reach = Some(Box::new(BeforeReach {
                outbound: next.outbound.take(),
                message: next.message.take(),
                routing: next.routing.take(),
                // An earlier try of this very reach is nobody who waits.
                waits: matches!(current.stage, Stage::Waiting | Stage::Refused { .. })
                    && current.outbound.as_ref().is_none_or(|earlier| earlier.reach != outbound.reach),
            }));
            next.outbound = Some(outbound);
            next.routing = Some(routing);
            next.contact.get_or_insert(contact);
        }))
    }

    /// The Interaction of a reach that joined the conversation cannot be made: it is again what it was before,
    /// and who waited, a customer or an earlier reach, waits on. Only once it is certain that there is none; `None`
    /// where the claim is not this reach's, or its owner may still be asking.
    #[must_use]
    pub fn given_back(&self, reach: &ReachId, now: Timestamp) -> Option<Transition> {
        let is_its_own = self.outbound.as_ref().is_some_and(|outbound| outbound.reach == *reach);
        let is_free = match &self.stage {
            Stage::Waiting | Stage::Refused { .. } => true,
            Stage::Claimed { lease_until, .. } => *lease_until <= now,
            _ => false,
        };
        (is_its_own && is_free && self.interaction.is_none()).then(|| {
            self.next(now, Happening::new(What::GivenBack, now), |next| {
                let before = next.before_reach.take().map(|before| *before).unwrap_or_default();
                next.outbound = before.outbound;
                next.message = before.message;
                next.routing = before.routing;
                next.asked_since = None;
                next.refused_since = None;
                next.attempts = 0;
                if before.waits || next.message.is_some() {
                    next.stage = Stage::Waiting;
                    next.due_at = Some(now);
                } else {
                    // Discovery looks whether anybody has written meanwhile.
                    next.stage = Stage::Seen;
                    next.looked_at = None;
                }
            })
        })
    }

    /// A reminder is about to be sent into it: whatever the customer replies is served with what the reach
    /// knows. `None` where that is recorded, or the conversation is over.
    #[must_use]
    pub fn expects_reply(
        current: Option<&Self>,
        sid: &ConversationSid,
        outbound: Outbound,
        contact: Contact,
        now: Timestamp,
    ) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        if current.is_over() || current.outbound.as_ref() == Some(&outbound) {
            return None;
        }
        Some(current.next(now, Happening::new(What::ReachedOut, now), |next| {
            next.outbound = Some(outbound);
            next.contact.get_or_insert(contact);
            next.due_at = current.due_at;
        }))
    }

    /// An outbound reach has invited an agent into the conversation, whose Interaction this is.
    #[must_use]
    pub fn invited(
        current: Option<&Self>,
        sid: &ConversationSid,
        interaction: Interaction,
        now: Timestamp,
    ) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        if current.is_over() {
            return None;
        }
        let happening = Happening::new(What::Invited, now).task(interaction.task.as_ref());
        let known = current.interaction.as_ref().is_none_or(|known| known.sid == interaction.sid);
        Some(current.next(now, happening, |next| {
            next.due_at = current.due_at;
            if !known {
                return;
            }
            next.interaction = Some(interaction);
            if matches!(current.stage, Stage::Seen | Stage::Waiting | Stage::Refused { .. } | Stage::Open) {
                next.is_well(0, now);
            }
        }))
    }

    /// An outbound reach could not be made, but the customer has written into its conversation meanwhile: they
    /// are served like everybody who writes. `None` where they are already.
    #[must_use]
    pub fn handed_over(
        current: Option<&Self>,
        sid: &ConversationSid,
        message: FirstMessage,
        contact: Contact,
        now: Timestamp,
    ) -> Option<Transition> {
        let current = Self::known_or_new(current, sid, now);
        // What a dead owner may have asked Twilio for is looked for first, as of every claim.
        let stage = match &current.stage {
            Stage::Seen | Stage::Waiting | Stage::Refused { .. } => Stage::Waiting,
            Stage::Claimed { lease_until, .. } if *lease_until <= now => current.stage.clone(),
            _ => return None,
        };
        Some(current.next(now, Happening::new(What::HandedOver, now), |next| {
            next.stage = stage;
            next.message = Some(message);
            next.contact.get_or_insert(contact);
            // What the reach wanted is not to be: the customer's message is routed like any other.
            next.routing = None;
            next.outbound = None;
            next.before_reach = None;
            next.refused_since = None;
            next.attempts = 0;
            next.due_at = Some(now);
        }))
    }

    /// Who begins, where the Interaction is made for an outbound reach and not for a customer's message.
    #[must_use]
    pub fn opens_for_reach(&self) -> Option<InitiatedBy> {
        let outbound = self.outbound.as_ref().filter(|_| self.message.is_none() && self.reinvites == 0)?;
        (outbound.initiated_by != InitiatedBy::System).then_some(outbound.initiated_by)
    }

    /// Whether flexglue wrote first, for an agent, and never heard the customer answer: nobody waits for an
    /// agent here, as far as is known.
    #[must_use]
    pub fn is_one_sided(&self) -> bool {
        let by_agent =
            self.outbound.as_ref().is_some_and(|outbound| outbound.initiated_by == InitiatedBy::Agent);
        by_agent && self.message.is_none() && self.told.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Closing | Stage::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Agent, ChannelType, pace};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn sid() -> ConversationSid {
        "CH00000000000000000000000000000001".parse().unwrap()
    }

    fn outbound(initiated_by: InitiatedBy) -> Outbound {
        Outbound {
            reach: "00000000000000000000000000000001".parse().unwrap(),
            initiated_by,
            customer_name: None,
            attributes: serde_json::Map::new().into(),
        }
    }

    fn routing() -> Routing {
        Routing {
            channel_type: ChannelType::Sms,
            workflow: "WW00000000000000000000000000000001".parse().unwrap(),
            task_channel: "chat".to_owned(),
            priority: None,
            timeout: None,
            agent: Some(Agent {
                worker: "WK00000000000000000000000000000001".parse().unwrap(),
                queue: "WQ00000000000000000000000000000001".parse().unwrap(),
            }),
            attributes: serde_json::Map::new().into(),
        }
    }

    fn message() -> FirstMessage {
        FirstMessage { author: Some("+15551230001".to_owned().into()), ..FirstMessage::default() }
    }

    fn claimed() -> Conversation {
        let by = outbound(InitiatedBy::Agent);
        let claim = |current: Option<&Conversation>| {
            Conversation::claim_for_reach(
                current,
                &sid(),
                by.clone(),
                routing(),
                Contact::default(),
                "a",
                at(0),
            )
        };
        let claimed = claim(None).unwrap().next;
        assert_eq!(claim(Some(&claimed)), Err(Standing::InProgress));
        claimed
    }

    #[test]
    fn a_claim_for_a_reach_is_a_claim_and_knows_for_whom_it_is() {
        let claimed = claimed();
        assert!(claimed.is_claimed_by("a") && claimed.due_at == Some(at(20)));
        assert_eq!(claimed.opens_for_reach(), Some(InitiatedBy::Agent));
        assert!(claimed.is_one_sided());
    }

    #[test]
    fn the_reply_to_a_reminder_is_a_customers_message() {
        let by = outbound(InitiatedBy::System);
        let expects = |current: Option<&Conversation>| {
            Conversation::expects_reply(current, &sid(), by.clone(), Contact::default(), at(0))
        };
        let waiting = expects(None).unwrap().next;
        assert_eq!((&waiting.stage, waiting.due_at), (&Stage::Seen, None));
        assert_eq!(expects(Some(&waiting)), None, "it is recorded");
        assert_eq!(waiting.opens_for_reach(), None);
        let replied = Conversation::claim(Some(&waiting), &sid(), message(), "a", at(1)).unwrap().next;
        assert!(replied.outbound.is_some() && !replied.is_one_sided());
        let closed = Conversation::closed(None, &sid(), at(0)).unwrap().next;
        assert_eq!(expects(Some(&closed)), None);
    }

    #[test]
    fn what_is_given_back_is_what_it_was() {
        let reach = outbound(InitiatedBy::Agent).reach;
        let reminder = Outbound { reach: "f".repeat(32).parse().unwrap(), ..outbound(InitiatedBy::System) };
        let expects = Conversation::expects_reply(None, &sid(), reminder.clone(), Contact::default(), at(0));
        let claim = |current: &Conversation| {
            let (by, routing) = (outbound(InitiatedBy::Agent), routing());
            Conversation::claim_for_reach(Some(current), &sid(), by, routing, Contact::default(), "a", at(1))
        };
        let claimed = claim(&expects.unwrap().next).unwrap().next;
        assert_eq!(claimed.given_back(&reach, at(20)), None, "its owner may be asking");
        assert_eq!(claimed.given_back(&reminder.reach, at(30)), None, "it is another's");
        let refused = claimed.refused("a", 400, None, at(2)).unwrap().next;
        let back = refused.given_back(&reach, at(3)).unwrap().next;
        assert_eq!((&back.stage, &back.outbound, back.due_at), (&Stage::Seen, &Some(reminder), None));
        let waited = Conversation::claim(None, &sid(), message(), "w", at(0)).unwrap().next;
        let waited = waited.refused("w", 400, None, at(0)).unwrap().next;
        let claimed = Conversation { updated_at: Timestamp::from_millis(0), ..waited };
        let back = claim(&claimed).unwrap().next.given_back(&reach, at(30)).unwrap().next;
        assert_eq!(
            (&back.stage, &back.message, back.due_at),
            (&Stage::Waiting, &Some(message()), Some(at(30)))
        );
    }

    /// Found by the simulation: the Interaction of an earlier reach had not come up, and was forgotten with the later one.
    #[test]
    fn an_earlier_reach_whose_interaction_is_to_be_made_again_waits_on() {
        let earlier = Outbound { reach: "f".repeat(32).parse().unwrap(), ..outbound(InitiatedBy::Api) };
        let asked = Routing { priority: Some(7), ..routing() };
        let claim = |current: Option<&Conversation>, by: &Outbound, routing: &Routing, owner, now| {
            let (by, routing, contact) = (by.clone(), routing.clone(), Contact::default());
            Conversation::claim_for_reach(current, &sid(), by, routing, contact, owner, now).unwrap().next
        };
        let waited = claim(None, &earlier, &asked, "a", at(0)).put_off("a", None, at(1)).unwrap().next;
        let later = outbound(InitiatedBy::Agent);
        let refused = claim(Some(&waited), &later, &routing(), "b", at(60)).refused("b", 400, None, at(61));
        let back = refused.unwrap().next.given_back(&later.reach, at(62)).unwrap().next;
        assert_eq!((&back.stage, back.due_at), (&Stage::Waiting, Some(at(62))));
        assert_eq!((back.outbound, back.routing), (Some(earlier), Some(asked)));
    }

    #[test]
    fn what_is_handed_over_is_a_customers_like_any_other() {
        let hand_over = |record: &Conversation, now| {
            let handed = Conversation::handed_over(Some(record), &sid(), message(), Contact::default(), now);
            handed.map(|handed| handed.next)
        };
        let claimed = claimed();
        assert_eq!(hand_over(&claimed, at(19)), None, "its owner may be asking");
        let handed = hand_over(&claimed, at(20)).unwrap();
        assert!(handed.must_look(), "its owner may have asked");
        assert_eq!(
            (handed.opens_for_reach(), handed.routing.as_ref(), handed.due_at),
            (None, None, Some(at(20)))
        );
        let waiting = claimed.put_off("a", None, at(1)).unwrap().next;
        let handed = hand_over(&waiting, at(2)).unwrap();
        assert_eq!((handed.stage.clone(), handed.opens_for_reach()), (Stage::Waiting, None));
        assert!(!handed.is_one_sided());
        let open = Conversation { stage: Stage::Open, ..claimed };
        assert_eq!(hand_over(&open, at(30)), None, "it is served");
    }

    #[test]
    fn an_invited_agents_task_is_the_newest_and_is_looked_after() {
        let interaction = |last: u8| Interaction {
            sid: format!("KD{last:032x}").parse().unwrap(),
            channel: None,
            task: Some(format!("WT{last:032x}").parse().unwrap()),
            since: at(0),
        };
        let invited = |current: Option<&Conversation>, last| {
            Conversation::invited(current, &sid(), interaction(last), at(5)).unwrap().next
        };
        let new = invited(None, 1);
        assert_eq!((&new.stage, &new.interaction), (&Stage::Open, &Some(interaction(1))));
        assert_eq!(new.due_at, Some(at(5) + pace::recheck(0, false)));
        let other = invited(Some(&new), 2);
        assert_eq!(
            other.interaction,
            Some(interaction(1)),
            "an Interaction that is not its own is not taken"
        );
    }
}
