//! What was measured, as a table, as JSON and as a picture.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::{
    measure::{Answers, Figures},
    subject::{FLOOR, NODE, OURS},
};

/// All of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Each subject, in the order in which they are shown.
    pub subjects: Vec<(&'static str, Figures)>,
    /// For each round trip in milliseconds the median time until the first answer of some.
    pub far: Vec<(u64, Vec<(&'static str, f64)>)>,
}

/// One of the targets: what is compared, and how it should come out at most.
struct Target {
    what: String,
    ratio: f64,
    at_most: f64,
}

impl Report {
    fn of(&self, name: &str) -> Option<&Figures> {
        self.subjects.iter().find(|(known, _)| *known == name).map(|(_, figures)| figures)
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut target = |what: String, ratio: f64, at_most: f64| {
            targets.push(Target { what, ratio, at_most });
        };
        let (Some(floor), Some(ours)) = (self.of(FLOOR), self.of(OURS)) else { return targets };
        for (name, figures) in self.subjects.iter().filter(|(name, _)| name.contains('-')) {
            let ratio = figures.median_ready() / floor.median_ready();
            target(format!("ready, {name} to hello world"), ratio, 1.5);
        }
        for (name, figures) in self.subjects.iter().filter(|(name, _)| name.contains('-')) {
            target(format!("package of {name}, in MB"), bytes(figures) / 1e6, 4.0);
        }
        target("memory, in MiB".to_owned(), ours.memory.unwrap_or(f64::NAN), 12.0);
        let Some(node) = self.of(NODE) else { return targets };
        target("ready, to Node".to_owned(), ours.median_ready() / node.median_ready(), 1.0 / 100.0);
        let ratio = ours.tls.median_first() / node.tls.median_first();
        target("first answer over TLS, to Node".to_owned(), ratio, 1.0 / 60.0);
        if let (Some(ours), Some(node)) = (&ours.tls.warm, &node.tls.warm) {
            target("warm p50 over TLS, to Node".to_owned(), ours.p50 / node.p50, 1.0 / 10.0);
            target("processor time for an event, to Node".to_owned(), ours.cpu / node.cpu, 1.0 / 10.0);
        }
        if let (Some(ours), Some(node)) = (ours.memory, node.memory) {
            target("memory, to Node".to_owned(), ours / node, 1.0 / 6.0);
        }
        targets
    }

    /// The time from start to first answer of each that does the job, as bars on a logarithmic scale.
    pub(crate) fn svg(&self) -> String {
        const LEFT: f64 = 150.0;
        const DECADE: f64 = 150.0;
        let bars: Vec<_> = self
            .subjects
            .iter()
            .filter(|(name, figures)| *name == FLOOR || *name == OURS || is_other(name, figures))
            .collect();
        let height = 60 + 34 * bars.len();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" \
             font-size=\"13\">\n<rect width=\"720\" height=\"{height}\" fill=\"white\"/>\n\
             <text x=\"10\" y=\"22\" font-size=\"15\">From process start to the first answer (ms, logarithmic)</text>\n"
        );
        for (row, (name, figures)) in bars.into_iter().enumerate() {
            let took = figures.tls.median_first();
            let (y, width) = (44 + 34 * row, took.max(1.0).log10() * DECADE);
            let colour = if *name == OURS { "#1f6feb" } else { "#9aa4b2" };
            // What is written into a string cannot fail.
            let _ = writeln!(
                svg,
                "<text x=\"10\" y=\"{}\">{name}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"22\" \
                 fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{took:.1}</text>",
                y + 16,
                LEFT + width + 6.0,
                y + 16
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn answers<'a>(
    f: &mut fmt::Formatter<'_>,
    how: &str,
    subjects: impl Iterator<Item = (&'static str, &'a Answers)>,
) -> fmt::Result {
    writeln!(f, "\n| {how} | first answer | warm p50 | p99 | events/s | events/s, ten | CPU per event |")?;
    writeln!(f, "|---|---|---|---|---|---|---|")?;
    for (name, answers) in subjects {
        write!(f, "| {name} | {:.2} | ", answers.median_first())?;
        if let Some(warm) = &answers.warm {
            writeln!(
                f,
                "{:.2} | {:.2} | {:.0} | {:.0} | {:.3} |",
                warm.p50, warm.p99, warm.per_second, warm.per_second_of_ten, warm.cpu
            )?;
        }
    }
    Ok(())
}

fn is_other(name: &str, figures: &Figures) -> bool {
    !name.contains('-') && figures.tls.warm.is_some()
}

#[expect(clippy::cast_precision_loss, reason = "sizes of packages")]
fn bytes(figures: &Figures) -> f64 {
    figures.package.map_or(f64::NAN, |package| package as f64)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Medians of one run; times in milliseconds.\n")?;
        writeln!(f, "| | ready | memory, MiB | zip, MB | Twilio, DynamoDB, secret |\n|---|---|---|---|---|")?;
        for (name, figures) in &self.subjects {
            let (ready, memory) = (figures.median_ready(), figures.memory.unwrap_or(f64::NAN));
            write!(f, "| {name} | {ready:.2} | {memory:.1} | {:.2} | ", bytes(figures) / 1e6)?;
            let [twilio, dynamodb, secret] =
                figures.plain.warm.as_ref().map_or([f64::NAN; 3], |warm| warm.requests);
            writeln!(f, "{twilio:.0}, {dynamodb:.0}, {secret:.0} |")?;
        }
        answers(f, "In the clear", self.subjects.iter().map(|(name, figures)| (*name, &figures.plain)))?;
        answers(f, "Over TLS", self.subjects.iter().map(|(name, figures)| (*name, &figures.tls)))?;
        for (name, figures) in &self.subjects {
            if let Some((first, further)) = figures.instructions {
                write!(
                    f,
                    "\nInstructions of {name}: {first} until its first answer, {further} for each further event."
                )?;
            }
        }
        for (round_trip, at) in &self.far {
            write!(f, "\nFirst answer, {round_trip} ms away:")?;
            for (name, took) in at {
                write!(f, " {name} {took:.0};")?;
            }
        }
        writeln!(f, "\n\n| target | is | at most | |\n|---|---|---|---|")?;
        for Target { what, ratio, at_most } in self.targets() {
            let holds = if ratio <= at_most { "holds" } else { "does not hold" };
            writeln!(f, "| {what} | {ratio:.4} | {at_most:.4} | {holds} |")?;
        }
        Ok(())
    }
}
