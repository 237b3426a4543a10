//! What the operator wants done when nobody serves a customer any more: `TERMINAL_POLICY`,
//! `CUSTOMER_MESSAGES` and `MAX_REINVITES`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};

use crate::{personal::Personal, safeguard::Safeguard};

/// How a task ended without an agent having finished it
/// ([TaskRouter events](https://www.twilio.com/docs/taskrouter/api/event/reference)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Terminal {
    /// The task came to the end of its workflow and nobody had accepted it.
    #[serde(rename = "workflow.timeout")]
    WorkflowTimeout,
    /// The workflow's last step was skipped.
    #[serde(rename = "workflow.skipped")]
    WorkflowSkipped,
    /// It was canceled: by a time-out, by a declined invitation, or by somebody.
    #[serde(rename = "task.canceled")]
    TaskCanceled,
    /// Somebody deleted it through the API.
    #[serde(rename = "task.deleted")]
    TaskDeleted,
    /// It had lived for too long: an assigned task is deleted after a day.
    #[serde(rename = "task.system-deleted")]
    TaskSystemDeleted,
}

impl Terminal {
    /// Every one of them.
    pub const ALL: [Self; 5] = [
        Self::WorkflowTimeout,
        Self::WorkflowSkipped,
        Self::TaskCanceled,
        Self::TaskDeleted,
        Self::TaskSystemDeleted,
    ];

    /// The event's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WorkflowTimeout => "workflow.timeout",
            Self::WorkflowSkipped => "workflow.skipped",
            Self::TaskCanceled => "task.canceled",
            Self::TaskDeleted => "task.deleted",
            Self::TaskSystemDeleted => "task.system-deleted",
        }
    }

    /// The event of this name, if it is one of them.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|terminal| terminal.as_str() == name)
    }
}

/// What a customer may be told; the texts are `CUSTOMER_MESSAGES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageName {
    /// Somebody is still looked for.
    StillWaiting,
    /// Nobody is there; the conversation ends.
    NoAgent,
    /// The conversation ends.
    Closed,
}

impl MessageName {
    const ALL: [Self; 3] = [Self::StillWaiting, Self::NoAgent, Self::Closed];

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StillWaiting => "still_waiting",
            Self::NoAgent => "no_agent",
            Self::Closed => "closed",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|message| message.as_str() == name)
    }
}

/// One thing to be done for a customer whom nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Step {
    /// Tell the customer something.
    Tell(MessageName),
    /// Invite agents again.
    Reinvite,
    /// Close the conversation.
    Close,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tell(message) => write!(f, "message:{}", message.as_str()),
            Self::Reinvite => f.write_str("reinvite"),
            Self::Close => f.write_str("close"),
        }
    }
}

impl From<Step> for String {
    fn from(step: Step) -> Self {
        step.to_string()
    }
}

impl FromStr for Step {
    type Err = PolicyError;

    fn from_str(word: &str) -> Result<Self, PolicyError> {
        let message = |name| MessageName::named(name).map(Self::Tell);
        match word {
            "reinvite" => Some(Self::Reinvite),
            "close" => Some(Self::Close),
            _ => word.strip_prefix("message:").and_then(message),
        }
        .ok_or_else(|| PolicyError::UnknownAction(word.to_owned()))
    }
}

impl TryFrom<String> for Step {
    type Error = PolicyError;

    fn try_from(word: String) -> Result<Self, PolicyError> {
        word.parse()
    }
}

/// Why a `TERMINAL_POLICY` cannot be used. It is the operator's own text, so what is wrong is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A word that is no action.
    #[error(
        "{0:?} is no action; expected message:still_waiting, message:no_agent, message:closed, reinvite, \
         close or ignore"
    )]
    UnknownAction(String),
    /// A key that is no terminal event.
    #[error(
        "{0:?} is no terminal event; expected workflow.timeout, workflow.skipped, task.canceled, \
         task.deleted or task.system-deleted"
    )]
    UnknownEvent(String),
    /// Actions that make no sense together.
    #[error("{event}: {problem}")]
    Contradiction {
        /// For which event.
        event: &'static str,
        /// What does not go together.
        problem: &'static str,
    },
}

/// `TERMINAL_POLICY`: for each terminal event what is to be done, in order. Events that it does not name
/// keep their default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalPolicy(BTreeMap<Terminal, Vec<Step>>);

impl Default for TerminalPolicy {
    fn default() -> Self {
        let told = vec![Step::Tell(MessageName::StillWaiting), Step::Reinvite];
        Self(BTreeMap::from([
            (Terminal::WorkflowTimeout, told.clone()),
            (Terminal::WorkflowSkipped, told.clone()),
            (Terminal::TaskCanceled, told),
            (Terminal::TaskDeleted, vec![Step::Reinvite]),
            (Terminal::TaskSystemDeleted, vec![Step::Reinvite]),
        ]))
    }
}

