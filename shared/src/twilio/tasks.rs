//! [TaskRouter tasks](https://www.twilio.com/docs/taskrouter/api/task), as far as they lead to an Interaction.
//! Tasks are read here and never changed: Flex asks to go through the Interaction
//! ([best practices](https://www.twilio.com/docs/flex/developer/conversations/best-practices)).

use serde::Deserialize;

use super::{Call, CallError, Twilio, page::RawPage};
use crate::{
    clock::{Deadline, Timestamp},
    personal::Personal,
    sid::{ConversationSid, InteractionChannelSid, InteractionSid, TaskSid, WorkspaceSid},
};

/// A task as Twilio knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskResource {
    /// Its SID.
    pub sid: TaskSid,
    /// `pending`, `reserved`, `assigned`, `canceled`, `completed`, `wrapping`.
    #[serde(default)]
    pub assignment_status: Option<String>,
    /// A JSON text. Lists may leave it out; a single read shows it.
    #[serde(default)]
    pub attributes: Option<Personal<String>>,
    /// When it last changed, RFC 3339.
    #[serde(default)]
    date_updated: Option<String>,
}

/// Where a task stands
/// ([life cycle](https://www.twilio.com/docs/taskrouter/lifecycle-task-state)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskStanding {
    /// Waiting, offered, accepted or being wrapped up; or a word that Twilio has added since.
    Live,
    /// An agent has completed it.
    Completed,
    /// It was canceled.
    Canceled,
}

/// The task attribute that carries the number of a re-invite.
pub const REINVITES_ATTRIBUTE: &str = "flexglueReinvites";

/// The task attribute that says for which outbound reach the task was made: an object with its `id`.
pub const REACH_ATTRIBUTE: &str = "outbound";

/// What a task says of the Interaction it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlexTask {
    /// The task.
    pub task: TaskSid,
    /// Its Interaction.
    pub interaction: InteractionSid,
    /// The channel of that Interaction.
    pub channel: InteractionChannelSid,
    /// Its conversation, where it names one.
    pub conversation: Option<ConversationSid>,
    /// Which re-invite of ours it is; 0 where it is none.
    pub reinvite: u32,
    /// For which outbound reach it was made, where it was for one.
    pub reach: Option<String>,
}

#[derive(Deserialize)]
struct FlexAttributes {
    #[serde(rename = "flexInteractionSid")]
    interaction: InteractionSid,
    #[serde(rename = "flexInteractionChannelSid")]
    channel: InteractionChannelSid,
    #[serde(default, rename = "conversationSid")]
    conversation: serde_json::Value,
    #[serde(default, rename = "flexglueReinvites")]
    reinvite: serde_json::Value,
    #[serde(default, rename = "outbound")]
    outbound: serde_json::Value,
}

/// The number of a re-invite as a task's attribute has it; 0 where it has none.
#[must_use]
pub fn reinvite_number(attribute: Option<&serde_json::Value>) -> u32 {
    attribute
        .and_then(serde_json::Value::as_u64)
        .and_then(|number| number.try_into().ok())
        .unwrap_or_default()
}

impl TaskResource {
    /// A task of which only the attributes are known.
    #[must_use]
    pub fn with_attributes(sid: TaskSid, attributes: Option<Personal<String>>) -> Self {
        Self { sid, assignment_status: None, attributes, date_updated: None }
    }

    /// Where it stands.
    #[must_use]
    pub fn standing(&self) -> TaskStanding {
        match self.assignment_status.as_deref() {
            Some("completed") => TaskStanding::Completed,
            Some("canceled") => TaskStanding::Canceled,
            _ => TaskStanding::Live,
        }
    }

    /// When it last changed, where Twilio says.
    #[must_use]
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.date_updated.as_deref().and_then(Timestamp::from_rfc_3339)
    }

    /// The Interaction of this task; `None` where it is none of Flex's. `flexInteractionChannelSid` is what
    /// Flex itself goes by.
    #[must_use]
    pub fn flex(&self) -> Option<FlexTask> {
        let attributes: FlexAttributes = serde_json::from_str(self.attributes.as_ref()?).ok()?;
        Some(FlexTask {
            task: self.sid.clone(),
            interaction: attributes.interaction,
            channel: attributes.channel,
            conversation: attributes.conversation.as_str().and_then(|sid| sid.parse().ok()),
            reinvite: reinvite_number(Some(&attributes.reinvite)),
            reach: attributes.outbound["id"].as_str().map(str::to_owned),
        })
    }
}

impl Twilio {
    /// The tasks whose attributes name `conversation`, with their attributes. A task is gone five minutes
    /// after its end. Twilio answers only three such questions a second, so this is for recovery, never for
    /// what happens on every message.
    pub async fn tasks_of_conversation(
        &self,
        workspace: &WorkspaceSid,
        conversation: &ConversationSid,
        deadline: Deadline,
    ) -> Result<Vec<TaskResource>, CallError> {
        let call = Call::get(
            &self.bases.taskrouter,
            format!("/v1/Workspaces/{workspace}/Tasks"),
            vec![("EvaluateTaskAttributes", format!("conversationSid == \"{conversation}\""))],
        );
        let mut tasks = self.send::<RawPage>(call, deadline).await?.read::<TaskResource>("tasks")?.items;
        for task in tasks.iter_mut().filter(|task| task.attributes.is_none()) {
            if let Some(whole) = self.task(workspace, &task.sid, deadline).await? {
                *task = whole;
            }
        }
        Ok(tasks)
    }

    /// One task, or `None` where it is gone.
    pub async fn task(
        &self,
        workspace: &WorkspaceSid,
        sid: &TaskSid,
        deadline: Deadline,
    ) -> Result<Option<TaskResource>, CallError> {
        let call =
            Call::get(&self.bases.taskrouter, format!("/v1/Workspaces/{workspace}/Tasks/{sid}"), Vec::new());
        match self.send(call, deadline).await {
            Ok(task) => Ok(Some(task)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
