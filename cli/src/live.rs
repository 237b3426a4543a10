//! The real thing, from an operator's machine: an account at Twilio and a table in AWS, as the functions' own variables
//! name them.

mod twilio_cli;

use std::{collections::BTreeMap, env, io, io::IsTerminal as _, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use aws_config::BehaviorVersion;
use shared::{
    access_token::ApiKey,
    clock::{Clock, Deadline, SystemClock},
    config::{SecretSettings, Settings},
    parts::World,
    random::{Random, SystemRandom},
    secrets::Secret,
    transport::{HttpsTransport, SdkHttp, Transport},
};
use tracing::level_filters::LevelFilter;

use self::twilio_cli::{Profile, Profiles};
use crate::deployed::functions;

/// What the commands that touch a real account are handed.
pub struct Live {
    /// The variables.
    pub settings: Settings,
    /// The way to Twilio and AWS.
    pub world: World,
}

impl Live {
    /// As the environment says, and for what it does not say as the functions of `stack` are told. Twilio's credentials are
    /// those of the functions (`TWILIO_SECRET_ARN`, `TWILIO_AUTH_TOKEN`), or as Twilio's own command line has them:
    /// `TWILIO_API_KEY` and `TWILIO_API_SECRET`, or a profile of its. AWS's credentials and region are looked for wherever
    /// AWS's own tools look
    /// ([settings](https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html)): variables, profiles,
    /// single sign-on, a process, the instance.
    ///
    /// # Errors
    /// Where a variable is missing or malformed; all of them are named. Where there is no such stack.
    pub async fn new(stack: Option<&str>) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let transport: Arc<dyn Transport> = Arc::new(HttpsTransport::from_environment()?);
        let aws = aws_config::defaults(BehaviorVersion::latest())
            .http_client(SdkHttp(Arc::clone(&transport)))
            .load()
            .await;
        let world = World {
            clock,
            random: Arc::new(SystemRandom),
            twilio: Arc::clone(&transport),
            web: transport,
            aws,
            // What is done by hand is not counted among what the functions do.
            emit: Arc::new(|_| {}),
        };
        let deployed = match stack {
            Some(stack) => variables_of(&world, stack).await?,
            None => BTreeMap::new(),
        };
        let settings = settings(|name| set(name).or_else(|| deployed.get(name).cloned()))?;
        ensure!(
            world.aws.region().is_some_and(|region| !region.as_ref().is_empty()),
            "AWS_REGION, or the profile of AWS_PROFILE, must name the table's region"
        );
        Ok(Self { settings, world })
    }
}

/// A variable that is set to something.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// How long AWS may take to say what is deployed.
const LIMIT: Duration = Duration::from_secs(20);

/// What the functions of a stack are told, all of them together.
async fn variables_of(world: &World, stack: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let functions = functions(world, ("METRICS_NAMESPACE", stack), Deadline::within(LIMIT)).await;
    let functions = functions.with_context(|| format!("the functions of the stack {stack}"))?;
    ensure!(!functions.is_empty(), "there are no functions of a stack {stack} in this account and region");
    Ok(functions.into_iter().flat_map(|function| function.variables).collect())
}

/// The settings, with whatever logs in at Twilio.
pub(crate) fn settings(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Settings> {
    settings_with(variable, twilio_cli::profiles)
}

fn settings_with(
    variable: impl Fn(&str) -> Option<String>,
    profiles: impl Fn() -> anyhow::Result<Option<Profiles>>,
) -> anyhow::Result<Settings> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let hint = "flexglue takes the variables that the functions have, and --stack NAME finds them";
    if variable("TWILIO_SECRET_ARN").or_else(|| variable("TWILIO_AUTH_TOKEN")).is_some() {
        return Settings::read(variable).context(hint);
    }
    let profile =
        match (variable("TWILIO_ACCOUNT_SID"), variable("TWILIO_API_KEY"), variable("TWILIO_API_SECRET")) {
            (Some(account_sid), Some(api_key), Some(api_secret)) => Some(Profile {
                account_sid,
                region: None,
                edge: None,
                api_key: Some(api_key),
                api_secret: Some(api_secret),
            }),
            _ => match profiles()? {
                Some(profiles) => profiles.chosen(variable("TWILIO_PROFILE").as_deref())?,
                None => None,
            },
        };
    let Some(Profile { account_sid, region, edge, api_key: Some(api_key), api_secret: Some(api_secret) }) =
        profile
    else {
        return Settings::read(variable).context(hint);
    };
    if let Some(named) = variable("TWILIO_ACCOUNT_SID") {
        ensure!(
            named == account_sid,
            "TWILIO_ACCOUNT_SID is {named}, and the profile of Twilio's command line is of {account_sid}: set \
             TWILIO_PROFILE, or TWILIO_AUTH_TOKEN"
        );
    }
    let sid = api_key.parse().context("the API key of Twilio's command line")?;
    // Nobody knows the token here, and what it should sign is signed by nobody.
    let unknown = (&SystemRandom as &dyn Random).token();
    let with_profile = |name: &str| {
        variable(name).or_else(|| match name {
            "TWILIO_ACCOUNT_SID" => Some(account_sid.clone()),
            "TWILIO_REGION" => region.clone(),
            "TWILIO_EDGE" => edge.clone(),
            "TWILIO_AUTH_TOKEN" => Some(unknown.clone()),
            _ => None,
        })
    };
    let mut settings = Settings::read(with_profile).context(hint)?;
    if let SecretSettings::Given(credentials) = &mut settings.secrets {
        credentials.login = Some(ApiKey { sid, secret: Secret::new(api_secret) });
    }
    Ok(settings)
}

