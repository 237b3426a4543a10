//! Logs and metrics, both as JSON lines on standard output, which is where Lambda takes them from.
//!
//! Logs carry the request, conversation, interaction and task SIDs as fields of their span, and nothing
//! about a person: what could be is wrapped in [`crate::personal::Personal`] or
//! [`crate::secrets::Secret`]. Metrics are in CloudWatch's
//! [embedded metric format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
//! with the function as their only dimension.

use std::{fmt, io::Write as _, sync::Arc};

use serde_json::json;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::{MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
};

use crate::clock::Clock;

/// What is counted. One name means one thing for a person on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// An Interaction was accepted by Twilio.
    InteractionCreated,
    /// An Interaction that was there already was found and recorded.
    InteractionAdopted,
    /// Twilio could not be asked now, or its answer is not known; the sweeper goes on.
    InteractionDeferred,
    /// Twilio refused an Interaction for good.
    InteractionRefused,
    /// A second Interaction was accepted for one conversation.
    InteractionDuplicated,
    /// An Interaction did not come up.
    SetUpFailed,
    /// A conversation was closed because it could not be served.
    ConversationGivenUp,
    /// A conversation was found that nobody served.
    Orphaned,
    /// Agents were invited again.
    Reinvited,
    /// Twilio refused to have agents invited again.
    ReinviteRefused,
    /// A customer was told something.
    CustomerTold,
    /// A conversation that no webhook had told of was discovered and opened.
    ConversationAdopted,
    /// A TaskRouter event that names no conversation.
    UnknownConversation,
    /// A request without a valid signature.
    SignatureRefused,
    /// A signed request that could not be read.
    MalformedRequest,
    /// A signed event of another account or another Conversations service.
    ForeignEvent,
    /// An outbound reach was made.
    ReachDone,
    /// An outbound reach was not made; nothing of it is left.
    ReachRefused,
    /// The first message of an outbound reach did not reach the customer.
    ReachUndelivered,
    /// A conversation was closed to make room for an outbound reach that asked for it.
    ConversationReplaced,
    /// A caller of `outbound-participant` without valid credentials.
    CallerRefused,
    /// A web chat was begun.
    WebChatBegun,
    /// A web chat could not be begun; what there was of it is closed, or will be.
    WebChatFailed,
    /// A web chat was ended by its customer.
    WebChatEnded,
    /// A web chat was closed that was left half-way, or in which nothing was said.
    WebChatAbandoned,
    /// A request from an origin that is not allowed.
    OriginRefused,
    /// A web chat's token, or who a customer claimed to be, was not accepted.
    TokenRefused,
    /// A CAPTCHA's verdict was no.
    CaptchaRefused,
    /// A caller, a sender, a source address or a site reached its limit.
    RateLimited,
    /// Twilio asked to slow down.
    TwilioThrottled,
    /// The state table could not be asked or written.
    TableUnavailable,
    /// Something due could not be dealt with in this sweep.
    SweepError,
    /// Records that were due in a sweep.
    SweepDue,
}

/// Where metric lines go.
pub type Emit = Arc<dyn Fn(&str) + Send + Sync>;

/// Counts what happens. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    namespace: Arc<str>,
    function: &'static str,
    clock: Arc<dyn Clock>,
    emit: Emit,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("function", &self.function).finish_non_exhaustive()
    }
}

/// A line to standard output; where that is closed there is nobody to tell.
#[must_use]
pub fn stdout() -> Emit {
    Arc::new(|line| {
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    })
}

impl Metrics {
    /// Metrics of one function, in a namespace of CloudWatch's.
    #[must_use]
    pub fn new(namespace: &str, function: &'static str, clock: Arc<dyn Clock>, emit: Emit) -> Self {
        Self { namespace: namespace.into(), function, clock, emit }
    }

    /// Adds one.
    pub fn count(&self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Adds `amount`.
    pub fn add(&self, metric: Metric, amount: u64) {
        let name = format!("{metric:?}");
        let mut line = json!({
            "_aws": {
                "Timestamp": self.clock.now().as_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": &*self.namespace,
                    "Dimensions": [["Function"]],
                    "Metrics": [{"Name": name, "Unit": "Count"}],
                }],
            },
            "Function": self.function,
        });
        line[name] = amount.into();
        (self.emit)(&line.to_string());
    }
}

