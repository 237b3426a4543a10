//! How often something may be done: Twilio answers what is beyond that with 429.

use std::collections::VecDeque;

/// When calls of one kind were let in during the last second.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<u64>);

impl Recent {
    /// Lets one more in, unless the last second saw `most` of them already.
    pub(crate) fn admits(&mut self, most: Option<usize>, now: u64) -> bool {
        let Some(most) = most else { return true };
        self.0.retain(|at| now.saturating_sub(*at) < 1000);
        let admitted = self.0.len() < most;
        if admitted {
            self.0.push_back(now);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_let_in_does_not_count() {
        let mut recent = Recent::default();
        let seen = [0, 400, 500, 999, 1000, 1399, 1400].map(|now| recent.admits(Some(2), now));
        assert_eq!(seen, [true, true, false, false, true, false, true]);
        assert!((0..9).all(|_| recent.admits(None, 1400)));
    }
}
