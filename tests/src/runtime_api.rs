//! Runs a compiled function as Lambda does: a process of its own, spoken to through the
//! [Runtime API](https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
//!
//! An [`Instance`] is one execution environment. It takes one event at a time, is killed when an event
//! outlives its deadline, and does not come back: whoever needs another one starts it.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Path as Captured, State},
    routing::{get, post},
};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpListener,
    process::{Child, Command},
    sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

/// The longest that a function may take until it asks for its first event, see
/// [Lambda's quotas](https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-ib).
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer of a function, in bytes, see
/// [Lambda's quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html).
const MAX_ANSWER: usize = 6 << 20;

/// Environment variables for a function.
pub type Environment = BTreeMap<String, String>;

/// Why a function did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The host's own socket or process could not be made.
    #[error("the function could not be started: {0}")]
    Io(#[from] std::io::Error),
    /// It reported that it cannot start (`/runtime/init/error`).
    #[error("the function reported {error_type}: {message}")]
    Init {
        /// The `errorType` that it gave.
        error_type: String,
        /// The `errorMessage` that it gave.
        message: String,
    },
    /// It ended before it asked for an event.
    #[error("the function ended at start ({status}): {stderr}")]
    Exited {
        /// How it ended, for example `exit status: 1`.
        status: String,
        /// What it had to say about it.
        stderr: String,
    },
    /// It asked for no event within [`INIT_TIMEOUT`] and was killed.
    #[error("the function asked for no event within 10 s")]
    TimedOut,
}

/// Why an event has no answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// The function reported an error (`/invocation/{id}/error`) and lives on.
    #[error("the function reported {error_type}: {message}")]
    Reported {
        /// The `errorType` that it gave.
        error_type: String,
        /// The `errorMessage` that it gave.
        message: String,
    },
    /// The function's answer is not JSON.
    #[error("the function's answer is not JSON: {0}")]
    NotJson(String),
    /// The process is gone: it ended, or it was killed.
    #[error("the function's process is gone ({status})")]
    Exited {
        /// How it ended, for example `signal: 9 (SIGKILL)`.
        status: String,
    },
    /// The deadline passed, and the process was killed for it.
    #[error("the function ran out of time")]
    TimedOut,
}

/// What a function wrote so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// One running function. Dropping it kills the process.
pub struct Instance {
    host: Arc<Host>,
    jobs: mpsc::Sender<Job>,
    /// Lambda gives an environment the next event when the one before is answered.
    turn: AsyncMutex<()>,
    phase: watch::Receiver<Phase>,
    timeout: Duration,
    requests: AtomicU64,
    name: String,
    process_id: Option<u32>,
    started: Instant,
    // Dropped with the instance, and the process, which one of them owns, with them.
    _tasks: JoinSet<()>,
}

#[derive(Clone, Debug)]
enum Phase {
    Starting,
    Ready,
    InitFailed { error_type: String, message: String },
    Exited { status: String },
}

struct Job {
    id: String,
    event: String,
    deadline_ms: u128,
    arn: String,
    reply: oneshot::Sender<Result<Value, FunctionError>>,
}

type Pending = Option<(String, oneshot::Sender<Result<Value, FunctionError>>)>;

/// What the two sides of the Runtime API share.
struct Host {
    queue: AsyncMutex<mpsc::Receiver<Job>>,
    /// The event that the function is working on.
    pending: Mutex<Pending>,
    phase: watch::Sender<Phase>,
    /// When the function asked for its first event.
    ready: OnceLock<Instant>,
    kill: Notify,
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
}

impl Instance {
    /// Starts a function with a time-out of 10 s and waits until it asks for its first event.
    pub async fn start(binary: impl AsRef<Path>, env: Environment) -> Result<Self, StartError> {
        Self::start_with_timeout(binary, env, Duration::from_secs(10)).await
    }