/// The span of one invocation: every log line of it carries these fields, and what else becomes known. `trace` is
/// the header that Lambda got it with
/// ([tracing header](https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader));
/// its root leads to the lines of everybody else who had a part in the same request.
#[must_use]
pub fn invocation(request_id: &str, trace: Option<&str>) -> tracing::Span {
    let root = trace.and_then(|header| header.split(';').find_map(|part| part.trim().strip_prefix("Root=")));
    tracing::info_span!(
        "invocation",
        request_id,
        trace_id = root,
        conversation_sid = tracing::field::Empty,
        interaction_sid = tracing::field::Empty,
        task_sid = tracing::field::Empty,
    )
}

/// Writes the time of our own clock.
struct ClockTime(Arc<dyn Clock>);

impl FormatTime for ClockTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

/// Our own crates. Whatever else logs is heard from warnings on: at lower levels the AWS SDK shows bodies.
const OUR_CRATES: [&str; 7] = [
    "shared",
    "inbound_webhook",
    "orphan_sweeper",
    "outbound_participant",
    "taskrouter_events",
    "webchat_token",
    "flexglue",
];

/// Log lines as JSON, to `writer`.
pub fn subscriber<W>(
    clock: Arc<dyn Clock>,
    level: LevelFilter,
    writer: W,
) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_targets(OUR_CRATES.map(|name| (name, level)));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_timer(ClockTime(clock))
        .with_writer(writer);
    tracing_subscriber::registry().with(lines.with_filter(targets))
}

/// Starts logging to standard output, at the level that `LOG_LEVEL` or Lambda's own `AWS_LAMBDA_LOG_LEVEL`
/// names, `info` otherwise. Does nothing where logging has been started.
pub fn start_logging(clock: Arc<dyn Clock>, variable: impl Fn(&str) -> Option<String>) {
    let level = ["LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL"]
        .into_iter()
        .find_map(|name| variable(name)?.parse::<LevelFilter>().ok())
        .unwrap_or(LevelFilter::INFO);
    let _ = tracing::subscriber::set_global_default(subscriber(clock, level, std::io::stdout));
}

/// Says on standard error, as one JSON line, why a function cannot serve at all.
pub fn fatal(function: &str, error: &dyn std::error::Error) {
    let line = json!({"level": "ERROR", "message": "cannot serve", "function": function, "error": error.to_string()});
    // One write, so that it is one line of the log.
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::clock::{Timestamp, TokioClock};

    /// Keeps the last line.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> serde_json::Value {
            serde_json::from_slice(&std::mem::take(&mut *self.0.lock().unwrap())).unwrap()
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn the_root_of_a_trace_is_on_every_line_of_its_invocation() {
        let lines = Lines::default();
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_millis(7)));
        let subscriber = subscriber(clock, LevelFilter::INFO, lines.clone());
        tracing::subscriber::with_default(subscriber, || {
            let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
            for (trace, expected) in [
                (Some(header), json!("1-5759e988-bd862e3fe1be46a994272793")),
                (Some("x"), json!(null)),
                (None, json!(null)),
            ] {
                invocation("r", trace).in_scope(|| tracing::info!("hello"));
                let line = lines.take();
                assert_eq!(
                    (&line["span"]["request_id"], &line["span"]["trace_id"]),
                    (&json!("r"), &expected)
                );
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_metric_is_a_line_of_embedded_metric_format() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_millis(7)));
        let metrics = Metrics::new(
            "flexglue-prod",
            "inbound-webhook",
            clock,
            Arc::new(move |line| kept.lock().unwrap().push(line.to_owned())),
        );
        metrics.count(Metric::InteractionCreated);
        let line: serde_json::Value = serde_json::from_str(&lines.lock().unwrap()[0]).unwrap();
        assert_eq!(line["InteractionCreated"], 1);
        assert_eq!(line["Function"], "inbound-webhook");
        assert_eq!(line["_aws"]["Timestamp"], 7);
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Namespace"], "flexglue-prod");
        assert_eq!(line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], "InteractionCreated");
    }
}
