//! The configuration: environment variables, read once at the start into checked values. Whatever is wrong
//! with them is said in one message that names every bad variable and what was expected; values are never
//! repeated, as one of them may be a secret in the wrong place.

use std::{fmt, ops::RangeInclusive, str::FromStr, time::Duration};

use serde::de::DeserializeOwned;

use crate::{
    conversation::{CustomerMessages, OrphanRules, contact::is_address},
    cors::AllowedOrigins,
    routing::{RoutingDefaults, RoutingRules},
    secrets::{Credentials, Secret},
    sid::{AccountSid, AddressSid, ChatServiceSid, WorkflowSid},
    twilio::{Bases, Timers},
    webhook::PublicBaseUrl,
};

/// Every variable that is missing or malformed.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<(&'static str, String)>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not usable:")?;
        for (name, expected) in &self.0 {
            write!(f, "\n  {name}: {expected}")?;
        }
        Ok(())
    }
}

/// Reads variables and remembers what was wrong with them.
struct Reader<V> {
    variable: V,
    wrong: Vec<(&'static str, String)>,
}

impl<V: Fn(&str) -> Option<String>> Reader<V> {
    /// The variable's text; one that is set to nothing counts as not set, as in a template's empty default.
    fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// A comma-separated list.
    fn list(&self, name: &str) -> Vec<String> {
        let text = (self.variable)(name).unwrap_or_default();
        text.split(',').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    }

    fn wrong(&mut self, name: &'static str, expected: impl fmt::Display) {
        self.wrong.push((name, expected.to_string()));
    }

    fn required<T>(&mut self, name: &'static str, expected: &str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.text(name).map(|text| text.parse()) {
            Some(Ok(value)) => Some(value),
            Some(Err(error)) => {
                self.wrong(name, error);
                None
            }
            None => {
                self.wrong(name, format_args!("missing; {expected}"));
                None
            }
        }
    }

    fn optional<T>(&mut self, name: &'static str) -> Option<T>
    where
        T: FromStr<Err: fmt::Display>,
    {
        match self.text(name)?.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(name, error);
                None
            }
        }
    }

    fn number(&mut self, name: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        match self.text(name).map(|text| text.parse::<u32>()) {
            None => default,
            Some(Ok(number)) if range.contains(&number) => number,
            Some(_) => {
                let (least, most) = range.into_inner();
                self.wrong(name, format_args!("expected a whole number from {least} to {most}"));
                default
            }
        }
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.text(name).map(Secret::new)
    }

    fn base(&mut self, name: &'static str, public: &mut String) {
        if let Some(base) = self.optional::<PublicBaseUrl>(name) {
            base.as_str().clone_into(public);
        }
    }
}

/// Where the credentials come from.
#[derive(Clone, Debug)]
pub enum SecretSettings {
    /// `TWILIO_SECRET_ARN`.
    Arn(String),
    /// `TWILIO_AUTH_TOKEN` and its companions.
    Given(Credentials),
}

/// What outbound reaches are allowed.
#[derive(Clone, Debug)]
pub struct OutboundSettings {
    /// `OUTBOUND_SENDERS`: the addresses of ours that may be used. None: nobody is reached.
    pub senders: Vec<String>,
    /// `OUTBOUND_ALLOWED_ORIGINS`: where browsers may call from.
    pub origins: AllowedOrigins,
    /// `CONVERSATION_CLOSED_AFTER`, `CONVERSATION_INACTIVE_AFTER`.
    pub timers: Timers,
    /// `OUTBOUND_RATE_PER_SENDER`: reaches a minute from each of our addresses; 0 where that is not limited.
    pub rate_per_sender: u32,
    /// `OUTBOUND_RATE_PER_CALLER`: reaches a minute by each caller; 0 where that is not limited.
    pub rate_per_caller: u32,
}

