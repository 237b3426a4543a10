//! Typed SIDs: a Twilio identifier is two letters and 32 hexadecimal digits, and the letters say what it
//! names ([glossary](https://www.twilio.com/docs/glossary/what-is-a-sid)). They are parsed once, where a
//! value enters the process; nothing further in takes a raw string for one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a text is not the SID it was taken for. Names what was expected, never the text itself: what stands
/// where a SID should be may be a secret or a person's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a SID of the form {prefix} and 32 hexadecimal digits")]
pub struct SidError {
    /// The two letters that the SID should have begun with.
    pub prefix: &'static str,
}

fn check(text: &str, prefix: &'static str) -> Result<(), SidError> {
    let digits = text.strip_prefix(prefix).ok_or(SidError { prefix })?;
    if digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Ok(())
    } else {
        Err(SidError { prefix })
    }
}

macro_rules! sids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The two letters that every SID of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The SID as Twilio writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = SidError;

            fn from_str(text: &str) -> Result<Self, SidError> {
                check(text, $prefix)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = SidError;

            fn try_from(text: String) -> Result<Self, SidError> {
                check(&text, $prefix)?;
                Ok(Self(text.into_boxed_str()))
            }
        }

        impl From<$name> for String {
            fn from(sid: $name) -> String {
                sid.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

sids! {
    /// An account or subaccount.
    AccountSid = "AC";
    /// An API key; the `iss` of access tokens.
    ApiKeySid = "SK";
    /// A conversation of Twilio Conversations.
    ConversationSid = "CH";
    /// A message in a conversation.
    MessageSid = "IM";
    /// A Conversations service, the Flex Chat Service above all.
    ChatServiceSid = "IS";
    /// A participant of a conversation.
    ConversationParticipantSid = "MB";
    /// An address configuration (a number, a WhatsApp sender or a web chat) of Conversations.
    AddressSid = "IG";
    /// A webhook that is attached to one conversation.
    ConversationWebhookSid = "WH";
    /// An Interaction of Flex.
    InteractionSid = "KD";
    /// The channel of an Interaction.
    InteractionChannelSid = "UO";
    /// A participant of an Interaction channel.
    InteractionParticipantSid = "UT";
    /// An invite into an Interaction channel.
    InviteSid = "KG";
    /// A TaskRouter workspace.
    WorkspaceSid = "WS";
    /// A TaskRouter workflow.
    WorkflowSid = "WW";
    /// A TaskRouter task queue.
    QueueSid = "WQ";
    /// A TaskRouter worker.
    WorkerSid = "WK";
    /// A TaskRouter task.
    TaskSid = "WT";
    /// A reservation of a task for a worker.
    ReservationSid = "WR";
    /// A Studio flow.
    FlowSid = "FW";
    /// A template of Twilio's Content API.
    ContentSid = "HX";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_is_its_letters_and_32_hexadecimal_digits() {
        let sid: ConversationSid = "CH1b8e780f14db45b6b44b070bb3f9172c".parse().unwrap();
        assert_eq!(sid.as_str(), "CH1b8e780f14db45b6b44b070bb3f9172c");
        assert!("CHABCDEF00000000000000000000000001".parse::<ConversationSid>().is_ok());
    }

    #[test]
    fn whatever_is_not_that_kind_of_sid_is_refused() {
        for text in [
            "",
            "CH",
            "KD1b8e780f14db45b6b44b070bb3f9172c",
            "ch1b8e780f14db45b6b44b070bb3f9172c",
            "CH1b8e780f14db45b6b44b070bb3f9172",
            "CH1b8e780f14db45b6b44b070bb3f9172cc",
            "CH1b8e780f14db45b6b44b070bb3f9172g",
            " CH1b8e780f14db45b6b44b070bb3f9172c",
            "CH1b8e780f14db45b6b44b070bb3f9172c/",
            "CH1b8e780f14db45b6b44b070bb3f917é",
        ] {
            assert_eq!(text.parse::<ConversationSid>(), Err(SidError { prefix: "CH" }), "{text}");
        }
    }

    #[test]
    fn json_holds_the_same_rule() {
        assert!(serde_json::from_str::<TaskSid>("\"WT00000000000000000000000000000001\"").is_ok());
        assert!(serde_json::from_str::<TaskSid>("\"WK00000000000000000000000000000001\"").is_err());
    }
}
