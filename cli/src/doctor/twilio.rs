//! The account at Twilio: each check reads what was asked for, and says what it means for customers. What should be stands
//! in Twilio's [best practices](https://www.twilio.com/docs/flex/developer/conversations/best-practices) and in its
//! [set-up guide](https://www.twilio.com/docs/flex/developer/conversations/enable).

use std::collections::{BTreeMap, BTreeSet};

use shared::{
    config::Settings,
    conversation::Terminal,
    twilio::{
        AddressResource, AutoCreation, CallError, Refusal, WebhookConfiguration, WorkflowResource,
        WorkspaceResource,
    },
    webhook::{PublicBaseUrl, is_our_webhook},
};

use super::{Check, facts::Facts};
use crate::{
    callback::Callback,
    local::system::{CONVERSATIONS_PATH, TASKROUTER_EVENTS},
    setup::CLOSED_AFTER,
};

pub(super) fn checks(facts: &Facts, settings: &Settings) -> Vec<Check> {
    let mut checks = vec![account(facts), clock(facts)];
    checks.extend(keys(facts));
    checks.extend(flex(facts, settings));
    checks.push(default_service(facts, settings));
    checks.push(close_timer(facts));
    checks.extend(addresses(facts, settings));
    checks.extend(web_chat_address(facts, settings));
    checks.push(webhook("global-webhook", "the account's webhook", &facts.global_webhook, settings));
    checks.push(webhook(
        "service-webhook",
        "the Flex Chat Service's webhook",
        &facts.service_webhook,
        settings,
    ));
    checks.extend(workspace(facts, settings));
    checks.extend(facts.workflows.iter().map(|(sid, found)| workflow(found).of(sid.as_str())));
    checks.extend(task_channels(facts, settings));
    checks.push(alerts(facts));
    checks
}

/// Twilio refused to say, or could not be asked.
fn not_known(check: &'static str, error: &CallError) -> Check {
    Check::unknown(check, error)
}

fn is_refused(error: &CallError) -> bool {
    matches!(error, CallError::Refused(Refusal::Rejected { status: 401 | 403, .. }))
}

fn account(facts: &Facts) -> Check {
    const NAME: &str = "account";
    let account = match &facts.account {
        Ok(account) => account,
        Err(error) if is_refused(error) && facts.flex.is_ok() => {
            return Check::unknown(NAME, &"this API key may ask for everything but the account");
        }
        Err(error) if is_refused(error) => {
            return Check::broken(
                NAME,
                "Twilio refuses the credentials",
                "TWILIO_ACCOUNT_SID and the auth token must be of one account (Console, Account, API keys & tokens)",
            );
        }
        Err(error) => return not_known(NAME, error),
    };
    match (account.status.as_deref(), account.kind.as_deref()) {
        (Some("active"), Some("Trial")) => Check::warning(
            NAME,
            "a trial account: it reaches verified numbers alone",
            "upgrade it (Console, Billing)",
        ),
        (Some("active"), _) => Check::good(NAME, "active, and the credentials are its"),
        (status, _) => Check::broken(
            NAME,
            format!("the account is {}", status.unwrap_or("in no known state")),
            "it does nothing at all until Twilio's support has opened it again",
        ),
    }
}

/// How far clocks may differ: a second is what a header tells, a minute is what flexglue allows for.
const CLOCK_SECONDS: [u64; 2] = [5, 60];

fn clock(facts: &Facts) -> Check {
    const NAME: &str = "clock";
    let Some(ahead) = facts.clock_ahead_ms else {
        return Check::unknown(NAME, &"Twilio did not say what time it is there");
    };
    let seconds = ahead.unsigned_abs() / 1000;
    let found = format!("this machine's clock and Twilio's differ by {seconds} s");
    let remedy = "set the clock by NTP: AWS refuses what is signed by a clock that is wrong";
    let [good, bearable] = CLOCK_SECONDS;
    match seconds {
        _ if seconds <= good => Check::good(NAME, "this machine's clock is Twilio's"),
        _ if seconds <= bearable => Check::warning(NAME, found, remedy),
        _ => Check::broken(NAME, found, remedy),
    }
}

