//! The machines that functions run on: each takes one invocation at a time, has a clock of its own, and may be killed
//! or frozen at any request that it makes. What it has sent is on its way whatever becomes of it.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use aws_config::Region;
use bytes::Bytes;
use flexglue::local::gateway::{EventShape, Routes};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use orphan_sweeper::OrphanSweeper;
use shared::{
    parts::World,
    transport::{Transport, TransportError},
};
use simulator::{Fault, Matcher, Misbehaviour, Times};
use tokio::{
    sync::oneshot,
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::{
    centre::Centre,
    watch::Before,
    weather::{self, Deed, Fate, Lot, Roll},
};
use crate::rig::Ahead;

/// One machine.
pub(super) struct Machine {
    pub(super) number: u64,
    /// Every function that answers HTTP.
    pub(super) front: Routes,
    pub(super) sweeper: OrphanSweeper,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    lot: Lot,
    steps: usize,
    dead: bool,
    frozen_until: Option<Instant>,
    asked: Asked,
}

/// What one invocation has asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) of_twilio: u32,
    pub(super) of_table: u32,
    /// Whether all of it was carried out and answered in good time.
    pub(super) disturbed: bool,
}

/// The SDK counts retries by region, for all of a process: what one run used up would change the next.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// A region of which the SDK has not heard.
pub(super) fn region() -> Region {
    Region::new(format!("simulated-{}", RUNS.fetch_add(1, Ordering::Relaxed)))
}

impl Machine {
    /// A machine that was just started.
    pub(super) async fn started(centre: &Arc<Centre>, number: u64) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let wire = |to, side| -> Arc<dyn Transport> {
            Arc::new(Wire { to, side, number, state: Arc::clone(&state), centre: Arc::clone(centre) })
        };
        let system = &centre.rig.system;
        let world = system.world_through(|to| wire(to, Side::Twilio), |to| wire(to, Side::Table)).await;
        let ahead = weather::skew(centre.plan.seed, number);
        let world = World {
            clock: Arc::new(Ahead { of: Arc::clone(&world.clock), by: ahead }),
            aws: world.aws.into_builder().region(centre.region.clone()).build(),
            ..world
        };
        let (front, sweeper) = (system.front(EventShape::HttpApi, &world), system.orphan_sweeper(&world));
        Self { number, front, sweeper, state }
    }

    /// Runs one invocation, for as long as Lambda lets it. `None` where it was killed; the machine is gone then.
    pub(super) async fn invoke<T>(
        &self,
        lot: Lot,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> (Option<T>, Asked) {
        *self.state() = State { lot, ..State::default() };
        let invocation = Invocation {
            work: Box::pin(work),
            limit: Box::pin(sleep(limit)),
            thaw: None,
            state: Arc::clone(&self.state),
        };
        let done = invocation.await;
        (done, self.state().asked)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An invocation: runs while the machine does.
struct Invocation<F> {
    work: Pin<Box<F>>,
    limit: Pin<Box<Sleep>>,
    thaw: Option<Pin<Box<Sleep>>>,
    state: Arc<Mutex<State>>,
}

impl<F: Future> Future for Invocation<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(thaw) = &mut self.thaw {
                if thaw.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.thaw = None;
            }
            if let Poll::Ready(done) = self.work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            let frozen_until = {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                if state.dead {
                    return Poll::Ready(None);
                }
                state.frozen_until.take()
            };
            match frozen_until {
                // Lambda's own clock stands still with the machine.
                Some(until) => {
                    let limit = self.limit.deadline() + until.saturating_duration_since(Instant::now());
                    self.limit.as_mut().reset(limit);
                    self.thaw = Some(Box::pin(sleep_until(until)));
                }
                None if self.limit.as_mut().poll(context).is_ready() => {
                    self.state.lock().unwrap_or_else(PoisonError::into_inner).dead = true;
                    return Poll::Ready(None);
                }
                None => return Poll::Pending,
            }
        }
    }
}

/// Where a wire leads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Side {
    Twilio,
    Table,
}

