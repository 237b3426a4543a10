//! Things to put between a function and what it calls: wires that take their time, lose what they carry, or
//! are cut, together with the function.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use serde_json::Value;
use shared::{
    random::Random,
    transport::{Transport, TransportError},
};
use tokio::sync::Notify;

type Answer<'a> = BoxFuture<'a, Result<Response<Bytes>, TransportError>>;

/// A wire that lets others go first, for a while drawn at random: calls that run side by side interleave
/// differently for every seed, and the same way for the same seed.
#[derive(Debug)]
pub struct Unhurried {
    /// Where the wire leads.
    pub to: Arc<dyn Transport>,
    /// Draws how long.
    pub random: Arc<dyn Random>,
}

impl Unhurried {
    async fn dawdle(&self) {
        for _ in 0..self.random.next() % 8 {
            tokio::task::yield_now().await;
        }
    }
}

impl Transport for Unhurried {
    fn send(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            self.dawdle().await;
            let answer = self.to.send(request).await;
            self.dawdle().await;
            answer
        })
    }
}

/// Says of a request and its number whether its answer is lost.
pub type Loses = Box<dyn Fn(usize, &Request<Bytes>) -> bool + Send + Sync>;

/// A wire that loses some of the answers that it should bring back: what was asked for has happened.
pub struct Forgetful {
    /// Where the wire leads.
    pub to: Arc<dyn Transport>,
    /// Whether the answer to this request, counted from 0, is lost.
    pub loses: Loses,
    carried: AtomicUsize,
}

impl Forgetful {
    /// A wire to `to` that loses the answers for which `loses` says so.
    pub fn new(
        to: Arc<dyn Transport>,
        loses: impl Fn(usize, &Request<Bytes>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { to, loses: Box::new(loses), carried: AtomicUsize::new(0) }
    }
}

impl fmt::Debug for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgetful")
    }
}

impl Transport for Forgetful {
    fn send(&self, request: Request<Bytes>) -> Answer<'_> {
        let lost = (self.loses)(self.carried.fetch_add(1, Ordering::SeqCst), &request);
        Box::pin(async move {
            let answer = self.to.send(request).await;
            if lost { Err(TransportError::Lost) } else { answer }
        })
    }
}

/// Cuts every wire of a process at one step, for good, as if the process had been killed there. Every request
/// is two steps: before it is carried out, and before its answer is known.
#[derive(Clone, Debug)]
pub struct Fuse(Arc<FuseState>);

#[derive(Debug)]
struct FuseState {
    blows_at: usize,
    steps: AtomicUsize,
    blown: Notify,
}

impl Fuse {
    /// A fuse that blows at a step, counted from 0.
    #[must_use]
    pub fn at(step: usize) -> Self {
        Self(Arc::new(FuseState { blows_at: step, steps: AtomicUsize::new(0), blown: Notify::new() }))
    }

    /// A wire to `to` that this fuse guards.
    #[must_use]
    pub fn wire(&self, to: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Stepped { to, at: self.clone() })
    }

    /// Runs `work` in the process that the fuse guards. `None` where the process was killed at it.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.blown.notified() => None,
            done = work => Some(done),
        }
    }

    async fn step(&self) {
        let step = self.0.steps.fetch_add(1, Ordering::SeqCst);
        if step == self.0.blows_at {
            self.0.blown.notify_one();
        }
        if step >= self.0.blows_at {
            std::future::pending::<()>().await;
        }
    }
}

/// What happens at a step of a process.
trait Step: fmt::Debug + Send + Sync {
    fn step(&self) -> BoxFuture<'_, ()>;
}

impl Step for Fuse {
    fn step(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::step(self))
    }
}

/// A wire on which every request is two steps: before it is carried out, and before its answer is known.
#[derive(Debug)]
struct Stepped<S> {
    to: Arc<dyn Transport>,
    at: S,
}

impl<S: Step> Transport for Stepped<S> {
    fn send(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            self.at.step().await;
            let answer = self.to.send(request).await;
            self.at.step().await;
            answer
        })
    }
}

/// Freezes a process at one step (see [`Fuse`]): nothing of it runs until it is thawed.
#[derive(Clone, Debug)]
pub struct Frost(Arc<FrostState>);

#[derive(Debug)]
struct FrostState {
    freezes_at: usize,
    steps: AtomicUsize,
    freezing: Notify,
    frozen: Notify,
    thawing: Notify,
}

impl Frost {
    /// A frost at a step, counted from 0.
    #[must_use]
    pub fn at(step: usize) -> Self {
        Self(Arc::new(FrostState {
            freezes_at: step,
            steps: AtomicUsize::new(0),
            freezing: Notify::new(),
            frozen: Notify::new(),
            thawing: Notify::new(),
        }))
    }

