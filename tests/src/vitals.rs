//! What a process takes of the machine, as Linux tells it, and whether it takes more and more.

use std::{fs, io};

/// What a process takes at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Memory that is in use now (`VmRSS`), in bytes.
    pub memory: u64,
    /// The most that ever was (`VmHWM`), in bytes.
    pub most_memory: u64,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Vitals {
    /// Reads those of a process that runs.
    pub fn of(process_id: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{process_id}/status"))?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            number.ok_or_else(|| io::Error::other(format!("no {name} of process {process_id}")))
        };
        let descriptors = fs::read_dir(format!("/proc/{process_id}/fd"))?.count();
        Ok(Self {
            memory: number("VmRSS")? * 1024,
            most_memory: number("VmHWM")? * 1024,
            descriptors: u64::try_from(descriptors).unwrap_or(u64::MAX),
            threads: number("Threads")?,
        })
    }
}

/// What a process took at moments that are evenly apart.
#[derive(Clone, Debug, Default)]
pub struct Chart(Vec<Vitals>);

/// Into how many stretches the time is cut after a process has warmed up.
const FLOORS: usize = 15;

/// The quarters of a [`Chart`] are counted from this one: before it, a process warms up.
const FIRST_WARM: usize = 1;

impl Chart {
    /// Adds a moment.
    pub fn add(&mut self, vitals: Vitals) {
        self.0.push(vitals);
    }

    /// One quarter, counted from 0; empty where there are fewer than four moments.
    #[must_use]
    pub fn quarter(&self, number: usize) -> &[Vitals] {
        let length = self.0.len() / 4;
        self.0.get(number * length..(number + 1) * length).unwrap_or_default()
    }

    /// The least of something in a quarter.
    #[must_use]
    pub fn least(&self, quarter: usize, what: impl Fn(&Vitals) -> u64) -> u64 {
        self.quarter(quarter).iter().map(what).min().unwrap_or_default()
    }

    /// The most of something in a quarter.
    #[must_use]
    pub fn most(&self, quarter: usize, what: impl Fn(&Vitals) -> u64) -> u64 {
        self.quarter(quarter).iter().map(what).max().unwrap_or_default()
    }

    /// By how much the least of something has grown from the second quarter to the last. The least, because what
    /// is only taken for a moment is no leak.
    #[must_use]
    pub fn growth(&self, what: impl Fn(&Vitals) -> u64) -> u64 {
        self.least(3, &what).saturating_sub(self.least(FIRST_WARM, &what))
    }

    /// How fast the least of memory rises in the last three quarters, in bytes from one moment to the next: the
    /// median over all pairs of the least of `FLOORS` stretches, so that one step does not count (Theil and Sen).
    #[must_use]
    pub fn slope(&self) -> i64 {
        let warm = &self.0[self.0.len() / 4..];
        let length = (warm.len() / FLOORS).max(1);
        let floors: Vec<i64> = warm
            .chunks_exact(length)
            .filter_map(|stretch| stretch.iter().map(|vitals| vitals.memory.cast_signed()).min())
            .collect();
        let mut slopes = Vec::new();
        for (at, early) in floors.iter().enumerate() {
            for (further, late) in floors[at + 1..].iter().enumerate() {
                let moments = i64::try_from((further + 1) * length).unwrap_or(i64::MAX);
                slopes.push((late - early) / moments);
            }
        }
        slopes.sort_unstable();
        slopes.get(slopes.len() / 2).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(memory: impl Fn(u64) -> u64) -> Chart {
        let at = |moment| Vitals { memory: memory(moment), ..Vitals::default() };
        Chart((0..100).map(at).collect())
    }

    #[test]
    fn a_process_that_warms_up_and_breathes_does_not_grow() {
        let chart = chart(|moment| 9_000 + moment.min(20) * 100 + (moment % 7) * 50);
        assert_eq!((chart.growth(|vitals| vitals.memory), chart.slope()), (0, 0));
    }

    #[test]
    fn a_process_that_leaks_a_little_grows() {
        let chart = chart(|moment| 9_000 + moment * 10 + (moment % 7) * 50);
        assert_eq!(chart.growth(|vitals| vitals.memory), 490);
        assert!((8..=12).contains(&chart.slope()), "{}", chart.slope());
    }

    #[test]
    fn this_process_has_vitals() {
        let vitals = Vitals::of(std::process::id()).unwrap();
        assert!(vitals.memory > 1 << 20 && vitals.most_memory >= vitals.memory);
        assert!(vitals.descriptors >= 3 && vitals.threads >= 1);
        assert!(Vitals::of(u32::MAX).is_err());
    }
}
