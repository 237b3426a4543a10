//! What flexglue knows of one web chat that it has begun, and how that may change. Pure: it knows neither DynamoDB
//! nor Twilio nor HTTP, and the time is an argument.
//!
//! The record is written before Twilio is asked for anything, and is due from then on: whatever becomes of who began,
//! somebody closes what was left half-way. Afterwards it is what a token must have to be refreshed, and it is due once
//! the last token is over: a chat in which nothing was said is closed then, as its customer can never come back. What
//! becomes of the conversation otherwise is its own record's affair ([`crate::conversation`]).

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, conversation::pace, sid::ConversationSid};

/// The chat identity of a guest: drawn at random, and nothing about a person. It names the record of its chat, as each
/// guest is in one chat alone.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Guest(Box<str>);

/// Why a text is no [`Guest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected guest- and 32 hexadecimal digits")]
pub struct GuestError;

impl Guest {
    /// A guest nobody was before, from 32 hexadecimal digits drawn at random.
    #[must_use]
    pub fn drawn(token: &str) -> Self {
        Self(format!("guest-{token}").into())
    }

    /// The identity, as Twilio knows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Guest {
    type Err = GuestError;

    fn from_str(text: &str) -> Result<Self, GuestError> {
        let digits = text.strip_prefix("guest-").ok_or(GuestError)?;
        let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == 32 && digits.bytes().all(hexadecimal) {
            Ok(Self(text.into()))
        } else {
            Err(GuestError)
        }
    }
}

impl TryFrom<String> for Guest {
    type Error = GuestError;

    fn try_from(text: String) -> Result<Self, GuestError> {
        text.parse()
    }
}

impl From<Guest> for String {
    fn from(guest: Guest) -> Self {
        guest.0.into()
    }
}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The record of one web chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebChat {
    /// Whose it is.
    pub guest: Guest,
    /// Counts the writes; each goes only onto the version that its writer saw.
    pub version: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: Stage,
    /// Its conversation, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationSid>,
    /// How often the sweeper tried in vain.
    #[serde(default)]
    pub attempts: u32,
    /// When it began.
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

/// Whether a web chat's customer gets another token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// No: it was never opened, is over, or has gone on for as long as it may.
    Not,
    /// Until this moment, which no token given before ends sooner than: nothing is to be written down. What is known
    /// is for most of a lifetime yet, so that a client that asks again and again costs reads alone.
    Within(Timestamp),
    /// Until this moment, which is to be written down.
    Beyond(Box<WebChat>, Timestamp),
}

/// Where a web chat stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Somebody is beginning it, for [`pace::LEASE`]. Nobody has a token for it.
    Starting,
    /// Its customer has tokens.
    Open {
        /// When the last of them is over.
        token_until: Timestamp,
    },
    /// It is to be closed.
    Ending,
    /// Over, as far as tokens go.
    Over,
}

impl WebChat {
    /// A chat that is about to be begun.
    #[must_use]
    pub fn begin(guest: Guest, now: Timestamp) -> Self {
        Self {
            guest,
            version: 1,
            stage: Stage::Starting,
            conversation: None,
            attempts: 0,
            created_at: now,
            updated_at: now,
            due_at: Some(now + pace::LEASE),
            forget_at: None,
        }
    }

    /// Until when whoever begins it may ask Twilio for something.
    #[must_use]
    pub fn may_act_until(&self) -> Timestamp {
        self.created_at + pace::LEASE - pace::LEASE_MARGIN
    }

    fn next(&self, stage: Stage, now: Timestamp) -> Self {
        let (due_at, forget_at) = match &stage {
            Stage::Starting | Stage::Ending => (Some(now + pace::LEASE), None),
            Stage::Open { token_until } => (Some(*token_until + pace::AFTER_TOKEN), None),
            Stage::Over => (None, Some(now + pace::REMEMBER_WEB_CHAT)),
        };
        Self {
            version: self.version + 1,
            stage,
            attempts: 0,
            updated_at: now,
            due_at,
            forget_at,
            ..self.clone()
        }
    }

    /// It has begun, and its customer gets a token that is good until then.
    #[must_use]
    pub fn opened(&self, conversation: ConversationSid, token_until: Timestamp, now: Timestamp) -> Self {
        Self { conversation: Some(conversation), ..self.next(Stage::Open { token_until }, now) }
    }

    /// Its customer gets another token, for `ttl` or until the chat has gone on for `session`.
    #[must_use]
    pub fn refreshed(&self, ttl: Duration, session: Duration, now: Timestamp) -> Refreshed {
        let session_until = self.created_at + session;
        let (Stage::Open { token_until: known }, true) = (&self.stage, now < session_until) else {
            return Refreshed::Not;
        };
        let (known, until) = (*known, (now + ttl).min(session_until));
        if known >= until || known.since(now) >= ttl * 3 / 4 {
            return Refreshed::Within(known.min(until));
        }
        Refreshed::Beyond(Box::new(self.next(Stage::Open { token_until: until }, now)), until)
    }

