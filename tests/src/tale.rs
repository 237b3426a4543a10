//! A conversation with an Interaction, and what may happen to it: the situations are told with it.

use std::time::Duration;

use flexglue::local::{
    gateway::Routes,
    system::{PUBLIC_URL, SMS_NUMBER, call_back},
};
use http::Method;
use serde_json::Value;
use shared::conversation::Conversation;
use simulator::{ConversationState, Task, TaskStatus, Times, WebhookFault, WebhookMisbehaviour};

use crate::rig::{Answer, CUSTOMER, Rig};

/// What the customer is told by default.
pub const STILL_WAITING: &str = "Thank you for waiting. We are still looking for somebody to help you.";
/// What the customer is told by default before the conversation is closed.
pub const NO_AGENT: &str = "We are sorry that nobody could help you now. Please write to us again later.";

/// After how long the workflow gives up on the first task of a [`Tale`].
pub const PATIENCE: Duration = Duration::from_mins(10);

/// A conversation, with everything around it.
pub struct Tale {
    /// Everything.
    pub rig: Rig,
    /// The functions.
    pub front: Routes,
    /// The conversation.
    pub sid: String,
}

impl Tale {
    /// A customer has written, and their task waits for an agent. Its workflow gives up on it after
    /// [`PATIENCE`]; on those that come later it does not.
    pub async fn waiting(variables: &[(&'static str, &str)]) -> Self {
        Self::waiting_in(|_| {}, variables).await
    }

    /// The same, in an account of the test's.
    pub async fn waiting_in(
        account: impl FnOnce(&mut simulator::Settings),
        variables: &[(&'static str, &str)],
    ) -> Self {
        let rig = Rig::with(
            1,
            |settings| {
                call_back(settings, PUBLIC_URL);
                settings.workflow_timeout_s = Some(PATIENCE.as_secs());
                account(settings);
            },
            variables,
        );
        let front = rig.front().await;
        let sid = rig.system.twilio.customer_writes(CUSTOMER, SMS_NUMBER, "hello").conversation_sid;
        let tale = Self { rig, front, sid };
        tale.deliver().await;
        tale.rig.system.twilio.change_settings(|settings| settings.workflow_timeout_s = None);
        tale.rig.pass(Duration::from_secs(1)).await;
        tale
    }

    /// A customer has written, and the first agent has accepted.
    pub async fn served(variables: &[(&'static str, &str)]) -> Self {
        let tale = Self::waiting(variables).await;
        tale.agent_accepts(0).await;
        tale
    }

    /// An agent has left it to a second one, who has declined, of which nobody was told yet.
    pub async fn declined() -> Self {
        let tale = Box::pin(Self::served(&[])).await;
        let first = tale.task();
        let second = tale.invite(Some(1)).await;
        tale.rig.system.twilio.agent_leaves(&first).expect("they are in it");
        tale.deliver().await;
        tale.pass(Duration::from_secs(5)).await;
        tale.rig.system.twilio.agent_rejects(&second, &tale.worker(1)).expect("it is offered");
        tale
    }

    /// Carries every webhook to the functions, and those that come of it, until there are none.
    pub async fn deliver(&self) -> Vec<Answer> {
        let mut answers = Vec::new();
        loop {
            let more = self.rig.deliver_all(&self.front).await;
            if more.is_empty() {
                return answers;
            }
            answers.extend(more);
        }
    }

    /// Throws every webhook away.
    pub fn lose_webhooks(&self) {
        let _ = self.rig.system.twilio.take_webhooks();
    }

    /// Minutes pass, with a sweep each, and webhooks are delivered.
    pub async fn minutes(&self, minutes: u32) {
        for _ in 0..minutes {
            self.rig.pass(Duration::from_mins(1)).await;
            self.deliver().await;
            self.rig.sweep().await;
            self.deliver().await;
        }
    }

    /// Time passes and webhooks are delivered; nobody sweeps.
    pub async fn pass(&self, duration: Duration) {
        self.rig.pass(duration).await;
        self.deliver().await;
    }

    /// The agents' SIDs.
    #[must_use]
    pub fn worker(&self, number: usize) -> String {
        self.rig.system.twilio.settings().workers[number].sid.clone()
    }

    /// The tasks of the conversation that are not over, oldest first.
    #[must_use]
    pub fn live_tasks(&self) -> Vec<Task> {
        let mut tasks = self.rig.system.twilio.tasks();
        let on = |task: &Task| task.attributes.get("conversationSid") == Some(&self.sid.clone().into());
        tasks.retain(|task| on(task) && !matches!(task.status, TaskStatus::Canceled | TaskStatus::Completed));
        tasks
    }

    /// The newest of them.
    #[must_use]
    pub fn task(&self) -> String {
        self.live_tasks().pop().expect("a task is open").sid
    }

    /// An agent accepts the newest task.
    pub async fn agent_accepts(&self, number: usize) {
        self.rig.system.twilio.agent_accepts(&self.task(), &self.worker(number)).expect("it is offered");
        self.deliver().await;
    }

    /// A REST call of somebody else.
    pub async fn rest(&self, method: Method, path: &str, form: &str) -> Value {
        let answer = self.rig.rest(method, path, form).await;
        self.deliver().await;
        answer
    }

    /// Somebody cancels a task through the Task API.
    pub async fn cancel(&self, task: &str) {
        let workspace = self.rig.system.twilio.settings().workspace_sid;
        let path = format!("/v1/Workspaces/{workspace}/Tasks/{task}");
        self.rest(Method::POST, &path, "AssignmentStatus=canceled&Reason=because").await;
    }

    /// The same, and nobody tells flexglue.
    pub async fn cancel_unheard(&self) {
        let lost = WebhookFault { event: None, times: Times::Forever, what: WebhookMisbehaviour::Lost };
        self.rig.system.twilio.misbehave_with_webhooks(lost);
        self.cancel(&self.task()).await;
        self.rig.system.twilio.behave();
    }

    /// The table forgets everything: another flexglue, a restored table, a Flex that was there before.
    pub fn forget(&self) {
        let table = &self.rig.system.settings.table;
        for item in self.rig.system.dynamo.items(table).expect("the table answers") {
            let key = serde_json::json!({"pk": {"S": item["pk"]}, "sk": {"S": item["sk"]}});
            let delete = serde_json::json!({"TableName": table, "Key": key}).to_string();
            assert_eq!(self.rig.system.dynamo.call("DeleteItem", delete.as_bytes()).status(), 200);
        }
    }

    /// The path of the conversation's newest channel.
    #[must_use]
    pub fn channel_path(&self) -> String {
        let interaction = self.rig.system.twilio.interactions_on(&self.sid).pop().expect("an Interaction");
        format!("/v1/Interactions/{}/Channels/{}", interaction.sid, interaction.channel.sid)
    }

    /// Somebody invites agents: through the workflow, or one worker directly. The new task.
    pub async fn invite(&self, worker: Option<usize>) -> String {
        let settings = self.rig.system.twilio.settings();
        let mut properties = serde_json::json!({
            "workspace_sid": settings.workspace_sid,
            "workflow_sid": settings.workflow_sid,
            "task_channel_unique_name": "chat",
            "attributes": {"invited": true},
        });
        if let Some(worker) = worker {
            properties["worker_sid"] = self.worker(worker).into();
            properties["queue_sid"] = settings.queue_sid.into();
        }
        let routing = serde_json::json!({"properties": properties}).to_string();
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("Routing", &routing).finish();
        let invite = self.rest(Method::POST, &format!("{}/Invites", self.channel_path()), &form).await;
        invite["routing"]["properties"]["sid"].as_str().expect("an invite has a task").to_owned()
    }

    /// What flexglue has told the customer.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let messages = self.rig.system.twilio.messages(&self.sid);
        let ours = messages.into_iter().filter(|message| message.author == "system");
        ours.filter_map(|message| message.body).collect()
    }

    /// Where the conversation stands.
    #[must_use]
    pub fn state(&self) -> ConversationState {
        self.rig.system.twilio.conversation(&self.sid).expect("it is there").state
    }

    /// The chat identities of the agents in the conversation.
    #[must_use]
    pub fn agents(&self) -> Vec<String> {
        let participants = self.rig.system.twilio.participants(&self.sid);
        participants.into_iter().filter_map(|participant| participant.identity).collect()
    }

    /// The number of each live task's re-invite; 0 for one that is none.
    #[must_use]
    pub fn numbers(&self) -> Vec<u64> {
        let number = |task: &Task| task.attributes.get("flexglueReinvites").and_then(Value::as_u64);
        self.live_tasks().iter().map(|task| number(task).unwrap_or_default()).collect()
    }

    /// The record.
    pub async fn record(&self) -> Conversation {
        self.rig.record(&self.sid).await.expect("it is known")
    }

    /// Calls that changed something at Twilio, from `since` on.
    #[must_use]
    pub fn posts(&self, since: usize) -> Vec<String> {
        let requests = self.rig.system.twilio.requests();
        let posts = requests[since..].iter().filter(|request| request.method == "POST");
        posts.map(|request| request.path.clone()).collect()
    }

    /// How many calls Twilio has seen.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.rig.system.twilio.requests().len()
    }
}
