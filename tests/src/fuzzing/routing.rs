//! Routing: whatever rules an operator writes, and whatever a customer fills in, a task says who its customer is as
//! flexglue knows it.
//!
//! An input is `{"rules", "author"?, "attributes"?, "contact"?, "outbound"?}`, JSON; a part that cannot be read counts
//! as left out.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shared::{
    conversation::{Contact, FirstMessage, Outbound, Routing},
    personal::Personal,
    reach::InitiatedBy,
    routing::{RoutingDefaults, RoutingRules, new_interaction, reinvite_routing},
};

use super::{stub::settings, webhook_events::kept};

/// Routes the message by the rules.
///
/// # Panics
/// Where a promise is broken.
pub fn run(input: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(input) else { return };
    let Ok(rules) = serde_json::from_value::<RoutingRules>(input["rules"].clone()) else { return };
    let message = FirstMessage {
        author: read(&input, "author").map(Personal),
        participant: None,
        attributes: Personal(read(&input, "attributes").unwrap_or_default()),
    };
    let contact: Option<Contact> = read(&input, "contact");
    let outbound: Option<Outbound> = read(&input, "outbound");
    let defaults = settings().routing;
    let routing = rules.route(&message, contact.as_ref(), outbound.as_ref(), &defaults);
    is_ours(&routing, &message, contact.as_ref(), outbound.as_ref());
    is_chosen(&routing, &input["rules"], &defaults);
    kept(&routing);
    asks_as_routed(&routing, &defaults);
}

fn read<T: DeserializeOwned>(input: &Value, name: &str) -> Option<T> {
    serde_json::from_value(input[name].clone()).ok()
}

/// What flexglue sets stands over what rules, back ends and browsers say.
fn is_ours(
    routing: &Routing,
    message: &FirstMessage,
    contact: Option<&Contact>,
    outbound: Option<&Outbound>,
) {
    let attributes = &routing.attributes;
    let known = contact.and_then(|contact| contact.address.as_ref().or(contact.identity.as_ref()));
    let address = known.or(message.author.as_ref()).map(|address| address.as_str()).unwrap_or_default();
    assert_eq!(attributes["from"], address);
    assert_eq!(attributes["customerAddress"], address);
    assert_eq!(attributes["channelType"], routing.channel_type.as_str());
    let filled_in = match message.attributes.get("pre_engagement_data") {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        other => other.cloned(),
    };
    let filled_in = filled_in.filter(Value::is_object);
    assert_eq!(attributes.get("preEngagement"), filled_in.as_ref());
    if let Some(id) = contact.and_then(|contact| contact.customer_id.as_ref()) {
        assert_eq!(attributes["customerId"], id.as_str());
    }
    let reach = outbound.map(|outbound| json!({"id": outbound.reach, "initiatedBy": outbound.initiated_by}));
    assert_eq!(attributes.get("outbound"), reach.as_ref(), "by it a task is found to be of a reach");
    assert_eq!(attributes.get("flexglueReinvites"), None, "by it re-invites are counted");
}

/// Where a task goes is where some rule, or no rule, sends it.
fn is_chosen(routing: &Routing, rules: &Value, defaults: &RoutingDefaults) {
    let is_named = |name: &str, value: &str| {
        rules.as_array().is_some_and(|rules| rules.iter().any(|rule| rule[name] == value))
    };
    let workflow = routing.workflow.as_str();
    assert!(workflow == defaults.workflow.as_str() || is_named("workflow_sid", workflow));
    let channel = routing.task_channel.as_str();
    assert!(channel == defaults.task_channel || is_named("task_channel", channel));
}

fn asks_as_routed(routing: &Routing, defaults: &RoutingDefaults) {
    let conversation = "CH00000000000000000000000000000001".parse().expect("a SID");
    for initiated_by in [None, Some(InitiatedBy::Agent), Some(InitiatedBy::Api), Some(InitiatedBy::System)] {
        let asked = new_interaction(&conversation, routing, initiated_by, &defaults.workspace);
        assert_eq!(asked.channel["properties"]["media_channel_sid"], conversation.as_str());
        let properties = &asked.routing["properties"];
        assert_eq!(properties["workflow_sid"], routing.workflow.as_str());
        assert_eq!(properties["attributes"]["from"], routing.attributes["from"]);
    }
    let again = reinvite_routing(routing, 7, defaults);
    assert_eq!((&again.workflow, again.agent), (&defaults.fallback_workflow, None));
    let mut attributes = again.attributes.0;
    assert_eq!(attributes.remove("flexglueReinvites"), Some(json!(7)));
    assert_eq!(attributes, routing.attributes.0);
}
