//! All of flexglue in one process: the functions, the embedded DynamoDB and the simulated Twilio. `demo`, `dev`
//! and the tests are made of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use inbound_webhook::InboundWebhook;
use lambda_http::request::LambdaRequest;
use orphan_sweeper::{OrphanSweeper, SweepReport, SweepRequest};
use outbound_participant::OutboundParticipant;
use serde_json::Value;
use shared::{
    aws,
    clock::{Clock, Deadline},
    config::{ConfigError, Settings},
    gateway::{self, HttpFunction},
    ledger::Ledger,
    parts::{Parts, World},
    random::Random,
    telemetry::{self, Emit},
    transport::Transport,
};
use taskrouter_events::TaskRouterEvents;
use webchat_token::WebchatToken;

use super::{
    clock::SimulatorClock,
    dynamodb::{Dynamo, DynamoError},
    gateway::{EventShape, Function, Routes},
    transports::{ToDynamo, ToNobody, ToTwilio},
};
use crate::callback::Callback;

/// The host of the local front, as far as events and signatures go. Nothing is ever sent to it.
pub const PUBLIC_URL: &str = "https://flexglue.example";

/// Where `inbound-webhook` is reached.
pub const CONVERSATIONS_PATH: &str = "/webhooks/conversations";

/// Where `taskrouter-events` is reached.
pub const TASKROUTER_PATH: &str = "/webhooks/taskrouter";

/// Where `outbound-participant` is reached.
pub const OUTBOUND_PATH: &str = "/outbound";

/// The API key of local back ends.
pub const OUTBOUND_API_KEY: &str = "local-back-end";

/// From where local plugins call.
pub const PLUGIN_ORIGIN: &str = "https://flex.twilio.com";

/// Where web chats begin.
pub const INIT_WEBCHAT_PATH: &str = "/initWebchat";

/// Where their tokens are refreshed.
pub const REFRESH_TOKEN_PATH: &str = "/refreshToken";

/// Where they end.
pub const END_CHAT_PATH: &str = "/endChat";

/// The site on which local web chats begin.
pub const SITE_ORIGIN: &str = "https://shop.example";

/// The API key that signs their tokens: its SID and its secret.
pub const API_KEY: (&str, &str) = ("SK00000000000000000000000000000001", "the-secret-of-a-local-api-key");

/// The TaskRouter events that `taskrouter-events` reads.
pub const TASKROUTER_EVENTS: [&str; 8] = [
    "task.created",
    "task.completed",
    "task.canceled",
    "task.deleted",
    "task.system-deleted",
    "workflow.timeout",
    "workflow.skipped",
    "reservation.accepted",
];

/// Has the workspace of a simulated account call `taskrouter-events` back, at functions that are reached at
/// `public_url`, as the README says to configure a real one.
pub fn call_back(account: &mut simulator::Settings, public_url: &str) {
    account.event_callback_url = Some(Callback::address(public_url));
    account.events_filter = TASKROUTER_EVENTS.map(str::to_owned).to_vec();
}

/// Our number, from which the simulated Twilio makes conversations.
pub const SMS_NUMBER: &str = "+15557770000";
/// Our WhatsApp sender.
pub const WHATSAPP_NUMBER: &str = "whatsapp:+15557770000";

/// Our address for web chats.
pub const WEB_CHAT: &str = "web";

/// Our table.
const TABLE: &str = "flexglue-local";
/// No socket is behind it: the SDK only wants an address.
pub(crate) const DYNAMODB_ENDPOINT: &str = "http://dynamodb.local";

/// Everything, in one process.
pub struct System {
    /// The simulated Twilio.
    pub twilio: simulator::Twilio,
    /// The embedded DynamoDB.
    pub dynamo: Dynamo,
    /// The time, for all of it.
    pub clock: Arc<dyn Clock>,
    /// What the functions are told.
    pub settings: Settings,
    random: Arc<dyn Random>,
    emit: Emit,
}

/// What a system is made from.
pub struct Options {
    /// The simulated account. Its addresses are filled in where it has none.
    pub simulator: simulator::Settings,
    /// The embedded DynamoDB.
    pub dynamo: Dynamo,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Where metrics go.
    pub emit: Emit,
    /// Environment variables of the functions, beside those that follow from the rest.
    pub variables: BTreeMap<&'static str, String>,
    /// Scheme and host at which Twilio reaches the functions.
    pub public_url: String,
}

