//! Web chats, each begun with one call: a conversation, a guest in it, and what the address attaches.
//! See <https://www.twilio.com/docs/flex/developer/conversations/webchats-resource>.

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::resource::{self, Draft as ConversationDraft};
use crate::conversations::{participants, scoped_webhooks};
use crate::parameters::{NONE, Published};
use crate::world::World;

/// How long pre-engagement data may be.
const PRE_ENGAGEMENT_AT_MOST: usize = 16 * 1024;

const CREATE: Published = Published {
    required: &["AddressSid"],
    optional: &["ChatFriendlyName", "CustomerFriendlyName", "PreEngagementData", "Identity"],
    repeated: &[],
};

/// A web chat to be begun, by whomever.
pub(crate) struct Draft<'a> {
    /// The address configuration, by its sid or its address.
    pub(crate) address: &'a str,
    pub(crate) identity: &'a str,
    pub(crate) friendly_name: Option<&'a str>,
    pub(crate) customer_name: Option<&'a str>,
    /// JSON.
    pub(crate) pre_engagement: Option<String>,
}

/// Begins a web chat without asking whether it may begin, and gives the sid of its conversation.
pub(crate) fn begin(world: &mut World, draft: &Draft<'_>) -> String {
    let conversation = ConversationDraft {
        attributes: Some(attributes(draft, world.settings.pre_engagement_as_text)),
        created_by: Some(draft.identity.to_owned()),
        friendly_name: draft.friendly_name.map(str::to_owned),
        ..ConversationDraft::default()
    };
    let sid = resource::open(world, conversation);
    scoped_webhooks::attach_configured(world, &sid, draft.address);
    participants::add(world, &sid, Some(draft.identity.to_owned()), None, None);
    sid
}

/// The attributes of the conversation. Confirmed is `pre_engagement_data`. The other two were beside it in
/// the web chats of old, and that the customer's name goes nowhere else is not confirmed either.
fn attributes(draft: &Draft<'_>, as_text: bool) -> String {
    let mut attributes = Map::from_iter([("channel_type".to_owned(), json!("web"))]);
    attributes.extend(draft.customer_name.map(|name| ("from".to_owned(), json!(name))));
    attributes.extend(draft.pre_engagement.as_ref().map(|text| {
        let data = if as_text { json!(text) } else { serde_json::from_str(text).unwrap_or_default() };
        ("pre_engagement_data".to_owned(), data)
    }));
    Value::Object(attributes).to_string()
}

pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    NONE.read(&call.query)?;
    let parameters = CREATE.read(&call.form)?;
    let address = parameters.sid("AddressSid", "IG")?.unwrap_or_default();
    refuse_address(world, &address)?;
    let pre_engagement = parameters.owned("PreEngagementData");
    if let Some(text) = &pre_engagement {
        refuse_pre_engagement(text)?;
    }
    if !world.web_chats.admits(world.settings.web_chats_per_second, world.now) {
        return Err(Refusal::new(429, 45719, "Failed to create webchat participant. Too many requests"));
    }
    let given = parameters.text("Identity").filter(|identity| !identity.is_empty());
    let identity = given.map_or_else(|| world.sids.draw("guest-"), str::to_owned);
    let draft = Draft {
        address: &address,
        identity: &identity,
        friendly_name: parameters.text("ChatFriendlyName"),
        customer_name: parameters.text("CustomerFriendlyName"),
        pre_engagement,
    };
    let sid = begin(world, &draft);
    Ok(Answer::created(json!({ "conversation_sid": sid, "identity": identity })))
}

/// Refuses an address that is not configured, or not for chats. That the latter has the code of a request
/// that is invalid is not confirmed.
fn refuse_address(world: &World, sid: &str) -> Result<(), Refusal> {
    match world.settings.addresses.iter().find(|address| address.sid == sid) {
        Some(address) if address.kind == "chat" => Ok(()),
        Some(address) => Err(invalid(format!("Address {sid} is of type {}, not chat", address.kind))),
        None => Err(Refusal::new(400, 45765, "No address configuration data found for provided address SID")),
    }
}