impl TerminalPolicy {
    /// What is to be done after this event; nothing where it is to be ignored.
    #[must_use]
    pub fn after(&self, event: Terminal) -> &[Step] {
        self.0.get(&event).map(Vec::as_slice).unwrap_or_default()
    }

    fn with(mut self, given: BTreeMap<String, Vec<String>>) -> Result<Self, PolicyError> {
        for (event, words) in given {
            let Some(event) = Terminal::named(&event) else { return Err(PolicyError::UnknownEvent(event)) };
            let ignores = words.iter().any(|word| word == "ignore");
            let steps = words
                .iter()
                .filter(|word| *word != "ignore")
                .map(|word| word.parse())
                .collect::<Result<Vec<Step>, _>>()?;
            let wrong = |problem| PolicyError::Contradiction { event: event.as_str(), problem };
            let count = |step| steps.iter().filter(|known| **known == step).count();
            if ignores && !steps.is_empty() {
                return Err(wrong("ignore stands alone"));
            }
            if steps.is_empty() && !ignores {
                return Err(wrong("no action; to do nothing, write ignore"));
            }
            if count(Step::Close) > 0 && steps.last() != Some(&Step::Close) {
                return Err(wrong("nothing can follow close"));
            }
            if count(Step::Reinvite) + count(Step::Close) > 1 {
                return Err(wrong("reinvite or close, and once"));
            }
            if MessageName::ALL.into_iter().any(|message| count(Step::Tell(message)) > 1) {
                return Err(wrong("no message twice"));
            }
            self.0.insert(event, steps);
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for TerminalPolicy {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::default().with(BTreeMap::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// `CUSTOMER_MESSAGES`: the texts. An empty one sends nothing; one that is not named keeps its default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CustomerMessages {
    still_waiting: Personal<String>,
    no_agent: Personal<String>,
    closed: Personal<String>,
}

impl Default for CustomerMessages {
    fn default() -> Self {
        let text = |text: &str| Personal(text.to_owned());
        Self {
            still_waiting: text("Thank you for waiting. We are still looking for somebody to help you."),
            no_agent: text("We are sorry that nobody could help you now. Please write to us again later."),
            closed: text("This conversation has ended. Write to us again whenever you like."),
        }
    }
}

/// The longest text that Conversations takes, in characters
/// ([messages](https://www.twilio.com/docs/conversations/api/conversation-message-resource)).
const LONGEST_MESSAGE: usize = 1600;

impl CustomerMessages {
    /// The text of a message; `None` where the operator wants nothing said.
    #[must_use]
    pub fn text(&self, name: MessageName) -> Option<&Personal<String>> {
        let text = match name {
            MessageName::StillWaiting => &self.still_waiting,
            MessageName::NoAgent => &self.no_agent,
            MessageName::Closed => &self.closed,
        };
        Some(text).filter(|text| !text.trim().is_empty())
    }

    /// The name of a message that is longer than Twilio takes.
    #[must_use]
    pub fn too_long(&self) -> Option<&'static str> {
        MessageName::ALL
            .into_iter()
            .find(|name| self.text(*name).is_some_and(|text| text.chars().count() > LONGEST_MESSAGE))
            .map(MessageName::as_str)
    }
}

/// Everything that the operator decides about customers whom nobody serves.
#[derive(Clone, Debug)]
pub struct OrphanRules {
    /// `TERMINAL_POLICY`.
    pub policy: TerminalPolicy,
    /// `MAX_REINVITES`.
    pub max_reinvites: u32,
}

impl Default for OrphanRules {
    fn default() -> Self {
        Self { policy: TerminalPolicy::default(), max_reinvites: 2 }
    }
}

impl OrphanRules {
    /// The steps for a conversation whose last task ended so, after `reinvites` re-invites. Where the policy
    /// wants another one and there have been enough, the customer is told, and the conversation closed.
    #[must_use]
    pub fn steps(&self, event: Terminal, reinvites: u32) -> Vec<Step> {
        let steps = self.policy.after(event);
        if steps.contains(&Step::Reinvite)
            && reinvites >= self.max_reinvites
            && Safeguard::MostReinvites.is_on()
        {
            return Self::last_steps();
        }
        steps.to_vec()
    }

    /// The steps for a customer who cannot be served.
    #[must_use]
    pub fn last_steps() -> Vec<Step> {
        vec![Step::Tell(MessageName::NoAgent), Step::Close]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> Result<TerminalPolicy, String> {
        serde_json::from_str(text).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn the_default_is_that_of_the_contract() {
        let rules = OrphanRules::default();
        let still_waiting = [Step::Tell(MessageName::StillWaiting), Step::Reinvite];
        for (event, steps) in [
            (Terminal::WorkflowTimeout, &still_waiting[..]),
            (Terminal::WorkflowSkipped, &still_waiting[..]),
            (Terminal::TaskCanceled, &still_waiting[..]),
            (Terminal::TaskDeleted, &[Step::Reinvite][..]),
            (Terminal::TaskSystemDeleted, &[Step::Reinvite][..]),
        ] {
            assert_eq!(rules.steps(event, 0), steps, "{event:?}");
            assert_eq!(rules.steps(event, 1), steps, "{event:?}");
            assert_eq!(rules.steps(event, 2), [Step::Tell(MessageName::NoAgent), Step::Close], "{event:?}");
        }
    }

    #[test]
    fn what_is_not_named_keeps_its_default() {
        let policy =
            policy(r#"{"task.canceled":["message:closed","close"],"task.deleted":["ignore"]}"#).unwrap();
        assert_eq!(policy.after(Terminal::TaskCanceled), [Step::Tell(MessageName::Closed), Step::Close]);
        assert!(policy.after(Terminal::TaskDeleted).is_empty());
        assert_eq!(policy.after(Terminal::WorkflowTimeout).len(), 2);
    }

    #[test]
    fn a_policy_without_reinvite_is_not_capped() {
        let policy = policy(r#"{"task.canceled":["message:still_waiting"]}"#).unwrap();
        let rules = OrphanRules { policy, max_reinvites: 0 };
        assert_eq!(rules.steps(Terminal::TaskCanceled, 5), [Step::Tell(MessageName::StillWaiting)]);
        assert_eq!(rules.steps(Terminal::TaskDeleted, 0), OrphanRules::last_steps());
    }

    #[test]
    fn a_bad_word_is_named_with_the_allowed_ones() {
        for (text, words) in [
            (r#"{"task.canceled":["reinvit"]}"#, ["\"reinvit\"", "message:still_waiting"]),
            (r#"{"task.canceled":["message:hello"]}"#, ["\"message:hello\"", "close or ignore"]),
            (r#"{"task.done":["ignore"]}"#, ["\"task.done\"", "task.system-deleted"]),
            (r#"{"task.canceled":[]}"#, ["task.canceled", "write ignore"]),
            (r#"{"task.canceled":["ignore","close"]}"#, ["task.canceled", "alone"]),
            (r#"{"task.canceled":["close","message:closed"]}"#, ["task.canceled", "follow close"]),
            (r#"{"task.canceled":["reinvite","close"]}"#, ["task.canceled", "once"]),
            (r#"{"task.canceled":["reinvite","reinvite"]}"#, ["task.canceled", "once"]),
            (
                r#"{"task.canceled":["message:closed","reinvite","message:closed"]}"#,
                ["task.canceled", "no message twice"],
            ),
            (r#"{"task.canceled":"close"}"#, ["invalid type", "sequence"]),
            ("[]", ["invalid type", "map"]),
        ] {
            let error = policy(text).unwrap_err();
            for word in words {
                assert!(error.contains(word), "{word} in {error}");
            }
        }
    }

    /// The README's examples are policies.
    #[test]
    fn the_examples_of_the_readme_can_be_used() {
        let readme = include_str!("../../../README.md");
        let (_, examples) = readme.split_once("```jsonc\n").unwrap();
        let (examples, _) = examples.split_once("```").unwrap();
        let json: String = examples.lines().filter(|line| !line.starts_with("//")).collect();
        let policies: Vec<TerminalPolicy> =
            serde_json::Deserializer::from_str(&json).into_iter().collect::<Result<_, _>>().unwrap();
        assert_eq!(policies.len(), 3);
        assert_eq!(policies[0], TerminalPolicy::default());
        assert!(policies[1].after(Terminal::WorkflowTimeout).contains(&Step::Close));
        assert!(policies[2].after(Terminal::TaskDeleted).is_empty());
    }

    #[test]
    fn an_empty_text_says_nothing_and_a_long_one_is_noticed() {
        let messages: CustomerMessages =
            serde_json::from_str(r#"{"still_waiting":" ","closed":"bye"}"#).unwrap();
        assert_eq!(messages.text(MessageName::StillWaiting), None);
        assert_eq!(messages.text(MessageName::Closed).unwrap().as_str(), "bye");
        assert!(messages.text(MessageName::NoAgent).is_some() && messages.too_long().is_none());
        let long = format!(r#"{{"no_agent":"{}"}}"#, "ä".repeat(1601));
        let messages: CustomerMessages = serde_json::from_str(&long).unwrap();
        assert_eq!(messages.too_long(), Some("no_agent"));
        assert!(serde_json::from_str::<CustomerMessages>(r#"{"bye":"x"}"#).is_err());
    }
}
