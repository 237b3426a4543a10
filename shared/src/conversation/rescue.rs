//! The changes of a record when somebody has looked whether the customer is served ([`super::picture`]), and
//! while what must be done is done.
//!
//! The steps are taken one by one, each by an owner with a lease, and each is recorded before the next
//! begins. Whoever takes over after a lease looks first: at the messages for what was told, at the tasks for
//! the re-invite. A re-invite carries its number as a task attribute, so that its task tells which one it is.

use std::time::Duration;

use super::{
    AtWork, Cause, Conversation, Finding, Happening, Interaction, MessageName, OrphanRules, Picture, Stage,
    Step, TaskEnd, Transition, What, pace,
};
use crate::{clock::Timestamp, safeguard::Safeguard, sid::TaskSid};

impl Conversation {
    /// The record after somebody has looked and found `finding`; with it the right to do what must be done,
    /// where that is something, for `owner`. `None` where the record says the same already.
    #[must_use]
    pub fn found(
        &self,
        finding: &Finding,
        picture: &Picture,
        rules: &OrphanRules,
        owner: &str,
        now: Timestamp,
    ) -> Option<Transition> {
        if matches!(self.stage, Stage::Closed | Stage::Closing) {
            return None;
        }
        match finding {
            Finding::Over => Self::closed(Some(self), &self.sid, now),
            Finding::SettingUp if self.is_overdue(now) => self
                .set_up_failed(owner, None, picture.somebody_waits(), now)
                .or_else(|| self.looked_in_vain(now)),
            Finding::SettingUp => self.still_setting_up(now).or_else(|| self.looked_in_vain(now)),
            Finding::Failed(code) => match self.stage {
                Stage::Orphaned { .. } => self.resumed(picture, rules, owner, now),
                _ => self.set_up_failed(owner, *code, picture.somebody_waits(), now),
            },
            Finding::Other(other) => Some(self.switched_to(other, now)),
            Finding::Served => Some(self.found_well(true, picture, now)),
            Finding::Waiting if self.tells_after_reinvite() => self.resumed(picture, rules, owner, now),
            Finding::Waiting => Some(self.found_well(false, picture, now)),
            Finding::Resting => Some(self.rests(now)),
            Finding::Unopened => match self.stage {
                Stage::Orphaned { .. } => self.resumed(picture, rules, owner, now),
                _ => Some(self.rests(now)),
            },
            Finding::HalfClosed => match self.stage {
                Stage::Orphaned { cause: Cause::ChannelClosed, .. } => {
                    self.resumed(picture, rules, owner, now)
                }
                // Whoever is at work has closed the channel just now, and closes the conversation next.
                Stage::Orphaned { at_work: Some(ref at_work), .. } if now < at_work.until => None,
                _ => Some(self.orphaned(Cause::ChannelClosed, vec![Step::Close], None, owner, now)),
            },
            Finding::Orphaned(end) => match self.stage {
                Stage::Orphaned { .. } => self.resumed(picture, rules, owner, now),
                // The operator wants it left so.
                _ if end.handled => Some(self.rests(now)),
                _ => Some(self.orphaned_by(end, picture, rules, owner, now)),
            },
        }
    }

    /// The customer cannot be served: they are told, if they wait for anything, and the conversation is closed.
    pub(super) fn give_up(
        &self,
        cause: Cause,
        code: Option<u32>,
        somebody_waits: bool,
        now: Timestamp,
    ) -> Transition {
        self.next(now, Happening::new(What::GivenUp, now).code(code), |next| {
            let last = if somebody_waits { OrphanRules::last_steps() } else { vec![Step::Close] };
            let steps = next.untold(last);
            next.stage = Stage::Orphaned { cause, steps, done: 0, at_work: None };
            next.attempts = 0;
            next.refused_since = None;
            next.due_at = Some(now);
        })
    }

