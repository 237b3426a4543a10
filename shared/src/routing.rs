//! To whom a conversation goes: `ROUTING_RULES` and the attributes of its task. Pure.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    conversation::{ChannelType, Contact, FirstMessage, Outbound, Routing},
    personal::Personal,
    reach::{InitiatedBy, Initiator},
    sid::{ConversationSid, WorkerSid, WorkflowSid, WorkspaceSid},
    twilio::{NewInteraction, REACH_ATTRIBUTE, REINVITES_ATTRIBUTE},
};

/// The operator's rules, the first that matches wins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct RoutingRules(Vec<Rule>);

/// One rule. A name that is not known is an error: a rule that is silently never used sends customers to
/// the wrong queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default, rename = "match")]
    when: Match,
    workflow_sid: Option<WorkflowSid>,
    task_channel: Option<String>,
    priority: Option<u32>,
    timeout: Option<u32>,
    #[serde(default)]
    attributes: Map<String, Value>,
    known_worker_sid: Option<WorkerSid>,
}

/// What a conversation must be for a rule to hold; what is not named may be anything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Match {
    channel: Option<ChannelType>,
    proxy_address: Option<String>,
    attribute: Option<AttributeMatch>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttributeMatch {
    name: String,
    equals: Value,
}

/// Where everything goes that no rule sends elsewhere.
#[derive(Clone, Debug)]
pub struct RoutingDefaults {
    /// The workspace of everything.
    pub workspace: WorkspaceSid,
    /// The workflow.
    pub workflow: WorkflowSid,
    /// The workflow of re-invites.
    pub fallback_workflow: WorkflowSid,
    /// The task channel's unique name.
    pub task_channel: String,
}

/// Longer names than this are cut: a name is for an agent's eyes.
const LONGEST_NAME: usize = 200;

impl RoutingRules {
    /// Whether a rule asks for our address, which a message does not carry.
    #[must_use]
    pub fn need_proxy_address(&self) -> bool {
        self.0.iter().any(|rule| rule.when.proxy_address.is_some())
    }

    /// The workflows that rules name.
    pub fn workflows(&self) -> impl Iterator<Item = &WorkflowSid> {
        self.0.iter().filter_map(|rule| rule.workflow_sid.as_ref())
    }

    /// The unique names of the task channels that rules name.
    pub fn task_channels(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|rule| rule.task_channel.as_deref())
    }

    /// How a conversation is routed. What an outbound reach has left for it goes below what the rules say.
    #[must_use]
    pub fn route(
        &self,
        message: &FirstMessage,
        contact: Option<&Contact>,
        outbound: Option<&Outbound>,
        defaults: &RoutingDefaults,
    ) -> Routing {
        let author = message.author.as_ref().map(|author| author.as_str());
        let channel_type = ChannelType::of(author, contact, &message.attributes);
        let proxy = contact.and_then(|contact| contact.proxy_address.as_ref()).map(|proxy| proxy.as_str());
        // What a back end sends along with a reach may choose a rule, as a conversation's attributes may.
        let known = outbound.map_or(&message.attributes, |outbound| &outbound.attributes);
        let rule = self.0.iter().find(|rule| {
            rule.when.holds(channel_type, proxy, &message.attributes)
                || rule.when.holds(channel_type, proxy, known)
        });

        let mut attributes = outbound.map(|outbound| outbound.attributes.0.clone()).unwrap_or_default();
        attributes.extend(rule.map(|rule| rule.attributes.clone()).unwrap_or_default());
        if let Some(worker) = rule.and_then(|rule| rule.known_worker_sid.as_ref()) {
            // A workflow's target names it: `"known_worker_sid": "task.known_worker_sid"`.
            attributes.insert("known_worker_sid".to_owned(), worker.as_str().into());
        }
        // By these a task is told to be of a reach, and re-invites are counted.
        for of_ours in [REACH_ATTRIBUTE, REINVITES_ATTRIBUTE] {
            attributes.remove(of_ours);
        }
        describe_customer(&mut attributes, message, contact, channel_type);
        if let Some(outbound) = outbound {
            describe_reach(&mut attributes, outbound);
        }
        Routing {
            channel_type,
            agent: None,
            workflow: rule
                .and_then(|rule| rule.workflow_sid.clone())
                .unwrap_or_else(|| defaults.workflow.clone()),
            task_channel: rule
                .and_then(|rule| rule.task_channel.clone())
                .unwrap_or_else(|| defaults.task_channel.clone()),
            priority: rule.and_then(|rule| rule.priority),
            timeout: rule.and_then(|rule| rule.timeout),
            attributes: Personal(attributes),
        }
    }
}

