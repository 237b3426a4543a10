//! Lives a plan: Twilio's webhooks find their way to machines, EventBridge has them sweep, people do what the plan
//! says, and then everything comes to rest.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_config::Region;
use bytes::Bytes;
use flexglue::local::system::{PUBLIC_URL, call_back};
use http::{Request, Response};
use orphan_sweeper::{SweepReport, SweepRequest};
use shared::{clock::Deadline, transport::TransportError};
use simulator::Webhook;
use tokio::{
    sync::{Notify, oneshot},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    ear, judge,
    machine::{self, Machine, Side},
    people::People,
    plan::Plan,
    rest,
    story::Story,
    watch::{Counts, Watch},
    weather::{Lot, Roll},
};
use crate::rig::{Rig, every_event};

/// A contact centre, and everything in it.
pub(super) struct Centre {
    pub(super) plan: Plan,
    pub(super) rig: Rig,
    pub(super) region: Region,
    pub(super) watch: Watch,
    pub(super) people: Mutex<People>,
    pub(super) story: Story,
    begun: Instant,
    calm: AtomicBool,
    /// Whether webhooks are thrown away.
    deaf: AtomicBool,
    happened: Notify,
    numbers: AtomicU64,
    idle: Mutex<Vec<Arc<Machine>>>,
    under_way: Mutex<JoinSet<()>>,
}

/// A run that kept every promise.
#[derive(Debug)]
pub struct Finished {
    /// What happened, line by line.
    pub story: Vec<String>,
    /// How much of it.
    pub counts: Counts,
}

/// A run that did not.
#[derive(Debug)]
pub struct Broken {
    /// Which promise was broken, and how.
    pub wrong: String,
    /// What happened, line by line.
    pub story: Vec<String>,
}

/// How long Twilio waits for the answer to a webhook of a conversation
/// ([webhooks](https://www.twilio.com/docs/conversations/conversations-webhooks)).
const CONVERSATIONS_WAIT: Duration = Duration::from_secs(5);

/// How long TaskRouter waits, as the fragment of its callback's URL says.
const TASKROUTER_WAIT: Duration = Duration::from_secs(10);

/// When Lambda ends an invocation: `Timeout` in `template.yaml`.
pub(super) const TIME_OUT: Duration = Duration::from_secs(10);

/// The same, of the sweeper.
const SWEEP_TIME_OUT: Duration = Duration::from_secs(50);

/// Lives a plan. `telling` keeps the story, which costs time.
pub fn run(plan: &Plan, telling: bool) -> Result<Finished, Broken> {
    // Jitter of the SDK's.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(async {
        let centre = Arc::new(Centre::of(plan.clone(), telling));
        let ear = ear::Ear::new(&centre.rig);
        let listening = ear.listen();
        let lived = live(&centre).await;
        drop(listening);
        let wrong = lived.err().or_else(|| centre.watch.wrong()).or_else(|| ear.heard());
        // Machines hold the centre, which holds them.
        centre.lock(&centre.idle).clear();
        let story = centre.story.lines();
        match wrong {
            Some(wrong) => Err(Broken { wrong, story }),
            None => Ok(Finished { story, counts: centre.watch.counts() }),
        }
    })
}

async fn live(centre: &Arc<Centre>) -> Result<(), String> {
    centre.spawn(heart(Arc::clone(centre)));
    centre.spawn(event_bridge(Arc::clone(centre)));
    for act in &centre.plan.acts {
        sleep_until(centre.begun + Duration::from_millis(act.at_ms)).await;
        centre.is_well()?;
        centre.act(act);
        centre.something_happened();
    }
    sleep_until(centre.begun + Duration::from_millis(centre.plan.over_ms())).await;
    centre.tell(|| "people are quiet, and nothing goes wrong any more".to_owned());
    centre.calm.store(true, Ordering::SeqCst);
    centre.deaf.store(!centre.plan.webhooks_to_the_end, Ordering::SeqCst);
    rest::come_to_rest(centre, rest::REST).await?;
    // Back ends that lost their patience ask once more, so that each knows how its reach ended.
    for _ in 0..3 {
        if centre.ask_for_what_is_open().await {
            break;
        }
        rest::come_to_rest(centre, rest::MORE_REST).await?;
    }
    judge::everything(centre).await?;
    rest::end(centre).await
}