    /// It is to be closed; `conversation` is where it is, if that was not known. `None` where that is so already.
    #[must_use]
    pub fn ends(&self, conversation: Option<&ConversationSid>, now: Timestamp) -> Option<Self> {
        matches!(self.stage, Stage::Starting | Stage::Open { .. }).then(|| Self {
            conversation: self.conversation.clone().or_else(|| conversation.cloned()),
            ..self.next(Stage::Ending, now)
        })
    }

    /// It is over.
    #[must_use]
    pub fn over(&self, now: Timestamp) -> Self {
        self.next(Stage::Over, now)
    }

    /// Whether Twilio may still be at making its conversation, though nothing is seen of it.
    #[must_use]
    pub fn may_yet_turn_up(&self, now: Timestamp) -> bool {
        now < self.created_at + pace::WEB_CHAT_MAY_TURN_UP
    }

    /// Twilio could not be asked what the sweeper wanted to know, or did not do it.
    #[must_use]
    pub fn put_off(&self, now: Timestamp) -> Self {
        let attempts = self.attempts + 1;
        let due_at = Some(now + pace::retry(attempts));
        Self { attempts, due_at, ..self.next(self.stage.clone(), now) }
    }

    /// What a sweep would do about it, in words for a person.
    #[must_use]
    pub fn would(&self) -> &'static str {
        match self.stage {
            Stage::Starting => "close a web chat that was left half-way",
            Stage::Open { .. } => {
                "close a web chat that its customer cannot come back to, if nothing was said in it"
            }
            Stage::Ending => "close a web chat that its customer has ended",
            Stage::Over => "nothing",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_hours(24);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn begun() -> WebChat {
        WebChat::begin(Guest::drawn(&"0".repeat(32)), at(0))
    }

    fn open() -> WebChat {
        begun().opened("CH00000000000000000000000000000001".parse().unwrap(), at(3600), at(1))
    }

    #[test]
    fn a_chat_is_due_from_the_first_moment_until_it_is_over() {
        assert_eq!(begun().due_at, Some(at(20)));
        assert_eq!(open().due_at, Some(at(3600) + pace::AFTER_TOKEN));
        let ending = open().ends(None, at(5)).unwrap();
        assert_eq!((ending.due_at, ending.forget_at), (Some(at(25)), None));
        assert_eq!(ending.put_off(at(30)).put_off(at(40)).due_at, Some(at(60)));
        let over = ending.over(at(6));
        assert_eq!((over.due_at, over.forget_at), (None, Some(at(6) + pace::REMEMBER_WEB_CHAT)));
    }

    #[test]
    fn tokens_are_for_open_chats_and_only_so_long() {
        let refreshed = |chat: &WebChat, now| chat.refreshed(Duration::from_hours(1), SESSION, at(now));
        let ending = open().ends(None, at(2)).unwrap();
        for (chat, now) in [(begun(), 2), (open(), 24 * 3600), (ending.over(at(2)), 2), (ending, 2)] {
            assert_eq!(refreshed(&chat, now), Refreshed::Not, "{:?}", chat.stage);
        }
        // Its first token ends after an hour.
        assert_eq!(refreshed(&open(), 900), Refreshed::Within(at(3600)));
        let shorter = open().refreshed(Duration::from_mins(10), SESSION, at(2));
        assert_eq!(shorter, Refreshed::Within(at(602)), "no token is longer than they are now");
        for (now, until) in [(901, 901 + 3600), (24 * 3600 - 1, 24 * 3600)] {
            let Refreshed::Beyond(next, end) = refreshed(&open(), now) else { panic!("{now}") };
            assert_eq!((next.stage.clone(), end), (Stage::Open { token_until: at(until) }, at(until)));
            assert_eq!(refreshed(&next, now), Refreshed::Within(at(until)), "two tabs");
        }
    }

    #[test]
    fn ending_twice_is_ending_once() {
        let ending = open().ends(None, at(2)).unwrap();
        assert_eq!((ending.ends(None, at(3)), ending.over(at(3)).ends(None, at(4))), (None, None));
        let sid: ConversationSid = "CH00000000000000000000000000000002".parse().unwrap();
        assert_eq!(begun().ends(Some(&sid), at(2)).unwrap().conversation, Some(sid.clone()));
        assert_ne!(open().ends(Some(&sid), at(2)).unwrap().conversation, Some(sid));
    }

    #[test]
    fn guests_are_guests_and_nobody_else() {
        assert!("guest-0123456789abcdef0123456789abcdef".parse::<Guest>().is_ok());
        for other in ["", "guest-", "guest-0123", "0123456789abcdef0123456789abcdef", "alice"] {
            assert_eq!(other.parse::<Guest>(), Err(GuestError), "{other}");
        }
        let long = format!("guest-{}", "0".repeat(33));
        let upper = format!("guest-{}", "A".repeat(32));
        assert!(long.parse::<Guest>().is_err() && upper.parse::<Guest>().is_err());
    }
}
