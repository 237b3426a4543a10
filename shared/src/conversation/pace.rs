//! How long each thing waits. The sweeper comes once a minute, so what is due within it is done by the
//! next sweep, and a customer whose webhook died half-way waits two sweeps at most.

use std::time::Duration;

use crate::{clock::Timestamp, safeguard::Safeguard};

/// How long an owner alone may ask for the Interaction. Longer than any invocation lives that could still
/// be asking (4 s for the answer, 10 s until Lambda ends it), shorter than the time between two sweeps.
pub const LEASE: Duration = Duration::from_secs(20);

/// How long before the end of its lease an owner stops asking: clocks differ, and a request takes its time.
pub const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// By how much Twilio's clock may differ from ours: what is looked for in its logs may be dated that much earlier.
pub const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// How long after it was accepted the Interaction is first looked at.
pub const SET_UP_LOOK: Duration = Duration::from_secs(15);

/// An Interaction still being set up after this is as good as failed.
pub const SET_UP_LIMIT: Duration = Duration::from_mins(10);

/// A customer's next message asks again for what Twilio refused for good, but not more often than this.
pub const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// What Twilio refuses for a day is given up.
pub const REFUSED_LIMIT: Duration = Duration::from_hours(24);

/// How soon after an agent has completed a task the conversation is looked at: Flex closes it then, unless it
/// was parked or left.
pub const AFTER_COMPLETION: Duration = Duration::from_mins(1);

/// How long after a task's end TaskRouter still shows it, less a margin. A re-invite that was asked for
/// longer ago than this and of which nothing is seen may have come and gone.
pub const TASK_SHOWN: Duration = Duration::from_mins(4);

/// How old a conversation must be before discovery looks at it: its webhook is on the way until then.
pub const DISCOVERY_GRACE: Duration = Duration::from_mins(2);

/// How long a closed conversation is remembered: a late or repeated webhook must still find it closed.
pub const REMEMBER_CLOSED: Duration = Duration::from_hours(24 * 30);

/// How long a conversation is remembered of which nothing came. Forgetting it harms nothing: its next
/// message opens it as if it were new.
pub const REMEMBER_SEEN: Duration = Duration::from_hours(24 * 90);

/// How long an outbound reach is tried. Nobody wants to be called back hours after they asked, or reminded of
/// what is over.
pub const REACH_LIMIT: Duration = Duration::from_hours(1);

/// How long the answer to an outbound reach is kept: the same request gets the same answer for a day.
pub const REMEMBER_REACH: Duration = Duration::from_hours(48);

/// How long after its last token ended a web chat is looked at: clocks differ.
pub const AFTER_TOKEN: Duration = Duration::from_mins(1);

/// For how long a web chat whose making was not answered is looked for: Twilio may be slow. Its tokens nobody has.
pub const WEB_CHAT_MAY_TURN_UP: Duration = Duration::from_mins(2);

/// How long a web chat that is over is remembered: longer than any token lives, so that each is found to be over.
pub const REMEMBER_WEB_CHAT: Duration = Duration::from_hours(48);

/// The pause before the next look whether a first message was delivered, after `looks` such looks; `None` where
/// that was enough of them.
#[must_use]
pub fn delivery(looks: u32) -> Option<Duration> {
    let minutes = match looks {
        0 => 1,
        1 => 5,
        2 => 30,
        _ => return None,
    };
    Some(Duration::from_mins(minutes))
}

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

/// When that is due which an owner is at work on until its lease ends, after `attempts` tries: from the first moment
/// on, whatever becomes of the owner, somebody looks.
#[must_use]
pub fn due_after_lease(lease_until: Timestamp, attempts: u32, now: Timestamp) -> Option<Timestamp> {
    if !Safeguard::Lease.is_on() {
        return Some(now);
    }
    Safeguard::DueAtOnce.is_on().then(|| lease_until.max(now + retry(attempts)))
}

/// The pause after the `attempts`-th refusal for good: someone has to mend something meanwhile.
#[must_use]
pub fn refused(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_mins(5);
    const LONGEST: Duration = Duration::from_hours(2);
    FIRST.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(LONGEST)
}

/// The pause before the next look at a conversation in which all was well, after `looks` such looks. Where an
/// agent is in it, less may go wrong than where a customer waits.
#[must_use]
pub fn recheck(looks: u32, served: bool) -> Duration {
    const FIRST: Duration = Duration::from_mins(5);
    let longest = if served { Duration::from_hours(6) } else { Duration::from_mins(30) };
    FIRST.saturating_mul(2_u32.saturating_pow(looks)).min(longest)
}

/// The pause before the next look at a conversation that nobody is in and that is to stay so (parked, paused,
/// left), after `looks` such looks.
#[must_use]
pub fn rest(looks: u32) -> Duration {
    const FIRST: Duration = Duration::from_mins(30);
    const LONGEST: Duration = Duration::from_hours(24);
    FIRST.saturating_mul(2_u32.saturating_pow(looks)).min(LONGEST)
}

/// The pause between one re-invite and the next, after `reinvites` of them: a workflow that gives up at once
/// must not make a storm of tasks.
#[must_use]
pub fn reinvite(reinvites: u32) -> Duration {
    const FIRST: Duration = Duration::from_mins(1);
    const LONGEST: Duration = Duration::from_mins(30);
    if reinvites == 0 {
        return Duration::ZERO;
    }
    FIRST.saturating_mul(2_u32.saturating_pow(reinvites - 1)).min(LONGEST)
}

/// The pause before discovery looks again at a conversation that it left alone: a quarter of its age, as the
/// older it is, the less likely something of it was lost.
#[must_use]
pub fn look_again(age: Duration) -> Duration {
    (age / 4).clamp(Duration::from_mins(5), Duration::from_hours(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end() {
        assert_eq!([0, 1, 2, 3].map(retry).map(|pause| pause.as_secs()), [10, 10, 20, 40]);
        assert_eq!(retry(u32::MAX).as_secs(), 300);
        assert_eq!(refused(u32::MAX).as_secs(), 7200);
        assert_eq!([0, 1, 2, 3].map(reinvite).map(|pause| pause.as_secs()), [0, 60, 120, 240]);
        assert_eq!(reinvite(u32::MAX).as_secs(), 1800);
        assert_eq!([0, 1, 9].map(|looks| recheck(looks, false).as_secs()), [300, 600, 1800]);
        assert_eq!(recheck(u32::MAX, true).as_secs(), 6 * 3600);
        assert_eq!([0, 1, u32::MAX].map(|looks| rest(looks).as_secs()), [1800, 3600, 24 * 3600]);
    }

    #[test]
    fn the_lease_outlives_every_invocation_and_not_the_next_sweep() {
        // The time-out of inbound-webhook in template.yaml is 10 s, the sweeper's schedule one minute.
        assert!(LEASE > Duration::from_secs(10) + LEASE_MARGIN);
        assert!(LEASE < Duration::from_mins(1));
    }
}
