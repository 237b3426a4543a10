//! `flexglue adopt CH…`: has conversations served that nobody serves, by hand.

use std::{process::ExitCode, time::Duration};

use anstream::println;
use clap::Args;
use serde_json::json;
use shared::{clock::Deadline, parts::Parts, rescue::Ending, sid::ConversationSid};

use super::paint::{BAD, GOOD, paint, wrap};
use crate::{
    adopt::{AdoptError, Adopted, adopt},
    explain::page_of,
    live::{Live, say_what_goes_wrong},
};

/// Options of `flexglue adopt`.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// The conversations
    #[arg(required = true, value_name = "CH…")]
    conversations: Vec<ConversationSid>,
    /// Prints one JSON object for each, on a line of its own
    #[arg(long)]
    json: bool,
}

/// How long one conversation may take.
const LIMIT: Duration = Duration::from_secs(15);

impl Adopt {
    pub(super) async fn run(self, stack: Option<&str>) -> anyhow::Result<ExitCode> {
        say_what_goes_wrong();
        let live = Live::new(stack).await?;
        let Parts { rescuer, .. } = Parts::new("flexglue", &live.settings, &live.world);
        let mut code = 0;
        for sid in &self.conversations {
            let adopted = adopt(&rescuer, sid, Deadline::within(LIMIT)).await;
            code = code.max(match &adopted {
                Ok(adopted) if adopted.is_well() => 0,
                Ok(_) => 1,
                Err(_) => 2,
            });
            if self.json {
                println!("{}", in_json(sid, &adopted)?);
            } else {
                show(sid, &adopted);
            }
        }
        Ok(ExitCode::from(code))
    }
}

fn in_json(sid: &ConversationSid, adopted: &Result<Adopted, AdoptError>) -> anyhow::Result<String> {
    let mut object = match adopted {
        Ok(adopted) => serde_json::to_value(adopted)?,
        Err(error) => json!({"outcome": "error", "error": error.to_string()}),
    };
    object["conversation_sid"] = json!(sid);
    Ok(object.to_string())
}

fn show(sid: &ConversationSid, adopted: &Result<Adopted, AdoptError>) {
    let (well, text) = match adopted {
        Ok(adopted) => (adopted.is_well(), in_words(adopted)),
        Err(error) => (false, format!("not done: {error}. What was begun is due, and the sweeper goes on")),
    };
    let (mark, style) = if well { ("✓", GOOD) } else { ("✗", BAD) };
    println!("{} {sid}", paint(style, mark));
    for line in wrap(&text, "  ") {
        println!("{line}");
    }
}

fn in_words(adopted: &Adopted) -> String {
    let at = |due: &Option<shared::clock::Timestamp>| {
        due.map_or_else(String::new, |due| format!("; flexglue looks again at {due}"))
    };
    match adopted {
        Adopted::Opened { interaction_sid } => format!("has its Interaction now: {interaction_sid}"),
        Adopted::Found { interaction_sid } => {
            format!("had an Interaction that flexglue did not know: {interaction_sid}")
        }
        Adopted::LookedAfter { ending, due_at, .. } => {
            let what = match ending {
                Ending::Reinvited => "agents have been invited again",
                Ending::Compensated => "its Interaction had not come up, and was made again",
                Ending::Closed => "is closed",
                Ending::Finished => "what was left half-way is done",
                Ending::Error => "could not be dealt with, and stays due",
                Ending::Left => "nothing is to be done now: `flexglue explain` tells how it stands",
            };
            format!("{what}{}", at(due_at))
        }
        Adopted::InProgress => "somebody is asking for its Interaction right now".to_owned(),
        Adopted::Deferred { due_at } => format!("Twilio cannot be asked now{}", at(due_at)),
        Adopted::Refused { status, code } => {
            let why = code.map_or_else(|| format!("status {status}"), page_of);
            format!("Twilio refuses its Interaction: {why}")
        }
        Adopted::Unknown => "Twilio knows no such conversation in this account".to_owned(),
        Adopted::Over => "is closed, which is final: the customer's next message begins a new one".to_owned(),
        Adopted::NoCustomer => "has no customer in it: there is nobody to be served".to_owned(),
    }
}