/// What web chats are allowed.
#[derive(Clone, Debug)]
pub struct WebChatSettings {
    /// `WEBCHAT_ADDRESS_SID`: the address of type chat that they belong to. `webchat-token` cannot do without.
    pub address: Option<AddressSid>,
    /// `WEBCHAT_ALLOWED_ORIGINS`, `WEBCHAT_ALLOW_ANY_ORIGIN`: the sites that they begin on. None: none begins.
    pub origins: AllowedOrigins,
    /// `WEBCHAT_TOKEN_TTL_SECONDS`: how long a token lives.
    pub token_ttl: Duration,
    /// `WEBCHAT_SESSION_HOURS`: how long tokens are refreshed after a chat has begun.
    pub session: Duration,
    /// `WEBCHAT_RATE_PER_MINUTE`: chats begun from one source address; 0 where that is not limited.
    pub rate_per_source: u32,
    /// `WEBCHAT_SITE_RATE_PER_MINUTE`: chats begun on one site; 0 where that is not limited.
    pub rate_per_site: u32,
    /// `WEBCHAT_CAPTCHA_SECRET`, where it is not in the secret.
    pub captcha_secret: Option<Secret>,
    /// `WEBCHAT_CAPTCHA_VERIFY_URL`: who is asked for a CAPTCHA's verdict.
    pub captcha_url: String,
    /// `WEBCHAT_CUSTOMER_SECRET`, where it is not in the secret.
    pub customer_secret: Option<Secret>,
}

/// What the functions are told. Each reads all of it, so that a mistake shows at the first start of any.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `TABLE_NAME`.
    pub table: String,
    /// `TWILIO_ACCOUNT_SID`.
    pub account: AccountSid,
    /// `FLEX_CHAT_SERVICE_SID`.
    pub chat_service: ChatServiceSid,
    /// Where the credentials come from.
    pub secrets: SecretSettings,
    /// Where Twilio's APIs are.
    pub bases: Bases,
    /// `PUBLIC_BASE_URL`.
    pub public_base_url: Option<PublicBaseUrl>,
    /// `ROUTING_RULES`.
    pub rules: RoutingRules,
    /// `FLEX_WORKSPACE_SID`, `FLEX_WORKFLOW_SID`, `FALLBACK_WORKFLOW_SID`, `TASK_CHANNEL`.
    pub routing: RoutingDefaults,
    /// `SYSTEM_AUTHORS`.
    pub system_authors: Vec<String>,
    /// `TERMINAL_POLICY`, `MAX_REINVITES`.
    pub orphans: OrphanRules,
    /// `CUSTOMER_MESSAGES`.
    pub messages: CustomerMessages,
    /// What outbound reaches are allowed.
    pub outbound: OutboundSettings,
    /// What web chats are allowed.
    pub web_chat: WebChatSettings,
    /// `TWILIO_REGION`: tokens of web chats name it.
    pub region: Option<String>,
    /// `METRICS_NAMESPACE`: CloudWatch's namespace for what is counted.
    pub metrics_namespace: String,
    /// `SWEEP_DISCOVERY_MINUTES`; `None` where nothing is to be discovered.
    pub discovery: Option<Duration>,
}

impl Settings {
    /// The address of web chats, for the function that cannot do without.
    ///
    /// # Errors
    /// Where it, or the API key that signs tokens, is missing.
    pub fn web_chat_address(&self) -> Result<AddressSid, ConfigError> {
        let mut missing = Vec::new();
        if let SecretSettings::Given(credentials) = &self.secrets {
            let key = "missing; an API key of the account signs the tokens of web chats";
            let has = [credentials.api_key_sid.is_some(), credentials.api_key_secret.is_some()];
            let names = ["TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"];
            missing.extend(
                names.into_iter().zip(has).filter(|(_, has)| !has).map(|(name, _)| (name, key.to_owned())),
            );
        }
        match &self.web_chat.address {
            Some(address) if missing.is_empty() => Ok(address.clone()),
            Some(_) => Err(ConfigError(missing)),
            None => {
                let expected = "missing; the SID (IG…) of an address of type chat".to_owned();
                missing.push(("WEBCHAT_ADDRESS_SID", expected));
                Err(ConfigError(missing))
            }
        }
    }

