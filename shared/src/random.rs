//! The only module that makes randomness. Everything else is handed a [`Random`], so that a run can be
//! repeated from a seed.

use std::{
    fmt,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Draws random numbers.
pub trait Random: fmt::Debug + Send + Sync {
    /// 64 random bits.
    fn next(&self) -> u64;
}

impl dyn Random {
    /// A token of 128 random bits, in hexadecimal: two that were drawn apart are never equal.
    #[must_use]
    pub fn token(&self) -> String {
        let mut token = String::with_capacity(32);
        for _ in 0..2 {
            // Writing to a string cannot fail.
            let _ = write!(token, "{:016x}", self.next());
        }
        token
    }

    /// A duration between zero and `limit`, evenly: "full jitter".
    #[must_use]
    pub fn up_to(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next() % micros.saturating_add(1).max(1))
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "this is the module that makes randomness")]
    #[expect(clippy::expect_used, reason = "Linux gives randomness once booted; without it nothing is safe")]
    fn next(&self) -> u64 {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        u64::from_le_bytes(bytes)
    }
}

/// The same numbers for the same seed.
#[derive(Debug)]
pub struct SeededRandom(Mutex<fastrand::Rng>);

impl SeededRandom {
    /// Starts from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }
}

impl Random for SeededRandom {
    fn next(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_tokens_differ() {
        let (a, b): (Box<dyn Random>, Box<dyn Random>) =
            (Box::new(SeededRandom::new(7)), Box::new(SeededRandom::new(7)));
        assert_eq!(a.token(), b.token());
        assert_ne!(a.token(), a.token());
        let system: Box<dyn Random> = Box::new(SystemRandom);
        assert_ne!(system.token(), system.token());
    }

    #[test]
    fn jitter_stays_within_its_limit() {
        let random: Box<dyn Random> = Box::new(SeededRandom::new(1));
        assert!((0..1000).all(|_| random.up_to(Duration::from_millis(3)) <= Duration::from_millis(3)));
        assert_eq!(random.up_to(Duration::ZERO), Duration::ZERO);
    }
}
