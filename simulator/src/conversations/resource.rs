//! Conversations themselves: made, read, changed, listed and deleted.

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::conversations::events::{self, Source};
use crate::conversations::state::{self, ConversationState, Reason};
use crate::conversations::timers::{self, Asked};
use crate::conversations::{Conversation, find, find_open, is_closed, ours};
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::{NONE, Parameters, Published};
use crate::world::World;

/// How long attributes may be.
const ATTRIBUTES_AT_MOST: usize = 16 * 1024;

const WRITE: Published = Published {
    required: &[],
    optional: &[
        "FriendlyName",
        "UniqueName",
        "DateCreated",
        "DateUpdated",
        "MessagingServiceSid",
        "Attributes",
        "State",
        "Timers.Inactive",
        "Timers.Closed",
        "Bindings.Email.Address",
        "Bindings.Email.Name",
    ],
    repeated: &[],
};

const LIST: Published = Published {
    required: &[],
    optional: &["StartDate", "EndDate", "State", "PageSize", "Page", "PageToken"],
    repeated: &[],
};

/// What a request says of a conversation, checked.
struct Asks {
    friendly_name: Option<String>,
    unique_name: Option<String>,
    messaging_service_sid: Option<String>,
    attributes: Option<String>,
    state: Option<ConversationState>,
    timers: Asked,
}

impl Asks {
    fn read(parameters: &Parameters<'_>) -> Result<Self, Refusal> {
        let friendly_name = parameters.owned("FriendlyName");
        if friendly_name.as_ref().is_some_and(|name| name.chars().count() > 256) {
            return Err(Refusal::invalid("FriendlyName is longer than 256 characters"));
        }
        Ok(Self {
            friendly_name,
            unique_name: parameters.owned("UniqueName"),
            messaging_service_sid: parameters.sid("MessagingServiceSid", "MG")?,
            attributes: parameters.json("Attributes", ATTRIBUTES_AT_MOST)?,
            state: parameters.one_of("State", &ConversationState::NAMES)?.and_then(ConversationState::named),
            timers: Asked::read(parameters)?,
        })
    }
}

/// A conversation to be made, by whomever.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) friendly_name: Option<String>,
    pub(crate) unique_name: Option<String>,
    pub(crate) messaging_service_sid: Option<String>,
    pub(crate) attributes: Option<String>,
    pub(crate) state: Option<ConversationState>,
    pub(crate) created_by: Option<String>,
    pub(crate) inactive_after_ms: Option<u64>,
    pub(crate) closed_after_ms: Option<u64>,
    pub(crate) elsewhere: bool,
}

/// Makes a conversation and gives its sid. Timers that the draft leaves open are the account's defaults.
pub(crate) fn open(world: &mut World, draft: Draft) -> String {
    let sid = world.sids.draw("CH");
    let default = |timer: &Option<String>| timer.as_deref().and_then(dates::duration_ms);
    let conversation = Conversation {
        sid: sid.clone(),
        messaging_service_sid: draft
            .messaging_service_sid
            .unwrap_or_else(|| world.settings.messaging_service_sid.clone()),
        friendly_name: draft.friendly_name,
        unique_name: draft.unique_name,
        attributes: draft.attributes.unwrap_or_else(|| "{}".to_owned()),
        state: draft.state.unwrap_or(ConversationState::Active),
        created_by: draft.created_by.unwrap_or_else(|| "system".to_owned()),
        created_ms: world.now,
        updated_ms: world.now,
        active_ms: world.now,
        inactive_after_ms: set(draft.inactive_after_ms, default(&world.settings.default_inactive_timer)),
        closed_after_ms: set(draft.closed_after_ms, default(&world.settings.default_closed_timer)),
        participants: Vec::new(),
        messages: Vec::new(),
        webhooks: Vec::new(),
        elsewhere: draft.elsewhere,
        born: world.birth(),
    };
    world.conversations.insert(sid.clone(), conversation);
    timers::plan(world, &sid);
    sid
}

pub(super) fn create(world: &mut World, call: &Call) -> Reply {
    let asks = Asks::read(&WRITE.read(&call.form)?)?;
    if asks.timers.any() && asks.state.is_none() {
        return Err(Refusal::new(400, 50382, "Timers cannot be set without a State"));
    }
    refuse_taken_name(world, None, asks.unique_name.as_deref())?;
    let draft = Draft {
        friendly_name: asks.friendly_name,
        unique_name: asks.unique_name,
        messaging_service_sid: asks.messaging_service_sid,
        attributes: asks.attributes,
        state: asks.state,
        created_by: None,
        inactive_after_ms: asks.timers.inactive,
        closed_after_ms: asks.timers.closed,
        elsewhere: false,
    };
    let sid = open(world, draft);
    if call.fires_webhooks {
        events::conversation(world, "onConversationAdded", &sid, Source::Api);
    }
    let conversation = find(world, call, &sid)?;
    Ok(Answer::created(conversation.json(&world.settings, &format!("{}/{sid}", call.url()))))
}