/// Why a system could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The embedded DynamoDB.
    #[error(transparent)]
    Dynamo(#[from] DynamoError),
    /// The variables.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl System {
    /// Puts a system together: an account with our addresses, a table, the functions' settings.
    pub fn new(options: Options) -> Result<Self, SystemError> {
        let mut account = options.simulator;
        if account.addresses.is_empty() {
            let url = format!("{}{CONVERSATIONS_PATH}", options.public_url);
            account.addresses = vec![
                simulator::Address::webhook("sms", SMS_NUMBER, &url),
                simulator::Address::webhook("whatsapp", WHATSAPP_NUMBER, &url),
                simulator::Address::webhook("chat", WEB_CHAT, &url),
            ];
        }
        account.extra_auth.push((API_KEY.0.to_owned(), API_KEY.1.to_owned()));
        // An account without an address for web chats refuses this one.
        let web_chats = account.addresses.iter().find(|address| address.kind == "chat").cloned();
        let web_chats = web_chats.unwrap_or_else(|| simulator::Address::webhook("chat", WEB_CHAT, ""));
        let mut variables = BTreeMap::from([
            ("TABLE_NAME", TABLE.to_owned()),
            ("TWILIO_ACCOUNT_SID", account.account_sid.clone()),
            ("TWILIO_AUTH_TOKEN", account.auth_token.clone()),
            ("FLEX_WORKSPACE_SID", account.workspace_sid.clone()),
            ("FLEX_WORKFLOW_SID", account.workflow_sid.clone()),
            ("FLEX_CHAT_SERVICE_SID", account.chat_service_sid.clone()),
            ("PUBLIC_BASE_URL", options.public_url),
            ("OUTBOUND_SENDERS", format!("{SMS_NUMBER},{WHATSAPP_NUMBER}")),
            ("OUTBOUND_API_KEYS", OUTBOUND_API_KEY.to_owned()),
            ("OUTBOUND_ALLOWED_ORIGINS", format!("{PLUGIN_ORIGIN},http://localhost:3000")),
            ("TWILIO_API_KEY_SID", API_KEY.0.to_owned()),
            ("TWILIO_API_KEY_SECRET", API_KEY.1.to_owned()),
            ("WEBCHAT_ADDRESS_SID", web_chats.sid),
            ("WEBCHAT_ALLOWED_ORIGINS", SITE_ORIGIN.to_owned()),
            ("TWILIO_FLEX_API_URL", "http://twilio.local/flex-api".to_owned()),
            ("TWILIO_CONVERSATIONS_API_URL", "http://twilio.local/conversations".to_owned()),
            ("TWILIO_TASKROUTER_API_URL", "http://twilio.local/taskrouter".to_owned()),
            ("TWILIO_IAM_API_URL", "http://twilio.local/iam".to_owned()),
            ("TWILIO_MONITOR_API_URL", "http://twilio.local/monitor".to_owned()),
            ("TWILIO_API_URL", "http://twilio.local/api".to_owned()),
        ]);
        variables.extend(options.variables);
        let settings = Settings::read(|name| variables.get(name).cloned())?;
        options.dynamo.create_state_table(&settings.table)?;
        let clock = options.clock;
        Ok(Self {
            twilio: simulator::Twilio::new(account, Arc::new(SimulatorClock(Arc::clone(&clock)))),
            dynamo: options.dynamo,
            clock,
            settings,
            random: options.random,
            emit: options.emit,
        })
    }

    /// The world that the functions live in: everything in this process.
    pub async fn world(&self) -> World {
        self.world_through(|to_twilio| to_twilio, |to_dynamo| to_dynamo).await
    }

    /// The same, with something between the functions and what they call, such as a test that cuts the wire.
    pub async fn world_through(
        &self,
        twilio: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>,
        dynamo: impl FnOnce(Arc<dyn Transport>) -> Arc<dyn Transport>,
    ) -> World {
        let dynamo = dynamo(Arc::new(ToDynamo(self.dynamo.clone())));
        World {
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
            twilio: twilio(Arc::new(ToTwilio(self.twilio.clone()))),
            web: Arc::new(ToNobody),
            aws: aws::local(&self.clock, &dynamo, DYNAMODB_ENDPOINT).await,
            emit: Arc::clone(&self.emit),
        }
    }

    /// One instance of `inbound-webhook`.
    #[must_use]
    pub fn inbound_webhook(&self, world: &World) -> InboundWebhook {
        InboundWebhook::new(&self.settings, world)
    }

    /// One instance of `outbound-participant`.
    #[must_use]
    pub fn outbound_participant(&self, world: &World) -> OutboundParticipant {
        OutboundParticipant::new(&self.settings, world)
    }

    /// One instance of `webchat-token`.
    ///
    /// # Panics
    /// Never: [`System::new`] gives it all that it needs.
    #[must_use]
    #[expect(clippy::expect_used, reason = "address and key are among the variables that are always set")]
    pub fn webchat_token(&self, world: &World) -> WebchatToken {
        WebchatToken::new(&self.settings, world).expect("a system has an address for web chats, and a key")
    }

    /// One instance of `taskrouter-events`.
    #[must_use]
    pub fn taskrouter_events(&self, world: &World) -> TaskRouterEvents {
        TaskRouterEvents::new(&self.settings, world)
    }

    /// One instance of `orphan-sweeper`.
    #[must_use]
    pub fn orphan_sweeper(&self, world: &World) -> OrphanSweeper {
        OrphanSweeper::new(&self.settings, world)
    }

    /// The records, for whoever wants to look.
    #[must_use]
    pub fn ledger(&self, world: &World) -> Ledger {
        Parts::new("flexglue", &self.settings, world).rescuer.opener.ledger
    }

    /// The front of API Gateway, with one instance of every function behind it.
    #[must_use]
    pub fn front(&self, shape: EventShape, world: &World) -> Routes {
        self.front_between(shape, |_| world)
    }

    /// The same, with each function, by its logical id in the template, in a world of its own.
    #[must_use]
    pub fn front_between<'w>(&self, shape: EventShape, world: impl Fn(&'static str) -> &'w World) -> Routes {
        front(&self.settings, shape, &self.clock, world)
    }
}