impl Centre {
    fn of(plan: Plan, telling: bool) -> Self {
        let drawn = plan.account.clone();
        let max_reinvites = drawn.max_reinvites.to_string();
        let rig = Rig::with(
            plan.seed,
            |account| {
                if drawn.every_event {
                    every_event(account);
                }
                call_back(account, PUBLIC_URL);
                account.duplicate_guard = drawn.duplicate_guard;
                account.list_hides_task_attributes = drawn.list_hides_task_attributes;
                account.closing_ends_channel = drawn.closing_ends_channel;
                account.task_events_carry_sid = drawn.task_events_carry_sid;
                account.conflict_names_conversation = drawn.conflict_names_conversation;
                account.pre_engagement_as_text = drawn.pre_engagement_as_text;
                account.problem_json = drawn.problem_json;
                account.set_up_ms = drawn.set_up_ms;
                account.workflow_timeout_s = drawn.workflow_timeout_s;
                account.attribute_queries_per_second = drawn.attribute_queries_per_second;
                account.default_closed_timer = drawn.closed_timer.map(str::to_owned);
            },
            &[("MAX_REINVITES", &max_reinvites)],
        );
        Self {
            plan,
            rig,
            region: machine::region(),
            watch: Watch::default(),
            people: Mutex::default(),
            story: Story::new(telling),
            begun: Instant::now(),
            calm: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
            happened: Notify::new(),
            numbers: AtomicU64::new(0),
            idle: Mutex::default(),
            under_way: Mutex::default(),
        }
    }

