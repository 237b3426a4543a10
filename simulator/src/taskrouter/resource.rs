//! Tasks over REST: read, listed, changed and deleted.

use serde_json::{Map, Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;
use crate::dates;
use crate::flex::transfers;
use crate::page::{Row, page};
use crate::parameters::{NONE, Published};
use crate::taskrouter::tasks::{self, Task, TaskStatus};
use crate::world::World;

const LIST: Published = Published {
    required: &[],
    optional: &[
        "Priority",
        "WorkflowSid",
        "WorkflowName",
        "TaskQueueSid",
        "TaskQueueName",
        "EvaluateTaskAttributes",
        "RoutingTarget",
        "Ordering",
        "HasAddons",
        "PageSize",
        "Page",
        "PageToken",
    ],
    repeated: &["AssignmentStatus"],
};

const UPDATE: Published = Published {
    required: &[],
    optional: &["Attributes", "AssignmentStatus", "Reason", "Priority", "TaskChannel", "VirtualStartTime"],
    repeated: &[],
};

impl Task {
    fn json(&self, world: &World, url: &str, attributes: &Value) -> Value {
        let settings = &world.settings;
        json!({
            "account_sid": settings.account_sid,
            "workspace_sid": settings.workspace_sid,
            "sid": self.sid,
            "age": self.age_s(world.now),
            "assignment_status": self.status.as_str(),
            "attributes": attributes,
            "addons": "{}",
            "date_created": dates::seconds(self.created_ms),
            "date_updated": dates::seconds(self.updated_ms),
            "task_queue_entered_date": dates::seconds(self.created_ms),
            "virtual_start_time": dates::seconds(self.created_ms),
            "priority": self.priority,
            "reason": self.reason,
            "task_queue_sid": self.queue_sid,
            "task_queue_friendly_name": "Everyone",
            "task_channel_sid": self.task_channel_sid(settings),
            "task_channel_unique_name": self.task_channel,
            "timeout": self.timeout_s,
            "workflow_sid": self.workflow_sid,
            "workflow_friendly_name": "Assign to Anyone",
            "ignore_capacity": false,
            "routing_target": self.routing_target,
            "url": url,
            "links": { "reservations": format!("{url}/Reservations") },
        })
    }
}

pub(super) fn find<'w>(world: &'w World, call: &Call, sid: &str) -> Result<&'w Task, Refusal> {
    world.tasks.get(sid).ok_or_else(|| call.not_found())
}

pub(super) fn fetch(world: &World, call: &Call, sid: &str) -> Reply {
    NONE.read(&call.query)?;
    show(world, call, sid)
}

fn show(world: &World, call: &Call, sid: &str) -> Reply {
    let task = find(world, call, sid)?;
    Ok(Answer::ok(task.json(world, &call.url(), &json!(task.attributes_json()))))
}

pub(super) fn list(world: &mut World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    for unsimulated in ["WorkflowName", "TaskQueueName", "Ordering", "HasAddons", "Priority"] {
        if parameters.text(unsimulated).is_some() {
            return Err(Refusal::invalid(format!("{unsimulated} is not simulated")));
        }
    }
    let statuses = parameters.all("AssignmentStatus");
    let expression = parameters.text("EvaluateTaskAttributes").map(Expression::read).transpose()?;
    let workflow = parameters.sid("WorkflowSid", "WW")?;
    let queue = parameters.sid("TaskQueueSid", "WQ")?;
    let target = parameters.text("RoutingTarget");
    if expression.is_some() {
        limit_attribute_queries(world)?;
    }
    let found: Vec<&Task> = world
        .tasks
        .values()
        .filter(|task| {
            (statuses.is_empty() || statuses.iter().any(|status| status == task.status.as_str()))
                && expression.as_ref().is_none_or(|expression| expression.holds(&task.attributes))
                && workflow.as_ref().is_none_or(|workflow| task.workflow_sid == *workflow)
                && queue.as_ref().is_none_or(|queue| task.queue_sid == *queue)
                && target.is_none_or(|target| task.routing_target.as_deref() == Some(target))
        })
        .collect();
    let row = |task: &Task| {
        let hidden = world.settings.list_hides_task_attributes;
        let attributes = if hidden { Value::Null } else { json!(task.attributes_json()) };
        Row::at(task.born, task.json(world, &format!("{}/{}", call.url(), task.sid), &attributes))
    };
    page(call, "tasks", 50, 1000, found.into_iter().map(row).collect())
}

