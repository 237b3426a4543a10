//! What the account looks like before anything happens in it, and which of Twilio's behaviours to show.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::shown::Shown;

/// How the simulator waits, in milliseconds: only slow answers do.
pub type Sleep = Arc<dyn Fn(u64) -> BoxFuture<'static, ()> + Send + Sync>;

/// The account that is simulated. [`Settings::default`] is a whole one, with well-formed sids.
#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Settings {
    /// `AC…`, also the user name of Basic authentication.
    pub account_sid: String,
    /// The primary auth token: it signs webhooks, and it is the password of the account.
    pub auth_token: String,
    /// More pairs of user and password that are let in: API keys, or the account with its secondary token.
    /// With the secret of a key, access tokens are signed as well.
    pub extra_auth: Vec<(String, String)>,
    /// `IS…`, the Flex chat service and the account's default conversation service.
    pub chat_service_sid: String,
    /// `MG…`, given to conversations that name none.
    pub messaging_service_sid: String,
    /// `WS…`, the Flex workspace.
    pub workspace_sid: String,
    /// `WW…`, the workflow that inbound tasks take.
    pub workflow_sid: String,
    /// After how many seconds the workflow gives up on a task nobody accepted; without meaning when it has
    /// steps.
    pub workflow_timeout_s: Option<u64>,
    /// The routing steps of that workflow, one after the other; none means a workflow that is one step of
    /// `workflow_timeout_s`. Read when a task is opened and whenever it leaves a step.
    pub workflow_steps: Vec<WorkflowStep>,
    /// Whether the last of the steps is skipped (`skip_if`): the task then ends with `workflow.skipped`
    /// instead of `workflow.timeout`, when the time of the steps is over.
    pub workflow_skips_last_step: bool,
    /// `WW…`, a second workflow, for re-invites.
    pub fallback_workflow_sid: String,
    /// After how many seconds the second workflow gives up.
    pub fallback_workflow_timeout_s: Option<u64>,
    /// `WQ…`, the only queue.
    pub queue_sid: String,
    /// The agents.
    pub workers: Vec<Worker>,
    /// The task channels of the workspace.
    pub task_channels: Vec<TaskChannel>,
    /// Milliseconds from the acceptance of an Interaction until its channel stands.
    pub set_up_ms: u64,
    /// Milliseconds from a message until it has arrived at a number or an app, or failed to.
    pub delivery_ms: u64,
    /// Whether Twilio drops a second channel on one conversation itself (45353).
    pub duplicate_guard: bool,
    /// Whether a list of tasks leaves `attributes` null, as the reference says; seen in the wild it does not.
    pub list_hides_task_attributes: bool,
    /// Whether error 50416 names the conversation that holds the pair of addresses.
    pub conflict_names_conversation: bool,
    /// Whether a Flex token that is not valid is answered 400 rather than 200, with the same body. Twilio's own
    /// validator does not look at the status, and no source confirms either.
    pub invalid_tokens_are_400: bool,
    /// Whether errors have the shape of RFC 9457, as Twilio's newer APIs do.
    pub problem_json: bool,
    /// Whether the `url` and `links` of an Interaction are malformed, as Twilio's page shows them
    /// (`//https://…//v1/…`).
    pub odd_interaction_urls: bool,
    /// Whether closing a conversation also closes its Interaction channel. No source confirms either way.
    pub closing_ends_channel: bool,
    /// Whether a channel that Twilio deleted after 180 days still holds its conversation against a second one
    /// (45353). No source confirms either way.
    pub deleted_channel_holds: bool,
    /// Whether `TaskRouter` events carry a `Sid` (`EV…`); it is seen but not documented.
    pub task_events_carry_sid: bool,
    /// Milliseconds from the end of a task until `TaskRouter` forgets it.
    pub task_removal_ms: u64,
    /// How many `EvaluateTaskAttributes` queries one second may see; more are answered 429.
    pub attribute_queries_per_second: Option<usize>,
    /// How many web chats may begin in one second; more are answered 429 (45719).
    pub web_chats_per_second: Option<usize>,
    /// Whether the pre-engagement data of a web chat stands in the conversation's attributes as the JSON text
    /// that was given, rather than as the object that the text is of. No source confirms either way.
    pub pre_engagement_as_text: bool,
    /// ISO 8601; given to every conversation that sets none of its own.
    pub default_inactive_timer: Option<String>,
    /// ISO 8601; given to every conversation that sets none of its own.
    pub default_closed_timer: Option<String>,
    /// Where `TaskRouter` posts its events. A fragment (`#rc=3&rp=all`) says when one is sent again; it is
    /// neither sent nor signed.
    pub event_callback_url: Option<String>,
    /// The events that are posted; none named means all.
    pub events_filter: Vec<String>,
    /// The webhook of the chat service, which sees every conversation.
    pub service_webhook: Option<ServiceWebhook>,
    /// Addresses whose first message makes a conversation.
    pub addresses: Vec<Address>,
    /// What it shows of itself beside what has an effect.
    pub shown: Shown,
    /// Sids are drawn from it: the same seed, the same sids.
    pub seed: u64,
    /// How a slow answer waits; `tokio::time::sleep` unless told otherwise.
    pub sleep: Sleep,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// `WK…`
    pub sid: String,
    /// The chat identity, which is also the worker's friendly name.
    pub identity: String,
}

