//! A clock for local runs: the time of day, and as much later as somebody wants.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shared::clock::{Clock, Timestamp};

/// Another clock, moved on by hand.
#[derive(Debug)]
pub struct MovedClock {
    clock: Arc<dyn Clock>,
    ahead_ms: AtomicU64,
}

impl MovedClock {
    /// The same time as `clock`, for now.
    #[must_use]
    pub fn over(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead_ms: AtomicU64::new(0) }
    }

    /// Moves the clock on.
    pub fn advance(&self, duration: Duration) {
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        self.clock.now() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// Our clock as the simulator wants it.
#[derive(Debug)]
pub struct SimulatorClock(pub Arc<dyn Clock>);

impl simulator::Clock for SimulatorClock {
    fn now_ms(&self) -> u64 {
        self.0.now().as_millis()
    }
}