    /// Reads the process's environment.
    pub fn from_environment() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut reader = Reader { variable, wrong: Vec::new() };
        let table = reader.required("TABLE_NAME", "the name of the DynamoDB table");
        let account = reader.required("TWILIO_ACCOUNT_SID", "the account's SID (AC…)");
        let workspace = reader.required("FLEX_WORKSPACE_SID", "the SID of the Flex workspace (WS…)");
        let workflow: Option<WorkflowSid> =
            reader.required("FLEX_WORKFLOW_SID", "the SID of the default workflow (WW…)");
        let chat_service = reader.required("FLEX_CHAT_SERVICE_SID", "the SID of the Flex Chat Service (IS…)");
        let secrets = secrets(&mut reader);
        let region = reader.optional::<Label>("TWILIO_REGION");
        let edge = reader.optional::<Label>("TWILIO_EDGE");
        let mut bases =
            Bases::public(region.as_ref().map(|label| &*label.0), edge.as_ref().map(|label| &*label.0));
        reader.base("TWILIO_FLEX_API_URL", &mut bases.flex);
        reader.base("TWILIO_CONVERSATIONS_API_URL", &mut bases.conversations);
        reader.base("TWILIO_TASKROUTER_API_URL", &mut bases.taskrouter);
        reader.base("TWILIO_IAM_API_URL", &mut bases.iam);
        reader.base("TWILIO_MONITOR_API_URL", &mut bases.monitor);
        reader.base("TWILIO_API_URL", &mut bases.api);
        let public_base_url = reader.optional("PUBLIC_BASE_URL");
        let rules = json(&mut reader, "ROUTING_RULES", "a JSON array of rules").unwrap_or_default();
        let fallback_workflow = reader.optional("FALLBACK_WORKFLOW_SID");
        let policy = json(&mut reader, "TERMINAL_POLICY", "a JSON object of events and their actions");
        let max_reinvites = reader.number("MAX_REINVITES", 2, 0..=100);
        let orphans = OrphanRules { policy: policy.unwrap_or_default(), max_reinvites };
        let messages: CustomerMessages =
            json(&mut reader, "CUSTOMER_MESSAGES", "a JSON object of texts").unwrap_or_default();
        if let Some(name) = messages.too_long() {
            reader.wrong("CUSTOMER_MESSAGES", format_args!("{name} is longer than 1600 characters"));
        }
        let minutes = reader.number("SWEEP_DISCOVERY_MINUTES", 5, 0..=1440);
        let discovery = (minutes > 0).then(|| Duration::from_mins(minutes.into()));
        let task_channel = reader.text("TASK_CHANNEL").unwrap_or_else(|| "chat".to_owned());
        let system_authors = match (reader.variable)("SYSTEM_AUTHORS") {
            None => ["system", "Concierge"].map(str::to_owned).to_vec(),
            Some(_) => reader.list("SYSTEM_AUTHORS"),
        };
        let metrics_namespace = metrics_namespace(&mut reader);
        let outbound = outbound(&mut reader);
        let web_chat = web_chat(&mut reader);

        match (table, account, workspace, workflow, chat_service, secrets) {
            (
                Some(table),
                Some(account),
                Some(workspace),
                Some(workflow),
                Some(chat_service),
                Some(secrets),
            ) if reader.wrong.is_empty() => Ok(Self {
                table,
                account,
                chat_service,
                secrets,
                bases,
                public_base_url,
                rules,
                routing: RoutingDefaults {
                    workspace,
                    fallback_workflow: fallback_workflow.unwrap_or_else(|| workflow.clone()),
                    workflow,
                    task_channel,
                },
                system_authors,
                orphans,
                messages,
                outbound,
                web_chat,
                region: region.map(|label| label.0),
                metrics_namespace,
                discovery,
            }),
            _ => Err(ConfigError(reader.wrong)),
        }
    }
}

/// A [namespace](https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html).
fn metrics_namespace<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> String {
    let namespace = reader.text("METRICS_NAMESPACE").unwrap_or_else(|| "flexglue".to_owned());
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._/#:-".contains(&byte);
    if namespace.len() > 255 || !namespace.bytes().all(is_good) || namespace.starts_with("AWS/") {
        reader.wrong(
            "METRICS_NAMESPACE",
            "expected letters, digits and ._/#:-, 255 at most, not beginning with AWS/",
        );
    }
    namespace
}

