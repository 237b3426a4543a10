//! `POST /webhooks/taskrouter`: sees to it that no conversation is left without an agent when a task ends.
//!
//! It is thin: an event is verified and read, and the rest is `shared::rescue`, which the sweeper uses as well.
//! Once an event is written down it is answered 204, whatever else fails: the record is due then, and the
//! sweeper goes on. A 5xx asks TaskRouter to send it again, where its callback URL says so (`#rc=3&rp=all`).

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Response, StatusCode, header};
use shared::{
    clock::{Clock, Deadline},
    config::Settings,
    gateway::HttpFunction,
    parts::{Parts, World},
    problem::problem,
    reception::Reception,
    rescue::Rescuer,
    sid::{AccountSid, WorkspaceSid},
    telemetry::Metric,
    webhook::{RawRequest, TaskRouterEvent, TaskRouterNews},
};

/// The function.
#[derive(Debug)]
pub struct TaskRouterEvents {
    account: AccountSid,
    workspace: WorkspaceSid,
    reception: Reception,
    rescuer: Rescuer,
    clock: Arc<dyn Clock>,
}

impl TaskRouterEvents {
    /// The function as `settings` say, in `world`.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        let Parts { reception, rescuer, .. } = Parts::new("taskrouter-events", settings, world);
        Self {
            account: settings.account.clone(),
            workspace: settings.routing.workspace.clone(),
            reception,
            rescuer,
            clock: Arc::clone(&world.clock),
        }
    }

    async fn answer(&self, request: RawRequest, deadline: Deadline) -> Response<Bytes> {
        let verified = match self.reception.receive(&request).await {
            Ok(verified) => verified,
            Err(answer) => return answer,
        };
        let event = match TaskRouterEvent::from_verified(&verified) {
            Ok(event) => event,
            Err(error) => return self.reception.malformed(&error),
        };
        if self.is_foreign(&event) {
            return handled();
        }
        let TaskRouterNews::Task { news, at, facts } = event.news else { return handled() };
        let at = at.unwrap_or_else(|| self.clock.now());
        match self.rescuer.hear(news, at, facts, deadline).await {
            Ok(ending) => {
                tracing::info!(?news, ?ending, "a task event");
                handled()
            }
            Err(error) => {
                self.rescuer.opener.metrics.count(Metric::TableUnavailable);
                tracing::error!(%error, "the event could not be recorded");
                problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Try again later.")
            }
        }
    }

    /// Whether an event is about another account or workspace. It is signed, so it is not an attack.
    fn is_foreign(&self, event: &TaskRouterEvent) -> bool {
        let foreign = event.account_sid != self.account
            || event.workspace_sid.as_ref().is_some_and(|workspace| *workspace != self.workspace);
        if foreign {
            self.rescuer.opener.metrics.count(Metric::ForeignEvent);
            let workspace = event.workspace_sid.as_ref().map(tracing::field::display);
            tracing::warn!(
                account = %event.account_sid,
                workspace,
                "an event of another account or workspace; check FLEX_WORKSPACE_SID"
            );
        }
        foreign
    }
}

/// What TaskRouter wants to be answered
/// ([event callbacks](https://www.twilio.com/docs/taskrouter/api/event/reference)).
fn handled() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// TaskRouter waits fifteen seconds, and the callback URL that the README gives makes it ten.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);

impl HttpFunction for TaskRouterEvents {
    fn answer_limit(&self) -> Duration {
        ANSWER_LIMIT
    }

    fn warm_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.rescuer.opener.warm_up())
    }

    fn handle(&self, request: RawRequest, deadline: Deadline) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(self.answer(request, deadline))
    }
}