    #[expect(clippy::unused_self, reason = "reads better where it is used")]
    pub(super) fn lock<'a, T>(&self, what: &'a Mutex<T>) -> MutexGuard<'a, T> {
        what.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing goes wrong any more.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// From now on nobody tells us anything.
    pub(super) fn is_deaf(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }

    /// Fails where something has gone wrong that may not.
    pub(super) fn is_well(&self) -> Result<(), String> {
        self.reap();
        self.watch.wrong().map_or(Ok(()), Err)
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Dice for somebody, now.
    pub(super) fn roll(&self, whom: u64) -> Roll {
        Roll { seed: self.plan.seed, now_ms: self.now_ms(), whom }
    }

    /// A number that nothing else has.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    pub(super) fn tell(&self, what: impl FnOnce() -> String) {
        self.story.tell(self.now_ms(), what);
    }

    /// What was asked and answered, in the story's words.
    pub(super) fn detail(
        &self,
        side: Side,
        request: &Request<Bytes>,
        outcome: &Result<Response<Bytes>, TransportError>,
    ) -> String {
        self.story.detail(side, request, outcome)
    }

    /// Whoever waits for something to happen at Twilio looks again.
    pub(super) fn something_happened(&self) {
        self.happened.notify_one();
    }

    /// Runs beside everything else.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.lock(&self.under_way).spawn(work);
    }

    /// Notes panics.
    fn reap(&self) {
        while let Some(ended) = self.lock(&self.under_way).try_join_next() {
            if let Err(error) = ended {
                self.watch.is_wrong(|| format!("panicked: {error}"));
            }
        }
    }

    /// Runs an invocation on an idle machine, or on a new one.
    pub(super) async fn invoke<T, F: Future<Output = T>>(
        self: &Arc<Self>,
        function: &'static str,
        limit: Duration,
        work: impl FnOnce(Arc<Machine>) -> F,
    ) -> Option<T> {
        let idle = self.lock(&self.idle).pop();
        let machine = match idle {
            Some(machine) => machine,
            None => Arc::new(Machine::started(self, self.number()).await),
        };
        let lot = if self.is_calm() {
            Lot::default()
        } else {
            self.plan.weather.lot(self.roll(machine.number), function)
        };
        self.watch.begins(machine.number, function);
        let work = work(Arc::clone(&machine));
        let (done, asked) = machine.invoke(lot, limit, work).await;
        if done.is_some() {
            self.watch.has_asked(function, asked);
            self.lock(&self.idle).push(machine);
        } else {
            self.tell(|| format!("machine {} is gone", machine.number));
        }
        done
    }

    /// A request from outside, answered by some machine, or not within `patience`.
    pub(super) async fn request(
        self: &Arc<Self>,
        function: &'static str,
        request: Request<Bytes>,
        patience: Duration,
    ) -> Option<Response<Bytes>> {
        let (answered, answer) = oneshot::channel();
        let centre = Arc::clone(self);
        self.spawn(async move {
            let done = centre
                .invoke(function, TIME_OUT, |machine| async move { machine.front.handle(request).await });
            if let Some(answer) = done.await {
                drop(answered.send(answer));
            }
        });
        timeout(patience, answer).await.ok()?.ok()
    }

    /// One sweep, by some machine.
    pub(super) async fn sweep(self: &Arc<Self>) -> Option<SweepReport> {
        let done = self.invoke("sweep", SWEEP_TIME_OUT, |machine| async move {
            let deadline = Deadline::within(SWEEP_TIME_OUT);
            machine.sweeper.sweep(SweepRequest::default(), deadline).await
        });
        let report = done.await;
        self.tell(|| match &report {
            Some(report) => format!("swept: {report:?}"),
            None => "the sweeper is gone".to_owned(),
        });
        report
    }

    /// Webhooks go out, as the weather allows.
    fn send_webhooks(self: &Arc<Self>) {
        for webhook in self.rig.system.twilio.take_webhooks() {
            if self.deaf.load(Ordering::SeqCst) {
                continue;
            }
            let copies = if self.is_calm() {
                vec![Duration::ZERO]
            } else {
                let roll = self.roll(self.number());
                self.plan.weather.on_webhook(roll, &webhook.event_type).copies
            };
            if copies.is_empty() {
                self.tell(|| format!("{} is lost", webhook.event_type));
            }
            for late in copies {
                let (centre, webhook) = (Arc::clone(self), webhook.clone());
                self.spawn(async move {
                    sleep(late).await;
                    centre.deliver(&webhook).await;
                });
            }
        }
    }

    async fn deliver(self: &Arc<Self>, webhook: &Webhook) {
        let of_taskrouter = webhook.url.contains("taskrouter");
        let (function, patience) = if of_taskrouter {
            ("taskrouter-events", TASKROUTER_WAIT)
        } else {
            ("inbound-webhook", CONVERSATIONS_WAIT)
        };
        let (twilio, was_calm) = (&self.rig.system.twilio, self.is_calm());
        let answer = self.request(function, twilio.webhook_request(webhook), patience).await;
        let status = answer.as_ref().map(|answer| answer.status().as_u16());
        self.tell(|| {
            let of = ["ConversationSid", "TaskSid", "Index"].map(|name| webhook.param(name).unwrap_or(""));
            let outcome = answer.as_ref().map(|answer| String::from_utf8_lossy(answer.body()).into_owned());
            let (event, outcome) = (&webhook.event_type, outcome.unwrap_or_default());
            format!("{event} {} is answered {status:?} {outcome}", of.join(" "))
        });
        twilio.webhook_answered(webhook, status);
        self.something_happened();
        let good = match status {
            Some(200 | 202 | 204) => true,
            None | Some(503) => !was_calm,
            Some(_) => false,
        };
        if !good {
            self.watch.is_wrong(|| format!("{} is answered {status:?}", webhook.event_type));
        }
    }
}

/// Twilio's own doings, and its webhooks.
async fn heart(centre: Arc<Centre>) {
    loop {
        centre.send_webhooks();
        let twilio = &centre.rig.system.twilio;
        let next = twilio.next_due_ms().map(|due| {
            let now = centre.rig.system.clock.now().as_millis();
            Duration::from_millis(due.saturating_sub(now))
        });
        let waits = async {
            match next {
                Some(wait) => sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = centre.happened.notified() => {}
            () = waits => {}
        }
    }
}

/// A sweep now and then, for as long as things go wrong. One that would find nothing is left out as a rule.
async fn event_bridge(centre: Arc<Centre>) {
    loop {
        sleep(Duration::from_millis(centre.plan.sweeps_each_ms)).await;
        if centre.is_calm() {
            return;
        }
        let roll = centre.roll(0);
        let worthwhile = centre.watch.is_due(centre.rig.system.clock.now()) || roll.now_ms.is_multiple_of(7);
        if worthwhile && !centre.plan.weather.sweep_is_missed(roll) {
            let sweeping = Arc::clone(&centre);
            centre.spawn(async move { drop(sweeping.sweep().await) });
        }
    }
}