fn keys(facts: &Facts) -> impl Iterator<Item = Check> {
    const NAME: &str = "api-key";
    facts.keys.iter().map(|(sid, found)| {
        let check = match found {
            Ok(()) => Check::good(NAME, "is let in"),
            Err(error) if is_refused(error) => Check::broken(
                NAME,
                "Twilio refuses it: tokens of web chats that it signs are good for nothing",
                "make a key of this account (Console, Account, API keys & tokens), and put it into the secret",
            ),
            Err(error) => not_known(NAME, error),
        };
        check.of(sid.as_str())
    })
}

fn flex(facts: &Facts, settings: &Settings) -> Vec<Check> {
    const NAMES: [&str; 4] = ["flex-chat-service", "flex-workspace", "flex-ui", "attachments"];
    let flex = match &facts.flex {
        Ok(flex) => flex,
        Err(error) => return NAMES.map(|name| not_known(name, error)).into(),
    };
    let [service, workspace, ui, attachments] = NAMES;
    let same = |name, variable: &str, ours: &str, theirs: Option<&str>| match theirs {
        Some(theirs) if theirs == ours => Check::good(name, format!("{variable} is Flex's")),
        Some(theirs) => Check::broken(
            name,
            format!("{variable} is {ours}, and Flex's is {theirs}"),
            format!("deploy with {variable}={theirs}"),
        ),
        None => Check::broken(name, "Flex has none", "set up Flex (Console, Flex)"),
    };
    let mut checks = vec![
        same(
            service,
            "FLEX_CHAT_SERVICE_SID",
            settings.chat_service.as_str(),
            flex.chat_service_instance_sid.as_deref(),
        ),
        same(
            workspace,
            "FLEX_WORKSPACE_SID",
            settings.routing.workspace.as_str(),
            flex.taskrouter_workspace_sid.as_deref(),
        ),
    ];
    let version = flex.ui_version.as_deref().unwrap_or_default();
    let major =
        version.trim_start_matches(['^', '~']).split('.').next().and_then(|major| major.parse::<u32>().ok());
    checks.push(match major {
        Some(major) if major >= 2 => Check::good(ui, format!("Flex UI {version}")),
        Some(_) => Check::broken(
            ui,
            format!("Flex UI {version} knows no Interactions"),
            "update to 2.x (Console, Flex, Versions)",
        ),
        None => Check::warning(
            ui,
            "Twilio shows no version of Flex UI",
            "it must be 2.0 or later (Console, Flex, Versions)",
        ),
    });
    let channels = flex.channel_configs.iter().filter_map(shared::twilio::attachments);
    let off: Vec<&str> = channels.filter(|(_, enabled)| !enabled).map(|(kind, _)| kind).collect();
    checks.push(if off.is_empty() {
        Check::good(attachments, "no channel refuses files")
    } else {
        Check::warning(
            attachments,
            format!("files are refused on {}", off.join(", ")),
            "where that is not wanted: flexglue setup --attachments, or Console, Flex, Manage, Messaging, Attachments",
        )
    });
    checks
}

fn default_service(facts: &Facts, settings: &Settings) -> Check {
    const NAME: &str = "default-service";
    let configuration = match &facts.conversations {
        Ok(configuration) => configuration,
        Err(error) => return not_known(NAME, error),
    };
    // Flex's own service, whatever is deployed.
    let of_flex = facts.flex.as_ref().ok().and_then(|flex| flex.chat_service_instance_sid.as_deref());
    let ours = of_flex.unwrap_or(settings.chat_service.as_str());
    match configuration.default_chat_service_sid.as_deref() {
        Some(theirs) if theirs == ours => {
            Check::good(NAME, "new conversations belong to the Flex Chat Service")
        }
        theirs => Check::broken(
            NAME,
            format!(
                "new conversations belong to {}, where agents cannot join them",
                theirs.unwrap_or("no service")
            ),
            format!(
                "twilio api:conversations:v1:configuration:update --default-chat-service-sid {ours} (Console, \
                 Conversations, Manage, Defaults)"
            ),
        ),
    }
}

