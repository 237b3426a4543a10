//! `flexglue dev`: every function on one port, behind a front like API Gateway's, beside the embedded DynamoDB,
//! a simulated Twilio that calls it back over HTTP, and a page with a web chat. Runs until it is stopped.

use std::{
    collections::BTreeMap, net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration,
};

use anstream::println;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Args;
use http::{Method, Response, StatusCode};
use orphan_sweeper::OrphanSweeper;
use shared::{
    aws,
    clock::{Clock, SystemClock},
    config::SecretSettings,
    parts::World,
    problem::{json, problem},
    random::SystemRandom,
    telemetry,
    transport::{HttpsTransport, Transport},
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

use super::paint::{FAINT, HEADING, paint};
use crate::{
    live,
    local::{
        dynamodb::Dynamo,
        gateway::{self, EventShape, Function, Routes},
        page::{self, Addresses},
        system::{self, CONVERSATIONS_PATH, OUTBOUND_PATH, Options, SMS_NUMBER, System, call_back},
        transports::ToDynamo,
    },
};

/// Options of `flexglue dev`.
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Where the functions are served
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where the simulated Twilio's REST APIs are served
    #[arg(long, default_value = "127.0.0.1:4010")]
    twilio: SocketAddr,
    /// Where the embedded DynamoDB is served
    #[arg(long, default_value = "127.0.0.1:8000")]
    dynamodb: SocketAddr,
    /// Where a page to try web chats on is served: a port of 127.0.0.1
    #[arg(long, default_value = "127.0.0.1:8081")]
    page: SocketAddr,
    /// Keeps the table in this file; in memory otherwise
    #[arg(long)]
    data: Option<PathBuf>,
    /// Seconds between two sweeps
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    sweep_every: u64,
    /// Serves a real account, beside the embedded table; takes the functions' variables, its public address among them
    #[arg(long, conflicts_with_all = ["twilio", "page"])]
    live: bool,
    /// Says where everything is as one JSON object
    #[arg(long)]
    json: bool,
}

/// Where a customer's message is given to the simulated Twilio.
const CUSTOMER_PATH: &str = "/_twilio/customer-writes";

/// How long the simulated Twilio waits for an answer to a webhook of Conversations.
const WEBHOOK_LIMIT: Duration = Duration::from_secs(5);

/// How long for one of TaskRouter: `rt` of the callback's URL.
const CALLBACK_LIMIT: Duration = Duration::from_secs(10);

/// How long the printed token lives.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// How often the simulated Twilio looks whether it has something to send.
const BEAT: Duration = Duration::from_millis(50);