    /// Starts a function with a time-out for each event, and waits until it asks for its first event.
    ///
    /// The process has the variables that
    /// [Lambda sets](https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime)
    /// and those given, which win, and nothing of this process's own.
    pub async fn start_with_timeout(
        binary: impl AsRef<Path>,
        env: Environment,
        timeout: Duration,
    ) -> Result<Self, StartError> {
        let binary = binary.as_ref();
        let name = binary.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();

        let (jobs, queue) = mpsc::channel(1);
        let (sender, phase) = watch::channel(Phase::Starting);
        let host = Arc::new(Host {
            queue: AsyncMutex::new(queue),
            pending: Mutex::new(None),
            phase: sender,
            ready: OnceLock::new(),
            kill: Notify::new(),
            stdout: Mutex::default(),
            stderr: Mutex::default(),
        });
        let started = Instant::now();
        let child = Command::new(binary)
            .env_clear()
            .envs(lambda_variables(&name, &address))
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;

        let process_id = child.id();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&host)));
        tasks.spawn(watch_process(child, Arc::clone(&host)));
        let mut instance = Self {
            host,
            jobs,
            turn: AsyncMutex::new(()),
            phase,
            timeout,
            requests: AtomicU64::new(0),
            name,
            process_id,
            started,
            _tasks: tasks,
        };
        instance.wait_until_ready().await?;
        Ok(instance)
    }

    /// Gives the function an event and waits for its answer. Events that are given while it works wait
    /// their turn; a deadline counts from when the event's turn comes.
    pub async fn invoke(&self, event: Value) -> Result<Value, FunctionError> {
        let _turn = self.turn.lock().await;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let job = Job {
            id: format!("00000000-0000-4000-8000-{number:012x}"),
            event: event.to_string(),
            deadline_ms: epoch_ms() + self.timeout.as_millis(),
            arn: format!("arn:aws:lambda:us-east-1:123456789012:function:{}", self.name),
            reply,
        };
        let work = async {
            // Neither channel closes while the instance lives, except that a reply is dropped with a
            // connection that broke; then the process is about to be gone, and that is the answer.
            let _ = self.jobs.send(job).await;
            match answer.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            // An answer counts even if the process ended right after it.
            biased;
            answer = work => answer,
            status = self.exited() => Err(FunctionError::Exited { status }),
            () = tokio::time::sleep(self.timeout) => {
                self.kill().await;
                Err(FunctionError::TimedOut)
            }
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone. An event that it was working on ends with
    /// [`FunctionError::Exited`].
    pub async fn kill(&self) {
        self.host.kill.notify_one();
        self.exited().await;
    }

    /// Waits until the process has ended, by itself or because it was asked to.
    pub async fn ended(&self) {
        self.exited().await;
    }

    /// What the function wrote so far. All of it is there once the process is gone; before, a line may
    /// arrive a moment after the answer that it was written before.
    #[must_use]
    pub fn logs(&self) -> Logs {
        Logs { stdout: read(&self.host.stdout), stderr: read(&self.host.stderr) }
    }

    /// The id of the process, which is only its own while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process_id
    }

    /// How long it took from its start until it asked for its first event.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.host.ready.get().map_or(Duration::ZERO, |ready| ready.duration_since(self.started))
    }

    async fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let mut phase = self.phase.clone();
        let left = phase.wait_for(|phase| !matches!(phase, Phase::Starting));
        let reached = match tokio::time::timeout(INIT_TIMEOUT, left).await {
            Ok(reached) => reached.map_or(Phase::Starting, |phase| phase.clone()),
            Err(_) => Phase::Starting,
        };
        match reached {
            Phase::Ready => Ok(()),
            Phase::InitFailed { error_type, message } => Err(StartError::Init { error_type, message }),
            Phase::Exited { status } => Err(StartError::Exited { status, stderr: self.logs().stderr }),
            Phase::Starting => Err(StartError::TimedOut),
        }
    }

    /// Waits until the process is gone and its last words are read; gives how it ended.
    async fn exited(&self) -> String {
        let mut phase = self.phase.clone();
        let exited = phase.wait_for(|phase| matches!(phase, Phase::Exited { .. })).await;
        match exited.as_deref() {
            Ok(Phase::Exited { status }) => status.clone(),
            _ => "its host is gone".to_owned(),
        }
    }
}

