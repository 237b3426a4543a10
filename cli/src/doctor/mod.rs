//! Whether an account and a table are as flexglue needs them: looked at, side by side and against a deadline, and never
//! changed.
//!
//! Everything is asked for first (`facts`), then judged without any I/O: `twilio` the account, `aws` the table and the
//! secret, `stack` what is deployed, `probe` what comes back of a signed webhook that means nothing.

mod aws;
mod facts;
mod probe;
mod show;
mod stack;
mod twilio;

use std::sync::Arc;

use serde::Serialize;
use shared::{
    clock::Deadline,
    config::Settings,
    parts::{Parts, World},
};

pub use self::show::text;
use crate::deployed::{AwsError, Function, alarms, functions};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name, which stays.
    pub check: &'static str,
    /// What it was looked at, where there are several of a kind: an address, a workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, and something is to be said about it.
    Warning,
    /// It could not be looked at.
    Unknown,
    /// Customers are lost by it, or nothing works.
    Broken,
}

impl Check {
    fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, of: None, verdict: Verdict::Good, found: found.into(), remedy: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, remedy: Some(remedy.into()), ..Self::good(check, found) }
    }

    fn broken(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Broken, remedy: Some(remedy.into()), ..Self::good(check, found) }
    }

    fn unknown(check: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self { verdict: Verdict::Unknown, ..Self::good(check, format!("could not be looked at: {why}")) }
    }

    fn of(self, of: impl Into<String>) -> Self {
        Self { of: Some(of.into()), ..self }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// The worst of it.
    pub verdict: Verdict,
    /// All of it.
    pub checks: Vec<Check>,
}

/// Looks at everything. What does not answer before the deadline is told as such, and keeps nothing else from being looked
/// at.
pub async fn examine(settings: &Settings, world: &World, deadline: Deadline) -> Examination {
    let Parts { rescuer, secrets, .. } = Parts::new("flexglue", settings, world);
    let opener = rescuer.opener;
    let (facts, table, swept, (functions, alarms), credentials, probed) = tokio::join!(
        Box::pin(facts::gather(&opener.twilio, settings, &secrets, &*world.clock, deadline)),
        Box::pin(aws::table(&world.aws, &settings.table, deadline)),
        Box::pin(aws::sweeper(&opener.ledger, settings, &*world.clock, deadline)),
        Box::pin(deployed(settings, world, deadline)),
        secrets.current(),
        Box::pin(probe::probe(settings, &secrets, Arc::clone(&world.web), deadline)),
    );
    let mut checks = aws::secret(credentials.as_deref(), settings);
    checks.extend(twilio::checks(&facts, settings));
    checks.extend(table);
    checks.extend(stack::functions(&functions, settings));
    checks.extend([stack::alarms(alarms.as_ref()), swept, probed]);
    let verdict = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown);
    Examination { verdict, checks }
}

/// What is deployed that uses the table, and which of its alarms go off.
async fn deployed(
    settings: &Settings,
    world: &World,
    deadline: Deadline,
) -> (Result<Vec<Function>, AwsError>, Option<Result<Vec<String>, AwsError>>) {
    let functions = functions(world, ("TABLE_NAME", &settings.table), deadline).await;
    let stack = functions.as_ref().ok().and_then(|functions| stack::stack_of(functions));
    let alarms = match stack {
        Some(stack) => Some(alarms(world, stack, deadline).await),
        None => None,
    };
    (functions, alarms)
}
