//! Who the customer of a conversation is, and whether a message is theirs.
//!
//! Agents, bots and back ends write into conversations too, and their messages reach the same webhook. What
//! tells them apart is not where a message came from (`Source` is `API` for the first message of a web chat
//! as well) but who takes part: in SMS and WhatsApp the customer is the participant with addresses, in chat
//! the one who was there first.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{personal::Personal, sid::ConversationParticipantSid};

/// The customer of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The participant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant: Option<ConversationParticipantSid>,
    /// The kind of binding as Twilio names it: `SMS`, `WHATSAPP`, `CHAT`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The customer's address; `None` in chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Personal<String>>,
    /// Our address; `None` in chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_address: Option<Personal<String>>,
    /// The customer's chat identity; `None` for SMS and WhatsApp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Personal<String>>,
    /// Who they are to the site that they chat on, as its back end has signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_id: Option<Personal<String>>,
    /// When they joined, RFC 3339 as Twilio writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub joined: Option<String>,
}

impl Contact {
    /// The better of two: an address beats an identity, and who was there first beats who came later.
    #[must_use]
    pub fn is_better_than(&self, other: Option<&Self>) -> bool {
        let Some(other) = other else { return true };
        match (&self.address, &other.address) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            // RFC 3339 in UTC sorts as text.
            _ => matches!((&self.joined, &other.joined), (Some(mine), Some(theirs)) if mine < theirs),
        }
    }

    /// The customer among all who take part.
    #[must_use]
    pub fn among(candidates: impl IntoIterator<Item = Self>) -> Option<Self> {
        candidates.into_iter().fold(None, |best, candidate| {
            if candidate.is_better_than(best.as_ref()) { Some(candidate) } else { best }
        })
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The customer.
    Customer,
    /// An agent, a bot or a back end.
    SomebodyElse,
    /// Cannot be told from what is known; Twilio's list of participants tells.
    Unclear,
}

/// Who wrote a message, from its author and what is recorded of the customer.
///
/// Addresses settle it. Identities do not: who is recorded may not be the only one, so that an identity that
/// is not recorded is [`Sender::Unclear`], and [`sender_among`] tells once Twilio has been asked.
#[must_use]
pub fn sender(
    author: Option<&str>,
    participant: Option<&ConversationParticipantSid>,
    contact: Option<&Contact>,
) -> Sender {
    let author = author.unwrap_or_default();
    let Some(contact) = contact else {
        return if is_address(author) { Sender::Customer } else { Sender::Unclear };
    };
    let is = |known: &Option<Personal<String>>| known.as_ref().is_some_and(|known| known.as_str() == author);
    if is(&contact.proxy_address) {
        Sender::SomebodyElse
    } else if participant.is_some() && participant == contact.participant.as_ref()
        || is(&contact.address)
        || is(&contact.identity)
        // Another address is another customer: a group message.
        || is_address(author)
    {
        Sender::Customer
    } else if contact.address.is_some() && !author.is_empty() {
        Sender::SomebodyElse
    } else {
        Sender::Unclear
    }
}

/// Who wrote a message, when `contact` was chosen among all who take part ([`Contact::among`]): whoever is
/// not the customer then is somebody else. Where Twilio lists nobody, or does not say who wrote, the message
/// counts as a customer's: better an agent too many than a customer lost.
#[must_use]
pub fn sender_among(
    author: Option<&str>,
    participant: Option<&ConversationParticipantSid>,
    contact: Option<&Contact>,
) -> Sender {
    match sender(author, participant, contact) {
        Sender::Unclear if contact.is_none() || author.is_none_or(str::is_empty) => Sender::Customer,
        Sender::Unclear => Sender::SomebodyElse,
        known => known,
    }
}

/// Whether an author is an address of a messaging channel: only somebody outside writes as one. `+…` is SMS;
/// the others carry their channel as a prefix.
#[must_use]
pub fn is_address(author: &str) -> bool {
    let number = |text: &str| {
        text.strip_prefix('+').is_some_and(|digits| {
            (4..=20).contains(&digits.len()) && digits.bytes().all(|d| d.is_ascii_digit())
        })
    };
    match author.split_once(':') {
        None => number(author),
        Some(("whatsapp" | "rcs", rest)) => number(rest),
        Some(("messenger" | "gbm" | "apple", rest)) => !rest.is_empty(),
        Some(_) => false,
    }
}

/// The type of an Interaction's channel
/// ([Interactions](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interactions)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
    /// Twilio's web chat.
    Web,
    /// Any other chat by identity.
    Chat,
    /// Facebook Messenger.
    Messenger,
    /// Google Business Messages.
    Gbm,
    /// E-mail.
    Email,
}

