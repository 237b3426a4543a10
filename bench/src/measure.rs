//! Starts functions, gives them events, and notes what that took.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, bail, ensure};
use flexglue_tests::{runtime_api::Instance, vitals::Vitals};
use serde::Serialize;
use tokio::{task::JoinSet, time::Instant};

use crate::{
    stub::{At, Stub},
    subject::Subject,
};

/// The longest that any subject may take for an event.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was measured of one subject. Times in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// Process start until it asks for an event, each start.
    pub ready: Vec<f64>,
    /// What it does for events, where all whom it calls speak in the clear.
    pub plain: Answers,
    /// The same over TLS.
    pub tls: Answers,
    /// The most memory it ever had, in MiB.
    pub memory: Option<f64>,
    /// The package, in bytes.
    pub package: Option<u64>,
    /// Processor instructions until its first answer, and for an event that is given to it warm.
    pub instructions: Option<(u64, u64)>,
}

/// What was measured of a subject's answers. Times in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Answers {
    /// Process start until the first answer, each start.
    pub first: Vec<f64>,
    /// Of an event that is given to a warm instance.
    pub warm: Option<Warm>,
}

impl Answers {
    /// The median time until the first answer.
    pub(crate) fn median_first(&self) -> f64 {
        percentile(&self.first, 50)
    }
}

/// Of a warm instance.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Warm {
    /// The median of the times until the answer.
    pub p50: f64,
    /// Ninety-nine of a hundred took no longer.
    pub p99: f64,
    /// Events a second, one instance.
    pub per_second: f64,
    /// Events a second, ten instances side by side.
    pub per_second_of_ten: f64,
    /// Processor time for an event.
    pub cpu: f64,
    /// Requests to Twilio, DynamoDB and Secrets Manager for an event.
    pub requests: [f64; 3],
}

impl Figures {
    /// The median time until it was ready.
    pub(crate) fn median_ready(&self) -> f64 {
        percentile(&self.ready, 50)
    }

    /// What was measured of its answers at one place.
    pub(crate) fn answers(&mut self, at: &At) -> &mut Answers {
        if at.root.is_some() { &mut self.tls } else { &mut self.plain }
    }

    fn has_had(&mut self, instance: &Instance) -> anyhow::Result<()> {
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
        let memory = vitals(instance)?.most_memory as f64 / f64::from(1 << 20);
        self.memory = Some(self.memory.unwrap_or_default().max(memory));
        Ok(())
    }
}

/// The value that `percent` of all do not exceed.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

async fn started(subject: &Subject, at: &At) -> anyhow::Result<Instance> {
    Instance::start_with_timeout(&subject.binary, subject.environment(at), PATIENCE)
        .await
        .with_context(|| subject.name)
}

async fn invoke(subject: &Subject, instance: &Instance) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let answer = instance.invoke(subject.event.clone()).await.with_context(|| subject.name)?;
    let took = begun.elapsed();
    if !answer.to_string().replace('\\', "").contains(subject.answer) {
        bail!("{} answered {answer}; {}", subject.name, instance.logs().stderr);
    }
    Ok(took)
}

/// Starts a subject once, and gives it its first event.
pub(crate) async fn start(subject: &Subject, at: &At, figures: &mut Figures) -> anyhow::Result<()> {
    let instance = started(subject, at).await?;
    let ready = instance.ready_after();
    figures.ready.push(ms(ready));
    figures.answers(at).first.push(ms(ready + invoke(subject, &instance).await?));
    figures.has_had(&instance)?;
    instance.kill().await;
    Ok(())
}