impl Dev {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        telemetry::start_logging(Arc::clone(&clock), |name| std::env::var(name).ok());
        if self.live { self.on_a_real_account(clock).await } else { self.on_a_simulated_one(clock).await }
    }

    fn dynamo(&self) -> anyhow::Result<Dynamo> {
        Ok(match &self.data {
            Some(path) => Dynamo::file(path)?,
            None => Dynamo::memory()?,
        })
    }

    async fn on_a_simulated_one(self, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
        let to_functions = bind(self.listen).await?;
        let to_twilio = bind(self.twilio).await?;
        let to_dynamodb = bind(self.dynamodb).await?;
        let to_page = bind(self.page).await?;
        let addresses =
            Addresses { page: url(&to_page)?, functions: url(&to_functions)?, twilio: url(&to_twilio)? };
        let mut account = simulator::Settings::default();
        call_back(&mut account, &addresses.functions);
        let system = System::new(Options {
            simulator: account,
            dynamo: self.dynamo()?,
            clock,
            random: Arc::new(SystemRandom),
            emit: telemetry::stdout(),
            variables: BTreeMap::from([("WEBCHAT_ALLOWED_ORIGINS", addresses.page.clone())]),
            public_url: addresses.functions.clone(),
        })?;
        let world = system.world().await;
        let routes = system.front(EventShape::HttpApi, &world).route(
            Method::POST,
            CUSTOMER_PATH,
            Arc::new(Customer(system.twilio.clone())),
        );
        let sweeper = system.orphan_sweeper(&world);
        if self.json {
            println!("{}", addresses_in_json(&system, &addresses, &url(&to_dynamodb)?));
        } else {
            introduce(&system, &addresses, &url(&to_dynamodb)?)?;
        }
        let mut running = Running::new();
        running.serve(to_functions, routes, system.dynamo.clone(), to_dynamodb);
        let (twilio, stop) = (system.twilio.clone(), running.stopped());
        running.also(async move { Ok(twilio.serve(to_twilio, stop).await?) });
        let stop = running.stopped();
        running.also(async move { Ok(page::serve(to_page, &addresses, stop).await?) });
        running.also(send_webhooks(system.twilio.clone(), running.stopped()));
        running.also(sweep(sweeper, Duration::from_secs(self.sweep_every), running.stopped()));
        running.until_stopped().await
    }

    /// The account is real; the table is the embedded one, so that nothing is mixed with what is deployed.
    async fn on_a_real_account(self, clock: Arc<dyn Clock>) -> anyhow::Result<ExitCode> {
        let variable = |name: &str| {
            std::env::var(name).ok().or_else(|| (name == "TABLE_NAME").then(|| TABLE.to_owned()))
        };
        let settings = live::settings(variable)?;
        let base = settings.public_base_url.as_ref().context(
            "PUBLIC_BASE_URL must say where Twilio reaches this machine: the address of a tunnel to --listen",
        )?;
        ensure!(
            matches!(&settings.secrets, SecretSettings::Given(credentials) if credentials.login.is_none()),
            "webhooks are checked with the account's auth token, and AWS is not asked for it here: set TWILIO_AUTH_TOKEN, \
             and unset TWILIO_SECRET_ARN"
        );
        let to_functions = bind(self.listen).await?;
        let to_dynamodb = bind(self.dynamodb).await?;
        let dynamo = self.dynamo()?;
        dynamo.create_state_table(&settings.table)?;
        let transport: Arc<dyn Transport> = Arc::new(HttpsTransport::from_environment()?);
        let to_table: Arc<dyn Transport> = Arc::new(ToDynamo(dynamo.clone()));
        let world = World {
            aws: aws::local(&clock, &to_table, system::DYNAMODB_ENDPOINT).await,
            clock: Arc::clone(&clock),
            random: Arc::new(SystemRandom),
            twilio: Arc::clone(&transport),
            web: transport,
            emit: telemetry::stdout(),
        };
        let routes = system::front(&settings, EventShape::HttpApi, &clock, |_| &world);
        let sweeper = OrphanSweeper::new(&settings, &world);
        let (functions, dynamodb) = (url(&to_functions)?, url(&to_dynamodb)?);
        if self.json {
            let told = serde_json::json!({
                "functions": functions, "public": base.as_str(), "dynamodb": dynamodb, "table": settings.table,
            });
            println!("{told}");
        } else {
            println!("{}", paint(HEADING, "flexglue dev --live"));
            println!("  functions   {functions}   as {base}");
            println!("  account     {}   (real: what happens here happens to customers)", settings.account);
            println!("  DynamoDB    {dynamodb}   table {}", settings.table);
            println!(
                "\n{}",
                paint(FAINT, "Stop with Ctrl-C. What follows are the functions' own log lines.")
            );
        }
        let mut running = Running::new();
        running.serve(to_functions, routes, dynamo, to_dynamodb);
        running.also(sweep(sweeper, Duration::from_secs(self.sweep_every), running.stopped()));
        running.until_stopped().await
    }
}

/// The name of the table beside a real account, where nobody gives another.
const TABLE: &str = "flexglue-local";

/// What runs side by side, until somebody interrupts it or a part of it fails.
struct Running {
    parts: JoinSet<anyhow::Result<()>>,
    stop: watch::Sender<()>,
}

impl Running {
    fn new() -> Self {
        Self { parts: JoinSet::new(), stop: watch::channel(()).0 }
    }

    /// Ends when all is to stop.
    fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopped = self.stop.subscribe();
        async move {
            // An error means that the sender is gone, which is a stop as well.
            let _ = stopped.changed().await;
        }
    }

    fn also(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.parts.spawn(part);
    }

    fn serve(&mut self, to_functions: TcpListener, routes: Routes, dynamo: Dynamo, to_dynamodb: TcpListener) {
        let stop = self.stopped();
        self.also(async move { Ok(gateway::serve(to_functions, Arc::new(routes), stop).await?) });
        let stop = self.stopped();
        self.also(async move { Ok(dynamo.serve(to_dynamodb, stop).await?) });
    }

    async fn until_stopped(mut self) -> anyhow::Result<ExitCode> {
        let failed = tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.err().map(anyhow::Error::from),
            ended = self.parts.join_next() => ended.and_then(|ended| ended.map_err(anyhow::Error::from).flatten().err()),
        };
        drop(self.stop);
        while self.parts.join_next().await.is_some() {}
        match failed {
            None => Ok(ExitCode::SUCCESS),
            Some(error) => Err(error),
        }
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} cannot be listened on; choose another"))
}

/// Where a listener is reached.
fn url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn addresses_in_json(system: &System, addresses: &Addresses, dynamodb: &str) -> serde_json::Value {
    let Addresses { page, functions, twilio } = addresses;
    serde_json::json!({
        "functions": functions, "twilio": twilio, "dynamodb": dynamodb, "page": page, "table": system.settings.table,
    })
}