impl ChannelType {
    /// As Twilio writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
            Self::Web => "web",
            Self::Chat => "chat",
            Self::Messenger => "messenger",
            Self::Gbm => "gbm",
            Self::Email => "email",
        }
    }

    /// The type of a conversation's channel. A web chat is known by the pre-engagement data that Twilio's
    /// WebChats resource puts into the conversation's attributes.
    #[must_use]
    pub fn of(author: Option<&str>, contact: Option<&Contact>, attributes: &Map<String, Value>) -> Self {
        let by_kind = contact.and_then(|contact| contact.kind.as_deref()).and_then(Self::named);
        let address = contact.and_then(|contact| contact.address.as_ref()).map(|address| address.as_str());
        by_kind
            .filter(|kind| *kind != Self::Chat)
            .or_else(|| Self::of_address(address.or(author)?))
            .unwrap_or(if attributes.contains_key("pre_engagement_data") { Self::Web } else { Self::Chat })
    }

    fn named(name: &str) -> Option<Self> {
        serde_json::from_value(Value::String(name.to_ascii_lowercase())).ok()
    }

    fn of_address(address: &str) -> Option<Self> {
        match address.split_once(':') {
            None if is_address(address) => Some(Self::Sms),
            Some((scheme, _)) if is_address(address) => Self::named(scheme),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texter() -> Contact {
        Contact {
            address: Some("+15551230001".to_owned().into()),
            proxy_address: Some("+15557770000".to_owned().into()),
            ..Contact::default()
        }
    }

    fn chatter(identity: &str, joined: &str) -> Contact {
        Contact {
            identity: Some(identity.to_owned().into()),
            joined: Some(joined.to_owned()),
            ..Contact::default()
        }
    }

    #[test]
    fn addresses_are_told_from_identities() {
        for address in ["+15551230001", "whatsapp:+15551230001", "messenger:12345", "+1800"] {
            assert!(is_address(address), "{address}");
        }
        for identity in [
            "",
            "customer1",
            "+",
            "+1x",
            "whatsapp:",
            "whatsapp:bob",
            "user_40example_2Ecom",
            "a:b",
            "+1555123000112345678901",
        ] {
            assert!(!is_address(identity), "{identity}");
        }
    }

    #[test]
    fn on_sms_only_addresses_other_than_ours_are_customers() {
        let contact = texter();
        let who = |author| sender(Some(author), None, Some(&contact));
        assert_eq!(who("+15551230001"), Sender::Customer);
        assert_eq!(who("+15559999999"), Sender::Customer);
        assert_eq!(who("+15557770000"), Sender::SomebodyElse);
        assert_eq!(who("agent_40example_2Ecom"), Sender::SomebodyElse);
    }

    #[test]
    fn in_chat_the_first_to_join_is_the_customer() {
        let contact = Contact::among([
            chatter("agent", "2026-01-01T00:00:05Z"),
            chatter("guest", "2026-01-01T00:00:00Z"),
            chatter("bot", "2026-01-01T00:00:01Z"),
        ])
        .unwrap();
        assert_eq!(sender_among(Some("guest"), None, Some(&contact)), Sender::Customer);
        assert_eq!(sender_among(Some("agent"), None, Some(&contact)), Sender::SomebodyElse);
    }

    #[test]
    fn a_recorded_identity_settles_nothing_about_another() {
        let bot = chatter("bot", "2026-01-01T00:00:01Z");
        assert_eq!(sender(Some("bot"), None, Some(&bot)), Sender::Customer);
        assert_eq!(sender(Some("guest"), None, Some(&bot)), Sender::Unclear);
    }

    #[test]
    fn in_doubt_a_message_is_a_customers() {
        assert_eq!(sender_among(Some("customer1"), None, None), Sender::Customer);
        assert_eq!(sender_among(None, None, Some(&texter())), Sender::Customer);
    }

    #[test]
    fn a_participant_with_addresses_is_the_customer_whoever_else_is_there() {
        let contact = Contact::among([chatter("agent", "2026-01-01T00:00:00Z"), texter()]).unwrap();
        assert_eq!(contact, texter());
    }

    #[test]
    fn an_identity_nobody_knows_is_unclear() {
        assert_eq!(sender(Some("customer1"), None, None), Sender::Unclear);
        assert_eq!(sender(None, None, None), Sender::Unclear);
        assert_eq!(sender(Some("+15551230001"), None, None), Sender::Customer);
    }

    #[test]
    fn the_channel_type_follows_address_binding_and_pre_engagement() {
        let none = Map::new();
        let web = serde_json::from_str(r#"{"pre_engagement_data":{}}"#).unwrap();
        assert_eq!(ChannelType::of(Some("+15551230001"), None, &none), ChannelType::Sms);
        assert_eq!(ChannelType::of(Some("whatsapp:+15551230001"), None, &none), ChannelType::Whatsapp);
        assert_eq!(ChannelType::of(Some("guest"), None, &none), ChannelType::Chat);
        assert_eq!(ChannelType::of(Some("guest"), None, &web), ChannelType::Web);
        let kind = |kind: &str| Contact { kind: Some(kind.to_owned()), ..Contact::default() };
        assert_eq!(ChannelType::of(Some("x"), Some(&kind("WHATSAPP")), &none), ChannelType::Whatsapp);
        assert_eq!(ChannelType::of(Some("guest"), Some(&kind("CHAT")), &web), ChannelType::Web);
        assert_eq!(ChannelType::of(Some("a@example.com"), Some(&kind("email")), &none), ChannelType::Email);
    }
}
