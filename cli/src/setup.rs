//! Twilio's side of flexglue as a plan: what is, and what is to be. It is made step by step, and each step can be undone:
//! what was before it is written down before anything is changed.
//!
//! What nobody uses is set; what is flexglue's already is completed; what somebody else uses is shown, and taken only where
//! that is asked for. What is to be is what [`crate::doctor`] calls good.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    clock::Deadline,
    config::Settings,
    sid::{AccountSid, AddressSid},
    twilio::{AddressResource, AutoCreation, CallError, Twilio, WorkspaceResource, attachments},
    webhook::{PublicBaseUrl, is_our_webhook},
};

use crate::{
    callback::Callback,
    local::system::{CONVERSATIONS_PATH, TASKROUTER_EVENTS},
};

/// Something that is configured, with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "setting", rename_all = "snake_case")]
pub enum Setting {
    /// What is made of a first message to an address.
    Address {
        /// Which.
        sid: AddressSid,
        /// What people call it.
        name: String,
        /// What is made of it.
        creation: AutoCreation,
    },
    /// Where TaskRouter tells what happens to tasks, and what.
    Workspace {
        /// Where; empty for nowhere.
        event_callback_url: String,
        /// Names separated by commas; empty for all.
        events_filter: String,
    },
    /// After how long a conversation in which nobody writes is closed: ISO 8601, empty for never.
    ClosedTimer {
        /// How long.
        timer: String,
    },
    /// What each channel may do; files, above all.
    Channels {
        /// As Flex shows it.
        channel_configs: Vec<Value>,
    },
}

/// Whose a setting is, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Nobody uses it.
    Nobody,
    /// flexglue's.
    Us,
    /// Something else relies on it.
    SomebodyElse,
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// As it is.
    pub is: Setting,
    /// As it is to be.
    pub will_be: Setting,
    /// Whose it is now.
    pub owner: Owner,
}

/// What was changed, for whoever wants it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// The account.
    pub account_sid: AccountSid,
    /// In the order in which it was done. The last may not have been done.
    pub changes: Vec<Change>,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It is as it is to be.
    Made,
    /// It is somebody else's, and was left.
    Left,
    /// It was so already.
    WasSo,
}