    fn orphaned_by(
        &self,
        end: &TaskEnd,
        picture: &Picture,
        rules: &OrphanRules,
        owner: &str,
        now: Timestamp,
    ) -> Transition {
        let reinvites = self.reinvites.max(picture.reinvites);
        let steps = match end.event {
            // An agent who wrote first is gone, and the customer never answered: whatever they still write
            // begins a new conversation, and there is nobody to tell anything now.
            Some(_) if !picture.somebody_waits() => vec![Step::Close],
            Some(event) => rules.steps(event, reinvites),
            None => Vec::new(),
        };
        let mut orphaned = self.orphaned(Cause::TaskEnded, steps, Some(end), owner, now);
        orphaned.next.count_reinvites(picture, now);
        orphaned
    }

    fn orphaned(
        &self,
        cause: Cause,
        steps: Vec<Step>,
        end: Option<&TaskEnd>,
        owner: &str,
        now: Timestamp,
    ) -> Transition {
        let task = end.and_then(|end| end.task.as_ref());
        let event = end.and_then(|end| end.event);
        let happening = Happening::new(What::Orphaned, now).owner(owner).task(task).event(event);
        self.next(now, happening, |next| {
            if let Some(end) = end {
                next.last_end = Some(TaskEnd { handled: true, ..end.clone() });
            }
            let steps = next.untold(steps);
            next.attempts = 0;
            next.refused_since = None;
            if steps.is_empty() {
                next.is_at_rest(0, now);
            } else {
                next.stage = Stage::Orphaned { cause, steps, done: 0, at_work: None };
                next.put_to_work(owner, now);
            }
        })
    }

    /// Steps without what the customer has been told already.
    fn untold(&self, mut steps: Vec<Step>) -> Vec<Step> {
        steps.retain(|step| !matches!(step, Step::Tell(message) if self.told.contains(message)));
        steps
    }

    /// Somebody else serves the customer now, and whoever was at work on `before` may have told them something: nobody
    /// will find out any more, so it is not told again.
    pub(super) fn may_have_been_told(&mut self, before: &Self) {
        let at_work = matches!(before.stage, Stage::Orphaned { at_work: Some(_), .. });
        if let Some(Step::Tell(message)) = before.next_step()
            && at_work
            && !matches!(self.stage, Stage::Orphaned { .. })
            && !self.told.contains(&message)
        {
            self.told.push(message);
        }
    }

    fn put_to_work(&mut self, owner: &str, now: Timestamp) {
        if let Stage::Orphaned { at_work, .. } = &mut self.stage {
            let until = now + pace::LEASE;
            *at_work = Some(AtWork { owner: owner.to_owned(), until });
            self.due_at = pace::due_after_lease(until, self.attempts, now);
        }
    }

    /// What was begun is taken up by `owner`, once it is due.
    fn resumed(
        &self,
        picture: &Picture,
        rules: &OrphanRules,
        owner: &str,
        now: Timestamp,
    ) -> Option<Transition> {
        let Stage::Orphaned { at_work, .. } = &self.stage else { return None };
        // Not before the last owner's right has ended, whatever is due.
        let is_leased =
            at_work.as_ref().is_some_and(|at_work| now < at_work.until) && Safeguard::Lease.is_on();
        if is_leased || self.due_at.is_none_or(|due| now < due) {
            return None;
        }
        // Was the re-invite that the last owner may have asked for made, and has it come to nothing since?
        let asked = at_work.as_ref().filter(|_| self.next_step() == Some(Step::Reinvite));
        let seen = picture.reinvites > self.reinvites;
        let past_knowing = asked.is_some_and(|asked| now.since(asked.until) > pace::TASK_SHOWN);
        let used_up = seen || past_knowing;
        Some(self.next(now, Happening::new(What::Resumed, now).owner(owner), |next| {
            // Who waited on purpose has counted its try already.
            next.attempts += u32::from(at_work.is_some());
            if used_up {
                next.reinvites = picture.reinvites.max(self.reinvites + u32::from(!seen));
                next.reinvited_at = Some(now);
                if let (Stage::Orphaned { steps, done, .. }, Some(event)) =
                    (&mut next.stage, self.last_end.as_ref().and_then(|end| end.event))
                {
                    *steps = self.untold(rules.steps(event, next.reinvites));
                    *done = 0;
                }
            }
            next.put_to_work(owner, now);
        }))
    }

