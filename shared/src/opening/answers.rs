//! What follows from what Twilio answers, up to what is written on the record. Pure: [`super::Opener`] asks and
//! writes, and so does the model that goes through every order in which it may (`tests/model`).

use std::time::Duration;

use crate::{
    clock::Timestamp,
    conversation::{Conversation, Interaction, Routing, Transition},
    safeguard::Safeguard,
    twilio::{CallError, ConversationState, Refusal},
};

/// What Twilio holds for a conversation.
#[derive(Clone, Debug)]
pub enum Found {
    /// An Interaction that lives.
    Interaction(Interaction),
    /// The conversation is closed or gone.
    ConversationOver,
    /// The conversation, and no Interaction that lives.
    Nothing,
}

/// What the owner of a claim knows in the end.
#[derive(Clone, Debug)]
pub enum Known {
    /// Twilio has just accepted the Interaction.
    Accepted(Interaction),
    /// Twilio has one already.
    Found(Interaction),
    /// The conversation is over.
    Over,
    /// There is none for certain, and Twilio makes none now.
    NotNow(CallError),
    /// Twilio refused for good.
    Refused {
        /// HTTP status.
        status: u16,
        /// Twilio's error code.
        code: Option<u32>,
    },
    /// There may be one. The claim stands and is due; whoever takes it over looks first.
    Nothing(CallError),
}

/// "Conversation is closed or not found"
/// ([45376](https://www.twilio.com/docs/api/errors/45376)).
const CONVERSATION_OVER: u32 = 45376;

/// What is known after a look; `None` where the Interaction is to be asked for.
#[must_use]
pub fn after_look(found: Result<Found, CallError>) -> Option<Known> {
    match found {
        Ok(Found::Interaction(found)) => Some(Known::Found(found)),
        Ok(Found::ConversationOver) => Some(Known::Over),
        Ok(Found::Nothing) => None,
        Err(error) => Some(Known::Nothing(error)),
    }
}

/// What is known after the Interaction was asked for. `Err` where Flex says that the conversation is closed or not
/// found: it may also be so new that Flex has not heard of it, so Conversations itself is to be asked which of the
/// two it is.
pub fn after_asking(created: Result<Interaction, CallError>) -> Result<Known, CallError> {
    match created {
        Ok(interaction) => Ok(Known::Accepted(interaction)),
        Err(error) if error.has_code(CONVERSATION_OVER) => Err(error),
        Err(CallError::Refused(Refusal::Rejected { status, code, .. })) => {
            Ok(Known::Refused { status, code })
        }
        Err(error @ CallError::Unknown(_)) if Safeguard::Doubt.is_on() => Ok(Known::Nothing(error)),
        Err(error) => Ok(Known::NotNow(error)),
    }
}

/// What is known once Conversations was asked for the state of a conversation of which Flex had said `doubted`; it
/// answers `None` where it does not know the conversation either.
#[must_use]
pub fn after_asking_whether_over(
    state: &Result<Option<ConversationState>, CallError>,
    doubted: CallError,
) -> Known {
    match state {
        Ok(None | Some(ConversationState::Closed)) => Known::Over,
        Ok(Some(_)) | Err(_) => Known::NotNow(doubted),
    }
}

impl Known {
    /// What is to be written on the record as it stands, by `owner`; `None` where that is nothing.
    #[must_use]
    pub fn change(
        &self,
        current: &Conversation,
        owner: &str,
        routing: Option<&Routing>,
        now: Timestamp,
    ) -> Option<Transition> {
        let has = |interaction: &Interaction, accepted| {
            let mut has = current.has_interaction(interaction.clone(), accepted, routing.cloned(), now)?;
            // Who holds the claim knows whether it is still asking: it has its answer, or has found this one instead.
            if current.is_claimed_by(owner) {
                has.next.asked_since = None;
                has.next.asking_until = None;
            }
            Some(has)
        };
        match self {
            Self::Accepted(interaction) => has(interaction, true),
            Self::Found(interaction) => has(interaction, false),
            Self::Over => Conversation::closed(Some(current), &current.sid, now),
            Self::NotNow(error) => current.put_off(owner, asked_pause(error), now),
            Self::Refused { status, code } => current.refused(owner, *status, *code, now),
            Self::Nothing(_) => None,
        }
    }
}

