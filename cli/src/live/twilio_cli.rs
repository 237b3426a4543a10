//! The profiles of Twilio's own command line: `~/.twilio-cli/config.json`, as `@twilio/cli-core` writes it
//! ([profiles](https://www.twilio.com/docs/twilio-cli/general-usage/profiles)).

use std::{collections::BTreeMap, env, fs, io, path::PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

/// All of them.
#[derive(Deserialize)]
pub(super) struct Profiles {
    /// The one that is used where none is named.
    #[serde(default, rename = "activeProject")]
    active: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One of them.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile {
    pub account_sid: String,
    pub region: Option<String>,
    pub edge: Option<String>,
    /// Not there in profiles of old, whose keys are in the system's keychain.
    pub api_key: Option<String>,
    pub api_secret: Option<String>,
}

/// Reads them; `None` where Twilio's command line has none.
pub(super) fn profiles() -> anyhow::Result<Option<Profiles>> {
    let Some(home) = env::var_os("HOME") else { return Ok(None) };
    let path = PathBuf::from(home).join(".twilio-cli/config.json");
    match fs::read(&path) {
        Ok(text) => {
            let profiles = serde_json::from_slice(&text);
            profiles.with_context(|| format!("{} is not as Twilio's command line writes it", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

impl Profiles {
    /// The one that is named, else the active one, else the first: as Twilio's command line chooses.
    pub(super) fn chosen(&self, name: Option<&str>) -> anyhow::Result<Option<Profile>> {
        if let Some(name) = name {
            let known = || self.profiles.keys().cloned().collect::<Vec<_>>().join(", ");
            let profile = self.profiles.get(name);
            return profile.cloned().map(Some).with_context(|| {
                format!("Twilio's command line has no profile {name} with a key; it has: {}", known())
            });
        }
        let active = self.active.as_ref().and_then(|active| self.profiles.get(active));
        Ok(active.or_else(|| self.profiles.values().next()).cloned())
    }
}
