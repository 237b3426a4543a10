//! The table, the secret, and the traces of the sweeper.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{KeySchemaElement, KeyType, PointInTimeRecoveryStatus, TimeToLiveStatus},
};
use orphan_sweeper::walk_of;
use shared::{
    aws::reason,
    clock::{Clock, Deadline},
    config::Settings,
    ledger::{DUE_INDEX, Ledger},
    secrets::{Credentials, SecretsError},
};

use super::Check;

pub(super) fn secret(found: Result<&Credentials, &SecretsError>, settings: &Settings) -> Vec<Check> {
    const NAME: &str = "secret";
    let credentials = match found {
        Ok(credentials) => credentials,
        Err(error) => {
            let remedy =
                "fill it in as docs/deploy.md says; the credentials used here must be allowed to read it";
            return vec![Check::broken(NAME, error.to_string(), remedy)];
        }
    };
    if credentials.login.is_some() {
        return vec![Check::unknown(NAME, &"an API key logs in here, and the functions' secret is not read")];
    }
    let chats = settings.web_chat.address.is_some();
    let mut missing = Vec::new();
    if chats && credentials.api_keys().is_empty() {
        missing.push("api_key_sid and api_key_secret, which sign the tokens of web chats");
    }
    if !settings.outbound.senders.is_empty() && credentials.outbound_api_keys.is_empty() {
        missing.push("outbound_api_keys, without which no back end may reach out (agents may)");
    }
    vec![match missing.as_slice() {
        [] => Check::good(NAME, "has all that the functions need"),
        missing if chats && credentials.api_keys().is_empty() => {
            Check::broken(NAME, format!("has no {}", missing.join(", and no ")), "add them to the secret")
        }
        missing => {
            Check::warning(NAME, format!("has no {}", missing.join(", and no ")), "add them to the secret")
        }
    }]
}

pub(super) async fn table(aws: &SdkConfig, name: &str, deadline: Deadline) -> Vec<Check> {
    let client = Client::new(aws);
    let (keys, forgets, recovers) = tokio::join!(
        Box::pin(keys(&client, name, deadline)),
        Box::pin(forgets(&client, name, deadline)),
        Box::pin(recovers(&client, name, deadline)),
    );
    vec![keys, forgets, recovers]
}

/// What came of a question to DynamoDB, or the check that says why nothing did.
async fn asked<T, E: ProvideErrorMetadata, R>(
    check: &'static str,
    question: impl Future<Output = Result<T, SdkError<E, R>>>,
    deadline: Deadline,
) -> Result<T, Check> {
    match deadline.run(Box::pin(question)).await {
        None => Err(Check::unknown(check, &"no answer in time")),
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(match reason(&error) {
            "ResourceNotFoundException" => Check::broken(
                check,
                "there is no such table in this account and region",
                "deploy the stack, or correct TABLE_NAME, AWS_REGION, AWS_PROFILE",
            ),
            "AccessDeniedException" => Check::unknown(check, &"the credentials used here may not ask"),
            reason => Check::unknown(check, &reason),
        }),
    }
}

async fn keys(client: &Client, name: &str, deadline: Deadline) -> Check {
    const NAME: &str = "table";
    let table = match asked(NAME, client.describe_table().table_name(name).send(), deadline).await {
        Ok(answer) => answer.table,
        Err(check) => return check,
    };
    let is = |schema: &[KeySchemaElement], hash: &str, range: &str| {
        let has = |name: &str, kind: &KeyType| {
            schema.iter().any(|key| key.attribute_name() == name && key.key_type() == kind)
        };
        has(hash, &KeyType::Hash) && has(range, &KeyType::Range)
    };
    let remedy = "the template makes it as it must be: deploy it unchanged";
    let Some(table) = table else { return Check::unknown(NAME, &"DynamoDB says nothing about it") };
    if !is(table.key_schema(), "pk", "sk") {
        return Check::broken(NAME, "its keys are not pk and sk", remedy);
    }
    let due = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(DUE_INDEX));
    match due {
        Some(due) if is(due.key_schema(), "due_shard", "due_at") => {
            Check::good(NAME, "its keys and its index are as they must be")
        }
        _ => Check::broken(
            NAME,
            "it has no index `due` of due_shard and due_at: nothing is ever swept",
            remedy,
        ),
    }
}

async fn forgets(client: &Client, name: &str, deadline: Deadline) -> Check {
    const NAME: &str = "table-ttl";
    let question = client.describe_time_to_live().table_name(name).send();
    let ttl = match asked(NAME, question, deadline).await {
        Ok(answer) => answer.time_to_live_description,
        Err(check) => return check,
    };
    let is_on = ttl.is_some_and(|ttl| {
        let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
        ttl.attribute_name() == Some("forget_at")
            && ttl.time_to_live_status().is_some_and(|it| on.contains(it))
    });
    if is_on {
        return Check::good(NAME, "what is over is forgotten in time");
    }
    Check::warning(
        NAME,
        "nothing is ever forgotten: the table grows, and holds who talked to whom for ever",
        format!(
            "aws dynamodb update-time-to-live --table-name {name} --time-to-live-specification \
             Enabled=true,AttributeName=forget_at"
        ),
    )
}

async fn recovers(client: &Client, name: &str, deadline: Deadline) -> Check {
    const NAME: &str = "table-recovery";
    let question = client.describe_continuous_backups().table_name(name).send();
    let backups = match asked(NAME, question, deadline).await {
        Ok(answer) => answer.continuous_backups_description,
        Err(check) => return check,
    };
    let status = backups
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status);
    if status == Some(PointInTimeRecoveryStatus::Enabled) {
        return Check::good(NAME, "can be restored to any second of the last days");
    }
    Check::warning(
        NAME,
        "cannot be restored to a point in time",
        format!(
            "aws dynamodb update-continuous-backups --table-name {name} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true"
        ),
    )
}

/// Whether the sweeper runs: each of its walks through Twilio's list is written down.
pub(super) async fn sweeper(
    ledger: &Ledger,
    settings: &Settings,
    clock: &dyn Clock,
    deadline: Deadline,
) -> Check {
    const NAME: &str = "orphan-sweeper";
    let Some(period) = settings.discovery else {
        return Check::unknown(
            NAME,
            &"it discovers nothing (SWEEP_DISCOVERY_MINUTES is 0), and leaves no trace",
        );
    };
    let remedy = "is its schedule enabled, is OrphanSweeperConcurrency 0, does it fail (its log)?";
    match ledger.walk(&walk_of("active"), deadline).await {
        Err(error) => Check::unknown(NAME, &error),
        Ok(None) => Check::broken(NAME, "has never walked through Twilio's list", remedy),
        Ok(Some(walk)) => {
            let ago = clock.now().since(walk.began_at);
            let minutes = ago.as_secs() / 60;
            if ago <= period + SWEEPS_APART * 3 {
                Check::good(NAME, format!("walked through Twilio's list {minutes} min ago"))
            } else {
                Check::broken(NAME, format!("last walked through Twilio's list {minutes} min ago"), remedy)
            }
        }
    }
}

/// The sweeper's schedule.
const SWEEPS_APART: Duration = Duration::from_mins(1);