/// What Lambda sets for every function, with credentials that are good for nothing.
fn lambda_variables(name: &str, address: &str) -> Vec<(&'static str, String)> {
    [
        ("AWS_ACCESS_KEY_ID", "local"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/local"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
        ("AWS_LAMBDA_RUNTIME_API", address),
        ("AWS_REGION", "us-east-1"),
        ("AWS_SECRET_ACCESS_KEY", "local"),
        ("AWS_SESSION_TOKEN", "local"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// Lambda's deadlines are times of day, and the process compares them with its own.
#[expect(clippy::disallowed_methods, reason = "the function under test is on the time of day")]
fn epoch_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

async fn watch_process(mut child: Child, host: Arc<Host>) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let wait = async {
        tokio::select! {
            status = child.wait() => status,
            () = host.kill.notified() => {
                // It fails only for a process that has ended, which is what was wanted.
                let _ = child.start_kill();
                child.wait().await
            }
        }
    };
    let (status, (), ()) = tokio::join!(wait, copy(stdout, &host.stdout), copy(stderr, &host.stderr));
    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    host.phase.send_if_modified(|phase| {
        // What a function reported is a better reason than the exit that follows.
        let reported = matches!(phase, Phase::InitFailed { .. });
        if !reported {
            *phase = Phase::Exited { status };
        }
        !reported
    });
}

async fn copy(from: Option<impl AsyncRead + Unpin>, to: &Mutex<Vec<u8>>) {
    let Some(mut from) = from else { return };
    let mut chunk = [0; 4096];
    // A pipe that breaks has ended.
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        lock(to).extend_from_slice(&chunk[..length]);
    }
}

fn read(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&lock(bytes)).into_owned()
}

/// A panic while one of these is held leaves nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, host: Arc<Host>) {
    let api = Router::new()
        .route("/runtime/invocation/next", get(next))
        .route("/runtime/invocation/{id}/response", post(answer))
        .route("/runtime/invocation/{id}/error", post(error))
        .route("/runtime/init/error", post(init_error));
    let app =
        Router::new().nest("/2018-06-01", api).layer(DefaultBodyLimit::max(MAX_ANSWER)).with_state(host);
    // Ends when the instance is dropped; until then a failed accept is tried again.
    let _ = axum::serve(listener, app).await;
}

async fn next(State(host): State<Arc<Host>>) -> Result<Response<Body>, StatusCode> {
    host.ready.get_or_init(Instant::now);
    host.phase.send_if_modified(|phase| {
        let first = matches!(phase, Phase::Starting);
        if first {
            *phase = Phase::Ready;
        }
        first
    });
    let mut queue = host.queue.lock().await;
    let job = loop {
        let job = queue.recv().await.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        // Whoever asked may have stopped waiting before its turn came.
        if !job.reply.is_closed() {
            break job;
        }
    };
    let response = Response::builder()
        .header("Content-Type", "application/json")
        .header("Lambda-Runtime-Aws-Request-Id", &job.id)
        .header("Lambda-Runtime-Deadline-Ms", job.deadline_ms.to_string())
        .header("Lambda-Runtime-Invoked-Function-Arn", &job.arn)
        .header("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0")
        .body(Body::from(job.event))
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    *lock(&host.pending) = Some((job.id, job.reply));
    Ok(response)
}

async fn answer(State(host): State<Arc<Host>>, Captured(id): Captured<String>, body: Bytes) -> StatusCode {
    let answer = serde_json::from_slice(&body).map_err(|error| FunctionError::NotJson(error.to_string()));
    settle(&host, &id, answer)
}

async fn error(State(host): State<Arc<Host>>, Captured(id): Captured<String>, body: Bytes) -> StatusCode {
    let (error_type, message) = reported(&body);
    settle(&host, &id, Err(FunctionError::Reported { error_type, message }))
}

async fn init_error(State(host): State<Arc<Host>>, body: Bytes) -> StatusCode {
    let (error_type, message) = reported(&body);
    let starting = host.phase.send_if_modified(|phase| {
        let starting = matches!(phase, Phase::Starting);
        if starting {
            *phase = Phase::InitFailed { error_type, message };
        }
        starting
    });
    if starting { StatusCode::ACCEPTED } else { StatusCode::FORBIDDEN }
}

fn settle(host: &Host, id: &str, answer: Result<Value, FunctionError>) -> StatusCode {
    match lock(&host.pending).take_if(|(pending, _)| pending == id) {
        Some((_, reply)) => {
            // Whoever asked may have stopped waiting; the function did its part all the same.
            let _ = reply.send(answer);
            StatusCode::ACCEPTED
        }
        None => StatusCode::BAD_REQUEST,
    }
}

fn reported(body: &[u8]) -> (String, String) {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (member("errorType"), member("errorMessage"))
}