/// The front of API Gateway, with one instance of every function behind it, each, by its logical id in the template, in a
/// world of its own; without web chats where none are configured.
#[must_use]
pub fn front<'w>(
    settings: &Settings,
    shape: EventShape,
    clock: &Arc<dyn Clock>,
    world: impl Fn(&'static str) -> &'w World,
) -> Routes {
    let clock = Arc::clone(clock);
    let inbound = InProcess(Arc::new(InboundWebhook::new(settings, world("InboundWebhook"))));
    let events = InProcess(Arc::new(TaskRouterEvents::new(settings, world("TaskRouterEvents"))));
    let outbound = OutboundParticipant::new(settings, world("OutboundParticipant"));
    let outbound: Arc<dyn Function> = Arc::new(InProcess(Arc::new(outbound)));
    let reach = format!("{OUTBOUND_PATH}/{{id}}");
    let routes = Routes::new(shape, Arc::new(move || clock.now().as_millis()))
        .route(Method::POST, CONVERSATIONS_PATH, Arc::new(inbound))
        .route(Method::POST, TASKROUTER_PATH, Arc::new(events))
        .route(Method::POST, OUTBOUND_PATH, Arc::clone(&outbound))
        .route(Method::OPTIONS, OUTBOUND_PATH, Arc::clone(&outbound))
        .route(Method::GET, &reach, Arc::clone(&outbound))
        .route(Method::OPTIONS, &reach, outbound);
    let Ok(chats) = WebchatToken::new(settings, world("WebchatToken")) else { return routes };
    let chats: Arc<dyn Function> = Arc::new(InProcess(Arc::new(chats)));
    [INIT_WEBCHAT_PATH, REFRESH_TOKEN_PATH, END_CHAT_PATH].into_iter().fold(routes, |routes, path| {
        let routes = routes.route(Method::POST, path, Arc::clone(&chats));
        routes.route(Method::OPTIONS, path, Arc::clone(&chats))
    })
}

/// One sweep, with as much time as Lambda would give it.
pub async fn sweep(sweeper: &OrphanSweeper) -> SweepReport {
    sweeper.sweep(SweepRequest::default(), Deadline::within(SWEEP_TIME)).await
}

/// The time-out of the sweeper in `template.yaml`.
const SWEEP_TIME: Duration = Duration::from_secs(50);

/// A function that is called without Lambda's runtime between.
pub(crate) struct InProcess(pub(crate) Arc<dyn HttpFunction>);

impl Function for InProcess {
    fn invoke(&self, event: Value) -> BoxFuture<'_, Result<Value, String>> {
        Box::pin(async move {
            let request_id = event["requestContext"]["requestId"].as_str().unwrap_or_default().to_owned();
            let event: LambdaRequest = serde_json::from_value(event).map_err(|error| error.to_string())?;
            let deadline = Deadline::within(self.0.answer_limit());
            let span = telemetry::invocation(&request_id, None);
            let answer = gateway::invoke(&*self.0, event, span, deadline).await;
            serde_json::to_value(answer).map_err(|error| error.to_string())
        })
    }
}

/// Carries a webhook of the simulated Twilio to the front, in process.
pub async fn deliver(
    twilio: &simulator::Twilio,
    front: &Routes,
    webhook: &simulator::Webhook,
) -> Response<Bytes> {
    let request: Request<Bytes> = twilio.webhook_request(webhook);
    front.handle(request).await
}