fn refuse_pre_engagement(text: &str) -> Result<(), Refusal> {
    if text.len() > PRE_ENGAGEMENT_AT_MOST {
        let message = format!("PreEngagementData is longer than {PRE_ENGAGEMENT_AT_MOST} bytes");
        return Err(Refusal::new(400, 45731, message));
    }
    serde_json::from_str::<Value>(text).map(drop).map_err(|_| invalid("PreEngagementData is not valid JSON"))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, 45745, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::testing::{Answered, HOOK, Sim, code, text};
    use crate::{Address, Fault, Integration, Matcher, Misbehaviour, Reason, Target, Times};

    const PATH: &str = "/v2/WebChats";
    const DATA: (&str, &str) = ("PreEngagementData", r#"{"friendlyName": "Ada"}"#);

    fn address(sim: &Sim) -> String {
        sim.twilio.settings().addresses[1].sid.clone()
    }

    /// A web chat at the chat address, with more parameters.
    fn begin(sim: &Sim, more: &[(&str, &str)]) -> Answered {
        let address = address(sim);
        let form: Vec<_> = std::iter::once(&("AddressSid", &*address)).chain(more).copied().collect();
        sim.post(PATH, &form)
    }

    fn attributes(sim: &Sim, more: &[(&str, &str)]) -> Value {
        let sid = text(&begin(sim, more).1["conversation_sid"]);
        let conversation = sim.twilio.conversation(&sid).expect("made");
        serde_json::from_str(&conversation.attributes).expect("JSON")
    }

    #[test]
    fn a_web_chat_is_a_conversation_with_a_guest_and_the_webhook_of_its_address() {
        let sim = Sim::new();
        let names = [("ChatFriendlyName", "Webchat widget"), ("CustomerFriendlyName", "Ada"), DATA];
        let (status, body) = begin(&sim, &names);
        let (sid, identity) = (text(&body["conversation_sid"]), text(&body["identity"]));
        assert_eq!((status, body), (201, json!({ "conversation_sid": sid, "identity": identity })));
        assert!(identity.strip_prefix("guest-").is_some_and(|hex| hex.len() == 32), "{identity}");
        let conversation = sim.twilio.conversation(&sid).expect("made");
        assert_eq!(conversation.friendly_name.as_deref(), Some("Webchat widget"));
        assert_eq!((&conversation.created_by, conversation.participants.len()), (&identity, 1));
        assert!(conversation.identity(&identity).is_some_and(|guest| guest.binding.is_none()));
        let expected = Target::Webhook {
            url: HOOK.to_owned(),
            method: http::Method::POST,
            filters: vec!["onMessageAdded".to_owned()],
        };
        assert_eq!(conversation.webhooks.into_iter().map(|hook| hook.target).collect::<Vec<_>>(), [expected]);
        assert!(sim.events().is_empty());
    }

    #[test]
    fn the_guest_is_drawn_from_the_seed_unless_named() {
        let drawn = |seed| text(&begin(&Sim::with(|settings| settings.seed = seed), &[]).1["identity"]);
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let sim = Sim::new();
        let guest = |given: &str| text(&begin(&sim, &[("Identity", given)]).1["identity"]);
        assert_eq!(guest("guest-1"), "guest-1");
        assert!(guest("").starts_with("guest-"));
        assert_eq!(sim.twilio.conversations()[0].created_by, "guest-1");
    }

    #[test]
    fn the_conversation_carries_what_was_filled_in_before() {
        let sim = Sim::new();
        let data = json!({ "friendlyName": "Ada" });
        let expected = json!({ "channel_type": "web", "from": "Ada L.", "pre_engagement_data": data });
        assert_eq!(attributes(&sim, &[DATA, ("CustomerFriendlyName", "Ada L.")]), expected);
        assert_eq!(attributes(&sim, &[]), json!({ "channel_type": "web" }));
    }

    #[test]
    fn what_was_filled_in_may_stay_the_text_that_it_was() {
        let sim = Sim::with(|settings| settings.pre_engagement_as_text = true);
        let text = json!({ "channel_type": "web", "pre_engagement_data": DATA.1 });
        assert_eq!(attributes(&sim, &[DATA]), text);
        let sid = sim.twilio.create_chat_conversation("Website", "guest-1", &json!({ "a": 1 }));
        let by_hand = sim.twilio.conversation(&sid).expect("made").attributes;
        assert_eq!(by_hand, r#"{"channel_type":"web","pre_engagement_data":"{\"a\":1}"}"#);
    }

    #[test]
    fn an_address_may_start_a_flow_or_nothing() {
        let flow_sid = format!("FW{:032x}", 1);
        for (integration, expected) in [
            (Integration::Studio { flow_sid: flow_sid.clone() }, Some(Target::Studio { flow_sid })),
            (Integration::Default, None),
        ] {
            let sim = Sim::with(|settings| settings.addresses[1].integration = integration);
            begin(&sim, &[]);
            let hooks = sim.twilio.conversations().remove(0).webhooks;
            assert_eq!(hooks.into_iter().map(|hook| hook.target).next(), expected);
        }
    }

    #[test]
    fn the_address_must_be_configured_and_for_chats() {
        let sim = Sim::new();
        let sms = sim.twilio.settings().addresses[0].sid.clone();
        let unknown = Address::webhook("chat", "Elsewhere", HOOK).sid;
        for (given, expected) in [(&*sms, 45745), (&*unknown, 45765), ("Website", 20001)] {
            let refused = sim.post(PATH, &[("AddressSid", given)]);
            assert_eq!((refused.0, code(&refused)), (400, expected), "{given}");
        }
        let refused = sim.post(PATH, &[]);
        assert_eq!(refused.1["message"], "Missing required parameter AddressSid");
        assert!(sim.twilio.conversations().is_empty());
    }

    #[test]
    fn what_was_filled_in_must_be_json_and_short() {
        let sim = Sim::new();
        let long = format!("\"{}\"", "x".repeat(16 * 1024 - 2));
        let longer = format!("{long} ");
        for (data, expected) in [("", 45745), ("{", 45745), (&*longer, 45731), (&*long, 0)] {
            let answered = begin(&sim, &[("PreEngagementData", data)]);
            assert_eq!((answered.0 == 400, code(&answered)), (expected != 0, expected), "{}", data.len());
        }
        assert_eq!(sim.twilio.conversations().len(), 1);
    }

    #[test]
    fn a_parameter_that_twilio_does_not_publish_is_named() {
        let sim = Sim::new();
        let refused = begin(&sim, &[("FriendlyName", "Ada")]);
        assert_eq!((refused.0, code(&refused)), (400, 20001));
        assert_eq!(refused.1["message"], "Unknown parameter FriendlyName");
        assert_eq!(code(&sim.post("/v2/WebChats?AddressSid=IG1", &[])), 20001);
        assert_eq!(sim.get(PATH).0, 404);
    }

    #[test]
    fn only_so_many_may_begin_in_a_second() {
        let sim = Sim::with(|settings| settings.web_chats_per_second = Some(2));
        assert_eq!([begin(&sim, &[]).0, begin(&sim, &[("Nothing", "")]).0], [201, 400]);
        assert_eq!(begin(&sim, &[]).0, 201);
        let refused = begin(&sim, &[]);
        assert_eq!((refused.0, code(&refused)), (429, 45719));
        sim.clock.advance(1000);
        assert_eq!((begin(&sim, &[]).0, sim.twilio.conversations().len()), (201, 3));
    }

    #[test]
    fn a_fault_can_be_about_web_chats() {
        let sim = Sim::new();
        let on = Matcher::route("POST /v2/WebChats");
        let what = Misbehaviour::Status { status: 503, code: 45701, retry_after: None };
        sim.twilio.misbehave(Fault { on, times: Times::Next(1), what });
        assert_eq!([begin(&sim, &[]).0, begin(&sim, &[]).0], [503, 201]);
    }

    #[test]
    fn the_guest_writes_until_the_chat_is_closed() {
        let sim = Sim::new();
        let (_, body) = begin(&sim, &[]);
        let (sid, identity) = (text(&body["conversation_sid"]), text(&body["identity"]));
        sim.twilio.customer_writes_in(&sid, &identity, "hello").expect("open");
        let webhook = sim.webhooks().remove(0);
        assert_eq!((webhook.url.as_str(), webhook.param("Author")), (HOOK, Some(&*identity)));
        let guest = sim.twilio.participants(&sid).remove(0).sid;
        assert_eq!(webhook.param("ParticipantSid"), Some(&*guest));
        sim.twilio.close_conversation(&sid, Reason::Timer).expect("open");
        let refused = sim.twilio.customer_writes_in(&sid, &identity, "hello?");
        assert_eq!(refused.map_err(|refusal| refusal.code), Err(50377));
    }

    #[test]
    fn closing_the_channel_closes_the_chat() {
        let sim = Sim::new();
        let sid = text(&begin(&sim, &[]).1["conversation_sid"]);
        let channel = json!({
            "type": "web", "initiated_by": "customer", "properties": { "media_channel_sid": sid },
        });
        let routing = sim.routing(&json!({}));
        let form = [("Channel", &*channel.to_string()), ("Routing", &routing)];
        let (_, made) = sim.post("/v1/Interactions", &form);
        sim.clock.advance(200);
        let path =
            format!("/v1/Interactions/{}/Channels/{}", text(&made["sid"]), text(&made["channel"]["sid"]));
        assert_eq!(sim.get(&path).1["status"], "active");
        assert_eq!(sim.post(&path, &[("Status", "closed")]).0, 200);
        assert_eq!(sim.state(&sid), "closed");
    }
}