/// The way out of a machine.
struct Wire {
    to: Arc<dyn Transport>,
    side: Side,
    number: u64,
    state: Arc<Mutex<State>>,
    centre: Arc<Centre>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wire of machine {}", self.number)
    }
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A point at which the machine may be killed or frozen.
    async fn step(&self) {
        let dead = {
            let mut state = self.state();
            let step = state.steps;
            state.steps += 1;
            if state.lot.killed_at == Some(step) {
                state.dead = true;
                self.centre.tell(|| format!("machine {} is killed", self.number));
            }
            if let Some((at, long)) = state.lot.frozen_at
                && at == step
            {
                state.frozen_until = Some(Instant::now() + long);
                state.asked.disturbed = true;
                self.centre.tell(|| format!("machine {} is frozen for {long:?}", self.number));
            }
            state.dead
        };
        if dead {
            std::future::pending::<()>().await;
        }
        // Whoever runs the invocation looks whether the machine is frozen.
        if self.state().frozen_until.is_some() {
            tokio::task::yield_now().await;
        }
    }

    /// Whether this is what Twilio never shows in this account.
    fn hides(&self, route: &str) -> bool {
        route.starts_with("GET") && !self.centre.plan.account.shows_invites
    }

    fn fate(&self, route: &str) -> Fate {
        let roll = self.centre.roll(self.number);
        let weather = &self.centre.plan.weather;
        let fate = match self.side {
            Side::Twilio if route.ends_with("/Invites") && self.hides(route) => weather::hidden(),
            _ if self.centre.is_calm() => weather::CALM,
            Side::Twilio => weather.on_twilio(roll, route),
            Side::Table => weather.on_table(roll, route),
        };
        let mut state = self.state();
        match self.side {
            Side::Twilio => state.asked.of_twilio += 1,
            Side::Table => state.asked.of_table += 1,
        }
        state.asked.disturbed |= !fate.is_good();
        fate
    }
}

impl Transport for Wire {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, TransportError>> {
        Box::pin(async move {
            self.step().await;
            let route = route(self.side, &request);
            let fate = self.fate(&route);
            let (answered, answer) = oneshot::channel();
            let (to, side, number) = (Arc::clone(&self.to), self.side, self.number);
            let roll = self.centre.roll(number);
            // The network: what is on its way arrives, whatever has become of the sender.
            let way = carry(Arc::clone(&self.centre), to, side, number, request, route, roll, fate);
            self.centre.spawn(async move {
                if let Some(outcome) = way.await {
                    drop(answered.send(outcome));
                } else {
                    // Nothing ever comes back: the sender waits until it gives up.
                    let mut answered = answered;
                    answered.closed().await;
                }
            });
            let outcome = answer.await.unwrap_or(Err(TransportError::Lost));
            self.step().await;
            outcome
        })
    }
}

/// Carries a request. `None` where nothing ever comes back.
#[expect(clippy::too_many_arguments, reason = "it is one request, in one place")]
async fn carry(
    centre: Arc<Centre>,
    to: Arc<dyn Transport>,
    side: Side,
    number: u64,
    request: Request<Bytes>,
    route: String,
    roll: Roll,
    fate: Fate,
) -> Option<Result<Response<Bytes>, TransportError>> {
    if matches!(fate.what, Deed::NotSent) {
        centre.tell(|| format!("  {number} {route}: no connection"));
        return Some(Err(TransportError::NotSent));
    }
    sleep(fate.before).await;
    if let Deed::Refused(answer) = fate.what {
        centre.tell(|| format!("  {number} {route}: {} by the weather", answer.status().as_u16()));
        sleep(fate.after).await;
        return Some(Ok(answer));
    }
    if matches!(fate.what, Deed::LostBefore) {
        centre.tell(|| format!("  {number} {route}: lost on its way"));
        sleep(fate.after).await;
        return Some(Err(TransportError::Lost));
    }
    if route == "POST Interactions" && !centre.is_calm() && centre.plan.weather.set_up_fails(roll) {
        centre.tell(|| "    whose set-up will fail".to_owned());
        let what = Misbehaviour::FailSetUp { code: 45381 };
        let twilio = &centre.rig.system.twilio;
        twilio.misbehave(Fault { on: Matcher::Any, times: Times::Next(1), what });
    }
    let before = Before::of(&centre.rig, side, &request);
    let outcome = to.send(request.clone()).await;
    if route == "POST Interactions" {
        centre.rig.system.twilio.behave();
    }
    centre.watch.after(&centre, side, number, &request, &outcome, before);
    let how = match fate.what {
        Deed::LostAfter => ", and its answer is lost",
        Deed::Silent => ", and its answer never comes",
        Deed::Instead(_) => ", and answered as the weather has it",
        _ => "",
    };
    centre.tell(|| {
        let status = outcome.as_ref().map_or(0, |answer| answer.status().as_u16());
        format!("  {number} {route}: {status}{how}{}", centre.detail(side, &request, &outcome))
    });
    centre.something_happened();
    sleep(fate.after).await;
    match fate.what {
        Deed::LostAfter => Some(Err(TransportError::Lost)),
        Deed::Silent => None,
        Deed::Instead(answer) => Some(Ok(answer)),
        _ => Some(outcome),
    }
}

/// What is asked for, in few words and without SIDs.
fn route(side: Side, request: &Request<Bytes>) -> String {
    match side {
        Side::Table => {
            let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
            target.and_then(|target| target.split_once('.')).map_or("?", |(_, name)| name).to_owned()
        }
        Side::Twilio => {
            let path = request.uri().path();
            let below = path.split("/v1/").nth(1).or_else(|| path.split("/v2/").nth(1)).unwrap_or(path);
            let words: Vec<_> = below.split('/').filter(|word| word.len() < 30).collect();
            format!("{} {}", request.method(), words.join("/"))
        }
    }
}
