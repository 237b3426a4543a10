//! `flexglue setup`: what it makes of an account, what it leaves to others, and that all of it can be undone.

use std::{path::Path, time::Duration};

use flexglue::{
    doctor::{Verdict, examine},
    local::system::{CONVERSATIONS_PATH, PUBLIC_URL},
    setup::{Change, Done, Journal, Owner, SetupError, begin, load, make, plan, unmake},
};
use flexglue_tests::rig::Rig;
use shared::{clock::Deadline, config::Settings, parts::Parts, twilio::Twilio};
use simulator::{Fault, Integration, Matcher, Misbehaviour, Times};

use crate::checks_that;

/// What an operator works with.
struct Desk {
    rig: Rig,
    twilio: Twilio,
    folder: tempfile::TempDir,
}

fn soon() -> Deadline {
    Deadline::within(Duration::from_secs(20))
}

impl Desk {
    /// An account in which nothing is set up: its numbers tell nobody.
    async fn new(change: impl FnOnce(&mut simulator::Settings)) -> Self {
        let rig = Rig::new();
        rig.system.twilio.change_settings(|account| {
            for address in &mut account.addresses {
                address.integration = Integration::Default;
            }
            account.event_callback_url = None;
            account.events_filter = vec!["worker.activity.update".to_owned()];
            change(account);
        });
        let world = rig.system.world().await;
        let twilio = Parts::new("flexglue", &rig.system.settings, &world).rescuer.opener.twilio;
        Self { rig, twilio, folder: tempfile::tempdir().unwrap() }
    }

    fn settings(&self) -> &Settings {
        &self.rig.system.settings
    }

    async fn plan(&self, files: &[&str]) -> Result<Vec<Change>, SetupError> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        plan(&self.twilio, self.settings(), &files, soon()).await
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("journal.json")
    }

    /// Makes a plan, as far as it goes; what came of each step.
    async fn apply(&self, files: &[&str], force: bool) -> Vec<Result<Done, SetupError>> {
        let mut journal = begin(&self.journal(), &self.settings().account).unwrap();
        let mut done = Vec::new();
        for change in self.plan(files).await.unwrap() {
            let journal = (&mut journal, &*self.journal());
            done.push(make(&self.twilio, self.settings(), &change, force, journal, soon()).await);
        }
        done
    }

    async fn undo(&self, force: bool) -> Vec<Done> {
        let mut undone = Vec::new();
        for change in load(&self.journal(), &self.settings().account).unwrap().changes.iter().rev() {
            undone.push(unmake(&self.twilio, self.settings(), change, force, soon()).await.unwrap());
        }
        undone
    }

    /// What of the account may be changed.
    fn account(
        &self,
    ) -> (Vec<simulator::Address>, Option<String>, Vec<String>, Option<String>, simulator::Shown) {
        let account = self.rig.system.twilio.settings();
        (
            account.addresses,
            account.event_callback_url,
            account.events_filter,
            account.default_closed_timer,
            account.shown,
        )
    }

    fn posts(&self) -> usize {
        self.rig.system.twilio.requests().iter().filter(|request| request.method != "GET").count()
    }
}

fn made(done: &[Result<Done, SetupError>]) -> bool {
    done.iter().all(|done| matches!(done, Ok(Done::Made)))
}

