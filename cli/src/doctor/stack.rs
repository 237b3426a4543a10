//! What is deployed: the functions, whether their variables fit together, and the alarms.

use std::collections::{BTreeMap, BTreeSet};

use shared::config::Settings;

use super::Check;
use crate::deployed::{AwsError, Function};

/// The functions' logical ids in the template; the last is deployed only where there are web chats.
const FUNCTIONS: [&str; 5] =
    ["InboundWebhook", "OutboundParticipant", "TaskRouterEvents", "OrphanSweeper", "WebchatToken"];

/// The logical id of a function, by its name: AWS puts its stack before it and a suffix behind.
fn logical_id(name: &str) -> &str {
    FUNCTIONS.into_iter().find(|id| name.contains(&format!("-{id}-"))).unwrap_or(name)
}

pub(super) fn functions(found: &Result<Vec<Function>, AwsError>, settings: &Settings) -> Vec<Check> {
    const NAMES: [&str; 3] = ["functions", "function-variables", "variables"];
    let functions = match found {
        Ok(functions) => functions,
        Err(error) => return NAMES.map(|name| Check::unknown(name, error)).into(),
    };
    let [deployed, fit, same] = NAMES;
    let known: BTreeSet<&str> = functions.iter().map(|function| logical_id(&function.name)).collect();
    let wanted =
        FUNCTIONS.into_iter().filter(|id| *id != "WebchatToken" || settings.web_chat.address.is_some());
    let missing: Vec<&str> = wanted.filter(|id| !known.contains(id)).collect();
    let mut checks = vec![if missing.is_empty() {
        Check::good(deployed, format!("{} are deployed that use the table", known.len()))
    } else {
        Check::broken(
            deployed,
            format!("none is deployed that uses the table as {}", missing.join(", ")),
            "deploy the stack (docs/deploy.md), or correct TABLE_NAME, AWS_REGION, AWS_PROFILE",
        )
    }];
    checks.push(fits_together(fit, functions));
    checks.push(same_as_here(same, functions, settings));
    checks
}

/// Whether variables that several functions have are the same for all. Values are never told.
fn fits_together(name: &'static str, functions: &[Function]) -> Check {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for function in functions {
        for (variable, value) in &function.variables {
            values.entry(variable).or_default().insert(value);
        }
    }
    let differ: Vec<&str> =
        values.into_iter().filter(|(_, values)| values.len() > 1).map(|(variable, _)| variable).collect();
    if differ.is_empty() {
        return Check::good(name, "the functions are told the same");
    }
    Check::broken(
        name,
        format!("the functions are told different things: {}", differ.join(", ")),
        "somebody has changed them by hand: deploy the stack again",
    )
}

/// Whether the variables that are used here are those of the functions.
fn same_as_here(name: &'static str, functions: &[Function], settings: &Settings) -> Check {
    let base = settings.public_base_url.as_ref().map(ToString::to_string);
    let here = [
        ("TWILIO_ACCOUNT_SID", Some(settings.account.to_string())),
        ("FLEX_WORKSPACE_SID", Some(settings.routing.workspace.to_string())),
        ("FLEX_WORKFLOW_SID", Some(settings.routing.workflow.to_string())),
        ("FLEX_CHAT_SERVICE_SID", Some(settings.chat_service.to_string())),
        ("TASK_CHANNEL", Some(settings.routing.task_channel.clone())),
        ("PUBLIC_BASE_URL", base),
    ];
    let differs = |(variable, here): &(&str, Option<String>)| {
        let there = functions.iter().filter_map(|function| function.variables.get(*variable));
        here.as_ref().is_some_and(|here| there.into_iter().any(|there| there.trim_end_matches('/') != here))
    };
    let differ: Vec<&str> = here.iter().filter(|it| differs(it)).map(|(variable, _)| *variable).collect();
    if differ.is_empty() {
        return Check::good(name, "those used here are the functions'");
    }
    Check::warning(
        name,
        format!("those used here are not the functions': {}", differ.join(", ")),
        "what is said above is about the values used here; --stack takes the functions' own",
    )
}

/// The stack of the functions: all of one stack count under its name.
pub(super) fn stack_of(functions: &[Function]) -> Option<&str> {
    functions.iter().find_map(|function| function.variables.get("METRICS_NAMESPACE")).map(String::as_str)
}

pub(super) fn alarms(found: Option<&Result<Vec<String>, AwsError>>) -> Check {
    const NAME: &str = "alarms";
    match found {
        None => Check::unknown(NAME, &"nobody knows the stack"),
        Some(Err(error)) => Check::unknown(NAME, error),
        Some(Ok(alarms)) if alarms.is_empty() => Check::good(NAME, "none goes off"),
        Some(Ok(alarms)) => {
            let names: Vec<&str> =
                alarms.iter().map(|alarm| alarm.split('-').next().unwrap_or(alarm)).collect();
            Check::warning(
                NAME,
                format!("{} go off", names.join(", ")),
                "docs/runbook.md says of each what it means and what to do",
            )
        }
    }
}