/// Why a step could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Twilio refused, or could not be asked.
    #[error("Twilio: {0}")]
    Twilio(#[from] CallError),
    /// What is asked for cannot be.
    #[error("{0}")]
    Impossible(String),
    /// What was before could not be written down: nothing is changed then.
    #[error("the file that undoes it could not be written or read: {0}")]
    File(#[from] io::Error),
    /// The file is none of ours.
    #[error("it is no file of flexglue setup: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// What an address tells of. The first opens Interactions; the others save questions.
const EVENTS: [&str; 4] =
    ["onMessageAdded", "onParticipantAdded", "onConversationStateUpdated", "onConversationRemoved"];

/// After how long a conversation in which nobody writes is closed, where the variables do not say.
pub(crate) const CLOSED_AFTER: &str = "PT24H";

/// Makes a plan. `files` are the channels on which files are to be allowed.
///
/// # Errors
/// Where Twilio could not be asked, or nobody says where flexglue is reached.
pub async fn plan(
    twilio: &Twilio,
    settings: &Settings,
    files: &[String],
    deadline: Deadline,
) -> Result<Vec<Change>, SetupError> {
    let base = settings.public_base_url.as_ref().ok_or_else(|| {
        SetupError::Impossible(
            "PUBLIC_BASE_URL must say where Twilio reaches flexglue: the API's address, as the stack's output \
             ConversationsWebhookUrl has it before /webhooks"
                .to_owned(),
        )
    })?;
    let (addresses, workspace, conversations, flex) = tokio::join!(
        Box::pin(twilio.addresses(deadline)),
        Box::pin(twilio.workspace(&settings.routing.workspace, deadline)),
        Box::pin(twilio.conversations_configuration(deadline)),
        Box::pin(twilio.flex_configuration(deadline)),
    );
    let mut changes: Vec<Change> =
        addresses?.iter().filter_map(|address| address_change(address, settings, base)).collect();
    changes.extend(workspace_change(&workspace?, base));
    if conversations?.default_closed_timer.unwrap_or_default().is_empty() {
        let timer = settings.outbound.timers.closed.clone().unwrap_or_else(|| CLOSED_AFTER.to_owned());
        changes.push(Change {
            is: Setting::ClosedTimer { timer: String::new() },
            will_be: Setting::ClosedTimer { timer },
            owner: Owner::Nobody,
        });
    }
    changes.extend(channels_change(flex?.channel_configs, files)?);
    Ok(changes)
}

fn address_change(address: &AddressResource, settings: &Settings, base: &PublicBaseUrl) -> Option<Change> {
    let is = address.auto_creation.clone().unwrap_or_default();
    let url = is.webhook_url.as_deref().unwrap_or_default();
    let is_webhook = is.kind.as_deref() == Some("webhook");
    let ours = is_webhook && is_our_webhook(url, Some(base));
    let owner = match is.kind.as_deref() {
        _ if !is.enabled => Owner::Nobody,
        _ if ours => Owner::Us,
        Some("webhook" | "studio") => Owner::SomebodyElse,
        _ => Owner::Nobody,
    };
    let mut webhook_filters = if ours { is.webhook_filters.clone() } else { Vec::new() };
    let missing = EVENTS.iter().filter(|event| !webhook_filters.iter().any(|known| known == *event));
    let missing: Vec<String> = missing.map(|event| (*event).to_owned()).collect();
    webhook_filters.extend(missing);
    let service = is.conversation_service_sid.as_deref();
    let elsewhere = service.is_some_and(|service| service != settings.chat_service.as_str());
    let will_be = AutoCreation {
        enabled: true,
        kind: Some("webhook".to_owned()),
        conversation_service_sid: if elsewhere {
            Some(settings.chat_service.to_string())
        } else {
            is.conversation_service_sid.clone()
        },
        webhook_url: Some(if ours { url.to_owned() } else { format!("{base}{CONVERSATIONS_PATH}") }),
        webhook_method: Some("POST".to_owned()),
        webhook_filters,
        studio_flow_sid: None,
    };
    let setting = |creation| Setting::Address { sid: address.sid.clone(), name: address.name(), creation };
    (is != will_be).then(|| Change { is: setting(is), will_be: setting(will_be), owner })
}

fn workspace_change(workspace: &WorkspaceResource, base: &PublicBaseUrl) -> Option<Change> {
    let callback = Callback::of(workspace);
    let ours = callback.is_ours(Some(base));
    let owner = match () {
        () if callback.url.is_empty() => Owner::Nobody,
        () if ours => Owner::Us,
        () => Owner::SomebodyElse,
    };
    let (event_callback_url, events) = if ours {
        let url = if callback.repeats() { callback.url.to_owned() } else { Callback::address(base.as_str()) };
        (url, [&callback.events[..], &callback.missing()].concat())
    } else {
        (Callback::address(base.as_str()), TASKROUTER_EVENTS.to_vec())
    };
    let is = Setting::Workspace {
        event_callback_url: callback.url.to_owned(),
        events_filter: workspace.events_filter.clone().unwrap_or_default(),
    };
    let will_be = Setting::Workspace { event_callback_url, events_filter: events.join(",") };
    (is != will_be).then_some(Change { is, will_be, owner })
}

fn channels_change(is: Vec<Value>, files: &[String]) -> Result<Option<Change>, SetupError> {
    let mut will_be = is.clone();
    for kind in files {
        let channel =
            will_be.iter_mut().find(|channel| attachments(channel).is_some_and(|(known, _)| known == kind));
        let known = || is.iter().filter_map(attachments).map(|(kind, _)| kind).collect::<Vec<_>>().join(", ");
        let channel = channel.ok_or_else(|| {
            SetupError::Impossible(format!("Flex knows no files on {kind}; it does on {}", known()))
        })?;
        channel["cbm_attachments"]["enabled"] = true.into();
    }
    Ok((is != will_be).then_some(Change {
        is: Setting::Channels { channel_configs: is },
        will_be: Setting::Channels { channel_configs: will_be },
        owner: Owner::Nobody,
    }))
}

/// The journal of a file, to be gone on with; a new one where there is no such file.
///
/// # Errors
/// As those of [`load`].
pub fn begin(path: &Path, account: &AccountSid) -> Result<Journal, SetupError> {
    if path.exists() {
        return load(path, account);
    }
    Ok(Journal { account_sid: account.clone(), changes: Vec::new() })
}

/// Takes one step, where it may be: what is somebody else's only with `force`. What was before is in the journal first.
///
/// # Errors
/// Where the journal could not be written, or Twilio did not do it.
pub async fn make(
    twilio: &Twilio,
    settings: &Settings,
    change: &Change,
    force: bool,
    journal: (&mut Journal, &Path),
    deadline: Deadline,
) -> Result<Done, SetupError> {
    if change.owner == Owner::SomebodyElse && !force {
        return Ok(Done::Left);
    }
    let (journal, path) = journal;
    journal.changes.push(change.clone());
    save(journal, path)?;
    write(twilio, settings, &change.will_be, deadline).await?;
    Ok(Done::Made)
}

/// Undoes one step, where nobody has changed it since; otherwise only with `force`.
///
/// # Errors
/// Where Twilio could not be asked, or did not do it.
pub async fn unmake(
    twilio: &Twilio,
    settings: &Settings,
    change: &Change,
    force: bool,
    deadline: Deadline,
) -> Result<Done, SetupError> {
    let now = read(twilio, settings, &change.is, deadline).await?;
    if now == change.is {
        return Ok(Done::WasSo);
    }
    if now != change.will_be && !force {
        return Ok(Done::Left);
    }
    write(twilio, settings, &change.is, deadline).await?;
    Ok(Done::Made)
}

/// The setting of the same kind as it stands.
async fn read(
    twilio: &Twilio,
    settings: &Settings,
    like: &Setting,
    deadline: Deadline,
) -> Result<Setting, SetupError> {
    Ok(match like {
        Setting::Address { sid, name, .. } => {
            let addresses = twilio.addresses(deadline).await?;
            let address = addresses.into_iter().find(|address| address.sid == *sid);
            let address = address
                .ok_or_else(|| SetupError::Impossible(format!("the address {name} is not there any more")))?;
            let creation = address.auto_creation.unwrap_or_default();
            Setting::Address { sid: sid.clone(), name: name.clone(), creation }
        }
        Setting::Workspace { .. } => {
            let workspace = twilio.workspace(&settings.routing.workspace, deadline).await?;
            Setting::Workspace {
                event_callback_url: workspace.event_callback_url.unwrap_or_default(),
                events_filter: workspace.events_filter.unwrap_or_default(),
            }
        }
        Setting::ClosedTimer { .. } => {
            let configuration = twilio.conversations_configuration(deadline).await?;
            Setting::ClosedTimer { timer: configuration.default_closed_timer.unwrap_or_default() }
        }
        Setting::Channels { .. } => {
            Setting::Channels { channel_configs: twilio.flex_configuration(deadline).await?.channel_configs }
        }
    })
}

async fn write(
    twilio: &Twilio,
    settings: &Settings,
    setting: &Setting,
    deadline: Deadline,
) -> Result<(), SetupError> {
    match setting {
        Setting::Address { sid, creation, .. } => twilio.update_address(sid, creation, deadline).await?,
        Setting::Workspace { event_callback_url, events_filter } => {
            let workspace = &settings.routing.workspace;
            twilio.update_workspace(workspace, event_callback_url, events_filter, deadline).await?;
        }
        Setting::ClosedTimer { timer } => twilio.update_closed_timer(timer, deadline).await?,
        Setting::Channels { channel_configs } => {
            twilio.update_channel_configs(channel_configs, deadline).await?;
        }
    }
    Ok(())
}

/// Writes a journal down, whole or not at all.
fn save(journal: &Journal, path: &Path) -> Result<(), SetupError> {
    let draft = path.with_extension("draft");
    let file = fs::File::create(&draft)?;
    serde_json::to_writer_pretty(&file, journal)?;
    file.sync_all()?;
    Ok(fs::rename(&draft, path)?)
}

/// Reads what [`make`] wrote down.
///
/// # Errors
/// Where there is no such file, it is something else, or of another account.
pub fn load(path: &Path, account: &AccountSid) -> Result<Journal, SetupError> {
    let journal: Journal = serde_json::from_slice(&fs::read(path)?)?;
    if journal.account_sid == *account {
        return Ok(journal);
    }
    Err(SetupError::Impossible(format!("it is of another account, {}", journal.account_sid)))
}