fn outbound<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> OutboundSettings {
    /// Twilio's shortest timers
    /// ([states and timers](https://www.twilio.com/docs/conversations/states-timers)).
    const SHORTEST: [(&str, Duration); 2] = [
        ("CONVERSATION_CLOSED_AFTER", Duration::from_mins(10)),
        ("CONVERSATION_INACTIVE_AFTER", Duration::from_mins(1)),
    ];
    let senders = reader.list("OUTBOUND_SENDERS");
    if !senders.iter().all(|sender| is_address(sender)) {
        reader.wrong("OUTBOUND_SENDERS", "expected addresses such as +15557770000 or whatsapp:+15557770000");
    }
    let origins = reader.optional::<AllowedOrigins>("OUTBOUND_ALLOWED_ORIGINS").unwrap_or_default();
    let [closed, inactive] = SHORTEST.map(|(name, shortest)| {
        let after = reader.text(name);
        if after.as_deref().is_some_and(|text| iso_8601(text).is_none_or(|after| after < shortest)) {
            let minutes = shortest.as_secs() / 60;
            reader.wrong(
                name,
                format_args!("expected an ISO 8601 duration such as PT24H, {minutes} minutes at least"),
            );
        }
        after
    });
    OutboundSettings {
        senders,
        origins,
        timers: Timers { inactive, closed: closed.or_else(|| Some("PT24H".to_owned())) },
        rate_per_sender: reader.number("OUTBOUND_RATE_PER_SENDER", 0, 0..=10_000),
        rate_per_caller: reader.number("OUTBOUND_RATE_PER_CALLER", 0, 0..=10_000),
    }
}

fn web_chat<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> WebChatSettings {
    /// Cloudflare's, whose answer those of hCaptcha and reCAPTCHA have as well
    /// ([server-side validation](https://developers.cloudflare.com/turnstile/get-started/server-side-validation/)).
    const TURNSTILE: &str = "https://challenges.cloudflare.com/turnstile/v0/siteverify";
    /// Shorter secrets can be guessed by whoever has one signed text.
    const SHORTEST_SECRET: usize = 32;
    let may_be_any = match reader.text("WEBCHAT_ALLOW_ANY_ORIGIN").as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            reader.wrong("WEBCHAT_ALLOW_ANY_ORIGIN", "expected true or false");
            false
        }
    };
    let origins = if may_be_any && reader.text("WEBCHAT_ALLOWED_ORIGINS").as_deref() == Some("*") {
        AllowedOrigins::Any
    } else {
        reader.optional("WEBCHAT_ALLOWED_ORIGINS").unwrap_or_default()
    };
    let customer_secret = reader.secret("WEBCHAT_CUSTOMER_SECRET");
    if customer_secret.as_ref().is_some_and(|secret| secret.expose().len() < SHORTEST_SECRET) {
        let expected = format_args!("expected a random text of {SHORTEST_SECRET} characters or more");
        reader.wrong("WEBCHAT_CUSTOMER_SECRET", expected);
    }
    let seconds = reader.number("WEBCHAT_TOKEN_TTL_SECONDS", 3600, 60..=86_400);
    let hours = reader.number("WEBCHAT_SESSION_HOURS", 24, 1..=720);
    let mut captcha_url = TURNSTILE.to_owned();
    reader.base("WEBCHAT_CAPTCHA_VERIFY_URL", &mut captcha_url);
    WebChatSettings {
        address: reader.optional("WEBCHAT_ADDRESS_SID"),
        origins,
        token_ttl: Duration::from_secs(seconds.into()),
        session: Duration::from_hours(hours.into()),
        rate_per_source: reader.number("WEBCHAT_RATE_PER_MINUTE", 10, 0..=10_000),
        rate_per_site: reader.number("WEBCHAT_SITE_RATE_PER_MINUTE", 600, 0..=100_000),
        captcha_secret: reader.secret("WEBCHAT_CAPTCHA_SECRET"),
        captcha_url,
        customer_secret,
    }
}

/// An ISO 8601 duration of days, hours, minutes and seconds, as Twilio's timers are given.
fn iso_8601(text: &str) -> Option<Duration> {
    let rest = text.strip_prefix('P')?;
    let (days, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (rest, ""),
    };
    let mut total = 0_u64;
    let mut found = false;
    for (part, units) in [(days, &[('D', 86_400)][..]), (time, &[('H', 3600), ('M', 60), ('S', 1)][..])] {
        let (mut rest, mut units) = (part, units.iter());
        while !rest.is_empty() {
            let end = rest.find(|letter: char| !letter.is_ascii_digit())?;
            let (number, after) = rest.split_at(end);
            let unit = after.chars().next()?;
            let (_, seconds) = units.by_ref().find(|(name, _)| *name == unit)?;
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*seconds)?)?;
            found = true;
            rest = &after[1..];
        }
    }
    found.then(|| Duration::from_secs(total))
}