fn close_timer(facts: &Facts) -> Check {
    const NAME: &str = "close-timer";
    match &facts.conversations {
        Err(error) => not_known(NAME, error),
        Ok(configuration) => {
            match configuration.default_closed_timer.as_deref().filter(|timer| !timer.is_empty()) {
                Some(timer) => Check::good(
                    NAME,
                    format!("a conversation in which nobody writes is closed after {timer}"),
                ),
                None => Check::warning(
                    NAME,
                    "a conversation in which nobody writes is never closed, and holds its customer's address",
                    format!(
                        "set it to {CLOSED_AFTER}, say (flexglue setup, or Console, Conversations, Manage, Defaults)"
                    ),
                ),
            }
        }
    }
}

fn addresses(facts: &Facts, settings: &Settings) -> Vec<Check> {
    const NAME: &str = "addresses";
    let addresses = match &facts.addresses {
        Ok(addresses) => addresses,
        Err(error) => return vec![not_known(NAME, error)],
    };
    if addresses.is_empty() {
        return vec![Check::broken(
            NAME,
            "there is no address at which customers could write",
            "make one (Console, Flex, Manage, Messaging, Conversations Addresses)",
        )];
    }
    let mut checks: Vec<Check> =
        addresses.iter().map(|address| address_check(address, settings).of(address.name())).collect();
    let base = settings.public_base_url.as_ref();
    let hears = |address: &AddressResource| {
        let creation = address.auto_creation.as_ref();
        creation.is_some_and(|creation| creation.enabled && goes_to_us(creation, base))
    };
    if !addresses.iter().any(hears) {
        checks.push(Check::broken(
            NAME,
            "no address tells flexglue of its customers",
            webhook_remedy("each address that flexglue is to serve", base),
        ));
    }
    checks
}

fn goes_to_us(creation: &AutoCreation, base: Option<&PublicBaseUrl>) -> bool {
    creation.kind.as_deref() == Some("webhook")
        && creation.webhook_url.as_deref().is_some_and(|url| is_our_webhook(url, base))
}

fn webhook_remedy(what: &str, base: Option<&PublicBaseUrl>) -> String {
    let base = base.map_or("https://…", PublicBaseUrl::as_str);
    format!(
        "for {what}: Webhook, POST {base}{CONVERSATIONS_PATH}, event onMessageAdded (flexglue setup, or Console, Flex, \
         Manage, Messaging, Conversations Addresses)"
    )
}

fn address_check(address: &AddressResource, settings: &Settings) -> Check {
    const NAME: &str = "address";
    let base = settings.public_base_url.as_ref();
    let nothing = AutoCreation::default();
    let creation = address.auto_creation.as_ref().unwrap_or(&nothing);
    let remedy = || webhook_remedy("this address", base);
    if !creation.enabled {
        return Check::warning(NAME, "makes no conversations: who writes to it reaches nobody", remedy());
    }
    let service = creation.conversation_service_sid.as_deref();
    if let Some(service) = service.filter(|service| *service != settings.chat_service.as_str()) {
        return Check::broken(
            NAME,
            format!("makes its conversations in {service}, where agents cannot join them"),
            format!("let it make them in {} (AutoCreation.ConversationServiceSid)", settings.chat_service),
        );
    }
    match creation.kind.as_deref() {
        Some("studio") => {
            let flow = creation.studio_flow_sid.as_deref().unwrap_or("a Studio flow");
            return Check::warning(
                NAME,
                format!("is served by {flow}: flexglue is not told of its customers"),
                remedy(),
            );
        }
        Some("webhook") => {}
        _ => {
            return Check::broken(
                NAME,
                "tells nobody of its customers: their conversations are orphans",
                remedy(),
            );
        }
    }
    let url = creation.webhook_url.as_deref().unwrap_or_default();
    if !is_our_webhook(url, base) {
        return if is_our_webhook(url, None) {
            Check::broken(
                NAME,
                "tells another deployment of flexglue, or an old address of this one",
                remedy(),
            )
        } else {
            Check::warning(NAME, "tells somebody else: flexglue is not told of its customers", remedy())
        };
    }
    if creation.webhook_method.as_deref().is_some_and(|method| !method.eq_ignore_ascii_case("post")) {
        return Check::broken(NAME, "sends its webhooks by GET, which flexglue refuses", remedy());
    }
    if !creation.webhook_filters.iter().any(|filter| filter == "onMessageAdded") {
        return Check::broken(NAME, "does not tell of messages (onMessageAdded)", remedy());
    }
    Check::good(NAME, "tells flexglue of its customers")
}

