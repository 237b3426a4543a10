//! [The workspace](https://www.twilio.com/docs/taskrouter/api/workspace) of Flex, its
//! [workflows](https://www.twilio.com/docs/taskrouter/api/workflow) and
//! [task channels](https://www.twilio.com/docs/taskrouter/api/task-channel), as `flexglue doctor` looks at them.

use serde::Deserialize;
use serde_json::Value;

use super::{Call, CallError, Page, Twilio, messages::AnyAnswer, page::RawPage};
use crate::{
    clock::Deadline,
    sid::{WorkflowSid, WorkspaceSid},
};

/// A workspace.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkspaceResource {
    /// Where TaskRouter tells what happens; there is one place.
    #[serde(default)]
    pub event_callback_url: Option<String>,
    /// What it tells, separated by commas; everything where it is empty.
    #[serde(default)]
    pub events_filter: Option<String>,
}

/// A workflow.
#[derive(Clone, Debug, Deserialize)]
pub struct WorkflowResource {
    /// What people call it.
    #[serde(default)]
    pub friendly_name: Option<String>,
    /// Its steps, a JSON text.
    #[serde(default)]
    configuration: Option<String>,
}

impl WorkflowResource {
    /// Whether tasks that none of its filters match go anywhere.
    #[must_use]
    pub fn has_default_filter(&self) -> bool {
        let configuration = self.configuration.as_deref().unwrap_or_default();
        let configuration: Value = serde_json::from_str(configuration).unwrap_or_default();
        configuration["task_routing"]["default_filter"]["queue"].is_string()
    }
}

/// A task channel.
#[derive(Clone, Debug, Deserialize)]
pub struct TaskChannelResource {
    /// By which tasks name it.
    #[serde(default)]
    pub unique_name: Option<String>,
}

impl Twilio {
    /// A workspace.
    pub async fn workspace(
        &self,
        sid: &WorkspaceSid,
        deadline: Deadline,
    ) -> Result<WorkspaceResource, CallError> {
        let path = format!("/v1/Workspaces/{sid}");
        self.send(Call::get(&self.bases.taskrouter, path, Vec::new()), deadline).await
    }

    /// Changes where TaskRouter tells what happens, and what: names separated by commas.
    pub async fn update_workspace(
        &self,
        sid: &WorkspaceSid,
        event_callback_url: &str,
        events_filter: &str,
        deadline: Deadline,
    ) -> Result<(), CallError> {
        let fields = vec![
            ("EventCallbackUrl", event_callback_url.to_owned()),
            ("EventsFilter", events_filter.to_owned()),
        ];
        let path = format!("/v1/Workspaces/{sid}");
        let AnyAnswer {} = self.send(Call::post(&self.bases.taskrouter, path, fields), deadline).await?;
        Ok(())
    }

    /// One of its workflows, or `None` where it has no such.
    pub async fn workflow(
        &self,
        workspace: &WorkspaceSid,
        sid: &WorkflowSid,
        deadline: Deadline,
    ) -> Result<Option<WorkflowResource>, CallError> {
        let path = format!("/v1/Workspaces/{workspace}/Workflows/{sid}");
        match self.send(Call::get(&self.bases.taskrouter, path, Vec::new()), deadline).await {
            Ok(workflow) => Ok(Some(workflow)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Its task channels: the first thousand, which are all.
    pub async fn task_channels(
        &self,
        workspace: &WorkspaceSid,
        deadline: Deadline,
    ) -> Result<Page<TaskChannelResource>, CallError> {
        let path = format!("/v1/Workspaces/{workspace}/TaskChannels");
        let call = Call::get(&self.bases.taskrouter, path, vec![("PageSize", "1000".to_owned())]);
        self.send::<RawPage>(call, deadline).await?.read("channels")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workflow_has_a_default_filter_where_it_names_a_queue() {
        let with = |configuration: &str| {
            let configuration = Some(configuration.to_owned());
            WorkflowResource { friendly_name: None, configuration }.has_default_filter()
        };
        assert!(with(r#"{"task_routing":{"filters":[],"default_filter":{"queue":"WQ1"}}}"#));
        for none in [
            "",
            "{",
            "{}",
            r#"{"task_routing":{"filters":[]}}"#,
            r#"{"task_routing":{"default_filter":null}}"#,
            r#"{"task_routing":{"default_filter":{}}}"#,
        ] {
            assert!(!with(none), "{none}");
        }
    }
}
