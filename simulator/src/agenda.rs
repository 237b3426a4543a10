//! What Twilio will do later, in the order in which it is due.

use std::collections::BTreeMap;

/// Something that happens by itself when its time comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The channel of an Interaction (`KD…`) is set up, or fails.
    SetUp(String),
    /// A timer of a conversation may have run out; activity since then makes this void.
    ConversationTimer(String),
    /// The workflow gives up on a task.
    WorkflowTimeout(String),
    /// A task leaves the step of its workflow in which it is.
    StepTimeout(String),
    /// A task lived as long as it may.
    TaskExpires(String),
    /// `TaskRouter` forgets a finished task.
    TaskForgotten(String),
}

/// Effects by the time they are due; those of one moment in the order they were planned.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    planned: BTreeMap<(u64, u64), Effect>,
    count: u64,
}

impl Agenda {
    pub(crate) fn plan(&mut self, due_ms: u64, effect: Effect) {
        self.planned.insert((due_ms, self.count), effect);
        self.count += 1;
    }

    /// When the next effect is due.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.planned.keys().next().map(|(due_ms, _)| *due_ms)
    }

    /// Takes the first effect that is due at `now`, with its time.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, Effect)> {
        let first = self.planned.first_entry()?;
        let due_ms = first.key().0;
        (due_ms <= now).then(|| (due_ms, first.remove()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_when_due_and_in_order() {
        let mut agenda = Agenda::default();
        let effect = |name: &str| Effect::SetUp(name.to_owned());
        agenda.plan(20, effect("late"));
        agenda.plan(10, effect("first"));
        agenda.plan(10, effect("second"));
        assert_eq!(agenda.next_due_ms(), Some(10));
        assert_eq!(agenda.take_due(9), None);
        assert_eq!(agenda.take_due(10), Some((10, effect("first"))));
        assert_eq!(agenda.take_due(10), Some((10, effect("second"))));
        assert_eq!(agenda.take_due(10), None);
    }
}