fn secrets<V: Fn(&str) -> Option<String>>(reader: &mut Reader<V>) -> Option<SecretSettings> {
    if let Some(arn) = reader.text("TWILIO_SECRET_ARN") {
        if arn.starts_with("arn:") && arn.contains(":secretsmanager:") {
            return Some(SecretSettings::Arn(arn));
        }
        reader.wrong("TWILIO_SECRET_ARN", "expected the ARN of a Secrets Manager secret");
        return None;
    }
    let Some(auth_token) = reader.text("TWILIO_AUTH_TOKEN") else {
        reader.wrong(
            "TWILIO_SECRET_ARN",
            "missing; the ARN of the secret, or for local runs TWILIO_AUTH_TOKEN",
        );
        return None;
    };
    Some(SecretSettings::Given(Credentials {
        auth_token_secondary: reader.secret("TWILIO_AUTH_TOKEN_SECONDARY"),
        outbound_api_keys: reader.list("OUTBOUND_API_KEYS").into_iter().map(Secret::new).collect(),
        api_key_sid: reader.optional("TWILIO_API_KEY_SID"),
        api_key_secret: reader.secret("TWILIO_API_KEY_SECRET"),
        ..Credentials::of(Secret::new(auth_token))
    }))
}

fn json<T: DeserializeOwned, V: Fn(&str) -> Option<String>>(
    reader: &mut Reader<V>,
    name: &'static str,
    expected: &str,
) -> Option<T> {
    let text = reader.text(name)?;
    serde_json::from_str(&text)
        // Serde's words name fields and types of ours; the values it may quote are the operator's own.
        .map_err(|error| reader.wrong(name, format_args!("expected {expected}: {error}")))
        .ok()
}

/// A part of a host name.
struct Label(String);

impl FromStr for Label {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ok = text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if ok { Ok(Self(text.to_owned())) } else { Err("expected a name such as us1, ie1 or dublin") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid(prefix: &str) -> String {
        format!("{prefix}{}", "0".repeat(32))
    }

    fn good() -> Vec<(&'static str, String)> {
        vec![
            ("TABLE_NAME", "flexglue".to_owned()),
            ("TWILIO_ACCOUNT_SID", sid("AC")),
            ("FLEX_WORKSPACE_SID", sid("WS")),
            ("FLEX_WORKFLOW_SID", sid("WW")),
            ("FLEX_CHAT_SERVICE_SID", sid("IS")),
            ("TWILIO_AUTH_TOKEN", "s3cret-token".to_owned()),
        ]
    }