#[tokio::test(start_paused = true)]
async fn a_plan_changes_nothing_and_what_it_makes_satisfies_the_doctor() {
    let off = |account: &mut simulator::Settings| {
        account.shown.attachments.insert("sms".to_owned(), false);
    };
    let desk = Desk::new(off).await;
    let before = desk.account();
    let planned = desk.plan(&["sms"]).await.unwrap();
    assert_eq!(planned.len(), 6, "three addresses, callback, timer, files: {planned:#?}");
    assert_eq!((desk.account(), desk.posts()), (before, 0));

    let done = desk.apply(&["sms"], false).await;
    assert!(done.len() == 6 && made(&done), "{done:?}");
    let world = desk.rig.system.world().await;
    let examination = examine(desk.settings(), &world, soon()).await;
    assert_eq!(
        checks_that(&examination, |verdict| verdict != Verdict::Good),
        [
            "table-recovery",
            "functions",
            "function-variables",
            "variables",
            "alarms",
            "orphan-sweeper",
            "inbound-webhook"
        ],
        "what is not Twilio's is not set up here"
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_time_nothing_is_changed_and_undoing_restores_all() {
    let desk = Desk::new(|account| {
        account.shown.attachments.insert("web".to_owned(), false);
    })
    .await;
    let before = desk.account();
    assert!(made(&desk.apply(&["web"], false).await));
    let (after, posts) = (desk.account(), desk.posts());
    assert_ne!(before, after);
    assert!(desk.plan(&["web"]).await.unwrap().is_empty());
    assert!(desk.apply(&["web"], false).await.is_empty());
    assert_eq!((desk.account(), desk.posts()), (after, posts));

    assert!(desk.undo(false).await.iter().all(|done| *done == Done::Made));
    assert_eq!(desk.account(), before);
    assert!(desk.undo(false).await.iter().all(|done| *done == Done::WasSo), "once more changes nothing");
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_uses_is_left_unless_it_is_taken_by_force() {
    let desk = Desk::new(|account| {
        account.addresses[0].integration = Integration::Studio { flow_sid: format!("FW{:032x}", 1) };
        account.addresses[1].integration = Integration::Webhook {
            url: "https://elsewhere.example/hook".to_owned(),
            method: "GET".to_owned(),
            filters: vec!["onMessageAdded".to_owned()],
        };
        account.event_callback_url = Some("https://elsewhere.example/events".to_owned());
        account.default_closed_timer = Some("PT2H".to_owned());
    })
    .await;
    let before = desk.account();
    let planned = desk.plan(&[]).await.unwrap();
    let owners: Vec<Owner> = planned.iter().map(|change| change.owner).collect();
    assert_eq!(owners, [Owner::SomebodyElse, Owner::SomebodyElse, Owner::Nobody, Owner::SomebodyElse]);
    let done = desk.apply(&[], false).await;
    assert_eq!(done.iter().filter(|done| matches!(done, Ok(Done::Left))).count(), 3);
    let (addresses, callback, _, timer, _) = desk.account();
    assert_eq!((&addresses[..2], &callback), (&before.0[..2], &before.1));
    assert_eq!(timer.as_deref(), Some("PT2H"), "a timer that somebody has set stays");

    assert!(made(&desk.apply(&[], true).await));
    let (addresses, callback, ..) = desk.account();
    let ours = |address: &simulator::Address| match &address.integration {
        Integration::Webhook { url, method, .. } => {
            *url == format!("{PUBLIC_URL}{CONVERSATIONS_PATH}") && method == "POST"
        }
        _ => false,
    };
    assert!(addresses.iter().all(ours) && callback.unwrap().starts_with(PUBLIC_URL));
    // The journal holds both times: all is given back, as it was.
    assert!(desk.undo(false).await.iter().all(|done| *done == Done::Made));
    assert_eq!(desk.account(), before);
}

/// What is flexglue's already is completed: what somebody has added to it stays.
#[tokio::test(start_paused = true)]
async fn what_is_ours_is_completed() {
    let desk = Desk::new(|account| {
        account.addresses[0].integration = Integration::Webhook {
            url: format!("{PUBLIC_URL}{CONVERSATIONS_PATH}?from=setup"),
            method: "POST".to_owned(),
            filters: vec!["onDeliveryUpdated".to_owned()],
        };
        account.event_callback_url = Some(format!("{PUBLIC_URL}/webhooks/taskrouter"));
        account.events_filter = vec!["task.canceled".to_owned(), "task.wrapup".to_owned()];
    })
    .await;
    assert!(made(&desk.apply(&[], false).await));
    let (addresses, callback, events, ..) = desk.account();
    let Integration::Webhook { url, filters, .. } = &addresses[0].integration else {
        panic!("{addresses:?}")
    };
    assert!(url.ends_with("?from=setup") && filters.contains(&"onDeliveryUpdated".to_owned()));
    assert!(filters.contains(&"onMessageAdded".to_owned()));
    assert!(callback.unwrap().ends_with("#rc=3&rp=all&rt=10000"));
    assert!(events.contains(&"task.wrapup".to_owned()) && events.contains(&"workflow.timeout".to_owned()));
}

/// Somebody has changed it since: that is not undone but by force.
#[tokio::test(start_paused = true)]
async fn undoing_leaves_what_somebody_has_changed_since() {
    let desk = Desk::new(|_| {}).await;
    assert!(made(&desk.apply(&[], false).await));
    desk.rig.system.twilio.change_settings(|account| {
        account.event_callback_url = Some("https://elsewhere.example/since".to_owned());
    });
    let undone = desk.undo(false).await;
    assert_eq!(undone.iter().filter(|done| **done == Done::Left).count(), 1);
    assert_eq!(desk.account().1.as_deref(), Some("https://elsewhere.example/since"));
    desk.undo(true).await;
    assert_eq!(desk.account().1, None);
}

/// Killed between writing down and doing, refused, or not answered: the file undoes what was done, and says nothing wrong.
#[tokio::test(start_paused = true)]
async fn whatever_fails_half_way_can_be_undone_and_done_again() {
    for what in [
        Misbehaviour::LostBefore,
        Misbehaviour::LostAfter,
        Misbehaviour::Status { status: 500, code: 20_500, retry_after: None },
    ] {
        let desk = Desk::new(|_| {}).await;
        let before = desk.account();
        let on = Matcher::route("POST /v1/Workspaces/{sid}");
        desk.rig.system.twilio.misbehave(Fault { on, times: Times::Forever, what: what.clone() });
        let done = desk.apply(&[], false).await;
        assert_eq!(done.iter().filter(|done| done.is_err()).count(), 1, "{done:?}");
        desk.rig.system.twilio.behave();
        desk.undo(false).await;
        assert_eq!(desk.account(), before, "{what:?}");
        assert!(made(&desk.apply(&[], false).await));
        assert!(desk.plan(&[]).await.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_said_and_changes_nothing() {
    let desk = Desk::new(|_| {}).await;
    assert!(desk.plan(&["fax"]).await.unwrap_err().to_string().contains("sms, web, whatsapp"));
    let planned = desk.plan(&[]).await.unwrap();
    let mut journal = Journal { account_sid: desk.settings().account.clone(), changes: Vec::new() };
    let nowhere = (&mut journal, Path::new("/nowhere/journal.json"));
    let done = make(&desk.twilio, desk.settings(), &planned[0], false, nowhere, soon()).await;
    assert!(matches!(done, Err(SetupError::File(_))), "{done:?}");
    assert_eq!(desk.posts(), 0, "what cannot be undone is not done");
    std::fs::write(desk.journal(), "{}").unwrap();
    assert!(matches!(load(&desk.journal(), &desk.settings().account), Err(SetupError::Unreadable(_))));
    let other = format!(r#"{{"account_sid":"AC{:032x}","changes":[]}}"#, 7);
    std::fs::write(desk.journal(), other).unwrap();
    assert!(matches!(load(&desk.journal(), &desk.settings().account), Err(SetupError::Impossible(_))));
}