/// How long Twilio asked to be left alone, where it did.
fn asked_pause(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Refused(Refusal::Throttled { retry_after }) => *retry_after,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{conversation::FirstMessage, opening::Claim, twilio::Doubt};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn claimed() -> Conversation {
        let message =
            FirstMessage { author: Some("+15551230001".to_owned().into()), ..FirstMessage::default() };
        let sid = "CH00000000000000000000000000000001".parse().unwrap();
        Conversation::claim(None, &sid, message, "a", at(0)).unwrap().next
    }

    fn interaction() -> Interaction {
        let sid = "KD00000000000000000000000000000001".parse().unwrap();
        Interaction { sid, channel: None, task: None, since: at(1) }
    }

    fn rejected(code: u32) -> CallError {
        Refusal::Rejected { status: 400, code: Some(code), message: String::new().into() }.into()
    }

    #[test]
    fn a_look_that_finds_nothing_is_the_only_leave_to_ask() {
        assert!(after_look(Ok(Found::Nothing)).is_none());
        for found in [
            Ok(Found::Interaction(interaction())),
            Ok(Found::ConversationOver),
            Err(Refusal::NotSent.into()),
            Err(rejected(20_003)),
            Err(Doubt::AnswerLost.into()),
        ] {
            assert!(after_look(found).is_some());
        }
    }

    #[test]
    fn a_claim_is_given_back_only_where_nothing_was_made_for_certain() {
        let given_back = |error: CallError| {
            let known = after_asking(Err(error)).unwrap();
            known.change(&claimed(), "a", None, at(1)).is_some_and(|after| !after.next.must_look())
        };
        assert!(given_back(Refusal::NotSent.into()));
        assert!(given_back(Refusal::Throttled { retry_after: None }.into()));
        assert!(given_back(rejected(20_003)));
        assert!(!given_back(Doubt::AnswerLost.into()) && !given_back(Doubt::ServerError(503).into()));
    }

    #[test]
    fn a_conversation_that_flex_does_not_know_is_over_only_where_conversations_says_so() {
        let doubted = || after_asking(Err(rejected(CONVERSATION_OVER))).unwrap_err();
        for over in [Ok(None), Ok(Some(ConversationState::Closed))] {
            assert!(matches!(after_asking_whether_over(&over, doubted()), Known::Over));
        }
        for open in [Ok(Some(ConversationState::Active)), Err(rejected(20_003))] {
            assert!(matches!(after_asking_whether_over(&open, doubted()), Known::NotNow(_)));
        }
    }

    #[test]
    fn whoever_holds_the_claim_is_not_asking_any_more_once_it_knows() {
        let known = after_asking(Ok(interaction())).unwrap();
        let asking = |owner| {
            let after = known.change(&claimed(), owner, None, at(1)).unwrap().next;
            (after.asked_since, after.asking_until)
        };
        assert_eq!((asking("a"), asking("b")), ((None, None), (Some(at(0)), Some(at(20)))));
    }

    /// Found by the model: the record waited when it was read, and was claimed before it could be taken over.
    #[test]
    fn whether_to_look_is_decided_upon_what_is_taken_over() {
        use crate::ledger::Decision::{Leave, Write};
        let waiting = claimed().put_off("a", None, at(1)).unwrap().next;
        assert!(matches!(Claim::decide_to_take_over(Some(&waiting), "s", at(60)), Write(_, false)));
        let claimed = waiting.take_over("b", at(60)).unwrap().next;
        assert!(matches!(Claim::decide_to_take_over(Some(&claimed), "s", at(61)), Leave(_)));
        assert!(matches!(Claim::decide_to_take_over(Some(&claimed), "s", at(80)), Write(_, true)));
        let own = claimed.take_over("s", at(80)).unwrap().next;
        assert!(
            matches!(Claim::decide_to_take_over(Some(&own), "s", at(80)), Leave(true)),
            "its answer was lost"
        );
    }
}