    fn read(variables: &[(&'static str, String)]) -> Result<Settings, ConfigError> {
        Settings::read(|name| {
            variables.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn what_is_required_is_enough() {
        let settings = read(&good()).unwrap();
        assert_eq!(settings.bases.flex, "https://flex-api.twilio.com");
        assert_eq!(settings.routing.task_channel, "chat");
        assert_eq!(settings.system_authors, ["system", "Concierge"]);
        assert_eq!(settings.routing.fallback_workflow, settings.routing.workflow);
        assert_eq!(settings.orphans.max_reinvites, 2);
        assert_eq!(settings.discovery, Some(Duration::from_mins(5)));
        let closes_after_a_day = Timers { inactive: None, closed: Some("PT24H".to_owned()) };
        assert_eq!(settings.outbound.timers, closes_after_a_day);
        assert!(settings.outbound.senders.is_empty(), "nobody is reached unless it is said from where");
    }

    #[test]
    fn durations_are_iso_8601() {
        let hours = |hours: u64| Some(Duration::from_hours(hours));
        assert_eq!([iso_8601("PT24H"), iso_8601("P1D"), iso_8601("PT1440M")], [hours(24); 3]);
        assert_eq!(iso_8601("P1DT2H3M4S"), Some(Duration::from_secs(93_784)));
        for wrong in [
            "",
            "P",
            "PT",
            "24H",
            "P24H",
            "PT24",
            "P1M",
            "PT1S1M",
            "PT1H1H",
            "P1DT",
            "PT-1H",
            "PT1.5H",
            "PT99999999999999999999H",
            "PTé",
            "P1D ",
        ] {
            assert_eq!(iso_8601(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_bad_variable_is_named_at_once_with_what_was_expected() {
        let mut variables = good();
        variables.retain(|(name, _)| *name != "TABLE_NAME");
        variables.extend([
            ("FLEX_WORKFLOW_SID", sid("WS")),
            ("PUBLIC_BASE_URL", "ftp://example.com".to_owned()),
            ("ROUTING_RULES", r#"[{"prioritty":1}]"#.to_owned()),
            ("TWILIO_REGION", "evil.example/".to_owned()),
            ("TWILIO_FLEX_API_URL", "127.0.0.1".to_owned()),
            ("FALLBACK_WORKFLOW_SID", "nobody".to_owned()),
            ("MAX_REINVITES", "-1".to_owned()),
            ("TERMINAL_POLICY", r#"{"task.canceled":["shout"]}"#.to_owned()),
            ("CUSTOMER_MESSAGES", r#"{"hello":"x"}"#.to_owned()),
            ("SWEEP_DISCOVERY_MINUTES", "often".to_owned()),
            ("OUTBOUND_SENDERS", "+15557770000, 15557770001".to_owned()),
            ("OUTBOUND_ALLOWED_ORIGINS", "*".to_owned()),
            ("CONVERSATION_CLOSED_AFTER", "PT9M".to_owned()),
            ("CONVERSATION_INACTIVE_AFTER", "1 hour".to_owned()),
            ("OUTBOUND_RATE_PER_CALLER", "-1".to_owned()),
            ("TWILIO_AUTH_TOKEN", "t".to_owned()),
            ("TWILIO_API_KEY_SID", "key".to_owned()),
            ("WEBCHAT_ADDRESS_SID", "web".to_owned()),
            ("WEBCHAT_ALLOWED_ORIGINS", "*".to_owned()),
            ("WEBCHAT_ALLOW_ANY_ORIGIN", "yes".to_owned()),
            ("WEBCHAT_TOKEN_TTL_SECONDS", "86401".to_owned()),
            ("WEBCHAT_SESSION_HOURS", "0".to_owned()),
            ("WEBCHAT_CAPTCHA_VERIFY_URL", "verify".to_owned()),
            ("WEBCHAT_CUSTOMER_SECRET", "short".to_owned()),
            ("METRICS_NAMESPACE", "AWS/Lambda".to_owned()),
        ]);
        let message = read(&variables).unwrap_err().to_string();
        for name in [
            "TABLE_NAME: missing",
            "FLEX_WORKFLOW_SID: expected a SID of the form WW",
            "PUBLIC_BASE_URL:",
            "ROUTING_RULES: expected a JSON array of rules: unknown field `prioritty`",
            "TWILIO_REGION: expected a name",
            "TWILIO_FLEX_API_URL:",
            "FALLBACK_WORKFLOW_SID: expected a SID of the form WW",
            "MAX_REINVITES: expected a whole number from 0 to 100",
            "TERMINAL_POLICY: expected a JSON object of events and their actions: \"shout\" is no action; expected",
            "CUSTOMER_MESSAGES: expected a JSON object of texts: unknown field `hello`",
            "SWEEP_DISCOVERY_MINUTES: expected a whole number",
            "OUTBOUND_SENDERS: expected addresses such as",
            "OUTBOUND_ALLOWED_ORIGINS: expected origins",
            "CONVERSATION_CLOSED_AFTER: expected an ISO 8601 duration such as PT24H, 10 minutes at least",
            "CONVERSATION_INACTIVE_AFTER: expected an ISO 8601 duration such as PT24H, 1 minutes at least",
            "OUTBOUND_RATE_PER_CALLER: expected a whole number",
            "TWILIO_API_KEY_SID: expected a SID of the form SK",
            "WEBCHAT_ADDRESS_SID: expected a SID of the form IG",
            "WEBCHAT_ALLOWED_ORIGINS: expected origins",
            "WEBCHAT_ALLOW_ANY_ORIGIN: expected true or false",
            "WEBCHAT_TOKEN_TTL_SECONDS: expected a whole number from 60 to 86400",
            "WEBCHAT_SESSION_HOURS: expected a whole number from 1 to 720",
            "WEBCHAT_CAPTCHA_VERIFY_URL:",
            "WEBCHAT_CUSTOMER_SECRET: expected a random text of 32",
            "METRICS_NAMESPACE: expected letters",
        ] {
            assert!(message.contains(name), "{name} in {message}");
        }
    }

    #[test]
    fn without_any_credentials_nothing_is_served() {
        let mut variables = good();
        variables.retain(|(name, _)| *name != "TWILIO_AUTH_TOKEN");
        let message = read(&variables).unwrap_err().to_string();
        assert!(message.contains("TWILIO_SECRET_ARN: missing"), "{message}");
    }

    #[test]
    fn web_chats_want_an_address_and_a_key() {
        let mut variables = good();
        let missing = |variables: &[(&'static str, String)]| {
            let ConfigError(missing) = read(variables).unwrap().web_chat_address().unwrap_err();
            missing.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        let all = ["TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET", "WEBCHAT_ADDRESS_SID"];
        assert_eq!(missing(&variables), all);
        variables.push(("WEBCHAT_ADDRESS_SID", sid("IG")));
        assert_eq!(missing(&variables), all[..2]);
        variables.push(("TWILIO_API_KEY_SID", sid("SK")));
        assert_eq!(missing(&variables), all[1..2]);
        variables.push(("TWILIO_API_KEY_SECRET", "s".to_owned()));
        assert!(read(&variables).unwrap().web_chat_address().is_ok());
    }

    /// `*` alone is not enough, nor is the permission alone.
    #[test]
    fn any_origin_is_allowed_only_where_that_is_said_twice() {
        let origins = |list: &str, any: &str| {
            let mut variables = good();
            variables.push(("WEBCHAT_ALLOWED_ORIGINS", list.to_owned()));
            variables.push(("WEBCHAT_ALLOW_ANY_ORIGIN", any.to_owned()));
            read(&variables).map(|settings| settings.web_chat.origins)
        };
        assert_eq!(origins("*", "true").unwrap(), AllowedOrigins::Any);
        for any in ["", "false"] {
            assert!(origins("*", any).is_err(), "{any}");
        }
        let listed = "https://shop.example".parse().unwrap();
        assert_eq!(origins("https://shop.example", "true").unwrap(), listed);
        assert_eq!(origins("", "true").unwrap(), AllowedOrigins::default(), "nobody");
    }

    #[test]
    fn no_value_is_repeated_in_the_message_and_no_secret_in_debug() {
        let mut variables = good();
        variables.push(("TWILIO_ACCOUNT_SID", "s3cret-token".to_owned()));
        let message = read(&variables).unwrap_err().to_string();
        assert!(!message.contains("s3cret"), "{message}");
        assert!(!format!("{:?}", read(&good()).unwrap()).contains("s3cret"));
    }

    /// Trap 25.
    #[test]
    fn regions_and_edges_are_in_the_host_names_and_proxies_replace_them() {
        let host = |extra: &[(&'static str, &str)]| {
            let mut variables = good();
            variables.extend(extra.iter().map(|(name, value)| (*name, (*value).to_owned())));
            read(&variables).unwrap().bases.taskrouter
        };
        assert_eq!(host(&[("TWILIO_REGION", "us1")]), "https://taskrouter.twilio.com");
        assert_eq!(host(&[("TWILIO_REGION", "ie1")]), "https://taskrouter.ie1.twilio.com");
        assert_eq!(
            host(&[("TWILIO_REGION", "ie1"), ("TWILIO_EDGE", "dublin")]),
            "https://taskrouter.dublin.ie1.twilio.com"
        );
        assert_eq!(host(&[("TWILIO_EDGE", "ashburn")]), "https://taskrouter.ashburn.us1.twilio.com");
        assert_eq!(
            host(&[("TWILIO_TASKROUTER_API_URL", "http://127.0.0.1:4010/taskrouter/")]),
            "http://127.0.0.1:4010/taskrouter"
        );
    }

    #[test]
    fn system_authors_may_be_set_to_none() {
        let mut variables = good();
        variables.push(("SYSTEM_AUTHORS", String::new()));
        assert!(read(&variables).unwrap().system_authors.is_empty());
    }
}