impl RoutingRules {
    /// How the Interaction of an outbound reach is routed: to the agent who begins, or as a message of the
    /// customer would be.
    #[must_use]
    pub fn route_reach(
        &self,
        initiator: &Initiator,
        outbound: &Outbound,
        contact: &Contact,
        defaults: &RoutingDefaults,
    ) -> Routing {
        let routing = self.route(&FirstMessage::default(), Some(contact), Some(outbound), defaults);
        match initiator {
            Initiator::Agent(agent) => Routing { agent: Some(agent.clone()), ..routing },
            Initiator::Api | Initiator::System { .. } => routing,
        }
    }
}

/// Writes which outbound reach a task belongs to.
fn describe_reach(attributes: &mut Map<String, Value>, outbound: &Outbound) {
    let reach = json!({"id": outbound.reach, "initiatedBy": outbound.initiated_by});
    attributes.insert(REACH_ATTRIBUTE.to_owned(), reach);
    if let Some(name) = &outbound.customer_name {
        attributes.insert("customerName".to_owned(), name.as_str().into());
    }
}

impl Match {
    fn holds(&self, channel: ChannelType, proxy: Option<&str>, attributes: &Map<String, Value>) -> bool {
        self.channel.is_none_or(|wanted| wanted == channel)
            && self.proxy_address.as_deref().is_none_or(|wanted| Some(wanted) == proxy)
            && self
                .attribute
                .as_ref()
                .is_none_or(|wanted| find(attributes, &wanted.name) == Some(&wanted.equals))
    }
}

/// A conversation attribute by its name: at the top, along a dotted path, or in the pre-engagement data.
fn find<'a>(attributes: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let along = |object: &'a Map<String, Value>| {
        let mut parts = name.split('.');
        let first = object.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    };
    attributes
        .get(name)
        .or_else(|| along(attributes))
        .or_else(|| along(attributes.get("pre_engagement_data")?.as_object()?))
}

/// Writes who the customer is into the task's attributes, over whatever stood there. What the customer
/// filled in goes under `preEngagement` and nowhere else: it comes from their browser.
fn describe_customer(
    attributes: &mut Map<String, Value>,
    message: &FirstMessage,
    contact: Option<&Contact>,
    channel_type: ChannelType,
) {
    let filled_in = pre_engagement(&message.attributes);
    let address = contact
        .and_then(|contact| contact.address.as_ref().or(contact.identity.as_ref()))
        .or(message.author.as_ref())
        .map(|address| address.as_str())
        .unwrap_or_default();
    attributes.insert("from".to_owned(), address.into());
    attributes.insert("customerAddress".to_owned(), address.into());
    attributes.insert("channelType".to_owned(), channel_type.as_str().into());
    let name = ["friendlyName", "friendly_name", "name"]
        .into_iter()
        .find_map(|key| filled_in.as_ref()?.get(key)?.as_str())
        .map(|name| name.chars().take(LONGEST_NAME).collect::<String>())
        .filter(|name| !name.trim().is_empty());
    if let Some(name) = name {
        attributes.insert("customerName".to_owned(), name.into());
    }
    if let Some(id) = contact.and_then(|contact| contact.customer_id.as_ref()) {
        attributes.insert("customerId".to_owned(), id.as_str().into());
    }
    match filled_in {
        Some(filled_in) => attributes.insert("preEngagement".to_owned(), filled_in),
        None => attributes.remove("preEngagement"),
    };
}

/// What the customer filled in before the chat. WebChats keeps it as a JSON text or an object.
fn pre_engagement(attributes: &Map<String, Value>) -> Option<Value> {
    match attributes.get("pre_engagement_data")? {
        Value::String(text) => serde_json::from_str(text).ok().filter(Value::is_object),
        value @ Value::Object(_) => Some(value.clone()),
        _ => None,
    }
}

