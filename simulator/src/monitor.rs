//! Monitor v1: what the debugger has noted. See <https://www.twilio.com/docs/usage/monitor-alert>.

use serde_json::{Value, json};

use crate::answer::{Refusal, Reply};
use crate::call::Call;
use crate::dates;
use crate::page::{Row, page};
use crate::parameters::Published;
use crate::shown::Alert;
use crate::world::World;

const LIST: Published = Published {
    required: &[],
    optional: &["LogLevel", "StartDate", "EndDate", "PageSize", "Page", "PageToken"],
    repeated: &[],
};

/// Finds the route for a call below `/v1`.
pub(crate) fn route(world: &World, call: &Call, segments: &[&str]) -> Reply {
    match (call.method.as_str(), segments) {
        ("GET", ["Alerts"]) => alerts(world, call),
        _ => Err(call.not_found()),
    }
}

/// Alerts are errors, what the simulation warns of are warnings. Newest first.
fn alerts(world: &World, call: &Call) -> Reply {
    let parameters = LIST.read(&call.query)?;
    let level = parameters.one_of("LogLevel", &["error", "warning", "notice", "debug"])?;
    let date = |name: &str| {
        let given = parameters.text(name);
        given
            .map(|text| dates::parse(text).ok_or_else(|| Refusal::invalid(format!("Invalid {name}"))))
            .transpose()
    };
    let (start, end) = (date("StartDate")?.unwrap_or(0), date("EndDate")?.unwrap_or(u64::MAX));
    let warnings = world.warnings.iter().map(|warning| Alert { code: warning.code, at_ms: warning.at_ms });
    let errors = world.settings.shown.alerts.iter().cloned();
    let all = errors.map(|alert| ("error", alert)).chain(warnings.map(|alert| ("warning", alert)));
    let asked = (0..).zip(all).filter(|(_, (kind, alert))| {
        level.is_none_or(|level| level == *kind) && (start..=end).contains(&alert.at_ms)
    });
    let rows = asked.map(|(number, (kind, alert))| {
        // Two of one moment keep their order.
        Row::newest_first(alert.at_ms * 10_000 + number, json_of(world, number, kind, &alert, call))
    });
    page(call, "alerts", 50, 1000, rows.collect())
}

fn json_of(world: &World, number: u64, level: &str, alert: &Alert, call: &Call) -> Value {
    let sid = format!("NO{number:032x}");
    let date = dates::seconds(alert.at_ms);
    json!({
        "account_sid": world.settings.account_sid,
        "sid": sid,
        "alert_text": format!("ErrorCode={}", alert.code),
        "api_version": null,
        "date_created": date,
        "date_generated": date,
        "date_updated": date,
        "error_code": alert.code.to_string(),
        "log_level": level,
        "more_info": format!("https://www.twilio.com/docs/errors/{}", alert.code),
        "request_method": null,
        "request_url": null,
        "resource_sid": null,
        "service_sid": null,
        "url": format!("{}/{sid}", call.url()),
    })
}

#[cfg(test)]
mod tests {
    use crate::shown::Alert;
    use crate::testing::{START_MS, Sim};

    #[test]
    fn alerts_are_told_by_level_and_time_newest_first() {
        let sim = Sim::with(|settings| {
            let at = |code, before| Alert { code, at_ms: START_MS - before };
            settings.shown.alerts = vec![at(11_200, 7_200_000), at(45_367, 60_000)];
        });
        let codes = |query: &str| -> Vec<String> {
            let (status, body) = sim.get(&format!("/monitor/v1/Alerts{query}"));
            assert_eq!(status, 200, "{body}");
            let rows = body["alerts"].as_array().expect("rows").clone();
            rows.iter().map(|row| row["error_code"].as_str().expect("a code").to_owned()).collect()
        };
        assert_eq!(codes(""), ["45367", "11200"]);
        assert_eq!(codes("?LogLevel=error&StartDate=2026-01-02T02:30:00Z"), ["45367"]);
        assert!(codes("?LogLevel=warning").is_empty());
        assert_eq!(sim.get("/monitor/v1/Alerts?LogLevel=loud").0, 400);
        assert_eq!(sim.get("/monitor/v1/Events").0, 404);
    }
}