fn web_chat_address(facts: &Facts, settings: &Settings) -> Option<Check> {
    const NAME: &str = "web-chat-address";
    let ours = settings.web_chat.address.as_ref()?;
    let remedy = "WEBCHAT_ADDRESS_SID must be an address of type chat (Console, Flex, Manage, Messaging, Conversations \
                  Addresses)";
    Some(match &facts.addresses {
        Err(error) => not_known(NAME, error),
        Ok(addresses) => match addresses.iter().find(|address| address.sid == *ours) {
            Some(address) if address.kind == "chat" => Check::good(NAME, "is an address of type chat"),
            Some(address) => {
                Check::broken(NAME, format!("{ours} is an address of type {}", address.kind), remedy)
            }
            None => Check::broken(NAME, format!("the account has no address {ours}"), remedy),
        },
    })
}

/// A webhook that hears of every conversation.
fn webhook(
    name: &'static str,
    what: &str,
    found: &Result<WebhookConfiguration, CallError>,
    settings: &Settings,
) -> Check {
    let webhook = match found {
        Ok(webhook) => webhook,
        Err(error) => return not_known(name, error),
    };
    let is_set = |url: &Option<String>| url.as_deref().is_some_and(|url| !url.is_empty());
    if is_set(&webhook.pre_webhook_url) {
        return Check::warning(
            name,
            format!(
                "{what} is asked before anything happens: an error of its (4xx, 5xx) refuses a customer's message"
            ),
            "where nobody needs that: Console, Conversations, Manage, Webhooks, Pre-Event URL",
        );
    }
    let base = settings.public_base_url.as_ref();
    let ours = webhook.post_webhook_url.as_deref().is_some_and(|url| is_our_webhook(url, base));
    let tells_messages = webhook.filters.iter().any(|filter| filter == "onMessageAdded");
    if ours && tells_messages {
        return Check::warning(
            name,
            format!("{what} tells flexglue of messages, as each address does: every message comes twice"),
            "it does no harm and costs twice; take onMessageAdded out of one of the two",
        );
    }
    Check::good(name, format!("{what} refuses and doubles nothing"))
}

fn workspace(facts: &Facts, settings: &Settings) -> Vec<Check> {
    const NAMES: [&str; 2] = ["workspace-callback", "workspace-events"];
    let [callback, events] = NAMES;
    match &facts.workspace {
        Ok(workspace) => {
            let base = settings.public_base_url.as_ref();
            vec![workspace_callback(callback, workspace, base), workspace_events(events, workspace)]
        }
        Err(error) if error.is_not_found() => {
            let found = format!("there is no workspace {}", settings.routing.workspace);
            let remedy = "FLEX_WORKSPACE_SID must be the workspace of Flex (Console, TaskRouter, Workspaces)";
            NAMES.map(|name| Check::broken(name, found.clone(), remedy)).into()
        }
        Err(error) => NAMES.map(|name| not_known(name, error)).into(),
    }
}

fn workspace_callback(
    name: &'static str,
    workspace: &WorkspaceResource,
    base: Option<&PublicBaseUrl>,
) -> Check {
    let remedy = format!(
        "set it to {} (flexglue setup, or Console, TaskRouter, Workspaces, Settings, Event callback); where somebody else \
         needs it too, let them pass it on unchanged",
        Callback::address(base.map_or("https://…", PublicBaseUrl::as_str))
    );
    let found = Callback::of(workspace);
    if found.url.is_empty() {
        return Check::broken(
            name,
            "TaskRouter tells nobody how tasks end: orphans are found minutes later",
            remedy,
        );
    }
    if !found.is_ours(base) {
        return Check::warning(
            name,
            "TaskRouter tells somebody else how tasks end: unless they pass it on, orphans are found minutes later",
            remedy,
        );
    }
    if !found.repeats() {
        return Check::warning(
            name,
            "TaskRouter tells flexglue, and again only where no connection could be made",
            remedy,
        );
    }
    Check::good(name, "TaskRouter tells flexglue how tasks end, and again where that failed")
}

