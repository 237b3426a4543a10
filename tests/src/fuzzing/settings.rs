//! The configuration: whatever an operator writes, it is read or refused in words that name the variable.
//!
//! An input is lines of `NAME=value`, put over variables with which everything starts.

use std::{collections::BTreeMap, time::Duration};

use http::Uri;
use shared::{
    config::{ConfigError, SecretSettings, Settings},
    conversation::{OrphanRules, Step, Terminal},
    cors::AllowedOrigins,
};

use super::stub::variables;

/// Every variable that is read.
pub const NAMES: [&str; 49] = [
    "CONVERSATION_CLOSED_AFTER",
    "CONVERSATION_INACTIVE_AFTER",
    "CUSTOMER_MESSAGES",
    "FALLBACK_WORKFLOW_SID",
    "FLEX_CHAT_SERVICE_SID",
    "FLEX_WORKFLOW_SID",
    "FLEX_WORKSPACE_SID",
    "MAX_REINVITES",
    "METRICS_NAMESPACE",
    "OUTBOUND_ALLOWED_ORIGINS",
    "OUTBOUND_API_KEYS",
    "OUTBOUND_RATE_PER_CALLER",
    "OUTBOUND_RATE_PER_SENDER",
    "OUTBOUND_SENDERS",
    "PUBLIC_BASE_URL",
    "ROUTING_RULES",
    "SWEEP_DISCOVERY_MINUTES",
    "SYSTEM_AUTHORS",
    "TABLE_NAME",
    "TASK_CHANNEL",
    "TERMINAL_POLICY",
    "TWILIO_ACCOUNT_SID",
    "TWILIO_API_KEY_SECRET",
    "TWILIO_API_KEY_SID",
    "TWILIO_API_URL",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_SECONDARY",
    "TWILIO_CONVERSATIONS_API_URL",
    "TWILIO_EDGE",
    "TWILIO_FLEX_API_URL",
    "TWILIO_IAM_API_URL",
    "TWILIO_MONITOR_API_URL",
    "TWILIO_REGION",
    "TWILIO_SECRET_ARN",
    "TWILIO_TASKROUTER_API_URL",
    "WEBCHAT_ADDRESS_SID",
    "WEBCHAT_ALLOWED_ORIGINS",
    "WEBCHAT_ALLOW_ANY_ORIGIN",
    "WEBCHAT_CAPTCHA_SECRET",
    "WEBCHAT_CAPTCHA_VERIFY_URL",
    "WEBCHAT_CUSTOMER_SECRET",
    "WEBCHAT_RATE_PER_MINUTE",
    "WEBCHAT_SESSION_HOURS",
    "WEBCHAT_SITE_RATE_PER_MINUTE",
    "WEBCHAT_TOKEN_TTL_SECONDS",
    // Not of `Settings`, but of the process; nothing that they hold may matter here.
    "AWS_REGION",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "LOG_LEVEL",
    "PATH",
];

/// What an operator writes as JSON; of what is wrong in it their own words are repeated.
const JSON: [&str; 3] = ["CUSTOMER_MESSAGES", "ROUTING_RULES", "TERMINAL_POLICY"];

/// What must be in no message, and in no log.
const SECRET: [&str; 6] = [
    "OUTBOUND_API_KEYS",
    "TWILIO_API_KEY_SECRET",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_AUTH_TOKEN_SECONDARY",
    "WEBCHAT_CAPTCHA_SECRET",
    "WEBCHAT_CUSTOMER_SECRET",
];

/// Reads the variables.
///
/// # Panics
/// Where a promise is broken.
pub fn run(input: &[u8]) {
    let (given, read) = read(input);
    match read {
        Ok(settings) => is_usable(&settings, &given),
        Err(error) => says_what_is_wrong(&error.to_string(), &given),
    }
}

/// The variables that the error names, if there is one.
#[must_use]
pub fn named_as_wrong(input: &[u8]) -> Vec<&'static str> {
    read(input).1.map_or_else(|error| named(&error.to_string()), |_| Vec::new())
}

fn named(error: &str) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| error.contains(&format!("\n  {name}: "))).collect()
}

/// What was given, and what comes of it.
fn read(input: &[u8]) -> (BTreeMap<&'static str, String>, Result<Settings, ConfigError>) {
    let text = String::from_utf8_lossy(input);
    let mut given = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else { continue };
        given.insert(name, value.to_owned());
    }
    let mut all = variables();
    all.extend(given.clone());
    let read = Settings::read(|name| {
        assert!(NAMES.contains(&name), "{name} is not known here");
        all.get(name).cloned()
    });
    (given, read)
}