    /// Whether agents have been invited again and only something to be told is left.
    fn tells_after_reinvite(&self) -> bool {
        let Stage::Orphaned { steps, done, .. } = &self.stage else { return false };
        let (before, left) = steps.split_at((*done).min(steps.len()));
        before.contains(&Step::Reinvite) && left.iter().all(|step| matches!(step, Step::Tell(_)))
    }

    fn found_well(&self, served: bool, picture: &Picture, now: Timestamp) -> Transition {
        let what = if matches!(self.stage, Stage::SettingUp) { What::Confirmed } else { What::Served };
        self.next(now, Happening::new(what, now), |next| {
            next.served |= served;
            next.asked_since = None;
            next.count_reinvites(picture, now);
            next.is_well(self.looks(), now);
            next.due_at = Some(now + pace::recheck(next.attempts, served));
        })
    }

    /// A task tells of a re-invite whose answer was lost.
    fn count_reinvites(&mut self, picture: &Picture, now: Timestamp) {
        if picture.reinvites > self.reinvites {
            self.reinvites = picture.reinvites;
            self.reinvited_at = Some(now);
        }
    }

    /// The Interaction stands, and somebody serves the customer or is on the way.
    pub(super) fn is_well(&mut self, looks: u32, now: Timestamp) {
        self.stage = Stage::Open;
        self.attempts = looks;
        self.set_up_failures = 0;
        self.refused_since = None;
        self.due_at = Some(now + pace::recheck(looks, false));
    }

    /// How often it was looked at, this look included, since something changed.
    fn looks(&self) -> u32 {
        if matches!(self.stage, Stage::Open) { self.attempts.saturating_add(1) } else { 0 }
    }

    fn rests(&self, now: Timestamp) -> Transition {
        self.next(now, Happening::new(What::Resting, now), |next| next.is_at_rest(self.looks(), now))
    }

    /// Nobody is in it, and it is to stay so.
    pub(super) fn is_at_rest(&mut self, looks: u32, now: Timestamp) {
        self.is_well(looks, now);
        self.due_at = Some(now + pace::rest(looks));
    }

    fn switched_to(&self, other: &Interaction, now: Timestamp) -> Transition {
        self.next(now, Happening::new(What::Adopted, now).interaction(&other.sid), |next| {
            next.failed =
                self.interaction.as_ref().map(|interaction| interaction.sid.clone()).or(next.failed.take());
            next.interaction = Some(other.clone());
            next.stage = Stage::SettingUp;
            next.attempts = 0;
            next.due_at = Some(now + pace::SET_UP_LOOK);
        })
    }

    /// Whether `owner` is the one to take the next step.
    #[must_use]
    pub fn is_at_work(&self, owner: &str) -> bool {
        let is_its_own = |at_work: &AtWork| at_work.owner == owner || !Safeguard::Owner.is_on();
        matches!(&self.stage, Stage::Orphaned { at_work: Some(at_work), .. } if is_its_own(at_work))
    }

    /// Until when whoever is at work may ask Twilio for something; `None` where nobody is.
    #[must_use]
    pub fn may_act_until(&self) -> Option<Timestamp> {
        match &self.stage {
            Stage::Orphaned { at_work: Some(at_work), .. } => Some(at_work.until - pace::LEASE_MARGIN),
            _ => None,
        }
    }

    /// The step to be taken next.
    #[must_use]
    pub fn next_step(&self) -> Option<Step> {
        match &self.stage {
            Stage::Orphaned { steps, done, .. } => steps.get(*done).copied(),
            _ => None,
        }
    }

    /// The moment before which agents are not invited again.
    #[must_use]
    pub fn no_reinvite_before(&self) -> Option<Timestamp> {
        self.reinvited_at.map(|last| last + pace::reinvite(self.reinvites))
    }

