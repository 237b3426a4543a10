//! Answers of Twilio: whatever it answers, a call ends as the documentation of its client says, what may have
//! happened is not asked for twice, and no answer decides which host is asked next.
//!
//! An input is a status, lines of `name: value`, an empty line, and the body.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;
use shared::{
    clock::{Clock, Deadline},
    personal::Personal,
    random::SeededRandom,
    secrets::{Credentials, Secret, SecretSource, Secrets},
    sid::ConversationSid,
    telemetry::Metrics,
    transport::{Transport, TransportError},
    twilio::{
        Bases, CallError, Doubt, EndOfTasks, EventQuery, MessageContent, NewConversation, NewInteraction,
        NewMessage, NewScopedWebhook, NewWebChat, Next, Page, Refusal, Timers, Twilio,
    },
};
use tokio::runtime::Runtime;

use super::stub::{AUTH_TOKEN, NOW, Still, runtime, settings};

/// How often one call may ask.
const TRIES: usize = 4;

thread_local! {
    static CLIENT: (Twilio, Arc<Answers>, Runtime) = client();
}

/// Has every call of the client be answered so.
///
/// # Panics
/// Where a promise is broken.
pub fn run(input: &[u8]) {
    let Some(answer) = read(input) else { return };
    CLIENT.with(|(twilio, answers, runtime)| {
        *answers.answer() = answer.clone();
        runtime.block_on(Called { twilio, answers, meaning: Meaning::of(&answer) }.everything());
    });
}

fn client() -> (Twilio, Arc<Answers>, Runtime) {
    let answers = Arc::new(Answers::default());
    let clock: Arc<dyn Clock> = Arc::new(Still);
    let source = SecretSource::Given(Credentials::of(Secret::new(AUTH_TOKEN)));
    let twilio = Twilio::new(
        Arc::clone(&answers) as _,
        Arc::new(SeededRandom::new(1)),
        Arc::new(Secrets::new(source, Arc::clone(&clock))),
        settings().account,
        Bases::public(None, None),
        Metrics::new("fuzzing", "fuzzing", clock, Arc::new(|_| {})),
    );
    (twilio, answers, runtime())
}