fn says_what_is_wrong(error: &str, given: &BTreeMap<&str, String>) {
    let names = named(error);
    assert!(!names.is_empty(), "no variable is named: {error}");
    for name in &names {
        // Without a token the secret is missing.
        let is_given = given.contains_key(name)
            || *name == "TWILIO_SECRET_ARN" && given.contains_key("TWILIO_AUTH_TOKEN");
        let is_quoted = JSON.iter().any(|json| given.get(json).is_some_and(|text| text.contains(*name)));
        assert!(is_given || is_quoted, "{name} is as it was: {error}");
    }
    let length: usize = given.values().map(String::len).sum();
    assert!(error.len() <= 6000 + 12 * length, "{} letters about {length}", error.len());
    let own_words: String = JSON.iter().filter_map(|name| given.get(name)).cloned().collect();
    for (name, value) in given.iter().filter(|(name, _)| !JSON.contains(name)) {
        let value = value.trim();
        let is_telling = value.len() >= 24 && !own_words.contains(value);
        assert!(!is_telling || !error.contains(value), "the value of {name} is repeated: {error}");
    }
}

fn is_usable(settings: &Settings, given: &BTreeMap<&str, String>) {
    let bases = &settings.bases;
    let captcha = &settings.web_chat.captcha_url;
    for base in [&bases.flex, &bases.conversations, &bases.taskrouter, &bases.iam, captcha] {
        let uri: Uri = format!("{base}/v1/Path").parse().expect("requests can be sent there");
        assert!(uri.host().is_some() && uri.path().ends_with("/v1/Path") && uri.query().is_none(), "{base}");
    }
    if let Some(base) = &settings.public_base_url {
        let uri: Uri = format!("{base}/webhooks").parse().expect("Twilio can send there");
        assert!(uri.path().ends_with("/webhooks"), "{base}");
    }
    assert!(settings.orphans.max_reinvites <= 100);
    assert!(settings.discovery.is_none_or(|pause| pause <= Duration::from_hours(24)));
    let chats = &settings.web_chat;
    assert!((60..=86_400).contains(&chats.token_ttl.as_secs()));
    assert!(chats.session >= Duration::from_hours(1) && chats.session <= Duration::from_hours(720));
    for after in [&settings.outbound.timers.closed, &settings.outbound.timers.inactive].into_iter().flatten()
    {
        assert!(after.starts_with('P') && after.is_ascii() && !after.ends_with(['P', 'T']), "{after}");
    }
    assert!(settings.outbound.timers.closed.is_some());
    for origins in [&settings.outbound.origins, &chats.origins] {
        are_safe(origins, given);
    }
    assert_eq!(settings.messages.too_long(), None);
    for end in Terminal::ALL {
        is_in_order(settings.orphans.policy.after(end));
        is_in_order(&settings.orphans.steps(end, 0));
        let last = settings.orphans.steps(end, settings.orphans.max_reinvites);
        is_in_order(&last);
        assert!(!last.contains(&Step::Reinvite), "there have been enough");
    }
    is_in_order(&OrphanRules::last_steps());
    match &settings.secrets {
        SecretSettings::Arn(arn) => assert!(arn.starts_with("arn:")),
        SecretSettings::Given(credentials) => {
            assert!(!credentials.auth_token.expose().is_empty());
            assert!(
                credentials.outbound_api_keys.iter().all(|key| !key.expose().is_empty()),
                "anybody has it"
            );
        }
    }
    let _ = settings.web_chat_address();
    let printed = format!("{settings:?}");
    for (name, value) in given.iter().filter(|(name, _)| SECRET.contains(name)) {
        let is_elsewhere = given.iter().any(|(other, text)| other != name && text.contains(value.trim()));
        assert!(
            value.trim().len() < 24 || is_elsewhere || !printed.contains(value.trim()),
            "{name} is printed"
        );
    }
}

/// Pages come over HTTPS or from this machine; from anywhere only where that was asked for twice.
fn are_safe(origins: &AllowedOrigins, given: &BTreeMap<&str, String>) {
    let AllowedOrigins::Listed(listed) = origins else {
        let is = |name, value: &str| given.get(name).is_some_and(|given| given.trim() == value);
        assert!(is("WEBCHAT_ALLOW_ANY_ORIGIN", "true") && is("WEBCHAT_ALLOWED_ORIGINS", "*"));
        return;
    };
    for origin in listed {
        let origin = origin.to_str().expect("ASCII");
        let is_safe =
            ["https://", "http://localhost", "http://127.0.0.1"].iter().any(|safe| origin.starts_with(safe));
        assert!(is_safe && origin.matches('/').count() == 2 && !origin.contains('*'), "{origin}");
    }
}

/// One of re-invite and close, and nothing after close.
fn is_in_order(steps: &[Step]) {
    let decisive = steps.iter().filter(|step| matches!(step, Step::Reinvite | Step::Close)).count();
    let closes_last =
        steps.iter().position(|step| *step == Step::Close).is_none_or(|at| at + 1 == steps.len());
    assert!(decisive <= 1 && closes_last, "{steps:?}");
}