    /// A step is done; the next is `owner`'s as well. `None` where that is written down already: a write whose answer
    /// was lost is decided upon again.
    fn step_done(&self, step: Step, owner: &str, happening: Happening, now: Timestamp) -> Option<Transition> {
        (self.is_at_work(owner) && self.next_step() == Some(step)).then(|| {
            self.next(now, happening, |next| {
                next.attempts = 0;
                next.refused_since = None;
                let Stage::Orphaned { steps, done, .. } = &mut next.stage else { return };
                *done += usize::from(Safeguard::StepRecord.is_on());
                if *done < steps.len() {
                    next.put_to_work(owner, now);
                } else if steps.contains(&Step::Reinvite) {
                    next.is_well(0, now);
                } else {
                    next.is_at_rest(0, now);
                }
            })
        })
    }

    /// The customer was told.
    #[must_use]
    pub fn told(&self, owner: &str, message: MessageName, now: Timestamp) -> Option<Transition> {
        let happening = Happening::new(What::Told, now).owner(owner);
        let mut told = self.step_done(Step::Tell(message), owner, happening, now)?;
        if Safeguard::StepRecord.is_on() && !told.next.told.contains(&message) {
            told.next.told.push(message);
        }
        Some(told)
    }

    /// The customer cannot be told, or is to be told nothing: no reason to leave them without an agent.
    #[must_use]
    pub fn not_told(
        &self,
        owner: &str,
        message: MessageName,
        code: Option<u32>,
        now: Timestamp,
    ) -> Option<Transition> {
        let happening = Happening::new(What::NotTold, now).owner(owner).code(code);
        self.step_done(Step::Tell(message), owner, happening, now)
    }

    /// The re-invite of this number was made. A fact, whoever is at work by now: it counts.
    #[must_use]
    pub fn reinvited(
        &self,
        owner: &str,
        number: u32,
        task: Option<&TaskSid>,
        now: Timestamp,
    ) -> Option<Transition> {
        let happening = Happening::new(What::Reinvited, now).owner(owner).task(task);
        let mut reinvited = match self.step_done(Step::Reinvite, owner, happening.clone(), now) {
            Some(done) => done,
            None if self.reinvites >= number => return None,
            None => self.next(now, happening, |next| {
                next.due_at = self.due_at;
                next.forget_at = self.forget_at;
            }),
        };
        reinvited.next.reinvites = self.reinvites.max(number);
        reinvited.next.reinvited_at = Some(now);
        if let (Some(task), Some(interaction)) = (task, &mut reinvited.next.interaction) {
            interaction.task = Some(task.clone());
        }
        Some(reinvited)
    }

    /// Agents are to be invited again, and there is no channel to invite them into: `owner` may ask for a new
    /// Interaction.
    #[must_use]
    pub fn reinvited_anew(&self, owner: &str, now: Timestamp) -> Option<Transition> {
        self.is_at_work(owner).then(|| {
            let mut claimed = self.claimed(owner, now, What::Reinvited, |next| {
                next.failed =
                    next.interaction.take().map(|interaction| interaction.sid).or(next.failed.take());
                next.reinvites += 1;
                next.reinvited_at = Some(now);
                next.last_end = None;
                next.attempts = 1;
            });
            claimed.happening.interaction = self.interaction.as_ref().map(|known| known.sid.clone());
            claimed
        })
    }

    /// The next step waits until `due`.
    #[must_use]
    pub fn paused(&self, owner: &str, due: Timestamp, now: Timestamp) -> Option<Transition> {
        self.is_at_work(owner).then(|| {
            self.next(now, Happening::new(What::Paused, now).owner(owner), |next| {
                next.rest_until(due);
            })
        })
    }