pub(super) fn fetch(world: &World, call: &Call, key: &str) -> Reply {
    NONE.read(&call.query)?;
    let conversation = find(world, call, key)?;
    Ok(Answer::ok(conversation.json(&world.settings, &call.url())))
}

pub(super) fn update(world: &mut World, call: &Call, key: &str) -> Reply {
    let asks = Asks::read(&WRITE.read(&call.form)?)?;
    let sid = find_open(world, call, key)?.sid.clone();
    refuse_taken_name(world, Some(&sid), asks.unique_name.as_deref())?;
    let now = world.now;
    let conversation = world.conversations.get_mut(&sid).ok_or_else(|| call.not_found())?;
    if asks.state == Some(ConversationState::Initializing)
        && conversation.state != ConversationState::Initializing
    {
        return Err(Refusal::invalid("Invalid State: a conversation cannot go back to initializing"));
    }
    conversation.updated_ms = now;
    // An empty name takes the name away.
    replace(&mut conversation.friendly_name, asks.friendly_name);
    replace(&mut conversation.unique_name, asks.unique_name);
    if let Some(attributes) = asks.attributes {
        conversation.attributes = attributes;
    }
    if let Some(messaging_service_sid) = asks.messaging_service_sid {
        conversation.messaging_service_sid = messaging_service_sid;
    }
    if asks.timers.any() {
        conversation.active_ms = now;
        conversation.inactive_after_ms = set(asks.timers.inactive, conversation.inactive_after_ms);
        conversation.closed_after_ms = set(asks.timers.closed, conversation.closed_after_ms);
    }
    timers::plan(world, &sid);
    if call.fires_webhooks {
        events::conversation(world, "onConversationUpdated", &sid, Source::Api);
    }
    if let Some(to) = asks.state {
        state::change(world, &sid, to, Reason::Api, call.fires_webhooks);
    }
    let conversation = find(world, call, &sid)?;
    Ok(Answer::ok(conversation.json(&world.settings, &call.url())))
}

/// The timer asked for, or the one that was set. 0 turns a timer off.
fn set(asked: Option<u64>, before: Option<u64>) -> Option<u64> {
    asked.or(before).filter(|ms| *ms > 0)
}

fn replace(field: &mut Option<String>, with: Option<String>) {
    if let Some(text) = with {
        *field = (!text.is_empty()).then_some(text);
    }
}

fn refuse_taken_name(world: &World, own: Option<&str>, name: Option<&str>) -> Result<(), Refusal> {
    let taken = ours(world).any(|conversation| {
        name.is_some() && conversation.unique_name.as_deref() == name && own != Some(&conversation.sid)
    });
    if taken {
        return Err(Refusal::new(409, 50353, "Conversation with provided unique name already exists"));
    }
    Ok(())
}

pub(super) fn list(world: &World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let state =
        parameters.one_of("State", &ConversationState::NAMES[1..])?.and_then(ConversationState::named);
    let date = |name: &str| {
        parameters.text(name).map_or(Ok(None), |text| {
            dates::parse(text).map(Some).ok_or_else(|| Refusal::invalid(format!("Invalid {name}")))
        })
    };
    let (start, end) = (date("StartDate")?, date("EndDate")?);
    let found = ours(world).filter(|conversation| {
        state.is_none_or(|state| conversation.state == state)
            && start.is_none_or(|start| conversation.created_ms >= start)
            && end.is_none_or(|end| conversation.created_ms <= end)
    });
    let newest_first = start.is_some() || end.is_some();
    let row = |conversation: &Conversation| {
        let body = conversation.json(&world.settings, &format!("{}/{}", call.url(), conversation.sid));
        if newest_first {
            Row::newest_first(conversation.born, body)
        } else {
            Row::at(conversation.born, body)
        }
    };
    page(call, "conversations", 50, 100, found.map(row).collect())
}

pub(super) fn delete(world: &mut World, call: &Call, key: &str) -> Reply {
    let sid = find(world, call, key)?.sid.clone();
    if call.fires_webhooks {
        events::conversation(world, "onConversationRemoved", &sid, Source::Api);
    }
    world.conversations.remove(&sid);
    Ok(Answer::deleted())
}

