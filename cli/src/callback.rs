//! How TaskRouter tells what happens to tasks: one address for the whole workspace, and the events that are sent there
//! ([event callbacks](https://www.twilio.com/docs/taskrouter/api/event/reference#event-callbacks)).

use shared::{twilio::WorkspaceResource, webhook::PublicBaseUrl};

use crate::local::system::{TASKROUTER_EVENTS, TASKROUTER_PATH};

/// A workspace's callback as it is set.
#[derive(Debug)]
pub(crate) struct Callback<'a> {
    /// Where; empty for nowhere.
    pub url: &'a str,
    /// The events that are named; none means all.
    pub events: Vec<&'a str>,
}

impl<'a> Callback<'a> {
    pub(crate) fn of(workspace: &'a WorkspaceResource) -> Self {
        let filter = workspace.events_filter.as_deref().unwrap_or_default();
        let events = filter.split(',').map(str::trim).filter(|event| !event.is_empty());
        Self { url: workspace.event_callback_url.as_deref().unwrap_or_default(), events: events.collect() }
    }

    /// The address of a flexglue that is reached at `base`. TaskRouter sends again what was not taken
    /// ([connection overrides](https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides)).
    pub(crate) fn address(base: &str) -> String {
        format!("{base}{TASKROUTER_PATH}#rc=3&rp=all&rt=10000")
    }

    /// Whether flexglue is told; where nobody says at which address it is reached, any.
    pub(crate) fn is_ours(&self, base: Option<&PublicBaseUrl>) -> bool {
        let address = self.url.split_once('#').map_or(self.url, |(address, _)| address);
        match base {
            Some(base) => address.strip_prefix(base.as_str()) == Some(TASKROUTER_PATH),
            None => address.ends_with(TASKROUTER_PATH),
        }
    }

    /// Whether everything is sent again that was not taken, not only where no connection could be made.
    pub(crate) fn repeats(&self) -> bool {
        self.url
            .split_once('#')
            .is_some_and(|(_, overrides)| overrides.split('&').any(|part| part == "rp=all"))
    }

    /// What flexglue reads and is not sent.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let is_sent = |event| self.events.is_empty() || self.events.contains(&event);
        TASKROUTER_EVENTS.into_iter().filter(|event| !is_sent(event)).collect()
    }
}
