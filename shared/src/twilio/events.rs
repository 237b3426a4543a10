//! TaskRouter's [log of events](https://www.twilio.com/docs/taskrouter/api/event): what a callback told, or
//! would have told, for 30 days.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Call, CallError, FlexTask, Page, TaskResource, Twilio,
    page::{Next, RawPage},
};
use crate::{
    clock::{Deadline, Timestamp},
    personal::Personal,
    sid::{ConversationSid, TaskSid, WorkflowSid, WorkspaceSid},
};

/// One entry of the log.
#[derive(Clone, Debug, Deserialize)]
pub struct EventResource {
    /// `task.canceled`, `reservation.accepted`, …
    pub event_type: String,
    /// What it is about.
    #[serde(default)]
    pub event_data: EventData,
    #[serde(default)]
    event_date: Option<String>,
    #[serde(default)]
    event_date_ms: Option<u64>,
}

/// What an entry is about. Twilio gives numbers as texts here and there, so nothing but texts is read.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct EventData {
    /// The task.
    #[serde(default)]
    pub task_sid: Option<String>,
    /// Its attributes, a JSON text.
    #[serde(default)]
    pub task_attributes: Option<Personal<String>>,
    /// Its workflow.
    #[serde(default)]
    pub workflow_sid: Option<String>,
    /// Its task channel.
    #[serde(default)]
    pub task_channel_unique_name: Option<String>,
}

impl EventResource {
    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        let by_date = || Timestamp::from_rfc_3339(self.event_date.as_deref()?);
        self.event_date_ms.map(Timestamp::from_millis).or_else(by_date)
    }

    /// The task it is about.
    #[must_use]
    pub fn task(&self) -> Option<TaskSid> {
        self.event_data.task_sid.as_ref()?.parse().ok()
    }

    /// The task as one of Flex, where it is one and belongs to `conversation`.
    #[must_use]
    pub fn flex_task(&self, conversation: &ConversationSid) -> Option<FlexTask> {
        let attributes = self.event_data.task_attributes.clone()?;
        // What names another conversation need not be read.
        if !attributes.contains(conversation.as_str()) {
            return None;
        }
        let task = TaskResource::with_attributes(self.task()?, Some(attributes));
        task.flex().filter(|task| task.conversation.as_ref() == Some(conversation))
    }

    /// The workflow of that task.
    #[must_use]
    pub fn workflow(&self) -> Option<WorkflowSid> {
        self.event_data.workflow_sid.as_ref()?.parse().ok()
    }
}

/// How long TaskRouter keeps its events.
pub const EVENTS_KEPT: Duration = Duration::from_hours(24 * 30);

/// Which events are asked for.
#[derive(Clone, Debug)]
pub enum EventQuery<'a> {
    /// Those of one task.
    OfTask(&'a TaskSid),
    /// Those of one type.
    OfType(&'static str),
    /// Those of one type up to a time.
    OfTypeUntil(&'static str, Timestamp),
}

impl Twilio {
    /// One page of the events since `since`, 100 at most, newest first.
    pub async fn events(
        &self,
        workspace: &WorkspaceSid,
        query: &EventQuery<'_>,
        since: Timestamp,
        after: Option<&Next>,
        deadline: Deadline,
    ) -> Result<Page<EventResource>, CallError> {
        let since = Timestamp::from_seconds(since.as_seconds());
        let mut fields = vec![("StartDate", since.to_string()), ("PageSize", "100".to_owned())];
        match query {
            EventQuery::OfTask(task) => fields.push(("TaskSid", task.as_str().to_owned())),
            EventQuery::OfType(name) => fields.push(("EventType", (*name).to_owned())),
            EventQuery::OfTypeUntil(name, until) => {
                let until = Timestamp::from_seconds(until.as_seconds() + 1);
                fields.extend([("EventType", (*name).to_owned()), ("EndDate", until.to_string())]);
            }
        }
        fields.extend(after.into_iter().flat_map(Next::fields));
        let call = Call::get(&self.bases.taskrouter, format!("/v1/Workspaces/{workspace}/Events"), fields);
        self.send::<RawPage>(call, deadline).await?.read("events")
    }
}
