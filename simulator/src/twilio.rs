//! The handle through which a simulated Twilio is called, watched and told to misbehave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};

use crate::answer::{Answer, Refusal, Reply, response};
use crate::call::{Api, Call, Caller, authenticate, locate};
use crate::clock::Clock;
use crate::conversations::messages::Message;
use crate::conversations::participants::Participant;
use crate::conversations::{self, Conversation};
use crate::dates;
use crate::faults::{Fault, Lost, Misbehaviour, WebhookFault};
use crate::flex::interactions::Interaction;
use crate::settings::{Settings, Sleep};
use crate::taskrouter::tasks::Task;
use crate::webhooks::Webhook;
use crate::world::{RequestSeen, Warning, World};
use crate::{account, flex, iam, monitor, taskrouter};

/// A Twilio account in this process. Clones share it.
#[derive(Clone)]
pub struct Twilio {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
    sleep: Sleep,
}

impl Twilio {
    /// An account as the settings describe it, in which nothing has happened yet.
    #[must_use]
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Self {
        let sleep = Arc::clone(&settings.sleep);
        Self { world: Arc::new(Mutex::new(World::new(settings))), clock, sleep }
    }

    /// The state as it is now: what was due has happened.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.run_to(self.clock.now_ms());
        world
    }

    /// One REST call, answered in this process.
    ///
    /// The URI may carry the host of an API, a path prefix (`/flex-api`, `/conversations`, `/taskrouter`,
    /// `/iam`) or neither. [`Lost`] is a connection that a fault broke before or after the call had its
    /// effect.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
        let fault = self.fault_on(&request);
        match fault {
            None => {
                let answer = self.answer(&request);
                self.remember(&request, Some(answer.status()));
                Ok(answer)
            }
            Some(Misbehaviour::Status { status, code, retry_after }) => {
                let answer = self.error(status, code, retry_after);
                self.remember(&request, Some(answer.status()));
                Ok(answer)
            }
            Some(Misbehaviour::LostBefore) => {
                self.remember(&request, None);
                Err(Lost)
            }
            Some(Misbehaviour::LostAfter) => {
                self.answer(&request);
                self.remember(&request, None);
                Err(Lost)
            }
            Some(Misbehaviour::SlowMs(ms)) => {
                let answer = self.answer(&request);
                self.remember(&request, Some(answer.status()));
                (self.sleep)(ms).await;
                Ok(answer)
            }
            Some(Misbehaviour::Malformed) => {
                self.answer(&request);
                self.remember(&request, Some(StatusCode::OK));
                let page = Bytes::from_static(b"<html><body>Service temporarily unavailable</body></html>");
                Ok(response(StatusCode::OK, "text/html", page))
            }
            Some(Misbehaviour::Hang) => {
                self.remember(&request, None);
                std::future::pending().await
            }
            // It shows on the set-up of the channel, not on a call, so the faults never give it here.
            Some(Misbehaviour::FailSetUp { .. }) => Ok(self.answer(&request)),
        }
    }

    fn fault_on(&self, request: &Request<Bytes>) -> Option<Misbehaviour> {
        let (_, path) = locate(request.uri().path(), None);
        self.world().faults.on_call(request.method(), &path)
    }

    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let mut world = self.world();
        let problem_json = world.settings.problem_json;
        let mut answer = reply(&mut world, request)
            .map_or_else(|refusal| refusal.into_response(problem_json), Answer::into_response);
        // Every answer of Twilio's says what time it is there; here only one is looked at.
        if locate(request.uri().path(), request.uri().host()).0 == Api::Core {
            let now = world.now.saturating_add_signed(world.settings.shown.clock_ahead_ms);
            if let Ok(date) = HeaderValue::try_from(dates::http(now)) {
                answer.headers_mut().insert(header::DATE, date);
            }
        }
        answer
    }

    fn error(&self, status: u16, code: u32, retry_after: Option<u32>) -> Response<Bytes> {
        let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        let refusal = Refusal::new(status, code, reason.unwrap_or("Error"));
        let mut answer = refusal.into_response(self.world().settings.problem_json);
        if let Some(seconds) = retry_after {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }

    fn remember(&self, request: &Request<Bytes>, status: Option<StatusCode>) {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mut world = self.world();
        let at_ms = world.now;
        let method = request.method().to_string();
        world.requests.push(RequestSeen {
            method,
            path,
            status: status.map(|status| status.as_u16()),
            at_ms,
        });
    }

    /// Lets everything happen that is due by the clock. Every call and question does so first.
    pub fn tick(&self) {
        drop(self.world());
    }

    /// When something is due next: an effect, or a webhook that waits to be taken.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<u64> {
        self.world().next_due_ms()
    }

    /// Takes the webhooks that are due, for the caller to deliver.
    #[must_use]
    pub fn take_webhooks(&self) -> Vec<Webhook> {
        let mut world = self.world();
        let now = world.now;
        world.outbox.take_due(now)
    }

    /// Tells how the delivery of a webhook ended: with a status, or with none if it could not connect or
    /// waited in vain. If the overrides in the fragment of its URL (`#rc=3&rp=all`) say so and attempts are
    /// left, the same webhook is due again a second later. Only `TaskRouter` sends anything again.
    pub fn webhook_answered(&self, webhook: &Webhook, status: Option<u16>) {
        let mut world = self.world();
        let now = world.now;
        world.outbox.answered(webhook, status, now);
    }

    /// The signed request that delivers a webhook.
    #[must_use]
    pub fn webhook_request(&self, webhook: &Webhook) -> Request<Bytes> {
        webhook.request(&self.world().settings)
    }

    /// Misbehaves from now on, beside what it was told before.
    pub fn misbehave(&self, fault: Fault) {
        self.world().faults.add(fault);
    }

    /// Misbehaves with the webhooks of what happens from now on.
    pub fn misbehave_with_webhooks(&self, fault: WebhookFault) {
        self.world().faults.add_webhook(fault);
    }

    /// Forgets all faults.
    pub fn behave(&self) {
        self.world().faults.clear();
    }

    /// Changes the settings of the running account, for example to rotate a secret. The change must not call
    /// this Twilio: it is locked meanwhile. How answers are delayed and the seed were read at the start.
    pub fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.world().settings);
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.world().settings.clone()
    }

    /// Every conversation of our chat service, oldest first.
    #[must_use]
    pub fn conversations(&self) -> Vec<Conversation> {
        let mut all: Vec<_> = conversations::ours(&self.world()).cloned().collect();
        all.sort_by_key(|conversation| conversation.born);
        all
    }

    /// One conversation, also of another service.
    #[must_use]
    pub fn conversation(&self, sid: &str) -> Option<Conversation> {
        self.world().conversations.get(sid).cloned()
    }

    /// What was said in a conversation; nothing if there is none.
    #[must_use]
    pub fn messages(&self, conversation: &str) -> Vec<Message> {
        self.world().conversations.get(conversation).map(|found| found.messages.clone()).unwrap_or_default()
    }

    /// Who takes part in a conversation; nobody if there is none.
    #[must_use]
    pub fn participants(&self, conversation: &str) -> Vec<Participant> {
        self.world()
            .conversations
            .get(conversation)
            .map(|found| found.participants.clone())
            .unwrap_or_default()
    }

    /// Every Interaction that was accepted, oldest first, those that failed as well.
    #[must_use]
    pub fn interactions(&self) -> Vec<Interaction> {
        let mut all: Vec<_> = self.world().interactions.values().cloned().collect();
        all.sort_by_key(|interaction| interaction.born);
        all
    }

    /// One Interaction.
    #[must_use]
    pub fn interaction(&self, sid: &str) -> Option<Interaction> {
        self.world().interactions.get(sid).cloned()
    }

    /// Every Interaction that was accepted for a conversation, oldest first.
    #[must_use]
    pub fn interactions_on(&self, conversation: &str) -> Vec<Interaction> {
        let on = |interaction: &Interaction| interaction.channel.conversation_sid == conversation;
        self.interactions().into_iter().filter(on).collect()
    }

    /// Every task that `TaskRouter` still knows, oldest first.
    #[must_use]
    pub fn tasks(&self) -> Vec<Task> {
        let mut all: Vec<_> = self.world().tasks.values().cloned().collect();
        all.sort_by_key(|task| task.born);
        all
    }

    /// One task, while `TaskRouter` knows it.
    #[must_use]
    pub fn task(&self, sid: &str) -> Option<Task> {
        self.world().tasks.get(sid).cloned()
    }

    /// Every webhook that was taken, in order.
    #[must_use]
    pub fn webhooks_sent(&self) -> Vec<Webhook> {
        self.world().outbox.taken.clone()
    }

    /// Every call that arrived, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestSeen> {
        self.world().requests.clone()
    }

    /// What the Console's debugger shows.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        self.world().warnings.clone()
    }
}