    /// A wire to `to` of the process that freezes.
    #[must_use]
    pub fn wire(&self, to: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Stepped { to, at: self.clone() })
    }

    /// Runs `work` in the process that freezes.
    pub async fn freeze<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        tokio::select! {
            biased;
            () = self.0.freezing.notified() => {}
            done = &mut work => return done,
        }
        self.0.frozen.notify_one();
        self.0.thawing.notified().await;
        work.await
    }

    /// Waits until the process is frozen.
    pub async fn frozen(&self) {
        self.0.frozen.notified().await;
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.0.thawing.notify_one();
    }

    async fn step(&self) {
        if self.0.steps.fetch_add(1, Ordering::SeqCst) == self.0.freezes_at {
            self.0.freezing.notify_one();
            tokio::task::yield_now().await;
        }
    }
}

impl Step for Frost {
    fn step(&self) -> BoxFuture<'_, ()> {
        Box::pin(Self::step(self))
    }
}

/// A DynamoDB that does not remember which requests it has carried out.
#[derive(Debug)]
pub struct WithoutToken(pub Arc<dyn Transport>);

impl Transport for WithoutToken {
    fn send(&self, request: Request<Bytes>) -> Answer<'_> {
        let (parts, body) = request.into_parts();
        let mut body: Value = serde_json::from_slice(&body).expect("DynamoDB speaks JSON");
        if let Some(body) = body.as_object_mut() {
            body.remove("ClientRequestToken");
        }
        self.0.send(Request::from_parts(parts, body.to_string().into()))
    }
}

/// Counts the units that DynamoDB says it took.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Units>>);

#[derive(Debug, Default)]
struct Units {
    read: f64,
    written: f64,
    reads: u32,
    writes: u32,
}

impl Meter {
    /// A wire to `to`, which is DynamoDB, that is metered.
    #[must_use]
    pub fn wire(&self, to: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Metered { to, meter: self.clone() })
    }

    /// The read units so far.
    #[must_use]
    pub fn read_units(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read
    }

    /// The requests so far that read, and those that wrote.
    #[must_use]
    pub fn requests(&self) -> (u32, u32) {
        let meter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (meter.reads, meter.writes)
    }

    /// The write units so far.
    #[must_use]
    pub fn write_units(&self) -> f64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).written
    }
}

#[derive(Debug)]
struct Metered {
    to: Arc<dyn Transport>,
    meter: Meter,
}

impl Transport for Metered {
    fn send(&self, mut request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
            let reads = target.is_some_and(|target| {
                ["GetItem", "Query", "BatchGetItem"].iter().any(|reading| target.ends_with(reading))
            });
            let asked: Option<serde_json::Value> = serde_json::from_slice(request.body()).ok();
            if let Some(mut asked) = asked {
                asked["ReturnConsumedCapacity"] = "TOTAL".into();
                *request.body_mut() = asked.to_string().into();
            }
            let answer = self.to.send(request).await?;
            let told: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
            let consumed = &told["ConsumedCapacity"];
            let all = consumed.as_array().cloned().unwrap_or_else(|| vec![consumed.clone()]);
            let units: f64 = all.iter().filter_map(|one| one["CapacityUnits"].as_f64()).sum();
            // A write whose condition does not hold is charged as well, and says nothing of it.
            assert!(!answer.status().is_success() || units > 0.0, "a request is not metered: {told}");
            let mut meter = self.meter.0.lock().unwrap_or_else(PoisonError::into_inner);
            *(if reads { &mut meter.read } else { &mut meter.written }) += units;
            *(if reads { &mut meter.reads } else { &mut meter.writes }) += 1;
            drop(meter);
            Ok(answer)
        })
    }
}

/// A wire that holds one answer back until it is let through: the process is frozen there.
#[derive(Clone, Debug)]
pub struct Gate(Arc<GateState>);

#[derive(Debug)]
struct GateState {
    holds: usize,
    carried: AtomicUsize,
    reached: Notify,
    open: Notify,
}

impl Gate {
    /// Holds the answer of the `number`-th request back, counted from 1.
    #[must_use]
    pub fn after(number: usize) -> Self {
        Self(Arc::new(GateState {
            holds: number,
            carried: AtomicUsize::new(0),
            reached: Notify::new(),
            open: Notify::new(),
        }))
    }

    /// A wire to `to` with this gate in it.
    #[must_use]
    pub fn wire(&self, to: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Gated { to, gate: self.clone() })
    }

    /// Waits until the answer is held.
    pub async fn reached(&self) {
        self.0.reached.notified().await;
    }

    /// Lets the answer through.
    pub fn open(&self) {
        self.0.open.notify_one();
    }
}

#[derive(Debug)]
struct Gated {
    to: Arc<dyn Transport>,
    gate: Gate,
}

impl Transport for Gated {
    fn send(&self, request: Request<Bytes>) -> Answer<'_> {
        Box::pin(async move {
            let answer = self.to.send(request).await;
            if self.gate.0.carried.fetch_add(1, Ordering::SeqCst) + 1 == self.gate.0.holds {
                self.gate.0.reached.notify_one();
                self.gate.0.open.notified().await;
            }
            answer
        })
    }
}
