//! The webhooks of Conversations, and the callbacks of TaskRouter, as typed events.

mod fields;
mod kinds;
mod task_router;

pub use fields::MalformedEventFields;
pub use kinds::{
    Binding, ConversationRemoved, ConversationState, MessageAdded, ParticipantAdded, StateUpdated,
};
pub use task_router::{TaskRouterEvent, TaskRouterNews};

use super::verified::Verified;
use crate::sid::ConversationSid;
use fields::Fields;

/// Something that happened in a conversation
/// ([Conversations webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)). What
/// flexglue has no use for is [`ConversationEvent::Other`].
#[derive(Clone, Debug, PartialEq)]
pub enum ConversationEvent {
    /// `onMessageAdded`: somebody wrote.
    MessageAdded(MessageAdded),
    /// `onParticipantAdded`: somebody joined.
    ParticipantAdded(ParticipantAdded),
    /// `onConversationStateUpdated`: the conversation became active, inactive or closed.
    StateUpdated(StateUpdated),
    /// `onConversationRemoved`: the conversation was deleted.
    ConversationRemoved(ConversationRemoved),
    /// Any other event.
    Other {
        /// Its `EventType`.
        event_type: String,
    },
}

impl ConversationEvent {
    /// Reads the event.
    ///
    /// What an event is about (the SIDs of account, service, conversation and participant, and the states)
    /// must be what it should be. Whatever only adds to it is left out when it cannot be read: Twilio adds
    /// and changes fields without notice, and a customer waits behind this message.
    ///
    /// # Errors
    /// Names every field that is missing or wrong, never a value.
    pub fn from_verified(verified: &Verified) -> Result<Self, MalformedEventFields> {
        let mut fields = Fields::of(verified);
        let event_type = fields.required_text("EventType");
        let event = match event_type.as_deref() {
            Some("onMessageAdded") => MessageAdded::read(&mut fields).map(Self::MessageAdded),
            Some("onParticipantAdded") => ParticipantAdded::read(&mut fields).map(Self::ParticipantAdded),
            Some("onConversationStateUpdated") => StateUpdated::read(&mut fields).map(Self::StateUpdated),
            Some("onConversationRemoved") => {
                ConversationRemoved::read(&mut fields).map(Self::ConversationRemoved)
            }
            _ => event_type.map(|event_type| Self::Other { event_type }),
        };
        fields.finish(event)
    }