/// Status, headers and body; what is no header is left out.
fn read(input: &[u8]) -> Option<Response<Bytes>> {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((input, &[][..]), |at| (&input[..at], &input[at + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = StatusCode::from_bytes(lines.next()?).ok().filter(|status| status.as_u16() < 600)?;
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = status;
    for line in lines.take(64) {
        let Some(at) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) =
            (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(line[at + 1..].trim_ascii()));
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}

/// What an answer means, as `shared/src/twilio/error.rs` documents it.
#[derive(Debug)]
enum Meaning {
    Success,
    Throttled(Option<Duration>),
    Rejected {
        status: u16,
        /// Whether the body leaves no doubt: it is JSON, and nothing stands there twice.
        is_plain: bool,
        code: Option<u32>,
        words: Vec<String>,
    },
    Unknown(u16),
}

impl Meaning {
    fn of(answer: &Response<Bytes>) -> Self {
        let status = answer.status().as_u16();
        match status {
            200..300 => Self::Success,
            429 => Self::Throttled(seconds(answer.headers())),
            400..500 if status != 408 => {
                let text = String::from_utf8_lossy(answer.body());
                let names = ["code", "message", "detail", "title"];
                let is_plain =
                    names.iter().all(|name| text.matches(name).count() <= 1) && !text.contains("\\u");
                let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
                let is_plain = is_plain && body.is_some();
                let body = body.unwrap_or_default();
                let word = |name: &&str| body[*name].as_str().map(str::to_owned);
                let code = match &body["code"] {
                    Value::Number(number) => number.as_u64().and_then(|code| code.try_into().ok()),
                    Value::String(text) => text.parse().ok(),
                    _ => None,
                };
                // Where one of the words is none, the body is not one of Twilio's.
                let is_twilios =
                    names[1..].iter().all(|name| body[*name].is_null() || body[*name].is_string());
                Self::Rejected {
                    status,
                    is_plain,
                    code: code.filter(|_| is_twilios),
                    words: names[1..].iter().filter_map(word).collect(),
                }
            }
            _ => Self::Unknown(status),
        }
    }
}

fn seconds(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Calls of a client that is always answered the same.
struct Called<'a> {
    twilio: &'a Twilio,
    answers: &'a Answers,
    meaning: Meaning,
}

fn sid<T: std::str::FromStr<Err: fmt::Debug>>(prefix: &str) -> T {
    format!("{prefix}00000000000000000000000000000001").parse().expect("a SID")
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(5))
}

impl Called<'_> {
    async fn everything(&self) {
        self.reads().await;
        self.pages().await;
        self.writes().await;
    }

    async fn reads(&self) {
        let twilio = self.twilio;
        let (service, conversation) = (settings().chat_service, sid::<ConversationSid>("CH"));
        let workspace = settings().routing.workspace;
        let found = self.ended(&Method::GET, &[404], twilio.conversation(&conversation, soon()).await);
        found.flatten().map(|found| found.created_at());
        let named = twilio.conversation_named(&service, "flexglue-1", soon()).await;
        self.ended(&Method::GET, &[404], named);
        if let Some(Some(task)) =
            self.ended(&Method::GET, &[404], twilio.task(&workspace, &sid("WT"), soon()).await)
        {
            let _ = (task.standing(), task.updated_at(), task.flex());
        }
        let channel = twilio.interaction_channel(&sid("KD"), &sid("UO"), soon()).await;
        self.ended(&Method::GET, &[404], channel);
    }

    /// Lists, and what hangs on their items.
    async fn pages(&self) {
        let twilio = self.twilio;
        let (service, conversation) = (settings().chat_service, sid::<ConversationSid>("CH"));
        let workspace = settings().routing.workspace;
        for page in self.listed(twilio.scoped_webhooks(&conversation, soon()).await) {
            let _ = (page.url(), page.flow(), page.hears_replies(), page.hears_messages());
            let ours = NewScopedWebhook::Webhook { url: "https://flexglue.example/webhooks".to_owned() };
            let _ = ours.is(&page);
        }
        for message in self.listed(twilio.newest_messages(&conversation, soon()).await) {
            let _ = (message.name(), message.created_at());
        }
        for receipt in self.listed(twilio.receipts(&conversation, &sid("IM"), soon()).await) {
            assert!(!(receipt.is_delivered() && receipt.is_undelivered()));
            let _ = receipt.code();
        }
        self.listed(twilio.participants(&conversation, soon()).await);
        self.listed(twilio.interaction_channels(&sid("KD"), soon()).await);
        for participant in self.listed(twilio.interaction_participants(&sid("KD"), &sid("UO"), soon()).await)
        {
            let _ = (participant.task_sid(), participant.worker_sid());
        }
        for invite in self.listed(twilio.invites(&sid("KD"), &sid("UO"), soon()).await) {
            let _ = invite.task_sid();
        }
        self.listed(twilio.conversations_of_identity("guest-1", soon()).await);
        self.tasks(&conversation).await;

        let first = twilio.conversations(&service, "active", None, soon()).await;
        if let Some(next) = self.next_of(first) {
            self.follows(&next, twilio.conversations(&service, "active", Some(&next), soon()).await.is_err());
        }
        let first = twilio.participant_conversations("+15551230001", None, soon()).await;
        if let Some(next) = self.next_of(first) {
            let more = twilio.participant_conversations("+15551230001", Some(&next), soon()).await;
            self.follows(&next, more.is_err());
        }
        let query = EventQuery::OfType("task.canceled");
        let first = twilio.events(&workspace, &query, NOW, None, soon()).await;
        for event in first.iter().flat_map(|page| &page.items) {
            let _ = (event.at(), event.task(), event.workflow(), event.flex_task(&conversation));
        }
        if let Some(next) = self.next_of(first) {
            let more = twilio.events(&workspace, &query, NOW, Some(&next), soon()).await;
            self.follows(&next, more.is_err());
        }
    }

    /// A list of which single items may be asked for again: more than one call.
    async fn tasks(&self, conversation: &ConversationSid) {
        let workspace = settings().routing.workspace;
        let tasks = self.twilio.tasks_of_conversation(&workspace, conversation, soon()).await;
        self.answers.take();
        if let Ok(tasks) = tasks {
            for task in tasks {
                let _ = (task.standing(), task.updated_at(), task.flex());
            }
        }
    }

    async fn writes(&self) {
        let twilio = self.twilio;
        let post = Method::POST;
        let conversation = sid::<ConversationSid>("CH");
        let text = || Personal("x".to_owned());
        let new = NewConversation {
            unique_name: "flexglue-1".to_owned(),
            attributes: "{}".to_owned(),
            timers: Timers { inactive: None, closed: None },
        };
        self.ended(&post, &[], twilio.create_conversation(&settings().chat_service, new, soon()).await);
        let json = || Personal(Value::Null);
        let interaction = NewInteraction { channel: json(), routing: json() };
        if let Some(made) = self.ended(&post, &[], twilio.create_interaction(&interaction, soon()).await) {
            let _ = (made.channel_sid(), made.task_sid());
        }
        let invite = twilio.create_invite(&sid("KD"), &sid("UO"), &json(), soon()).await;
        if let Some(invite) = self.ended(&post, &[], invite) {
            let _ = invite.task_sid();
        }
        let closed =
            twilio.close_interaction_channel(&sid("KD"), &sid("UO"), EndOfTasks::Completed, soon()).await;
        self.ended_or(&post, &[404], Some(80906), closed);
        let closed = twilio.close_conversation(&conversation, soon()).await;
        self.ended_or(&post, &[404], Some(50377), closed);
        let webhook = NewScopedWebhook::Webhook { url: "https://flexglue.example/webhooks".to_owned() };
        self.ended(&post, &[], twilio.attach_webhook(&conversation, &webhook, soon()).await);
        self.ended(&Method::DELETE, &[404], twilio.delete_conversation(&conversation, soon()).await);
        let message = NewMessage {
            author: "system".to_owned(),
            content: MessageContent::Text(text()),
            name: None,
            fire_webhooks: false,
        };
        if let Some(sent) = self.ended(&post, &[], twilio.send_message(&conversation, message, soon()).await)
        {
            let _ = (sent.name(), sent.created_at());
        }
        let added = twilio.add_customer(&conversation, "+15551230001", "+15557770000", soon()).await;
        self.ended(&post, &[], added);
        let chat = NewWebChat {
            address: sid("IG"),
            identity: "guest-1".to_owned(),
            customer_name: text(),
            pre_engagement: text(),
        };
        self.ended(&post, &[], twilio.create_web_chat(chat, soon()).await);
        if let Some(Some(user)) =
            self.ended(&post, &[400, 422], twilio.flex_user(&Secret::new("a-token"), soon()).await)
        {
            let _ = user.is_staff();
        }
    }

    /// Checks how a call ended: these statuses are an answer to it, too.
    fn ended<T>(&self, method: &Method, answers: &[u16], result: Result<T, CallError>) -> Option<T> {
        self.ended_or(method, answers, None, result)
    }

    fn ended_or<T>(
        &self,
        method: &Method,
        answers: &[u16],
        code_that_answers: Option<u32>,
        result: Result<T, CallError>,
    ) -> Option<T> {
        let asked = self.answers.take();
        assert!((1..=TRIES).contains(&asked.len()), "{} times", asked.len());
        let error = match (&self.meaning, result) {
            (Meaning::Success, Ok(done)) => return Some(done),
            (Meaning::Rejected { status, code, is_plain, .. }, Ok(done)) => {
                let is_answer =
                    answers.contains(status) || !is_plain || code.is_some() && *code == code_that_answers;
                assert!(is_answer, "{:?} is taken for done", self.meaning);
                assert_eq!(asked.len(), 1);
                return Some(done);
            }
            (meaning, Ok(_)) => panic!("{meaning:?} is taken for done"),
            (_, Err(error)) => error,
        };
        self.is_meant(&error);
        let may_have_happened = matches!(self.meaning, Meaning::Unknown(_) | Meaning::Success);
        let at_most = match self.meaning {
            Meaning::Throttled(_) => TRIES,
            _ if may_have_happened && *method != Method::POST => TRIES,
            _ => 1,
        };
        assert!(asked.len() <= at_most, "{:?} has {method} sent {} times", self.meaning, asked.len());
        None
    }

    fn is_meant(&self, error: &CallError) {
        match (&self.meaning, error) {
            (Meaning::Success, CallError::Unknown(Doubt::Unreadable)) => {}
            (Meaning::Throttled(wait), CallError::Refused(Refusal::Throttled { retry_after })) => {
                assert_eq!(wait, retry_after);
            }
            (Meaning::Unknown(status), CallError::Unknown(Doubt::ServerError(told))) => {
                assert_eq!(status, told);
            }
            (
                Meaning::Rejected { status, code, words, is_plain },
                CallError::Refused(Refusal::Rejected { status: told, code: told_code, message }),
            ) => {
                assert_eq!(status, told);
                if *is_plain {
                    assert_eq!(code, told_code);
                    assert!(message.is_empty() || words.contains(message));
                }
                let printed = format!("{error} {error:?}");
                assert!(words.iter().all(|words| words.len() < 24 || !printed.contains(words)), "{printed}");
                assert!(!error.is_temporary());
            }
            (meaning, error) => panic!("{meaning:?} is told as {error:?}"),
        }
    }

    /// The items of the only page that is asked for.
    fn listed<T>(&self, page: Result<Page<T>, CallError>) -> Vec<T> {
        self.ended(&Method::GET, &[], page).map(|page| page.items).unwrap_or_default()
    }

    fn next_of<T>(&self, page: Result<Page<T>, CallError>) -> Option<Next> {
        self.ended(&Method::GET, &[], page)?.next
    }

    /// The next page is asked of the same host, at the same path, with nothing of the answer's but the page.
    fn follows(&self, next: &Next, failed: bool) {
        let asked = self.answers.take();
        // A page's token may be longer than any URL.
        assert!(!asked.is_empty() || failed);
        for (method, uri) in asked {
            assert_eq!(method, Method::GET);
            assert!(uri.host().is_some_and(|host| host.ends_with(".twilio.com")), "{uri}");
            assert_eq!(uri.scheme_str(), Some("https"));
            assert!(
                uri.path().ends_with("/Conversations")
                    || uri.path().ends_with("/ParticipantConversations")
                    || uri.path().ends_with("/Events"),
                "{uri}"
            );
            let known =
                ["State", "PageSize", "Page", "PageToken", "Address", "Identity", "StartDate", "EventType"];
            let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
            for (name, value) in pairs {
                assert!(known.contains(&&*name), "{name} is Twilio's alone");
                assert!(name != "State" || value == "active");
            }
        }
        assert_eq!(Next::from_query(&next.query()).as_ref(), Some(next), "it is kept as it is");
    }
}

/// A Twilio with one answer to everything.
#[derive(Default)]
struct Answers {
    answer: Mutex<Response<Bytes>>,
    asked: Mutex<Vec<(Method, http::Uri)>>,
}

impl Answers {
    fn answer(&self) -> MutexGuard<'_, Response<Bytes>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was asked since the last time.
    fn take(&self) -> Vec<(Method, http::Uri)> {
        std::mem::take(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answers")
    }
}

impl Transport for Answers {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        let asked = (request.method().clone(), request.uri().clone());
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let answer = self.answer().clone();
        Box::pin(async move { Ok(answer) })
    }
}
