//! Takes recorded events once more, each once: those that a table was down for, or that were thrown away. They go through the
//! functions themselves, signature and all; what was known already changes nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, header};
use inbound_webhook::InboundWebhook;
use orphan_sweeper::{OrphanSweeper, SweepRequest};
use serde::Serialize;
use serde_json::Value;
use shared::{
    clock::Deadline,
    config::Settings,
    gateway::HttpFunction,
    parts::{Parts, World},
    secrets::{Secrets, SecretsError},
    signature::{Params, signature},
};
use taskrouter_events::TaskRouterEvents;

use crate::local::{
    event::{EventShape, Origin, event},
    gateway::Function as _,
    system::{CONVERSATIONS_PATH, InProcess, TASKROUTER_PATH},
};

/// Something that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// An event that Lambda was handed for a request.
    Event(Value),
    /// The body of a webhook, a form.
    Form(String),
    /// The schedule's call of the sweeper.
    Schedule,
}

/// Why what was recorded could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is neither JSON nor a form.
    #[error("entry {0} is neither a JSON event nor the form of a webhook")]
    Neither(usize),
    /// It holds JSON that breaks off.
    #[error("it is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// What came of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replayed {
    /// The function, where there is one that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<&'static str>,
    /// The HTTP status that it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What it said.
    pub said: String,
    /// Whether it was taken.
    pub taken: bool,
}

/// Reads what was recorded: JSON values one after the other, or a line for each form. An entry may be an event, the record of
/// a failed invocation (`requestPayload`), or what `aws sqs receive-message` prints.
///
/// # Errors
/// Where something in it is none of these; nothing of it is taken then.
pub fn read(text: &str) -> Result<Vec<Recorded>, ReadError> {
    if !text.trim_start().starts_with(['{', '[']) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let form = |(number, line): (usize, &str)| {
            let is_form = Params::parse(line.as_bytes()).get("EventType").is_some();
            is_form.then(|| Recorded::Form(line.to_owned())).ok_or(ReadError::Neither(number))
        };
        return (1..).zip(lines).map(form).collect();
    }
    let mut recorded = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter() {
        entries(value?, &mut recorded)?;
    }
    Ok(recorded)
}

fn entries(value: Value, recorded: &mut Vec<Recorded>) -> Result<(), ReadError> {
    let number = recorded.len() + 1;
    match value {
        Value::Array(values) => values.into_iter().try_for_each(|value| entries(value, recorded)),
        Value::String(form) => {
            recorded.extend(read(&form)?);
            Ok(())
        }
        mut value if value["Messages"].is_array() => {
            let bodies = value["Messages"].as_array_mut().map(std::mem::take).unwrap_or_default();
            bodies.into_iter().try_for_each(|mut message| entries(message["Body"].take(), recorded))
        }
        mut value if !value["requestPayload"].is_null() => entries(value["requestPayload"].take(), recorded),
        value if value["requestContext"].is_object() => {
            recorded.push(Recorded::Event(value));
            Ok(())
        }
        // As EventBridge's schedule calls the sweeper.
        value if value["detail-type"] == "Scheduled Event" => {
            recorded.push(Recorded::Schedule);
            Ok(())
        }
        _ => Err(ReadError::Neither(number)),
    }
}

/// Takes events, in order. The same one twice, and a second call of the sweeper, are taken once.
pub struct Replay {
    inbound: InProcess,
    events: InProcess,
    sweeper: OrphanSweeper,
    secrets: Arc<Secrets>,
    base: Option<String>,
    seen: BTreeSet<(String, String)>,
}

/// How long a sweep may take.
const SWEEP_TIME: Duration = Duration::from_secs(50);

