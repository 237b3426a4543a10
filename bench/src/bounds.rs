//! What our functions may cost, as counts: they are the same whatever else the machine does, so that a change that makes
//! one dearer is found by `cargo measure --check`. Times are never checked.

use anyhow::ensure;

use crate::{measure, stub::Stub, subject::Subject};

/// The most that one function may cost.
struct Bound {
    function: &'static str,
    /// Processor instructions for an event that is given to a warm instance: a twentieth more than the most that were
    /// counted.
    instructions: u64,
    /// Requests to Twilio, DynamoDB and Secrets Manager for that event.
    requests: [u64; 3],
}

/// The largest package, in bytes.
const MOST_PACKAGE: u64 = 4_000_000;

const BOUNDS: [Bound; 5] = [
    Bound { function: "inbound-webhook", instructions: 1_725_000, requests: [1, 2, 0] },
    Bound { function: "taskrouter-events", instructions: 850_000, requests: [0, 1, 0] },
    Bound { function: "outbound-participant", instructions: 275_000, requests: [0, 0, 0] },
    Bound { function: "webchat-token", instructions: 240_000, requests: [0, 0, 0] },
    Bound { function: "orphan-sweeper", instructions: 2_330_000, requests: [2, 4, 0] },
];

/// Counts what each of our functions costs, and prints it beside its bound.
///
/// # Errors
/// Where one costs more, and where it could not be counted.
pub(crate) async fn check(subjects: &[Subject], stub: &Stub) -> anyhow::Result<()> {
    println!("| | instructions | at most | package, bytes | at most | Twilio, DynamoDB, secret | expected |");
    println!("|---|---|---|---|---|---|---|");
    let mut dearer = Vec::new();
    for Bound { function, instructions, requests } in BOUNDS {
        let Some(subject) = subjects.iter().find(|subject| subject.name == function) else {
            dearer.push(function);
            continue;
        };
        let (counted, asked) = measure::counts(subject, stub).await?;
        let package = subject.package_size()?;
        println!(
            "| {function} | {counted} | {instructions} | {package} | {MOST_PACKAGE} | {asked:?} | {requests:?} |"
        );
        if counted > instructions || package > MOST_PACKAGE || asked != requests {
            dearer.push(function);
        }
    }
    ensure!(dearer.is_empty(), "beyond its bounds: {}", dearer.join(", "));
    Ok(())
}