/// A routing step of a workflow.
/// See <https://www.twilio.com/docs/taskrouter/workflow-configuration>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkflowStep {
    /// How many seconds a task stays in it.
    pub timeout_s: u64,
}

/// A task channel of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChannel {
    /// `TC…`
    pub sid: String,
    /// `chat`, `sms` …
    pub unique_name: String,
}

/// The post-event webhook of the chat service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceWebhook {
    /// Where events are posted.
    pub url: String,
    /// The events that are posted.
    pub filters: Vec<String>,
}

/// An address configuration: what Twilio makes of a message that belongs to no open conversation.
/// See <https://www.twilio.com/docs/conversations/api/address-configuration-resource>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `IG…`
    pub sid: String,
    /// `sms`, `whatsapp`, `chat` …
    pub kind: String,
    /// `+1555…`, `whatsapp:+1555…`, or the name of a web chat.
    pub address: String,
    /// Whether conversations are made of what is written to it. Shown, and of no effect here.
    pub enabled: bool,
    /// The service in which they are made; the account's default where it is `None`. Shown, and of no effect here.
    pub service_sid: Option<String>,
    /// What is attached to each conversation that is made.
    pub integration: Integration,
}

/// What an address configuration attaches to its conversations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integration {
    /// A webhook of the conversation.
    Webhook {
        /// Where events go.
        url: String,
        /// `POST` or `GET`.
        method: String,
        /// The events that are sent.
        filters: Vec<String>,
    },
    /// A Studio flow, `FW…`.
    Studio {
        /// The flow.
        flow_sid: String,
    },
    /// Nothing: the conversation is an orphan from the start.
    Default,
}

impl Address {
    /// An address whose conversations post `onMessageAdded` to `url`.
    #[must_use]
    pub fn webhook(kind: &str, address: &str, url: &str) -> Self {
        let number = address.bytes().fold(7_u128, |sum, byte| sum * 31 % (1 << 100) + u128::from(byte));
        Self {
            sid: sid("IG", number),
            kind: kind.to_owned(),
            address: address.to_owned(),
            enabled: true,
            service_sid: None,
            integration: Integration::Webhook {
                url: url.to_owned(),
                method: "POST".to_owned(),
                filters: vec!["onMessageAdded".to_owned()],
            },
        }
    }
}

fn sid(prefix: &str, number: u128) -> String {
    format!("{prefix}{number:032x}")
}

impl Default for Settings {
    fn default() -> Self {
        let worker = |number, name: &str| Worker { sid: sid("WK", number), identity: name.to_owned() };
        let channel =
            |number, name: &str| TaskChannel { sid: sid("TC", number), unique_name: name.to_owned() };
        Self {
            account_sid: sid("AC", 0xac),
            auth_token: "0123456789abcdef0123456789abcdef".to_owned(),
            extra_auth: Vec::new(),
            chat_service_sid: sid("IS", 0x15),
            messaging_service_sid: sid("MG", 0x36),
            workspace_sid: sid("WS", 0x5),
            workflow_sid: sid("WW", 0x1),
            workflow_timeout_s: None,
            workflow_steps: Vec::new(),
            workflow_skips_last_step: false,
            fallback_workflow_sid: sid("WW", 0x2),
            fallback_workflow_timeout_s: None,
            queue_sid: sid("WQ", 0x1),
            workers: vec![worker(0xa, "alice_40example_2Ecom"), worker(0xb, "bob_40example_2Ecom")],
            task_channels: vec![
                channel(1, "default"),
                channel(2, "chat"),
                channel(3, "sms"),
                channel(4, "voice"),
            ],
            set_up_ms: 200,
            delivery_ms: 1000,
            duplicate_guard: true,
            list_hides_task_attributes: false,
            conflict_names_conversation: true,
            invalid_tokens_are_400: false,
            problem_json: false,
            odd_interaction_urls: true,
            closing_ends_channel: true,
            deleted_channel_holds: false,
            task_events_carry_sid: true,
            task_removal_ms: 5 * 60 * 1000,
            attribute_queries_per_second: None,
            web_chats_per_second: None,
            pre_engagement_as_text: false,
            default_inactive_timer: None,
            default_closed_timer: None,
            event_callback_url: None,
            events_filter: Vec::new(),
            service_webhook: None,
            addresses: Vec::new(),
            shown: Shown::default(),
            seed: 0,
            sleep: Arc::new(|ms| Box::pin(tokio::time::sleep(std::time::Duration::from_millis(ms)))),
        }
    }
}

impl fmt::Debug for Settings {
    /// Leaves the secrets out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("account_sid", &self.account_sid)
            .field("seed", &self.seed)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