fn introduce(system: &System, addresses: &Addresses, dynamodb: &str) -> anyhow::Result<()> {
    let Addresses { page, functions, twilio } = addresses;
    let account = system.twilio.settings();
    let url = format!("{functions}{CONVERSATIONS_PATH}");
    let form: Vec<(String, String)> = [
        ("EventType", "onMessageAdded"),
        ("AccountSid", &account.account_sid),
        ("InstanceSid", &account.chat_service_sid),
        ("ConversationSid", "CH00000000000000000000000000000001"),
        ("Author", "+15551230009"),
        ("Index", "0"),
        ("Source", "API"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
    let signature = simulator::sign(&account.auth_token, &url, &form);
    println!("{}", paint(HEADING, "flexglue dev"));
    println!("  functions         {url}");
    println!("  simulated Twilio  {twilio}   (all its REST APIs)");
    println!("  DynamoDB          {dynamodb}   table {}", system.settings.table);
    println!("  web chat          {page}/   (a page to try it on)");
    println!("\n{}", paint(FAINT, "A customer writes; the simulated Twilio calls the function back:"));
    println!(
        "  curl --data-urlencode 'from=+15551230001' --data-urlencode 'body=Hello' {functions}{CUSTOMER_PATH}"
    );
    println!("{}", paint(FAINT, "A webhook by hand, signed with the simulated account's token:"));
    println!("  curl -H 'X-Twilio-Signature: {signature}' -d '{body}' {url}");
    println!(
        "{}",
        paint(FAINT, "An agent reaches out, with the token that a Flex plugin has (valid for a day):")
    );
    let agent = account.workers.first().context("the simulated account has agents")?;
    let token = system.twilio.flex_token(&agent.identity, &["agent"], Some(&agent.sid), DAY_MS);
    let reach = serde_json::json!({
        "to": "+15551230002", "from": SMS_NUMBER, "channel": "sms", "initiated_by": "agent",
        "worker_sid": agent.sid, "queue_sid": account.queue_sid, "message": {"body": "Hello"},
    });
    println!(
        "  curl -H 'X-Flex-Token: {token}' -H 'Content-Type: application/json' -H 'Idempotency-Key: 1' -d '{reach}' {functions}{OUTBOUND_PATH}"
    );
    println!(
        "{}",
        paint(FAINT, "Back ends do it with -H 'Authorization: Bearer local-back-end'; the README has more.")
    );
    println!("{}", paint(FAINT, "What the simulated Twilio holds:"));
    println!("  curl -u {}:{} {twilio}/v1/Conversations", account.account_sid, account.auth_token);
    println!("\n{}", paint(FAINT, "Stop with Ctrl-C. What follows are the functions' own log lines."));
    Ok(())
}

/// Sends the simulated Twilio's webhooks: those of Conversations once, those of TaskRouter again where they fail,
/// as Twilio does.
async fn send_webhooks(twilio: simulator::Twilio, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let transport = HttpsTransport::new()?;
    let mut stop = std::pin::pin!(stop);
    let mut under_way = JoinSet::new();
    loop {
        for webhook in twilio.take_webhooks() {
            let (request, transport) = (twilio.webhook_request(&webhook), transport.clone());
            let twilio = twilio.clone();
            under_way.spawn(async move {
                let is_callback = webhook.idempotency_token.is_some();
                let limit = if is_callback { CALLBACK_LIMIT } else { WEBHOOK_LIMIT };
                let answer = tokio::time::timeout(limit, transport.send(request)).await;
                let status = answer.ok().and_then(Result::ok).map(|answer| answer.status().as_u16());
                twilio.webhook_answered(&webhook, status);
            });
        }
        while under_way.try_join_next().is_some() {}
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(BEAT) => {}
        }
    }
}

/// The schedule of the sweeper.
async fn sweep(
    sweeper: OrphanSweeper,
    every: Duration,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            () = tokio::time::sleep(every) => {
                system::sweep(&sweeper).await;
            }
        }
    }
}

/// Takes `from`, `to` and `body` of a form for a customer's message.
struct Customer(simulator::Twilio);

impl Function for Customer {
    fn invoke(
        &self,
        event: serde_json::Value,
    ) -> futures_util::future::BoxFuture<'_, Result<serde_json::Value, String>> {
        Box::pin(async move {
            let event: lambda_http::request::LambdaRequest =
                serde_json::from_value(event).map_err(|error| error.to_string())?;
            let request =
                shared::webhook::RawRequest::from_lambda(event).map_err(|error| error.to_string())?;
            let answer = shared::gateway::Answer::from(self.writes(&request.body));
            serde_json::to_value(answer).map_err(|error| error.to_string())
        })
    }
}

impl Customer {
    fn writes(&self, form: &[u8]) -> Response<Bytes> {
        let field = |name: &str| {
            form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let (Some(from), Some(body)) = (field("from"), field("body")) else {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "from and body are needed");
        };
        let to = field("to").unwrap_or_else(|| SMS_NUMBER.to_owned());
        let written = self.0.customer_writes(&from, &to, &body);
        json(
            StatusCode::CREATED,
            &serde_json::json!({
                "conversation_sid": written.conversation_sid,
                "message_sid": written.message_sid,
                "index": written.index,
            }),
        )
    }
}
