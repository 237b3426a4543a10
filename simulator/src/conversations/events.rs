//! What the webhooks of a conversation are told.
//! See <https://www.twilio.com/docs/conversations/conversations-webhooks>.

use http::Method;

use crate::conversations::Conversation;
use crate::conversations::participants::{Binding, Participant};
use crate::conversations::scoped_webhooks::Target;
use crate::dates;
use crate::webhooks::{self, Draft};
use crate::world::World;

/// Through what something was done. Twilio documents `SDK` and `API`; the channel names are seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Api,
    /// A chat user, by identity.
    Sdk(String),
    /// A customer's message of this kind: `SMS`, `WHATSAPP`.
    Channel(String),
}

impl Source {
    /// The source of what a customer with this binding does.
    pub(crate) fn of(binding: &Binding) -> Self {
        Self::Channel(binding.kind.to_ascii_uppercase())
    }
}

/// Something that happened in a conversation, with the fields that belong to its kind.
pub(crate) struct Event<'a> {
    pub(crate) kind: &'static str,
    pub(crate) conversation: &'a str,
    pub(crate) source: Source,
    pub(crate) fields: Vec<(&'static str, String)>,
}

/// The webhooks that an event goes to, and what is added for each.
struct Delivery {
    url: String,
    method: Method,
    extra: Vec<(&'static str, String)>,
}

/// Queues the event for the service's webhook and for those of the conversation whose filters name it. Those
/// of another service are not ours to tell.
pub(crate) fn publish(world: &mut World, event: Event<'_>) {
    let Some(conversation) = world.conversations.get(event.conversation).filter(|found| !found.elsewhere)
    else {
        return;
    };
    let mut params = vec![
        ("EventType", event.kind.to_owned()),
        ("AccountSid", world.settings.account_sid.clone()),
        ("ConversationSid", conversation.sid.clone()),
        ("RetryCount", "0".to_owned()),
    ];
    match event.source {
        Source::Api => params.push(("Source", "API".to_owned())),
        Source::Channel(name) => params.push(("Source", name)),
        Source::Sdk(identity) => {
            params.extend([("Source", "SDK".to_owned()), ("ClientIdentity", identity)]);
        }
    }
    params.extend(event.fields);

    let mut deliveries = Vec::new();
    if let Some(service) = &world.settings.service_webhook
        && service.filters.iter().any(|filter| filter == event.kind)
    {
        deliveries.push(Delivery { url: service.url.clone(), method: Method::POST, extra: Vec::new() });
    }
    deliveries.extend(scoped(world, conversation, event.kind, &params));
    for delivery in deliveries {
        let draft = Draft {
            event_type: event.kind,
            url: &delivery.url,
            method: delivery.method,
            params: params.iter().cloned().chain(delivery.extra).collect(),
            idempotency_token: None,
        };
        webhooks::queue(world, draft);
    }
}

/// The webhooks of the conversation that want the event. A trigger wants messages with one of its words.
fn scoped(
    world: &World,
    conversation: &Conversation,
    kind: &str,
    params: &[(&'static str, String)],
) -> Vec<Delivery> {
    let field = |name: &str| params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    let body = field("Body").unwrap_or_default();
    let from = field("Author").or_else(|| field("ClientIdentity")).unwrap_or_default();
    let wants = |target: &Target| match target {
        Target::Webhook { filters, .. } => filters.iter().any(|filter| filter == kind),
        Target::Trigger { triggers, .. } => {
            kind == "onMessageAdded" && triggers.iter().any(|word| body.contains(word.as_str()))
        }
        Target::Studio { .. } => false,
    };
    conversation
        .webhooks
        .iter()
        .filter(|webhook| wants(&webhook.target))
        .filter_map(|webhook| {
            let (url, method) = webhook.target.address()?;
            let extra = vec![
                ("WebhookSid", webhook.sid.clone()),
                ("InstanceSid", world.settings.chat_service_sid.clone()),
                ("ChannelSid", conversation.sid.clone()),
                ("ChannelAttributes", conversation.attributes.clone()),
                ("From", from.clone()),
                ("To", conversation.sid.clone()),
            ];
            Some(Delivery { url: url.to_owned(), method: method.clone(), extra })
        })
        .collect()
}

/// `onConversationAdded` and the other kinds that tell of the conversation itself.
pub(crate) fn conversation(world: &mut World, kind: &'static str, sid: &str, source: Source) {
    let Some(conversation) = world.conversations.get(sid) else { return };
    let mut fields = vec![
        ("ChatServiceSid", world.settings.chat_service_sid.clone()),
        ("MessagingServiceSid", conversation.messaging_service_sid.clone()),
        ("Attributes", conversation.attributes.clone()),
        ("State", conversation.state.as_str().to_owned()),
        ("DateCreated", dates::milliseconds(conversation.created_ms)),
        ("DateUpdated", dates::milliseconds(conversation.updated_ms)),
    ];
    fields.extend(conversation.friendly_name.clone().map(|name| ("FriendlyName", name)));
    fields.extend(conversation.unique_name.clone().map(|name| ("UniqueName", name)));
    if kind == "onConversationAdded" {
        let binding = conversation.participants.iter().find_map(|participant| participant.binding.as_ref());
        fields.extend(binding.into_iter().flat_map(binding_fields));
    }
    if kind == "onConversationRemoved" {
        fields.push(("DateRemoved", dates::milliseconds(world.now)));
    }
    publish(world, Event { kind, conversation: sid, source, fields });
}

/// `onParticipantAdded` and `onParticipantRemoved`.
pub(crate) fn participant(
    world: &mut World,
    kind: &'static str,
    sid: &str,
    participant: &Participant,
    source: Source,
) {
    let mut fields = vec![
        ("ParticipantSid", participant.sid.clone()),
        ("DateCreated", dates::milliseconds(participant.created_ms)),
        ("RoleSid", participant.role_sid.clone()),
        ("Attributes", participant.attributes.clone()),
    ];
    fields.extend(participant.identity.clone().map(|identity| ("Identity", identity)));
    fields.extend(participant.binding.iter().flat_map(binding_fields));
    let kind_of_binding = participant.binding.as_ref().map_or("CHAT".to_owned(), |b| b.kind.to_uppercase());
    fields.push(("MessagingBinding.Type", kind_of_binding));
    if kind == "onParticipantRemoved" {
        fields.push(("DateRemoved", dates::milliseconds(world.now)));
    }
    publish(world, Event { kind, conversation: sid, source, fields });
}

fn binding_fields(binding: &Binding) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("MessagingBinding.ProxyAddress", binding.proxy_address.clone()),
        ("MessagingBinding.Address", binding.address.clone()),
    ];
    fields.extend(
        binding.projected_address.clone().map(|address| ("MessagingBinding.ProjectedAddress", address)),
    );
    fields
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, HOOK, OURS, Sim, text};
    use crate::{Integration, ServiceWebhook};