impl Replay {
    /// With the functions as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        let function = |function: Arc<dyn HttpFunction>| InProcess(function);
        Self {
            inbound: function(Arc::new(InboundWebhook::new(settings, world))),
            events: function(Arc::new(TaskRouterEvents::new(settings, world))),
            sweeper: OrphanSweeper::new(settings, world),
            secrets: Parts::new("flexglue", settings, world).secrets,
            base: settings.public_base_url.as_ref().map(ToString::to_string),
            seen: BTreeSet::new(),
        }
    }

    /// Takes one; `None` where it was taken before.
    pub async fn take(&mut self, recorded: &Recorded) -> Option<Replayed> {
        if !self.seen.insert(key(recorded)) {
            return None;
        }
        Some(match recorded {
            Recorded::Event(event) => self.event(event.clone()).await,
            Recorded::Form(form) => match self.signed(form).await {
                Ok(event) => self.event(event).await,
                Err(error) => refused(error.to_string()),
            },
            Recorded::Schedule => {
                let report = self.sweeper.sweep(SweepRequest::default(), Deadline::within(SWEEP_TIME)).await;
                let said = format!("{} due, {} could not be dealt with", report.due, report.errors);
                Replayed { function: Some("orphan-sweeper"), status: None, said, taken: report.errors == 0 }
            }
        })
    }

    async fn event(&self, event: Value) -> Replayed {
        let path = ["rawPath", "path"].into_iter().find_map(|name| event[name].as_str()).unwrap_or_default();
        let (name, function) = if path.ends_with(CONVERSATIONS_PATH) {
            ("inbound-webhook", &self.inbound)
        } else if path.ends_with(TASKROUTER_PATH) {
            ("taskrouter-events", &self.events)
        } else {
            return refused("only webhooks are replayed: who asked for something else asks again".to_owned());
        };
        let answer = match function.invoke(event).await {
            Ok(answer) => answer,
            Err(error) => return Replayed { function: Some(name), ..refused(error) },
        };
        let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        let body = answer["body"].as_str().unwrap_or_default();
        let said: Value = serde_json::from_str(body).unwrap_or_default();
        let said = ["outcome", "error"].into_iter().find_map(|name| said[name].as_str());
        Replayed {
            function: Some(name),
            status,
            said: said.unwrap_or("taken in").to_owned(),
            taken: status.is_some_and(|status| (200..300).contains(&status)),
        }
    }

    /// The event for a form, signed as Twilio would now.
    async fn signed(&self, form: &str) -> Result<Value, SecretsError> {
        let token = self.secrets.current().await?.auth_token.clone();
        let params = Params::parse(form.as_bytes());
        let path = if params.get("WorkspaceSid").is_some() { TASKROUTER_PATH } else { CONVERSATIONS_PATH };
        let base = self.base.as_deref().unwrap_or("https://flexglue.invalid");
        let url = format!("{base}{path}");
        let request = Request::post(&url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("x-twilio-signature", signature(token.expose().as_bytes(), &url, &params))
            .body(Bytes::copy_from_slice(form.as_bytes()));
        let origin = Origin {
            domain_name: "flexglue.invalid".to_owned(),
            stage: "$default".to_owned(),
            source_ip: "127.0.0.1".to_owned(),
            request_id: "replay".to_owned(),
            time_epoch_ms: 0,
        };
        // A base and a path that were checked make a URL.
        Ok(request.map(|request| event(EventShape::HttpApi, &request, &origin)).unwrap_or_default())
    }
}

/// What makes one event the same as another: where it went and what it says, not when it was handed over.
fn key(recorded: &Recorded) -> (String, String) {
    match recorded {
        Recorded::Event(event) => {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (text("rawPath") + &text("path"), text("rawQueryString") + &text("body"))
        }
        Recorded::Form(form) => ("form".to_owned(), form.clone()),
        Recorded::Schedule => ("schedule".to_owned(), String::new()),
    }
}

fn refused(said: String) -> Replayed {
    Replayed { function: None, status: None, said, taken: false }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_way_events_were_recorded_they_are_read() {
        let event = json!({"rawPath": "/webhooks/conversations", "requestContext": {}});
        let of = |count| vec![Recorded::Event(event.clone()); count];
        assert_eq!(read(&event.to_string()).unwrap(), of(1));
        assert_eq!(read(&format!("{event}\n{event}")).unwrap(), of(2));
        assert_eq!(read(&json!([event, event]).to_string()).unwrap(), of(2));
        let failed = json!({"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": event});
        let queue = json!({"Messages": [{"Body": failed.to_string()}, {"Body": event.to_string()}]});
        assert_eq!(read(&queue.to_string()).unwrap(), of(2));
        let schedule = json!({"detail-type": "Scheduled Event", "source": "aws.events"});
        assert_eq!(read(&json!({"requestPayload": schedule}).to_string()).unwrap(), [Recorded::Schedule]);
        let forms = "EventType=onMessageAdded&Index=0\n\nEventType=task.canceled\n";
        assert_eq!(read(forms).unwrap().len(), 2);
    }

    #[test]
    fn what_is_none_of_these_is_named() {
        assert!(matches!(read("EventType=a\nhello"), Err(ReadError::Neither(2))));
        assert!(matches!(read(r#"{"a": 1}"#), Err(ReadError::Neither(1))));
        assert!(matches!(read(r#"{"a": "#), Err(ReadError::Json(_))));
        assert!(read("").unwrap().is_empty());
    }
}