/// Closes a conversation. Closed again is refused.
pub(crate) fn close(world: &mut World, sid: &str, reason: Reason, fires: bool) -> Result<(), Refusal> {
    match world.conversations.get(sid) {
        None => Err(Refusal::not_found(&format!("/v1/Conversations/{sid}"))),
        Some(found) if found.state == ConversationState::Closed => Err(is_closed()),
        Some(_) => {
            state::change(world, sid, ConversationState::Closed, reason, fires);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{CUSTOMER, HOOK, OURS, Sim, code, text};

    #[test]
    fn a_conversation_is_made_and_read_as_it_was_given() {
        let sim = Sim::new();
        let form = [("FriendlyName", "Order 7"), ("Attributes", r#"{"a": 1}"#), ("UniqueName", "order-7")];
        let (status, made) = sim.post("/v1/Conversations", &form);
        assert_eq!(status, 201);
        assert_eq!(made["attributes"], r#"{"a": 1}"#);
        assert_eq!((&made["state"], &made["timers"]), (&"active".into(), &serde_json::json!({})));
        assert_eq!(made["date_created"], "2026-01-02T03:04:05Z");
        let service = sim.twilio.settings().chat_service_sid;
        let paths = [
            "/v1/Conversations/order-7".to_owned(),
            format!("/v1/Conversations/{}", text(&made["sid"])),
            format!("/conversations/v1/Services/{service}/Conversations/order-7"),
        ];
        for path in paths {
            assert_eq!(sim.get(&path).1["sid"], made["sid"], "{path}");
        }
        assert_eq!(code(&sim.post("/v1/Conversations", &form)), 50353);
    }

    #[test]
    fn a_unique_name_stands_for_the_sid_wherever_a_path_has_one() {
        let sim = Sim::new();
        let service = sim.twilio.settings().chat_service_sid;
        let hook =
            [("Target", "webhook"), ("Configuration.Url", HOOK), ("Configuration.Filters", "onMessageAdded")];
        let pair = [("MessagingBinding.Address", CUSTOMER), ("MessagingBinding.ProxyAddress", OURS)];
        for (prefix, name) in
            [("/v1".to_owned(), "order-7"), (format!("/v1/Services/{service}"), "order%207%2Fb")]
        {
            let given = name.replace("%20", " ").replace("%2F", "/");
            let (_, made) = sim.post(&format!("{prefix}/Conversations"), &[("UniqueName", &given)]);
            let path = format!("{prefix}/Conversations/{name}");
            assert_eq!(sim.post(&path, &[("FriendlyName", "Order")]).1["sid"], made["sid"], "{path}");
            let below = [
                ("Participants", "participants", pair.as_slice()),
                ("Messages", "messages", &[("Body", "hello")]),
                ("Webhooks", "webhooks", &hook),
            ];
            for (resource, key, form) in below {
                let list = format!("{path}/{resource}");
                let (status, row) = sim.post(&list, form);
                assert_eq!((status, &row["conversation_sid"]), (201, &made["sid"]), "{list}");
                assert_eq!(sim.get(&list).1[key], serde_json::json!([row]));
                assert_eq!(sim.get(&format!("{list}/{}", text(&row["sid"]))).1, row);
            }
            let message = text(&sim.get(&format!("{path}/Messages")).1["messages"][0]["sid"]);
            let (_, receipts) = sim.get(&format!("{path}/Messages/{message}/Receipts"));
            assert_eq!(receipts["delivery_receipts"][0]["conversation_sid"], made["sid"]);
            for (resource, key) in [("Participants", "participants"), ("Webhooks", "webhooks")] {
                let list = format!("{path}/{resource}");
                let row = sim.get(&list).1[key][0].clone();
                assert_eq!(sim.delete(&format!("{list}/{}", text(&row["sid"]))), 204);
            }
            assert_eq!([sim.delete(&path), sim.delete(&path)], [204, 404]);
            assert_eq!(sim.get(&format!("/v1/Conversations/{}", text(&made["sid"]))).0, 404);
        }
    }

    #[test]
    fn a_unique_name_stays_taken_when_its_conversation_is_closed() {
        let sim = Sim::new();
        let named = [("UniqueName", "order-7")];
        let (_, made) = sim.post("/v1/Conversations", &named);
        assert_eq!(sim.post("/v1/Conversations/order-7", &[("State", "closed")]).1["state"], "closed");
        let refused = sim.post("/v1/Conversations", &named);
        assert_eq!((refused.0, code(&refused)), (409, 50353));
        let other = format!("/v1/Conversations/{}", sim.conversation());
        assert_eq!(code(&sim.post(&other, &named)), 50353);
        assert_eq!(sim.get("/v1/Conversations/order-7").1["sid"], made["sid"]);
        assert_eq!(code(&sim.post("/v1/Conversations/order-7", &[("Attributes", "{}")])), 50377);
        assert_eq!(sim.delete("/v1/Conversations/order-7"), 204);
        assert_eq!(sim.post("/v1/Conversations", &named).0, 201);
    }

    #[test]
    fn a_misspelt_parameter_is_named() {
        let sim = Sim::new();
        let refused = sim.post("/v1/Conversations", &[("Friendlyname", "x")]);
        assert_eq!((refused.0, code(&refused)), (400, 20001));
        assert_eq!(refused.1["message"], "Unknown parameter Friendlyname");
        for (name, value) in [
            ("Attributes", "{"),
            ("State", "open"),
            ("MessagingServiceSid", "MG1"),
            ("Timers.Closed", "24H"),
            ("Timers.Closed", "PT9M"),
            ("Timers.Inactive", "PT59S"),
        ] {
            let refused = sim.post("/v1/Conversations", &[("State", "active"), (name, value)]);
            assert!(refused.0 == 400 && text(&refused.1["message"]).contains(name), "{name}: {refused:?}");
        }
    }

    #[test]
    fn timers_need_a_state() {
        let sim = Sim::new();
        let timer = ("Timers.Closed", "PT24H");
        assert_eq!(code(&sim.post("/v1/Conversations", &[timer])), 50382);
        let (status, made) = sim.post("/v1/Conversations", &[timer, ("State", "active")]);
        assert_eq!((status, &made["timers"]["date_closed"]), (201, &"2026-01-03T03:04:05Z".into()));
    }

    #[test]
    fn attributes_are_overwritten_whole() {
        let sim = Sim::new();
        let sid = text(&sim.post("/v1/Conversations", &[("Attributes", r#"{"a":1}"#)]).1["sid"]);
        let path = format!("/v1/Conversations/{sid}");
        assert_eq!(sim.post(&path, &[("Attributes", r#"{"b":2}"#)]).0, 200);
        assert_eq!(sim.get(&path).1["attributes"], r#"{"b":2}"#);
    }

    #[test]
    fn closed_is_final() {
        let sim = Sim::new();
        let sid = sim.conversation();
        let path = format!("/v1/Conversations/{sid}");
        assert_eq!(sim.post(&path, &[("State", "closed")]).1["state"], "closed");
        assert_eq!(code(&sim.post(&path, &[("State", "active")])), 50377);
        assert_eq!(code(&sim.post(&path, &[("Attributes", "{}")])), 50377);
        assert_eq!(code(&sim.post(&format!("{path}/Messages"), &[("Body", "x")])), 50377);
        assert_eq!(sim.bind(&sid, CUSTOMER, OURS), 50377);
        let hook =
            [("Target", "webhook"), ("Configuration.Url", HOOK), ("Configuration.Filters", "onMessageAdded")];
        assert_eq!(code(&sim.post(&format!("{path}/Webhooks"), &hook)), 50377);
        assert_eq!(sim.get(&path).0, 200);
    }

    #[test]
    fn a_list_is_filtered_by_state_and_date_and_then_newest_first() {
        let sim = Sim::new();
        let first = sim.conversation();
        sim.clock.advance(3_600_000);
        let second = sim.conversation();
        let third = sim.conversation();
        sim.post(&format!("/v1/Conversations/{third}"), &[("State", "closed")]);
        let list = |query: &str| -> Vec<String> {
            let (status, body) = sim.get(&format!("/v1/Conversations?{query}"));
            assert_eq!(status, 200);
            body["conversations"].as_array().expect("rows").iter().map(|row| text(&row["sid"])).collect()
        };
        assert_eq!(list("State=active"), [first.clone(), second.clone()]);
        assert_eq!(list("StartDate=2026-01-02"), [third.clone(), second.clone(), first.clone()]);
        assert_eq!(list("State=active&StartDate=2026-01-02T04:00:00Z"), [second]);
        assert_eq!(list("EndDate=2026-01-02T04:00:00Z"), [first]);
        assert_eq!(code(&sim.get("/v1/Conversations?State=open")), 20001);
    }

    #[test]
    fn a_deleted_conversation_is_gone_and_lets_its_pair_go() {
        let sim = Sim::new();
        let first = sim.conversation();
        assert_eq!(sim.bind(&first, CUSTOMER, OURS), 0);
        assert_eq!(sim.delete(&format!("/v1/Conversations/{first}")), 204);
        assert_eq!(sim.delete(&format!("/v1/Conversations/{first}")), 404);
        assert_eq!(sim.bind(&sim.conversation(), CUSTOMER, OURS), 0);
    }
}