    #[test]
    fn a_first_message_makes_a_conversation_with_the_webhook_of_its_address() {
        let sim = Sim::new();
        let written = sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        let conversation = sim.twilio.conversation(&written.conversation_sid).expect("made");
        assert!(conversation.bound(CUSTOMER, OURS).is_some());
        let webhooks = sim.webhooks();
        assert_eq!(webhooks.len(), 1);
        let settings = sim.twilio.settings();
        let expected = [
            ("EventType", "onMessageAdded"),
            ("AccountSid", &settings.account_sid),
            ("InstanceSid", &settings.chat_service_sid),
            ("MessagingServiceSid", &settings.messaging_service_sid),
            ("ConversationSid", &written.conversation_sid),
            ("ChannelSid", &written.conversation_sid),
            ("To", &written.conversation_sid),
            ("MessageSid", &written.message_sid),
            ("WebhookSid", &conversation.webhooks[0].sid),
            ("ParticipantSid", &conversation.participants[0].sid),
            ("Index", "0"),
            ("Author", CUSTOMER),
            ("From", CUSTOMER),
            ("Body", "hello"),
            ("Source", "SMS"),
            ("RetryCount", "0"),
            ("Attributes", "{}"),
            ("ChannelAttributes", "{}"),
            ("DateCreated", "2026-01-02T03:04:05.000Z"),
        ];
        for (name, value) in expected {
            assert_eq!(webhooks[0].param(name), Some(value), "{name}");
        }
        assert_eq!((webhooks[0].url.as_str(), webhooks[0].params.len()), (HOOK, expected.len()));
    }