/// The Interaction to ask Twilio for
/// ([Interactions](https://www.twilio.com/docs/flex/developer/conversations/interactions-api/interactions)).
/// The customer is in the conversation already, whoever begins.
#[must_use]
pub fn new_interaction(
    conversation: &ConversationSid,
    routing: &Routing,
    initiated_by: Option<InitiatedBy>,
    workspace: &WorkspaceSid,
) -> NewInteraction {
    let initiated_by = match initiated_by {
        Some(InitiatedBy::Agent) if routing.agent.is_some() => "agent",
        Some(InitiatedBy::Api) => "api",
        _ => "customer",
    };
    NewInteraction {
        channel: Personal(json!({
            "type": routing.channel_type,
            "initiated_by": initiated_by,
            "properties": {"media_channel_sid": conversation},
        })),
        routing: routing_parameter(routing, workspace),
    }
}

/// The `Routing` parameter of an Interaction or an invite. It names worker and queue only where an agent begins;
/// else the workflow decides.
#[must_use]
pub fn routing_parameter(routing: &Routing, workspace: &WorkspaceSid) -> Personal<Value> {
    let mut properties = json!({
        "workspace_sid": workspace,
        "workflow_sid": routing.workflow,
        "task_channel_unique_name": routing.task_channel,
        "attributes": routing.attributes.0,
    });
    if let Some(priority) = routing.priority {
        properties["priority"] = priority.into();
    }
    if let Some(timeout) = routing.timeout {
        properties["timeout"] = timeout.into();
    }
    if let Some(agent) = &routing.agent {
        properties["worker_sid"] = agent.worker.as_str().into();
        properties["queue_sid"] = agent.queue.as_str().into();
    }
    Personal(json!({"properties": properties}))
}

