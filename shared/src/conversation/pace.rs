//! How long each thing waits. The sweeper comes once a minute, so what is due within it is done by the
//! next sweep, and a customer whose webhook died half-way waits two sweeps at most.

use std::time::Duration;

/// How long an owner alone may ask for the Interaction. Longer than any invocation lives that could still
/// be asking (4 s for the answer, 10 s until Lambda ends it), shorter than the time between two sweeps.
pub const LEASE: Duration = Duration::from_secs(20);

/// How long before the end of its lease an owner stops asking: clocks differ, and a request takes its time.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// How long after it was accepted the Interaction is first looked at.
pub const SET_UP_LOOK: Duration = Duration::from_secs(15);

/// An Interaction still being set up after this is as good as failed.
pub const SET_UP_LIMIT: Duration = Duration::from_mins(10);

/// A customer's next message asks again for what Twilio refused for good, but not more often than this.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// What Twilio refuses for a day is given up.
pub const REFUSED_LIMIT: Duration = Duration::from_hours(24);

/// How long a closed conversation is remembered: a late or repeated webhook must still find it closed.
pub const REMEMBER_CLOSED: Duration = Duration::from_hours(24 * 30);

/// How long a conversation is remembered of which nothing came. Forgetting it harms nothing: its next
/// message opens it as if it were new.
pub const REMEMBER_SEEN: Duration = Duration::from_hours(24 * 90);

/// How long what happened is kept for `flexglue explain`.
pub const REMEMBER_HISTORY: Duration = Duration::from_hours(24 * 90);

/// The pause after the `attempts`-th try that failed for now: doubling, up to five minutes, so that a Twilio
/// that is down is not stormed, and that nobody waits long once it is back.
#[must_use]
pub fn retry(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_mins(5);
    FIRST.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(LONGEST)
}

/// The pause after the `attempts`-th refusal for good: someone has to mend something meanwhile.
#[must_use]
pub fn refused(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_mins(5);
    const LONGEST: Duration = Duration::from_hours(2);
    FIRST.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        assert_eq!([0, 1, 2, 3].map(retry).map(|pause| pause.as_secs()), [10, 10, 20, 40]);
        assert_eq!(retry(u32::MAX).as_secs(), 300);
        assert_eq!(refused(u32::MAX).as_secs(), 7200);
    }

    #[test]
    fn the_lease_outlives_every_invocation_and_not_the_next_sweep() {
        // The time-out of inbound-webhook in template.yaml is 10 s, the sweeper's schedule one minute.
        assert!(LEASE > Duration::from_secs(10) + LEASE_MARGIN);
        assert!(LEASE < Duration::from_mins(1));
    }
}
