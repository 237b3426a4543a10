//! Measures the functions under a host of the Lambda Runtime API, all in one run on one machine: the floor (hello world),
//! each of our functions, and the job of a first message in Node and in Python. `cargo measure --help`.

mod bounds;
mod measure;
mod relay;
mod report;
mod stub;
mod subject;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use flexglue_tests::tls::TestRoot;

use crate::{
    measure::Figures,
    report::Report,
    stub::{Places, Stub},
    subject::{OURS, Subject},
};

/// Measures the functions, beside hello world and the same job in Node and Python.
#[derive(Debug, Parser)]
#[command(name = "cargo measure")]
struct Arguments {
    /// How often each is started.
    #[arg(long, default_value_t = 30)]
    starts: u32,
    /// How many events a warm instance is given.
    #[arg(long, default_value_t = 1000)]
    events: u32,
    /// Round trips to whom the functions call, in milliseconds: the first answer is measured at each.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50")]
    round_trips: Vec<u64>,
    /// Counts instructions as well, with valgrind.
    #[arg(long)]
    instructions: bool,
    /// Leaves out Node and Python.
    #[arg(long)]
    ours_only: bool,
    /// Measures no times: counts what our functions cost, and fails where that is beyond its bounds.
    #[arg(long)]
    check: bool,
    /// Writes the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draws them.
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    build(root)?;
    let mut subjects = subject::ours(&target.join("release"))?;
    if arguments.check {
        return bounds::check(&subjects, &Stub::start(&subject::token()?, None).await?).await;
    }
    if !arguments.ours_only {
        subjects.extend(subject::others(&target.join("bench"))?);
    }
    let report = measure_all(&arguments, &subjects).await?;
    println!("{report}");
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = &arguments.svg {
        fs::write(path, report.svg())?;
    }
    Ok(())
}

/// Builds the functions as they are deployed, and the floors by themselves: they need fewer features.
fn build(root: &Path) -> anyhow::Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let functions: Vec<_> = subject::functions().flat_map(|name| ["--package", name]).collect();
    for packages in [&functions[..], &["--package", "floor"], &["--package", "bare"]] {
        let mut build = Command::new(&cargo);
        build.args(["build", "--quiet", "--release"]).args(packages).current_dir(root);
        ensure!(build.status()?.success(), "{build:?} failed");
    }
    Ok(())
}

async fn measure_all(arguments: &Arguments, subjects: &[Subject]) -> anyhow::Result<Report> {
    let token = subject::token()?;
    let stubs = [Stub::start(&token, None).await?, Stub::start(&token, Some(TestRoot::new())).await?];
    let mut figures = vec![Figures::default(); subjects.len()];
    // One of each, round after round, so that whatever else the machine does meets all of them.
    for round in 0..arguments.starts {
        for (subject, figures) in subjects.iter().zip(&mut figures) {
            // What takes half a second each time is known sooner.
            if round < 10 || !subject.is_slow() {
                for stub in &stubs {
                    measure::start(subject, &stub.at(), figures).await?;
                }
            }
        }
    }
    for (subject, figures) in subjects.iter().zip(&mut figures) {
        for stub in &stubs {
            measure::warm(subject, stub, arguments.events, figures).await?;
        }
        figures.package = Some(subject.package_size()?);
        if arguments.instructions && !subject.is_slow() {
            figures.instructions = Some(measure::instructions(subject, &stubs[0]).await?);
        }
    }
    let [_, over_tls] = &stubs;
    let mut far = Vec::new();
    for round_trip in &arguments.round_trips {
        let mut at = over_tls.at();
        let Places { twilio, dynamodb, secrets } = &mut at.places;
        for place in [twilio, dynamodb, secrets] {
            *place = relay::relay(*place, Duration::from_millis(*round_trip)).await?;
        }
        let mut took = Vec::new();
        for subject in subjects.iter().filter(|subject| subject.name == OURS || subject.is_slow()) {
            let mut figures = Figures::default();
            for _ in 0..arguments.starts.min(10) {
                measure::start(subject, &at, &mut figures).await?;
            }
            took.push((subject.name, figures.tls.median_first()));
        }
        far.push((*round_trip, took));
    }
    let names = subjects.iter().map(|subject| subject.name);
    Ok(Report { subjects: names.zip(figures).collect(), far })
}