/// The routing of the re-invite of this number: as it was the first time, through the workflow for re-invites.
/// An invite takes nothing over from the task before it
/// ([park an Interaction](https://www.twilio.com/docs/flex/developer/conversations/park-an-interaction)).
#[must_use]
pub fn reinvite_routing(first: &Routing, number: u32, defaults: &RoutingDefaults) -> Routing {
    // The agent who began may be the one who declined.
    let workflow = defaults.fallback_workflow.clone();
    let mut again = Routing { workflow, agent: None, ..first.clone() };
    again.attributes.0.insert(REINVITES_ATTRIBUTE.to_owned(), number.into());
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> RoutingDefaults {
        RoutingDefaults {
            workspace: "WS00000000000000000000000000000001".parse().unwrap(),
            workflow: "WW00000000000000000000000000000001".parse().unwrap(),
            fallback_workflow: "WW00000000000000000000000000000009".parse().unwrap(),
            task_channel: "chat".to_owned(),
        }
    }

    fn rules(json: &str) -> RoutingRules {
        serde_json::from_str(json).unwrap()
    }

    fn message(author: &str, attributes: &str) -> FirstMessage {
        FirstMessage {
            author: Some(author.to_owned().into()),
            participant: None,
            attributes: Personal(serde_json::from_str(attributes).unwrap()),
        }
    }

    const BILLING: &str = "WW00000000000000000000000000000002";

    #[test]
    fn without_rules_everything_goes_to_the_default_workflow() {
        let routing = RoutingRules::default().route(&message("+15551230001", "{}"), None, None, &defaults());
        assert_eq!(routing.workflow, defaults().workflow);
        assert_eq!(
            Value::Object(routing.attributes.0),
            json!({"from": "+15551230001", "customerAddress": "+15551230001", "channelType": "sms"})
        );
    }

    #[test]
    fn the_first_rule_that_matches_wins() {
        let rules = rules(&format!(
            r#"[{{"match":{{"channel":"whatsapp"}},"priority":1}},
                {{"match":{{"channel":"sms"}},"workflow_sid":"{BILLING}","priority":7,"timeout":60,"task_channel":"sms",
                  "attributes":{{"skill":"billing","from":"forged"}},"known_worker_sid":"WK00000000000000000000000000000001"}},
                {{"match":{{}},"priority":9}}]"#
        ));
        let routing = rules.route(&message("+15551230001", "{}"), None, None, &defaults());
        assert_eq!(
            (routing.workflow.as_str(), routing.priority, routing.timeout),
            (BILLING, Some(7), Some(60))
        );
        assert_eq!(routing.task_channel, "sms");
        assert_eq!(routing.attributes["skill"], "billing");
        assert_eq!(routing.attributes["from"], "+15551230001");
        assert_eq!(routing.attributes["known_worker_sid"], "WK00000000000000000000000000000001");
        assert_eq!(rules.route(&message("guest", "{}"), None, None, &defaults()).priority, Some(9));
    }

    #[test]
    fn a_rule_may_ask_for_our_address_and_for_an_attribute() {
        let rules = rules(
            r#"[{"match":{"proxy_address":"+15557770000"},"priority":1},
                {"match":{"attribute":{"name":"department","equals":"billing"}},"priority":2},
                {"match":{"attribute":{"name":"a.b","equals":3}},"priority":3}]"#,
        );
        assert!(rules.need_proxy_address());
        let contact = Contact { proxy_address: Some("+15557770000".to_owned().into()), ..Contact::default() };
        let priority = |author, attributes, contact| {
            rules.route(&message(author, attributes), contact, None, &defaults()).priority
        };
        assert_eq!(priority("+15551230001", "{}", Some(&contact)), Some(1));
        assert_eq!(priority("guest", r#"{"department":"billing"}"#, None), Some(2));
        assert_eq!(priority("guest", r#"{"pre_engagement_data":{"department":"billing"}}"#, None), Some(2));
        assert_eq!(priority("guest", r#"{"a":{"b":3}}"#, None), Some(3));
        assert_eq!(priority("guest", r#"{"department":"sales"}"#, None), None);
    }

    /// Trap 27.
    #[test]
    fn what_a_browser_sends_never_lands_over_routing_attributes() {
        let attributes = r#"{"pre_engagement_data":{"from":"ceo","customerAddress":"x","skill":"vip",
            "preEngagement":{"a":1},"friendlyName":"Ada"}}"#;
        let rules = rules(r#"[{"attributes":{"skill":"general"}}]"#);
        let routing = rules.route(&message("guest-1", attributes), None, None, &defaults());
        assert_eq!(routing.attributes["skill"], "general");
        assert_eq!(routing.attributes["from"], "guest-1");
        assert_eq!(routing.attributes["customerName"], "Ada");
        assert_eq!(routing.attributes["channelType"], "web");
        assert_eq!(routing.attributes["preEngagement"]["skill"], "vip");
    }

    #[test]
    fn no_rule_makes_a_task_one_of_a_reach_or_a_re_invite() {
        let rules = rules(
            r#"[{"attributes":{"outbound":{"id":"00000000000000000000000000000000"},"flexglueReinvites":99}}]"#,
        );
        let routing = rules.route(&message("+15551230001", "{}"), None, None, &defaults());
        assert!(!routing.attributes.contains_key(REACH_ATTRIBUTE));
        assert!(!routing.attributes.contains_key(REINVITES_ATTRIBUTE));
    }

    #[test]
    fn pre_engagement_data_may_be_a_text() {
        let routing = RoutingRules::default().route(
            &message("guest-1", r#"{"pre_engagement_data":"{\"friendlyName\":\"Ada\"}"}"#),
            None,
            None,
            &defaults(),
        );
        assert_eq!(routing.attributes["preEngagement"]["friendlyName"], "Ada");
        for odd in ["7", "[1]", "null", "\"not json\""] {
            let attributes = format!(r#"{{"pre_engagement_data":{odd}}}"#);
            let routing =
                RoutingRules::default().route(&message("guest-1", &attributes), None, None, &defaults());
            assert!(!routing.attributes.contains_key("preEngagement"), "{odd}");
        }
    }

    /// Trap 22.
    #[test]
    fn a_re_invite_goes_to_its_own_workflow_with_everything_else_as_it_was() {
        let rules =
            rules(r#"[{"priority":7,"timeout":60,"task_channel":"sms","attributes":{"skill":"billing"}}]"#);
        let first = rules.route(&message("+15551230001", "{}"), None, None, &defaults());
        let again = reinvite_routing(&first, 2, &defaults());
        assert_eq!(again.workflow, defaults().fallback_workflow);
        assert_eq!((again.priority, again.timeout, again.task_channel.as_str()), (Some(7), Some(60), "sms"));
        assert_eq!(again.attributes["skill"], "billing");
        assert_eq!(again.attributes["flexglueReinvites"], 2);
        let parameter = routing_parameter(&again, &defaults().workspace);
        assert!(parameter["properties"].get("worker_sid").is_none());
    }

    #[test]
    fn a_rule_with_a_misspelt_name_is_an_error() {
        for bad in [
            r#"[{"workflow":"WW00000000000000000000000000000002"}]"#,
            r#"[{"match":{"chanel":"sms"}}]"#,
            r#"[{"match":{"channel":"fax"}}]"#,
            r#"[{"workflow_sid":"WS00000000000000000000000000000002"}]"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<RoutingRules>(bad).is_err(), "{bad}");
        }
    }
}
