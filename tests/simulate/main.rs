//! Lives random contact centres, as many as are asked for: `cargo simulate --seeds 1000`. Without being asked, as a part of
//! `cargo test`, a few hundred.
//!
//! A program of its own and not a test among others, as it takes arguments.

#![allow(clippy::expect_used, reason = "a test tool: what cannot be set up ends it")]

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use flexglue_tests::simulation::{Counts, Plan, run, shrink};
use shared::safeguard::Safeguard;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Lives random contact centres and tells the first that breaks a promise.
#[derive(Debug, Parser)]
#[command(name = "cargo simulate")]
struct Arguments {
    /// How many seeds; with --minutes as many as there is time for, unless it is said.
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How long.
    #[arg(long)]
    minutes: Option<f64>,
    /// How many at once; as many as there are cores unless it is said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Tells the story of the first seed, whether or not a promise is broken in it.
    #[arg(long)]
    tell: bool,
    /// Goes on after a seed that broke a promise, and does not shorten it.
    #[arg(long)]
    keep_going: bool,
    /// Switches a safeguard off, such as `LookBeforeAsking`.
    #[arg(long, value_parser = safeguard)]
    without: Option<Safeguard>,
    /// Which tests `cargo test` was asked for.
    #[arg(hide = true)]
    filters: Vec<String>,
    /// What `cargo test` says to tests, and means nothing here.
    #[arg(long, hide = true)]
    nocapture: bool,
    /// The same.
    #[arg(long, hide = true)]
    test_threads: Option<usize>,
}

fn safeguard(name: &str) -> Result<Safeguard, String> {
    let named = Safeguard::ALL.into_iter().find(|safeguard| format!("{safeguard:?}") == name);
    named.ok_or_else(|| format!("expected one of {:?}", Safeguard::ALL))
}

/// How many seeds are lived where nobody says how many.
const FEW: u64 = 200;

impl Arguments {
    /// Whether `cargo test` was asked for other tests than this.
    fn are_for_others(&self) -> bool {
        !self.filters.is_empty() && !self.filters.iter().any(|filter| "simulate".contains(filter.as_str()))
    }

    /// Does `work` with the safeguards that are left.
    fn with_what_is_left<T>(&self, work: impl FnOnce() -> T) -> T {
        match self.without {
            Some(safeguard) => safeguard.without(work),
            None => work(),
        }
    }

    fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(if self.minutes.is_some() { u64::MAX } else { FEW })
    }

    fn time(&self) -> Duration {
        self.minutes
            .and_then(|minutes| Duration::try_from_secs_f64(minutes * 60.0).ok())
            .unwrap_or(Duration::MAX)
    }
}

/// After so many seeds it says how far it has come: a hundred thousand take hours.
const TELLS_EACH: u64 = 5_000;

/// What all threads know.
#[derive(Default)]
struct Progress {
    taken: AtomicU64,
    lived: AtomicU64,
    stop: AtomicBool,
    broken: Mutex<Vec<(u64, String)>>,
    counts: Mutex<Counts>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.tell {
        return arguments.with_what_is_left(|| tell(&Plan::of(arguments.from)));
    }
    if arguments.are_for_others() {
        return ExitCode::SUCCESS;
    }
    #[expect(clippy::disallowed_methods, reason = "how long people wait is measured by the machine's clock")]
    let (began, progress) = (Instant::now(), Progress::default());
    let jobs = arguments.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| arguments.with_what_is_left(|| live(&arguments, &progress, began)));
        }
    });
    let Progress { lived, broken, counts, .. } = progress;
    let (lived, seconds) = (lived.into_inner(), began.elapsed().as_secs_f64());
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    broken.sort();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let a_minute = lived as f64 * 60.0 / seconds;
    println!(
        "{lived} seeds from {} in {seconds:.0} s ({a_minute:.0} a minute): {} conversations, {} requests to \
         Twilio, {} to DynamoDB; {} broke a promise",
        arguments.from,
        counts.conversations,
        counts.of_twilio,
        counts.of_table,
        broken.len()
    );
    for (function, (of_twilio, of_table)) in &counts.most {
        println!(
            "{function}: at most {of_twilio} requests to Twilio and {of_table} to DynamoDB, undisturbed"
        );
    }
    let Some((seed, wrong)) = broken.first() else { return ExitCode::SUCCESS };
    if !arguments.keep_going {
        println!("\nseed {seed}: {wrong}\nwhich in few lines is:\n");
        arguments.with_what_is_left(|| tell(&shrink(&Plan::of(*seed))));
    }
    ExitCode::FAILURE
}

fn live(arguments: &Arguments, progress: &Progress, began: Instant) {
    while !progress.stop.load(Ordering::Relaxed) && began.elapsed() < arguments.time() {
        let next = progress.taken.fetch_add(1, Ordering::Relaxed);
        if next >= arguments.seeds() {
            return;
        }
        let seed = arguments.from + next;
        match run(&Plan::of(seed), false) {
            Ok(finished) => {
                let mut counts = progress.counts.lock().unwrap_or_else(PoisonError::into_inner);
                counts.add(&finished.counts);
            }
            Err(found) => {
                println!("seed {seed}: {}", found.wrong);
                progress.stop.fetch_or(!arguments.keep_going, Ordering::Relaxed);
                let mut broken = progress.broken.lock().unwrap_or_else(PoisonError::into_inner);
                broken.push((seed, found.wrong));
            }
        }
        let lived = progress.lived.fetch_add(1, Ordering::Relaxed) + 1;
        if lived.is_multiple_of(TELLS_EACH) {
            let broken = progress.broken.lock().unwrap_or_else(PoisonError::into_inner).len();
            println!("{lived} seeds from {} so far, {broken} broke a promise", arguments.from);
        }
    }
}

fn tell(plan: &Plan) -> ExitCode {
    print!("{plan}");
    let (story, wrong) = match run(plan, true) {
        Ok(finished) => (finished.story, None),
        Err(broken) => (broken.story, Some(broken.wrong)),
    };
    for line in story {
        println!("{line}");
    }
    match wrong {
        None => ExitCode::SUCCESS,
        Some(wrong) => {
            println!("{wrong}");
            ExitCode::FAILURE
        }
    }
}