/// Queries by attributes are dear to Twilio, which allows few of them.
fn limit_attribute_queries(world: &mut World) -> Result<(), Refusal> {
    let most = world.settings.attribute_queries_per_second;
    if world.attribute_queries.admits(most, world.now) {
        Ok(())
    } else {
        Err(Refusal::new(429, 20429, "Too Many Requests"))
    }
}

/// `name == "value"`: the one form of `TaskRouter`'s expressions that is simulated. A name may have dots.
struct Expression {
    path: Vec<String>,
    value: String,
}

impl Expression {
    fn read(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).ok_or_else(|| {
            Refusal::invalid(format!(
                "EvaluateTaskAttributes: {text} is not simulated, only name == \"value\""
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once("==")?;
        let (name, value) = (name.trim(), value.trim());
        let is_name = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let value = value.strip_prefix(quote)?.strip_suffix(quote)?;
        let path: Vec<String> = name.split('.').map(str::to_owned).collect();
        (path.iter().all(|part| is_name(part)) && !value.contains(quote))
            .then(|| Self { path, value: value.to_owned() })
    }

    fn holds(&self, attributes: &Map<String, Value>) -> bool {
        let Some((first, rest)) = self.path.split_first() else { return false };
        let found = rest.iter().try_fold(attributes.get(first), |value, part| Some(value?.get(part)));
        found.flatten().and_then(Value::as_str) == Some(self.value.as_str())
    }
}

pub(super) fn update(world: &mut World, call: &Call, sid: &str) -> Reply {
    let parameters = UPDATE.read(&call.form)?;
    let attributes = match parameters.text("Attributes").map(serde_json::from_str::<Map<String, Value>>) {
        None => None,
        Some(Ok(attributes)) => Some(attributes),
        Some(Err(_)) => return Err(Refusal::invalid("Attributes is not a JSON object")),
    };
    let status = parameters.one_of("AssignmentStatus", &TaskStatus::NAMES)?;
    let reason = parameters.text("Reason").unwrap_or_default();
    let priority = parameters
        .text("Priority")
        .map(|text| text.parse::<i64>().map_err(|_| Refusal::invalid("Invalid Priority")))
        .transpose()?;
    let current = find(world, call, sid)?.status;
    let allowed = match status {
        None => true,
        Some("canceled") => matches!(current, TaskStatus::Pending | TaskStatus::Reserved),
        Some("completed") => matches!(current, TaskStatus::Assigned | TaskStatus::Wrapping),
        Some("wrapping") => current == TaskStatus::Assigned,
        Some(_) => false,
    };
    if !allowed {
        let message = format!("Cannot change a task that is {} in that way", current.as_str());
        return Err(Refusal::new(400, 20001, message));
    }
    let now = world.now;
    if let Some(task) = world.tasks.get_mut(sid) {
        task.updated_ms = now;
        task.attributes = attributes.unwrap_or_else(|| std::mem::take(&mut task.attributes));
        task.priority = priority.unwrap_or(task.priority);
    }
    match status {
        Some("canceled") => {
            transfers::task_withdrawn(world, sid);
            tasks::cancel(world, sid, reason);
        }
        Some("completed") => tasks::complete(world, sid, reason),
        Some("wrapping") => tasks::wrap(world, sid),
        _ => {}
    }
    show(world, call, sid)
}

pub(super) fn delete(world: &mut World, call: &Call, sid: &str) -> Reply {
    find(world, call, sid)?;
    tasks::remove(world, sid, "task.deleted");
    Ok(Answer::deleted())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Sim, code, text};

    fn tasks_path(sim: &Sim) -> String {
        format!("/v1/Workspaces/{}/Tasks", sim.twilio.settings().workspace_sid)
    }

    fn by_attribute(sim: &Sim, expression: &str) -> crate::testing::Answered {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("EvaluateTaskAttributes", expression)
            .finish();
        sim.get(&format!("{}?{query}", tasks_path(sim)))
    }

    #[test]
    fn an_expression_compares_one_attribute_with_one_text() {
        let attributes = json!({ "conversationSid": "CH1", "conversations": { "conversation_id": "KD1" } });
        let attributes = attributes.as_object().expect("an object");
        let holds = |text: &str| Expression::parse(text).map(|found| found.holds(attributes));
        assert_eq!(holds(r#"conversationSid == "CH1""#), Some(true));
        assert_eq!(holds("conversationSid=='CH1'"), Some(true));
        assert_eq!(holds("conversations.conversation_id == 'KD1'"), Some(true));
        assert_eq!(holds("conversationSid == 'CH2'"), Some(false));
        assert_eq!(holds("missing.deeper == 'CH2'"), Some(false));
        for other in ["conversationSid = 'CH1'", "a == 'b' AND c == 'd'", "a == b", "a-b == 'c'", "a == '"] {
            assert!(holds(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_task_is_found_by_its_conversation() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        for quote in ['"', '\''] {
            let expression = format!("conversationSid == {quote}{}{quote}", engaged.conversation);
            let (status, body) = by_attribute(&sim, &expression);
            assert_eq!((status, &body["tasks"][0]["sid"]), (200, &engaged.task.clone().into()));
            assert!(text(&body["tasks"][0]["attributes"]).contains(&engaged.conversation));
        }
        assert_eq!(by_attribute(&sim, "conversationSid == 'CH1'").1["tasks"], json!([]));
        assert_eq!(code(&by_attribute(&sim, "conversationSid HAS 'CH1'")), 20001);
        assert_eq!(code(&sim.get(&format!("{}?evaluateTaskAttributes=x", tasks_path(&sim)))), 20001);
    }

    #[test]
    fn a_list_may_hide_attributes_which_a_fetch_shows() {
        let sim = Sim::with(|settings| settings.list_hides_task_attributes = true);
        let engaged = sim.engaged();
        let (_, body) = by_attribute(&sim, &format!("conversationSid == '{}'", engaged.conversation));
        assert_eq!(body["tasks"][0]["attributes"], Value::Null);
        let (_, task) = sim.get(&format!("{}/{}", tasks_path(&sim), engaged.task));
        assert!(text(&task["attributes"]).contains(&engaged.conversation));
    }

    #[test]
    fn queries_by_attributes_may_be_limited() {
        let sim = Sim::with(|settings| settings.attribute_queries_per_second = Some(3));
        let ask = || by_attribute(&sim, "conversationSid == 'CH1'").0;
        assert_eq!([ask(), ask(), ask(), ask()], [200, 200, 200, 429]);
        assert_eq!(sim.get(&tasks_path(&sim)).0, 200);
        sim.clock.advance(1000);
        assert_eq!(ask(), 200);
    }

    #[test]
    fn only_a_task_that_is_not_assigned_can_be_canceled() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
        let path = format!("{}/{}", tasks_path(&sim), engaged.task);
        assert_eq!(sim.post(&path, &[("AssignmentStatus", "canceled")]).0, 400);
        assert_eq!(sim.post(&path, &[("Attributes", r#"{"a":1}"#)]).1["attributes"], r#"{"a":1}"#);
        assert_eq!(
            sim.post(&path, &[("AssignmentStatus", "completed"), ("Reason", "done")]).1["reason"],
            "done"
        );
    }

    #[test]
    fn a_deleted_task_is_gone_at_once() {
        let sim = Sim::new();
        let engaged = sim.engaged();
        let path = format!("{}/{}", tasks_path(&sim), engaged.task);
        assert_eq!([sim.delete(&path), sim.delete(&path)], [204, 404]);
        assert_eq!(sim.events(), ["task.deleted"]);
    }
}