fn reply(world: &mut World, request: &Request<Bytes>) -> Reply {
    let caller = authenticate(&world.settings, world.now, request)?;
    let call = Call::read(request)?;
    if let Caller::ChatUser(identity) = caller {
        return conversations::chat_users::route(world, &call, &identity);
    }
    match (call.api, call.segments().as_slice()) {
        (Api::Conversations, ["v1", below @ ..]) => conversations::route(world, &call, below),
        (Api::Flex, ["v1", below @ ..]) => flex::route(world, &call, below),
        (Api::Flex, ["v2", below @ ..]) => flex::route_v2(world, &call, below),
        (Api::TaskRouter, ["v1", below @ ..]) => taskrouter::route(world, &call, below),
        (Api::Iam, ["v1", below @ ..]) => iam::route(world, &call, below),
        (Api::Monitor, ["v1", below @ ..]) => monitor::route(world, &call, below),
        (Api::Core, ["2010-04-01", below @ ..]) => account::route(world, &call, below),
        _ => Err(call.not_found()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::FutureExt as _;

    use crate::testing::{CUSTOMER, OURS, Sim, code};
    use crate::{Fault, Lost, Matcher, Misbehaviour, Times};

    fn misbehaving(what: Misbehaviour) -> Sim {
        let sim = Sim::new();
        let on = Matcher::route("POST /v1/Conversations");
        sim.twilio.misbehave(Fault { on, times: Times::Next(1), what });
        sim
    }

    #[test]
    fn a_caller_must_be_the_account_or_one_of_its_keys() {
        let sim = Sim::with(|settings| settings.extra_auth.push(("SK1".to_owned(), "secret".to_owned())));
        let with = |user: Option<&'static str>| {
            let mut request = sim.request("GET", "/v1/Conversations", &[]);
            request.headers_mut().remove("authorization");
            if let Some(user) = user {
                request.headers_mut().insert("authorization", http::HeaderValue::from_static(user));
            }
            sim.send(request).expect("an answer")
        };
        let refused = with(None);
        assert_eq!((refused.0, code(&refused)), (401, 20003));
        assert_eq!(with(Some("Basic U0sxOndyb25n")).0, 401);
        assert_eq!(with(Some("Basic U0sxOnNlY3JldA==")).0, 200);
    }

    #[test]
    fn an_unknown_resource_is_404_in_twilios_shape() {
        let sim = Sim::new();
        let (status, body) = sim.get("/v1/Nothing");
        assert_eq!(status, 404);
        assert_eq!(body["code"], 20404);
        assert_eq!(body["status"], 404);
        assert_eq!(body["more_info"], "https://www.twilio.com/docs/errors/20404");
        assert_eq!(body["message"], "The requested resource /v1/Nothing was not found");
        for path in [
            "/v2/Conversations",
            "/v2/Interactions",
            "/v1/WebChats",
            "/",
            "/flex-api/v1/Conversations",
            "/v1/Services/IS1/Conversations",
        ] {
            assert_eq!(sim.get(path).0, 404, "{path}");
        }
    }

    #[test]
    fn errors_may_have_the_newer_shape() {
        let sim = Sim::with(|settings| settings.problem_json = true);
        let (status, body) = sim.get("/v1/Nothing");
        assert_eq!((status, &body["code"], &body["title"]), (404, &20404.into(), &"Not Found".into()));
        assert_eq!(body["detail"], "The requested resource /v1/Nothing was not found");
    }

    #[test]
    fn a_body_that_is_no_form_is_refused() {
        let sim = Sim::new();
        let mut request = sim.request("POST", "/v1/Conversations", &[]);
        *request.body_mut() = "{}".into();
        request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        assert_eq!(sim.send(request).expect("an answer").0, 415);
        assert!(sim.twilio.conversations().is_empty());
    }

    #[test]
    fn a_call_lost_before_has_no_effect_and_one_lost_after_has() {
        for (what, made) in [(Misbehaviour::LostBefore, 0), (Misbehaviour::LostAfter, 1)] {
            let sim = misbehaving(what);
            assert_eq!(sim.send(sim.request("POST", "/v1/Conversations", &[])), Err(Lost));
            assert_eq!(sim.twilio.conversations().len(), made);
            assert_eq!(sim.twilio.requests()[0].status, None);
        }
    }

    #[test]
    fn an_error_answer_has_no_effect_and_may_say_when_to_come_back() {
        let sim = misbehaving(Misbehaviour::Status { status: 429, code: 20429, retry_after: Some(7) });
        let answer = sim.twilio.call(sim.request("POST", "/v1/Conversations", &[])).now_or_never();
        let answer = answer.expect("at once").expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (429, &"7".parse().unwrap())
        );
        assert!(sim.twilio.conversations().is_empty());
        assert_eq!(sim.post("/v1/Conversations", &[]).0, 201);
        let seen: Vec<_> = sim.twilio.requests().into_iter().map(|request| request.status).collect();
        assert_eq!(seen, [Some(429), Some(201)]);
    }

    #[test]
    fn an_answer_may_be_a_page_of_html() {
        let sim = misbehaving(Misbehaviour::Malformed);
        assert_eq!(sim.post("/v1/Conversations", &[]), (200, serde_json::Value::Null));
        assert_eq!(sim.twilio.conversations().len(), 1);
    }

    #[test]
    fn a_slow_answer_waits_as_it_was_told_to_and_a_hanging_one_never_comes() {
        let waited = Arc::new(AtomicU64::new(0));
        let sim = Sim::with(|settings| {
            let waited = Arc::clone(&waited);
            settings.sleep = Arc::new(move |ms| {
                waited.store(ms, Ordering::SeqCst);
                Box::pin(async {})
            });
        });
        for what in [Misbehaviour::SlowMs(1500), Misbehaviour::Hang] {
            sim.twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
        }
        assert_eq!(sim.post("/v1/Conversations", &[]).0, 201);
        assert_eq!(waited.load(Ordering::SeqCst), 1500);
        assert!(sim.twilio.call(sim.request("POST", "/v1/Conversations", &[])).now_or_never().is_none());
        assert_eq!(sim.twilio.conversations().len(), 1);
        sim.twilio.behave();
    }

    #[test]
    fn the_same_seed_gives_the_same_story() {
        let story = |seed| {
            let sim = Sim::with(|settings| settings.seed = seed);
            let engaged = sim.engaged();
            sim.twilio.agent_accepts(&engaged.task, &sim.worker(0)).expect("accepted");
            format!("{:?} {:?}", sim.twilio.interactions(), sim.twilio.webhooks_sent())
        };
        assert_eq!(story(1), story(1));
        assert_ne!(story(1), story(2));
    }

    #[test]
    fn what_is_due_next_can_be_asked() {
        let sim = Sim::new();
        assert_eq!(sim.twilio.next_due_ms(), None);
        let written = sim.twilio.customer_writes(CUSTOMER, OURS, "hello");
        assert_eq!(sim.twilio.next_due_ms(), Some(crate::testing::START_MS));
        sim.events();
        assert_eq!(sim.twilio.next_due_ms(), None);
        sim.interact(&written.conversation_sid);
        sim.events();
        assert_eq!(sim.twilio.next_due_ms(), Some(crate::testing::START_MS + 200));
    }
}
