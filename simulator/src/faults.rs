//! How Twilio can be told to misbehave: towards callers, and with its webhooks.

use http::Method;

use crate::call::locate;

/// A connection that broke before the answer arrived. The call may have had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was closed before an answer arrived")
    }
}

impl std::error::Error for Lost {}

/// A misbehaviour, the calls it is about and how often it shows.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The calls.
    pub on: Matcher,
    /// How often.
    pub times: Times,
    /// What goes wrong.
    pub what: Misbehaviour,
}

/// Which calls a fault is about.
#[derive(Debug, Clone)]
pub enum Matcher {
    /// Every call.
    Any,
    /// A method and a path, such as `POST /v1/Interactions` or
    /// `POST /v1/Conversations/{sid}/Participants`. A segment in braces stands for any one; an API prefix
    /// and `/Services/{sid}` need not be written.
    Route(String),
}

impl Matcher {
    /// Calls of one method and path template.
    #[must_use]
    pub fn route(template: &str) -> Self {
        Self::Route(template.to_owned())
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        let Self::Route(template) = self else { return true };
        let Some((verb, wanted)) = template.split_once(' ') else { return false };
        verb == method.as_str() && same_path(&canonical(wanted), &canonical(path))
    }
}

/// The path without what may be left out: the API's prefix and the chat service.
fn canonical(path: &str) -> Vec<String> {
    let path = locate(path, None).1;
    let mut segments: Vec<String> = path.split('/').skip(1).map(str::to_owned).collect();
    if segments.len() > 3 && segments[1] == "Services" {
        segments.drain(1..3);
    }
    segments
}

fn same_path(template: &[String], path: &[String]) -> bool {
    template.len() == path.len()
        && template.iter().zip(path).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
}

/// How often a fault shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// For the next so many that match.
    Next(u32),
    /// Until [`Twilio::behave`](crate::Twilio::behave).
    Forever,
    /// For one only: the first that matches is number 1.
    Only(u32),
}

/// Counts matches.
#[derive(Debug)]
struct Counted {
    times: Times,
    seen: u32,
}

impl Counted {
    fn new(times: Times) -> Self {
        Self { times, seen: 0 }
    }

    /// Whether the fault is still to show; it may wait for a later match.
    fn is_spent(&self) -> bool {
        match self.times {
            Times::Next(n) | Times::Only(n) => self.seen >= n,
            Times::Forever => false,
        }
    }

    /// Counts one match and tells whether the fault shows on it.
    fn strikes(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        match self.times {
            Times::Next(n) => self.seen <= n,
            Times::Only(n) => self.seen == n,
            Times::Forever => true,
        }
    }
}

/// What goes wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misbehaviour {
    /// An error answer; the call has no effect.
    Status {
        /// The HTTP status.
        status: u16,
        /// Twilio's error code.
        code: u32,
        /// Seconds for a `Retry-After` header.
        retry_after: Option<u32>,
    },
    /// The connection breaks and the call has no effect.
    LostBefore,
    /// The call has its effect and the answer is lost.
    LostAfter,
    /// The call has its effect at once; the answer comes so many milliseconds later.
    SlowMs(u64),
    /// The call has its effect; the answer is 200 with a page of HTML.
    Malformed,
    /// The call has no effect and is never answered.
    Hang,
    /// An Interaction is accepted with 200, and its channel fails to be set up with this code. It is about
    /// Interactions only, whatever the matcher says.
    FailSetUp {
        /// Such as 45381.
        code: u32,
    },
}

/// A misbehaviour of webhooks.
#[derive(Debug, Clone)]
pub struct WebhookFault {
    /// The event type, such as `onMessageAdded` or `task.canceled`; every event if none is named.
    pub event: Option<String>,
    /// How often.
    pub times: Times,
    /// What goes wrong.
    pub what: WebhookMisbehaviour,
}

/// What goes wrong with a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookMisbehaviour {
    /// It is never sent.
    Lost,
    /// It is sent twice.
    Doubled,
    /// It is sent so many milliseconds late.
    DelayedMs(u64),
    /// It is sent after those that are taken together with it; several such come in reverse order.
    Reordered,
}

/// The faults that are in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    calls: Vec<(Fault, Counted)>,
    webhooks: Vec<(WebhookFault, Counted)>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        let counted = Counted::new(fault.times);
        self.calls.push((fault, counted));
    }

    pub(crate) fn add_webhook(&mut self, fault: WebhookFault) {
        let counted = Counted::new(fault.times);
        self.webhooks.push((fault, counted));
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The first fault that shows on this call. Others that match do not count it.
    pub(crate) fn on_call(&mut self, method: &Method, path: &str) -> Option<Misbehaviour> {
        self.calls.retain(|(_, counted)| !counted.is_spent());
        self.calls
            .iter_mut()
            .find_map(|(fault, counted)| {
                let fails_set_up = matches!(fault.what, Misbehaviour::FailSetUp { .. });
                (!fails_set_up && fault.on.matches(method, path) && counted.strikes()).then_some(&fault.what)
            })
            .cloned()
    }

    /// The code with which the set-up of the Interaction just accepted is to fail.
    pub(crate) fn on_set_up(&mut self) -> Option<u32> {
        self.calls.retain(|(_, counted)| !counted.is_spent());
        self.calls.iter_mut().find_map(|(fault, counted)| match fault.what {
            Misbehaviour::FailSetUp { code } if counted.strikes() => Some(code),
            _ => None,
        })
    }

    /// Everything that goes wrong with a webhook of this event.
    pub(crate) fn on_webhook(&mut self, event: &str) -> Vec<WebhookMisbehaviour> {
        self.webhooks.retain(|(_, counted)| !counted.is_spent());
        self.webhooks
            .iter_mut()
            .filter(|(fault, _)| fault.event.as_deref().is_none_or(|wanted| wanted == event))
            .filter_map(|(fault, counted)| counted.strikes().then_some(fault.what))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(on: Matcher, times: Times) -> Faults {
        let mut faults = Faults::default();
        faults.add(Fault { on, times, what: Misbehaviour::LostBefore });
        faults
    }

    #[test]
    fn a_fault_may_name_a_route_and_spare_the_others() {
        let mut faults = lost(Matcher::route("POST /v1/Conversations/{sid}/Participants"), Times::Forever);
        let mut hit = |method: Method, path| faults.on_call(&method, path).is_some();
        assert!(hit(Method::POST, "/v1/Conversations/CH1/Participants"));
        assert!(hit(Method::POST, "/conversations/v1/Services/IS1/Conversations/CH1/Participants"));
        assert!(!hit(Method::GET, "/v1/Conversations/CH1/Participants"));
        assert!(!hit(Method::POST, "/v1/Conversations/CH1"));
    }

    #[test]
    fn a_fault_shows_as_often_as_told() {
        let shown = |times| {
            let mut faults = lost(Matcher::Any, times);
            [0; 4].map(|_| faults.on_call(&Method::GET, "/v1").is_some())
        };
        assert_eq!(shown(Times::Next(2)), [true, true, false, false]);
        assert_eq!(shown(Times::Only(3)), [false, false, true, false]);
        assert_eq!(shown(Times::Forever), [true; 4]);
    }
}
