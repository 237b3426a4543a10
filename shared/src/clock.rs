//! The only module that knows the time of day. Everything else is handed a [`Clock`], so that the whole
//! system can run on a virtual one; `clippy.toml` keeps it so.
//!
//! Waiting is `tokio::time`: under a paused Tokio runtime it is virtual too, and [`TokioClock`] moves
//! with it.

use std::{
    fmt,
    future::poll_fn,
    ops::{Add, Sub},
    pin::pin,
    task::Poll,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since the Unix epoch.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// From RFC 3339, as Twilio writes its dates; `None` where it is something else.
    #[must_use]
    pub fn from_rfc_3339(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Self)
    }

    /// From a date as HTTP's headers have it ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats));
    /// `None` where it is something else.
    #[must_use]
    pub fn from_rfc_2822(text: &str) -> Option<Self> {
        let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        u64::try_from(at.unix_timestamp()).ok().map(Self::from_seconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, the unit of DynamoDB's
    /// [TTL](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html).
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` this is; zero where it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// RFC 3339 with milliseconds, in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Tells the time of day.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the module that knows the time of day")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A clock that starts at a given time and moves with Tokio's: on a paused runtime, only when a test
/// moves it or every task waits.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    begun_at: Timestamp,
    begun: tokio::time::Instant,
}

impl TokioClock {
    /// Starts the clock at `begun_at`.
    #[must_use]
    pub fn starting_at(begun_at: Timestamp) -> Self {
        Self { begun_at, begun: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.begun_at + self.begun.elapsed()
    }
}

/// When an invocation must have answered.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(tokio::time::Instant);

impl Deadline {
    /// The deadline that is `duration` from now.
    #[must_use]
    pub fn within(duration: Duration) -> Self {
        Self(tokio::time::Instant::now() + duration)
    }

    /// The earlier of two deadlines.
    #[must_use]
    pub fn or_sooner(self, duration: Duration) -> Self {
        Self(self.0.min(tokio::time::Instant::now() + duration))
    }

    /// A deadline that leaves `duration` for what comes after.
    #[must_use]
    pub fn leaving(self, duration: Duration) -> Self {
        Self(self.0.checked_sub(duration).unwrap_or(self.0))
    }

    /// What is left of it; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(tokio::time::Instant::now())
    }

    /// Runs `work` until the deadline; `None` where it was not done by then.
    ///
    /// The deadline comes first, unlike with `tokio::time::timeout_at`: in a process that was frozen and wakes up after
    /// it, `work` does nothing more. It would send what somebody else has been asked for meanwhile.
    pub async fn run<T>(self, work: impl Future<Output = T>) -> Option<T> {
        let mut over = pin!(tokio::time::sleep_until(self.0));
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.remaining().is_zero() || over.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn ttl_is_in_seconds() {
        assert_eq!(Timestamp::from_millis(1_700_000_000_999).as_seconds(), 1_700_000_000);
    }

    #[test]
    fn prints_as_rfc_3339() {
        let at = Timestamp::from_millis(1_700_000_000_250);
        assert_eq!(at.to_string(), "2023-11-14T22:13:20.25Z");
        assert_eq!(Timestamp::from_rfc_3339("2023-11-14T22:13:20.25Z"), Some(at));
        for odd in ["", "yesterday", "2023-11-14", "1900-01-01T00:00:00Z"] {
            assert_eq!(Timestamp::from_rfc_3339(odd), None, "{odd}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_wakes_up_after_its_deadline_does_nothing_more() {
        let done = Cell::new(false);
        let mut work = pin!(Deadline::within(Duration::from_secs(1)).run(async {
            tokio::task::yield_now().await;
            done.set(true);
        }));
        assert!(poll_fn(|context| Poll::Ready(work.as_mut().poll(context).is_pending())).await);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!((work.await, done.get()), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn the_tokio_clock_moves_with_a_paused_runtime() {
        let clock = TokioClock::starting_at(Timestamp::from_seconds(100));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now(), Timestamp::from_seconds(107));
    }
}
