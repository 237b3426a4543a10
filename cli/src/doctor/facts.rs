//! What Twilio shows of an account, asked for side by side.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use shared::{
    clock::{Clock, Deadline, Timestamp},
    config::Settings,
    secrets::Secrets,
    sid::{ApiKeySid, WorkflowSid},
    twilio::{
        AccountResource, AddressResource, AlertResource, CallError, ConversationsConfiguration,
        FlexConfiguration, TaskChannelResource, Twilio, WebhookConfiguration, WorkflowResource,
        WorkspaceResource,
    },
};

/// What was asked for, and what came of it.
#[derive(Debug)]
pub(super) struct Facts {
    pub account: Result<AccountResource, CallError>,
    /// By how many milliseconds Twilio's clock is ahead of this machine's, as far as a header of whole seconds tells.
    pub clock_ahead_ms: Option<i64>,
    pub flex: Result<FlexConfiguration, CallError>,
    pub conversations: Result<ConversationsConfiguration, CallError>,
    pub addresses: Result<Vec<AddressResource>, CallError>,
    pub global_webhook: Result<WebhookConfiguration, CallError>,
    pub service_webhook: Result<WebhookConfiguration, CallError>,
    pub workspace: Result<WorkspaceResource, CallError>,
    pub workflows: Vec<(WorkflowSid, Result<Option<WorkflowResource>, CallError>)>,
    pub task_channels: Result<Vec<TaskChannelResource>, CallError>,
    /// What the debugger has noted in the last day.
    pub alerts: Result<Vec<AlertResource>, CallError>,
    /// Whether each API key of the secret is let in.
    pub keys: Vec<(ApiKeySid, Result<(), CallError>)>,
}

const DAY: Duration = Duration::from_hours(24);

/// Requests at once, of one kind.
const AT_ONCE: usize = 4;

pub(super) async fn gather(
    twilio: &Twilio,
    settings: &Settings,
    secrets: &Secrets,
    clock: &dyn Clock,
    deadline: Deadline,
) -> Facts {
    let workspace = &settings.routing.workspace;
    let yesterday = clock.now() - DAY;
    let (account, flex, conversations, addresses, global_webhook, service_webhook) = tokio::join!(
        Box::pin(account(twilio, clock, deadline)),
        Box::pin(twilio.flex_configuration(deadline)),
        Box::pin(twilio.conversations_configuration(deadline)),
        Box::pin(twilio.addresses(deadline)),
        Box::pin(twilio.global_webhook(deadline)),
        Box::pin(twilio.service_webhook(&settings.chat_service, deadline)),
    );
    let (workspace_resource, workflows, task_channels, alerts, keys) = tokio::join!(
        Box::pin(twilio.workspace(workspace, deadline)),
        Box::pin(workflows(twilio, settings, deadline)),
        Box::pin(twilio.task_channels(workspace, deadline)),
        Box::pin(twilio.alerts("error", yesterday, deadline)),
        Box::pin(keys(twilio, secrets, deadline)),
    );
    let (account, clock_ahead_ms) = account;
    Facts {
        account,
        clock_ahead_ms,
        flex,
        conversations,
        addresses,
        global_webhook,
        service_webhook,
        workspace: workspace_resource,
        workflows,
        task_channels: task_channels.map(|page| page.items),
        alerts,
        keys,
    }
}

/// The account, and how far Twilio's clock is ahead.
async fn account(
    twilio: &Twilio,
    clock: &dyn Clock,
    deadline: Deadline,
) -> (Result<AccountResource, CallError>, Option<i64>) {
    match twilio.account(deadline).await {
        Ok((account, date)) => (Ok(account), date.map(|date| ahead(date, clock.now()))),
        Err(error) => (Err(error), None),
    }
}

fn ahead(theirs: Timestamp, ours: Timestamp) -> i64 {
    let millis = |at: Timestamp| i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    millis(theirs) - millis(ours)
}

/// Every workflow that tasks are sent to: the default one, that of re-invites, and those of rules.
async fn workflows(
    twilio: &Twilio,
    settings: &Settings,
    deadline: Deadline,
) -> Vec<(WorkflowSid, Result<Option<WorkflowResource>, CallError>)> {
    let routing = &settings.routing;
    let mut named = BTreeSet::from([routing.workflow.clone(), routing.fallback_workflow.clone()]);
    named.extend(settings.rules.workflows().cloned());
    stream::iter(named)
        .map(async |workflow| {
            let found = twilio.workflow(&routing.workspace, &workflow, deadline).await;
            (workflow, found)
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Whether each key is let in: what it asks for is of no interest.
async fn keys(
    twilio: &Twilio,
    secrets: &Secrets,
    deadline: Deadline,
) -> Vec<(ApiKeySid, Result<(), CallError>)> {
    let Ok(credentials) = secrets.current().await else { return Vec::new() };
    stream::iter(credentials.api_keys())
        .map(async |key| {
            let name = key.sid.clone();
            let asked = twilio.with_key(key).conversations_configuration(deadline).await;
            (name, asked.map(drop))
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}