/// Has what goes wrong on the way said on standard error, where it disturbs no output.
pub(crate) fn say_what_goes_wrong() {
    let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_max_level(LevelFilter::WARN)
        .with_target(false)
        .without_time()
        .finish();
    // Set already: then somebody else says it.
    drop(tracing::subscriber::set_global_default(subscriber));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "AC000000000000000000000000000000ac";
    const KEY: &str = "SK00000000000000000000000000000001";

    fn variables(more: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        let sid = |kind: &str| format!("{kind}{:032x}", 1);
        let mut all = vec![
            ("TABLE_NAME".to_owned(), "flexglue".to_owned()),
            ("FLEX_WORKSPACE_SID".to_owned(), sid("WS")),
            ("FLEX_WORKFLOW_SID".to_owned(), sid("WW")),
            ("FLEX_CHAT_SERVICE_SID".to_owned(), sid("IS")),
        ];
        all.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        move |name| all.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn stored() -> anyhow::Result<Option<Profiles>> {
        let text = format!(
            r#"{{"activeProject":"mine","profiles":{{
                "mine":{{"accountSid":"{ACCOUNT}","region":"ie1","edge":"dublin","apiKey":"{KEY}","apiSecret":"hush"}},
                "other":{{"accountSid":"AC0000000000000000000000000000000b","apiKey":"{KEY}","apiSecret":"hush"}}}}}}"#
        );
        Ok(Some(serde_json::from_str(&text)?))
    }

    fn login(settings: &Settings) -> Option<&str> {
        match &settings.secrets {
            SecretSettings::Given(credentials) => credentials.login.as_ref().map(|key| key.sid.as_str()),
            SecretSettings::Arn(_) => None,
        }
    }

    #[test]
    fn the_functions_own_credentials_come_first() {
        let given = variables(&[("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_AUTH_TOKEN", "token")]);
        assert_eq!(login(&settings_with(given, stored).unwrap()), None);
    }

    #[test]
    fn then_the_key_of_the_environment_then_the_profile() {
        let key = [("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_API_KEY", KEY), ("TWILIO_API_SECRET", "hush")];
        assert_eq!(login(&settings_with(variables(&key), || Ok(None)).unwrap()), Some(KEY));
        let active = settings_with(variables(&[]), stored).unwrap();
        assert_eq!((login(&active), active.account.as_str()), (Some(KEY), ACCOUNT));
        assert_eq!(active.bases.flex, "https://flex-api.dublin.ie1.twilio.com");
        let other = settings_with(variables(&[("TWILIO_PROFILE", "other")]), stored).unwrap();
        assert!(other.account.as_str().ends_with("0b"));
    }

    #[test]
    fn what_does_not_fit_together_is_said_and_no_secret_is() {
        let wrong =
            |more: &[(&str, &str)]| format!("{:#}", settings_with(variables(more), stored).unwrap_err());
        assert!(wrong(&[("TWILIO_PROFILE", "nobody")]).contains("mine, other"));
        let elsewhere = wrong(&[("TWILIO_ACCOUNT_SID", "AC000000000000000000000000000000ff")]);
        assert!(elsewhere.contains("TWILIO_PROFILE") && !elsewhere.contains("hush"));
        let none = format!("{:#}", settings_with(variables(&[]), || Ok(None)).unwrap_err());
        assert!(none.contains("TWILIO_ACCOUNT_SID: missing"), "{none}");
    }
}