    #[test]
    fn the_next_message_goes_to_the_same_conversation_until_it_is_closed() {
        let sim = Sim::new();
        let write = || sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        let (first, second) = (write(), write());
        assert_eq!((&first.conversation_sid, second.index), (&second.conversation_sid, 1));
        sim.twilio.close_conversation(&first.conversation_sid, crate::Reason::Timer).expect("open");
        assert_ne!(write().conversation_sid, first.conversation_sid);
    }

    #[test]
    fn a_chat_carries_its_pre_engagement_data_in_the_conversations_attributes() {
        let sim = Sim::new();
        let data = serde_json::json!({ "friendlyName": "Ada" });
        let sid = sim.twilio.create_chat_conversation("Website", "guest-1", &data);
        sim.twilio.customer_writes_in(&sid, "guest-1", "hello").expect("open");
        let webhook = sim.webhooks().remove(0);
        assert_eq!(webhook.param("Source"), Some("SDK"));
        assert_eq!(webhook.param("ClientIdentity"), Some("guest-1"));
        let attributes = webhook.param("ChannelAttributes");
        assert_eq!(
            attributes,
            Some(r#"{"channel_type":"web","pre_engagement_data":{"friendlyName":"Ada"}}"#)
        );
    }

    #[test]
    fn rest_fires_webhooks_only_when_asked_to() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        sim.events();
        let path = format!("/v1/Conversations/{sid}/Messages");
        sim.post(&path, &[("Body", "quiet")]);
        assert!(sim.events().is_empty());
        sim.post_loudly(&path, &[("Body", "loud")]);
        let webhook = sim.webhooks().remove(0);
        assert_eq!((webhook.param("Source"), webhook.param("Author")), (Some("API"), Some("system")));
        assert_eq!(webhook.param("ClientIdentity"), None);
    }

    #[test]
    fn filters_decide_which_events_are_sent() {
        let sim = Sim::with(|settings| {
            settings.addresses[0].integration = Integration::Webhook {
                url: HOOK.to_owned(),
                method: "POST".to_owned(),
                filters: vec!["onParticipantAdded".to_owned(), "onConversationStateUpdated".to_owned()],
            };
            let filters = vec!["onConversationAdded".to_owned(), "onMessageAdded".to_owned()];
            settings.service_webhook = Some(ServiceWebhook { url: format!("{HOOK}/all"), filters });
        });
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "hello").conversation_sid;
        let webhooks = sim.webhooks();
        let sent: Vec<_> = webhooks
            .iter()
            .map(|webhook| (webhook.event_type.as_str(), webhook.url.len() > HOOK.len()))
            .collect();
        assert_eq!(
            sent,
            [("onConversationAdded", true), ("onParticipantAdded", false), ("onMessageAdded", true)]
        );
        assert_eq!(webhooks[0].param("MessagingBinding.Address"), Some(CUSTOMER));
        assert_eq!(webhooks[1].param("MessagingBinding.Type"), Some("SMS"));
        assert_eq!(webhooks[1].param("MessagingBinding.ProxyAddress"), Some(OURS));
        sim.twilio.close_conversation(&sid, crate::Reason::Timer).expect("open");
        let closed = sim.webhooks().remove(0);
        let field = |name| closed.param(name).unwrap_or_default().to_owned();
        assert_eq!([field("StateFrom"), field("StateTo"), field("Reason")], ["active", "closed", "TIMER"]);
    }

    #[test]
    fn an_address_without_a_configuration_makes_an_orphan() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, "+15557779999", "hello").conversation_sid;
        assert!(sim.twilio.conversation(&sid).expect("made").webhooks.is_empty());
        assert!(sim.events().is_empty());
    }

    #[test]
    fn a_trigger_sends_messages_with_one_of_its_words() {
        let sim = Sim::new();
        let sid = sim.conversation();
        let hook = [("Target", "trigger"), ("Configuration.Url", HOOK), ("Configuration.Triggers", "help")];
        assert_eq!(sim.post(&format!("/v1/Conversations/{sid}/Webhooks"), &hook).0, 201);
        for body in ["I need help", "nothing"] {
            let (_, message) =
                sim.post_loudly(&format!("/v1/Conversations/{sid}/Messages"), &[("Body", body)]);
            assert!(text(&message["sid"]).starts_with("IM"));
        }
        assert_eq!(sim.events().len(), 1);
    }
}