    /// Twilio did not do it for now: tried again after a pause, `asked_pause` at least.
    #[must_use]
    pub fn step_put_off(
        &self,
        owner: &str,
        asked_pause: Option<Duration>,
        now: Timestamp,
    ) -> Option<Transition> {
        self.is_at_work(owner).then(|| {
            self.next(now, Happening::new(What::PutOff, now).owner(owner), |next| {
                next.attempts += 1;
                let pause = pace::retry(next.attempts).max(asked_pause.unwrap_or_default());
                next.rest_until(now + pause);
            })
        })
    }

    /// Twilio refuses to have agents invited: tried again after a long pause, and given up after a day.
    #[must_use]
    pub fn reinvite_refused(&self, owner: &str, code: Option<u32>, now: Timestamp) -> Option<Transition> {
        self.is_at_work(owner).then(|| {
            let since = self.refused_since.unwrap_or(now);
            if now.since(since) > pace::REFUSED_LIMIT {
                return self.give_up(Cause::RefusedForTooLong, code, true, now);
            }
            self.next(now, Happening::new(What::Refused, now).owner(owner).code(code), |next| {
                next.attempts += 1;
                next.refused_since = Some(since);
                next.rest_until(now + pace::refused(next.attempts));
            })
        })
    }

    fn rest_until(&mut self, due: Timestamp) {
        if let Stage::Orphaned { at_work, .. } = &mut self.stage {
            *at_work = None;
        }
        self.due_at = Some(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Terminal, TerminalPolicy};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000 + seconds)
    }

    fn open() -> Conversation {
        let mut record = Conversation::new("CH00000000000000000000000000000001".parse().unwrap(), at(0));
        record.is_well(0, at(0));
        record.interaction = Some(Interaction {
            sid: "KD00000000000000000000000000000001".parse().unwrap(),
            channel: None,
            task: None,
            since: at(0),
        });
        record
    }

    fn ended(handled: bool) -> Finding {
        let task = Some("WT00000000000000000000000000000001".parse().unwrap());
        Finding::Orphaned(TaskEnd { task, event: Some(Terminal::WorkflowTimeout), at: at(1), handled })
    }

    fn found(record: &Conversation, finding: &Finding, picture: &Picture, now: u64) -> Option<Conversation> {
        let found = record.found(finding, picture, &OrphanRules::default(), "me", at(now));
        found.map(|found| found.next)
    }

    fn orphaned() -> Conversation {
        found(&open(), &ended(false), &Picture::default(), 10).unwrap()
    }

    #[test]
    fn an_orphan_is_its_finders_and_due_from_the_first_moment() {
        let record = orphaned();
        assert!(record.is_at_work("me") && !record.is_at_work("you"));
        assert_eq!(record.next_step(), Some(Step::Tell(MessageName::StillWaiting)));
        assert_eq!((record.due_at, record.may_act_until()), (Some(at(30)), Some(at(25))));
        assert!(record.last_end.is_some_and(|end| end.handled));
    }

    #[test]
    fn what_was_done_about_an_end_is_not_done_again() {
        let record = found(&open(), &ended(true), &Picture::default(), 10).unwrap();
        assert_eq!(record.stage, Stage::Open);
        assert_eq!(record.due_at, Some(at(10) + pace::rest(1)));
    }

    #[test]
    fn steps_are_taken_one_by_one_and_only_by_who_is_at_work() {
        let record = orphaned();
        assert_eq!(record.told("you", MessageName::StillWaiting, at(11)), None);
        let told = record.told("me", MessageName::StillWaiting, at(11)).unwrap().next;
        assert_eq!(told.told("me", MessageName::StillWaiting, at(11)), None, "written down already");
        assert_eq!(told.not_told("me", MessageName::StillWaiting, None, at(11)), None);
        assert_eq!((told.next_step(), told.due_at), (Some(Step::Reinvite), Some(at(31))));
        let invited = told.reinvited("me", 1, None, at(12)).unwrap().next;
        assert_eq!((&invited.stage, invited.reinvites), (&Stage::Open, 1));
        assert_eq!(invited.reinvited("me", 1, None, at(13)), None, "and counted once");
        let again = found(&invited, &ended(false), &Picture::default(), 20).unwrap();
        assert_eq!(again.next_step(), Some(Step::Reinvite), "nothing is told twice");
        assert_eq!(again.no_reinvite_before(), Some(at(12 + 60)));
    }

    /// Found by the simulation: it was taken from whoever was closing it.
    #[test]
    fn a_channel_that_was_closed_just_now_is_left_to_who_is_at_work() {
        let record = orphaned();
        let look = |now| {
            record.found(&Finding::HalfClosed, &Picture::default(), &OrphanRules::default(), "you", at(now))
        };
        assert_eq!(look(29), None);
        assert!(look(30).unwrap().next.is_at_work("you"), "after the lease it is anybody's");
    }

    /// Found by the simulation: it was told again when the next task ended.
    #[test]
    fn what_may_have_been_told_is_not_told_again_when_somebody_has_come_meanwhile() {
        let served = found(&orphaned(), &Finding::Served, &Picture::default(), 40).unwrap();
        let again = found(&served, &ended(false), &Picture::default(), 60).unwrap();
        assert_eq!(again.next_step(), Some(Step::Reinvite));
    }

    #[test]
    fn a_re_invite_is_a_fact_whoever_is_at_work() {
        let mut record = orphaned();
        record.is_well(0, at(11));
        assert_eq!(record.reinvited("me", 1, None, at(12)).unwrap().next.reinvites, 1);
    }

    #[test]
    fn whoever_takes_over_waits_for_the_lease_and_counts_what_may_have_been_asked() {
        let told = orphaned().told("me", MessageName::StillWaiting, at(11)).unwrap().next;
        let resume = |picture: &Picture, now| {
            told.found(&ended(true), picture, &OrphanRules::default(), "you", at(now)).map(|found| found.next)
        };
        assert_eq!(resume(&Picture::default(), 30), None);
        let soon = resume(&Picture::default(), 31).unwrap();
        assert!(soon.is_at_work("you") && soon.reinvites == 0);
        let seen = resume(&Picture { reinvites: 1, ..Picture::default() }, 31).unwrap();
        assert_eq!((seen.reinvites, seen.next_step()), (1, Some(Step::Reinvite)));
        let too_late_to_know = resume(&Picture::default(), 31 + 241).unwrap();
        assert_eq!(too_late_to_know.reinvites, 1);
        let last = resume(&Picture { reinvites: 2, ..Picture::default() }, 31).unwrap();
        assert_eq!(last.next_step(), Some(Step::Tell(MessageName::NoAgent)));
    }

    #[test]
    fn a_refusal_of_a_day_is_given_up() {
        let mut record = orphaned().told("me", MessageName::StillWaiting, at(11)).unwrap().next;
        let mut refusals = 0;
        while record.next_step() == Some(Step::Reinvite) {
            let now = record.due_at.unwrap();
            record = record
                .found(&ended(true), &Picture::default(), &OrphanRules::default(), "me", now)
                .unwrap()
                .next;
            record = record.reinvite_refused("me", Some(45367), now).unwrap().next;
            refusals += 1;
        }
        assert!((10..20).contains(&refusals), "{refusals}");
        assert_eq!(record.next_step(), Some(Step::Tell(MessageName::NoAgent)));
    }

    #[test]
    fn nothing_to_be_done_is_nothing() {
        let policy: TerminalPolicy = serde_json::from_str(r#"{"workflow.timeout":["ignore"]}"#).unwrap();
        let rules = OrphanRules { policy, max_reinvites: 2 };
        let ignored = open().found(&ended(false), &Picture::default(), &rules, "me", at(10)).unwrap().next;
        assert_eq!(ignored.stage, Stage::Open);
        assert!(ignored.last_end.is_some_and(|end| end.handled));
    }

    #[test]
    fn whoever_comes_ends_what_was_begun() {
        for finding in [Finding::Served, Finding::Waiting] {
            assert_eq!(found(&orphaned(), &finding, &Picture::default(), 31).unwrap().stage, Stage::Open);
        }
    }
}