/// Gives a warm instance `events` events, and ten of them as many together.
pub(crate) async fn warm(
    subject: &Subject,
    stub: &Stub,
    events: u32,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let at = stub.at();
    let instance = started(subject, &at).await?;
    for _ in 0..=events / 5 {
        invoke(subject, &instance).await?;
    }
    let (asked, cpu, begun) = (stub.asked.so_far(), cpu_time(&instance)?, Instant::now());
    let mut took = Vec::new();
    for _ in 0..events {
        took.push(ms(invoke(subject, &instance).await?));
    }
    let (elapsed, cpu) = (begun.elapsed(), cpu_time(&instance)?.saturating_sub(cpu));
    let after = stub.asked.so_far();
    let mut requests = [0.0; 3];
    for (requests, (after, before)) in requests.iter_mut().zip(after.into_iter().zip(asked)) {
        *requests = f64::from(u32::try_from(after - before)?) / f64::from(events);
    }
    figures.has_had(&instance)?;
    instance.kill().await;
    figures.answers(&at).warm = Some(Warm {
        p50: percentile(&took, 50),
        p99: percentile(&took, 99),
        per_second: f64::from(events) / elapsed.as_secs_f64(),
        per_second_of_ten: ten(subject, &at, events).await?,
        cpu: ms(cpu) / f64::from(events),
        requests,
    });
    Ok(())
}

async fn ten(subject: &Subject, at: &At, events: u32) -> anyhow::Result<f64> {
    let mut instances = Vec::new();
    for _ in 0..10 {
        let instance = started(subject, at).await?;
        invoke(subject, &instance).await?;
        instances.push(instance);
    }
    let begun = Instant::now();
    let mut all = JoinSet::new();
    for instance in instances {
        let subject = subject.clone();
        all.spawn(async move {
            for _ in 0..events / 10 {
                invoke(&subject, &instance).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = all.join_next().await {
        done??;
    }
    Ok(f64::from(events / 10 * 10) / begun.elapsed().as_secs_f64())
}

/// Counts the instructions of a subject until its first answer and for each further event, with callgrind: repeatable,
/// whatever else the machine does.
pub(crate) async fn instructions(subject: &Subject, stub: &Stub) -> anyhow::Result<(u64, u64)> {
    const FURTHER: u32 = 100;
    let folder = tempfile::tempdir()?;
    let first = counted(subject, stub, folder.path(), 1).await?;
    let all = counted(subject, stub, folder.path(), 1 + FURTHER).await?;
    Ok((first, all.saturating_sub(first) / u64::from(FURTHER)))
}

/// The instructions of a subject for an event that is given to it warm, and what it asks whom for.
pub(crate) async fn counts(subject: &Subject, stub: &Stub) -> anyhow::Result<(u64, [u64; 3])> {
    let (_, instructions) = instructions(subject, stub).await?;
    let instance = started(subject, &stub.at()).await?;
    // What is opened before the first event is over by the second.
    for _ in 0..2 {
        invoke(subject, &instance).await?;
    }
    let before = stub.asked.so_far();
    invoke(subject, &instance).await?;
    let mut asked = stub.asked.so_far();
    for (asked, before) in asked.iter_mut().zip(before) {
        *asked -= before;
    }
    Ok((instructions, asked))
}

async fn counted(subject: &Subject, stub: &Stub, folder: &Path, events: u32) -> anyhow::Result<u64> {
    let counts = folder.join(format!("counts-of-{events}"));
    let subject = subject.under_callgrind(folder, &counts)?;
    let instance = started(&subject, &stub.at()).await?;
    for _ in 0..events {
        invoke(&subject, &instance).await?;
    }
    // Asked to end, it says what it has counted.
    let asked = Command::new("kill").arg(process_id(&instance)?.to_string()).status()?;
    ensure!(asked.success(), "the process could not be asked to end");
    instance.ended().await;
    let counts = fs::read_to_string(counts).context("callgrind has counted nothing")?;
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")).context("no total")?;
    Ok(total.trim().parse()?)
}

fn process_id(instance: &Instance) -> anyhow::Result<u32> {
    instance.process_id().context("the process is gone")
}

fn vitals(instance: &Instance) -> anyhow::Result<Vitals> {
    Ok(Vitals::of(process_id(instance)?)?)
}

/// The processor time that all threads of a process took, those that ended excepted.
fn cpu_time(instance: &Instance) -> anyhow::Result<Duration> {
    let mut total = 0;
    for task in fs::read_dir(format!("/proc/{}/task", process_id(instance)?))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        total += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    ensure!(total > 0, "the kernel does not tell processor times");
    Ok(Duration::from_nanos(total))
}