    /// The conversation that it happened in, if it is an event that flexglue reads.
    #[must_use]
    pub fn conversation_sid(&self) -> Option<&ConversationSid> {
        match self {
            Self::MessageAdded(event) => Some(&event.conversation_sid),
            Self::ParticipantAdded(event) => Some(&event.conversation_sid),
            Self::StateUpdated(event) => Some(&event.conversation_sid),
            Self::ConversationRemoved(event) => Some(&event.conversation_sid),
            Self::Other { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::{super::json_body, *};
    use crate::signature::Params;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";
    const SERVICE: &str = "IS00000000000000000000000000000001";
    const CONVERSATION: &str = "CH00000000000000000000000000000001";
    const PARTICIPANT: &str = "MB00000000000000000000000000000001";

    fn read(fields: Params) -> Result<ConversationEvent, MalformedEventFields> {
        ConversationEvent::from_verified(&Verified::new(fields, &HeaderMap::new()))
    }

    /// An event with the fields that all of them have, then `more`.
    fn event(event_type: &str, more: &[(&str, &str)]) -> Result<ConversationEvent, MalformedEventFields> {
        let common = [
            ("EventType", event_type),
            ("AccountSid", ACCOUNT),
            ("ChatServiceSid", SERVICE),
            ("ConversationSid", CONVERSATION),
        ];
        read(common.iter().chain(more).copied().collect())
    }

    fn message(more: &[(&str, &str)]) -> MessageAdded {
        match event("onMessageAdded", more) {
            Ok(ConversationEvent::MessageAdded(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    fn participant(more: &[(&str, &str)]) -> ParticipantAdded {
        let more: Vec<_> = [("ParticipantSid", PARTICIPANT)].iter().chain(more).copied().collect();
        match event("onParticipantAdded", &more) {
            Ok(ConversationEvent::ParticipantAdded(participant)) => participant,
            other => panic!("{other:?}"),
        }
    }

    /// The payload of Twilio's guide to setting up Flex Conversations.
    fn payload_of_the_guide() -> serde_json::Value {
        json!({"conversation": {
            "EventType": "onMessageAdded", "InstanceSid": "IS497d26fb5332435e9cccadbf114d4aff",
            "Attributes": "{}", "DateCreated": "2022-02-21T05:01:46.886Z", "Index": "0", "From": "customer1",
            "MessageSid": "IM3032b674d70647a798ffa8e78eb23abf",
            "AccountSid": "ACd9ecc21b1ae907b3cf65d9044c891eb3", "Source": "API",
            "ChannelSid": "CH1b8e780f14db45b6b44b070bb3f9172c", "RetryCount": "0", "Author": "customer1",
            "To": "CH1b8e780f14db45b6b44b070bb3f9172c", "Body": "hello",
            "WebhookSid": "WHae4ab4d5e7344cdab97274af52159f9c",
            "ConversationSid": "CH1b8e780f14db45b6b44b070bb3f9172c", "ChannelAttributes": {}
        }})
    }

    #[test]
    fn the_payload_of_the_flex_guide_is_read() {
        let fields = json_body::fields(payload_of_the_guide().to_string().as_bytes()).unwrap();
        let Ok(ConversationEvent::MessageAdded(message)) = read(fields) else { panic!() };
        assert_eq!(message.account_sid.as_str(), "ACd9ecc21b1ae907b3cf65d9044c891eb3");
        assert_eq!(message.chat_service_sid.unwrap().as_str(), "IS497d26fb5332435e9cccadbf114d4aff");
        assert_eq!(message.conversation_sid.as_str(), "CH1b8e780f14db45b6b44b070bb3f9172c");
        assert_eq!(message.message_sid.unwrap().as_str(), "IM3032b674d70647a798ffa8e78eb23abf");
        assert_eq!(message.webhook_sid.unwrap().as_str(), "WHae4ab4d5e7344cdab97274af52159f9c");
        assert_eq!((message.index, message.retry_count), (Some(0), Some(0)));
        assert_eq!(message.author.unwrap().as_str(), "customer1");
        assert_eq!(message.source.as_deref(), Some("API"));
        assert_eq!((message.participant_sid, message.client_identity), (None, None));
        assert!(message.conversation_attributes.is_empty());
    }

    #[test]
    fn the_older_names_of_service_and_conversation_are_read_too() {
        let fields = [
            ("EventType", "onConversationRemoved"),
            ("AccountSid", ACCOUNT),
            ("InstanceSid", SERVICE),
            ("ChannelSid", CONVERSATION),
        ];
        let Ok(ConversationEvent::ConversationRemoved(event)) = read(fields.into_iter().collect()) else {
            panic!()
        };
        assert_eq!(event.conversation_sid.as_str(), CONVERSATION);
        assert_eq!(event.chat_service_sid.unwrap().as_str(), SERVICE);
    }

    #[test]
    fn a_message_by_an_sdk_client_names_its_participant() {
        let message =
            message(&[("ParticipantSid", PARTICIPANT), ("ClientIdentity", "dave"), ("Index", "35")]);
        assert_eq!(message.participant_sid.unwrap().as_str(), PARTICIPANT);
        assert_eq!(message.client_identity.unwrap().as_str(), "dave");
        assert_eq!(message.index, Some(35));
    }

    #[test]
    fn attributes_that_cannot_be_read_are_empty_and_lose_no_message() {
        let with = |text| message(&[("ChannelAttributes", text)]).conversation_attributes.0;
        assert_eq!(with(r#"{"pre_engagement_data": "x"}"#)["pre_engagement_data"], "x");
        let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        for text in ["", "null", "[]", "1", "\"{}\"", "{", deep.as_str()] {
            assert!(with(text).is_empty());
        }
    }

    #[test]
    fn what_only_adds_to_an_event_is_left_out_when_it_cannot_be_read() {
        let message = message(&[
            ("MessageSid", "nonsense"),
            ("Index", "-1"),
            ("RetryCount", "many"),
            ("WebhookSid", ""),
            ("Author", ""),
            ("Source", "RCS"),
            ("Unheard-Of", "x"),
        ]);
        assert_eq!((message.message_sid, message.index), (None, None));
        assert_eq!((message.retry_count, message.webhook_sid, message.author), (None, None, None));
        assert_eq!(message.source.as_deref(), Some("RCS"));
    }

    #[test]
    fn every_bad_field_is_named_and_no_value() {
        let error = read(
            [("EventType", "onParticipantAdded"), ("AccountSid", "secret"), ("ChatServiceSid", "secret")]
                .into_iter()
                .collect(),
        )
        .unwrap_err();
        assert_eq!(error.names(), ["AccountSid", "ChatServiceSid", "ConversationSid", "ParticipantSid"]);
        assert_eq!(
            error.to_string(),
            "missing or wrong in the event: AccountSid, ChatServiceSid, ConversationSid, ParticipantSid"
        );
        assert_eq!(
            event("onMessageAdded", &[("ParticipantSid", "x")]).unwrap_err().names(),
            ["ParticipantSid"]
        );
        assert_eq!(read(Params::default()).unwrap_err().names(), ["EventType"]);
        assert_eq!(event("onConversationStateUpdated", &[]).unwrap_err().names(), ["StateFrom", "StateTo"]);
    }

    #[test]
    fn a_sid_that_comes_twice_with_different_values_is_wrong() {
        let other = "CH00000000000000000000000000000002";
        let error = event("onMessageAdded", &[("ConversationSid", other)]).unwrap_err();
        assert_eq!(error.names(), ["ConversationSid"]);
        assert!(event("onMessageAdded", &[("ConversationSid", CONVERSATION)]).is_ok());
    }

    #[test]
    fn a_participant_has_an_identity_or_a_binding() {
        let chat = participant(&[("Identity", "guest"), ("MessagingBinding.Address", "")]);
        assert_eq!(chat.identity.unwrap().as_str(), "guest");
        assert_eq!(chat.binding, None);

        let sms = participant(&[
            ("MessagingBinding.Type", "SMS"),
            ("MessagingBinding.Address", "+15551230001"),
            ("MessagingBinding.ProxyAddress", "+15557770000"),
            ("Attributes", r#"{"a": 1}"#),
        ]);
        let binding = sms.binding.unwrap();
        assert_eq!(binding.kind.as_deref(), Some("SMS"));
        assert_eq!(binding.address.unwrap().as_str(), "+15551230001");
        assert_eq!(binding.proxy_address.unwrap().as_str(), "+15557770000");
        assert_eq!(binding.projected_address, None);
        assert_eq!(sms.attributes["a"], 1);
        assert_eq!(sms.identity, None);
    }

    #[test]
    fn a_change_of_state_is_read_whatever_the_state() {
        let change = [("StateFrom", "active"), ("StateTo", "closed"), ("Reason", "TIMER")];
        let Ok(ConversationEvent::StateUpdated(event)) = event("onConversationStateUpdated", &change) else {
            panic!()
        };
        assert_eq!((event.from, event.to), (ConversationState::Active, ConversationState::Closed));
        assert_eq!(event.reason.as_deref(), Some("TIMER"));
        assert_eq!("inactive".parse(), Ok(ConversationState::Inactive));
        assert_eq!("initializing".parse(), Ok(ConversationState::Other("initializing".to_owned())));
    }

    #[test]
    fn an_event_that_is_not_known_is_not_an_error() {
        let other = event("onDeliveryUpdated", &[("ConversationSid", "nonsense")]).unwrap();
        assert_eq!(other, ConversationEvent::Other { event_type: "onDeliveryUpdated".to_owned() });
        assert_eq!(other.conversation_sid(), None);
    }

    #[test]
    fn no_event_prints_what_belongs_to_a_person() {
        let message = event(
            "onMessageAdded",
            &[
                ("Author", "+15551230001"),
                ("ClientIdentity", "dave"),
                ("Body", "hello"),
                ("ChannelAttributes", r#"{"name": "Ann"}"#),
            ],
        );
        let participant = event(
            "onParticipantAdded",
            &[
                ("ParticipantSid", PARTICIPANT),
                ("Identity", "dave"),
                ("MessagingBinding.Address", "+15551230001"),
                ("MessagingBinding.ProxyAddress", "+15557770000"),
                ("MessagingBinding.ProjectedAddress", "+15557770009"),
                ("Attributes", r#"{"name": "Ann"}"#),
            ],
        );
        let printed = format!("{:?} {:?}", message.unwrap(), participant.unwrap());
        for personal in ["+1555", "dave", "hello", "Ann"] {
            assert!(!printed.contains(personal), "{printed}");
        }
        assert!(printed.contains(CONVERSATION));
    }
}