fn workspace_events(name: &'static str, workspace: &WorkspaceResource) -> Check {
    let missing = Callback::of(workspace).missing();
    let remedy = format!(
        "tell these: {} (flexglue setup, or Console, TaskRouter, Workspaces, Settings, Event callback)",
        TASKROUTER_EVENTS.join(", ")
    );
    let ends = missing.iter().any(|event| Terminal::named(event).is_some());
    match (missing.is_empty(), ends) {
        (true, _) => Check::good(name, "all events that flexglue reads are told"),
        (false, true) => Check::broken(name, format!("not told: {}", missing.join(", ")), remedy),
        (false, false) => Check::warning(name, format!("not told: {}", missing.join(", ")), remedy),
    }
}

fn workflow(found: &Result<Option<WorkflowResource>, CallError>) -> Check {
    const NAME: &str = "workflow";
    match found {
        Err(error) => not_known(NAME, error),
        Ok(None) => Check::broken(
            NAME,
            "the workspace has no such workflow: every Interaction that names it is refused",
            "correct FLEX_WORKFLOW_SID, FALLBACK_WORKFLOW_SID or ROUTING_RULES (Console, TaskRouter, Workflows)",
        ),
        Ok(Some(workflow)) if workflow.has_default_filter() => Check::good(NAME, "takes every task"),
        Ok(Some(_)) => Check::warning(
            NAME,
            "has no default filter: a task that none of its filters matches is canceled",
            "give it a default queue (Console, TaskRouter, Workflows)",
        ),
    }
}

fn task_channels(facts: &Facts, settings: &Settings) -> Vec<Check> {
    const NAME: &str = "task-channel";
    let channels = match &facts.task_channels {
        Ok(channels) => channels,
        Err(error) => return vec![not_known(NAME, error)],
    };
    let known: BTreeSet<&str> =
        channels.iter().filter_map(|channel| channel.unique_name.as_deref()).collect();
    let mut named = BTreeSet::from([settings.routing.task_channel.as_str()]);
    named.extend(settings.rules.task_channels());
    named
        .into_iter()
        .map(|name| {
            let check = if known.contains(name) {
                Check::good(NAME, "is there")
            } else {
                Check::broken(
                    NAME,
                    "the workspace has no such task channel: every Interaction that names it is refused",
                    format!(
                        "TASK_CHANNEL and ROUTING_RULES may name {}",
                        known.iter().copied().collect::<Vec<_>>().join(", ")
                    ),
                )
            };
            check.of(name)
        })
        .collect()
}

/// Whether an error is about Flex, Conversations, TaskRouter or a webhook that Twilio could not deliver
/// ([errors](https://www.twilio.com/docs/api/errors)).
fn is_ours(code: u32) -> bool {
    matches!(code, 11_200..=11_299 | 40_000..=40_999 | 45_000..=45_999 | 50_000..=50_999 | 80_000..=80_999)
}

fn alerts(facts: &Facts) -> Check {
    const NAME: &str = "debugger";
    /// Codes that are named.
    const MOST: usize = 5;
    let alerts = match &facts.alerts {
        Ok(alerts) => alerts,
        Err(error) => return not_known(NAME, error),
    };
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    let codes = alerts.iter().filter_map(|alert| alert.error_code.as_ref()?.parse().ok());
    for code in codes.filter(|code| is_ours(*code)) {
        *counts.entry(code).or_default() += 1;
    }
    if counts.is_empty() {
        return Check::good(
            NAME,
            "no error about Flex, Conversations, TaskRouter or webhooks in the last day",
        );
    }
    let mut often: Vec<(u32, usize)> = counts.into_iter().collect();
    often.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
    let named: Vec<String> =
        often.iter().take(MOST).map(|(code, count)| format!("{count} × {code}")).collect();
    Check::warning(
        NAME,
        format!("in the last day: {}", named.join(", ")),
        "https://www.twilio.com/docs/api/errors/CODE says what each means (Console, Monitor, Logs, Errors)",
    )
}
