//! [The account](https://www.twilio.com/docs/iam/api/account) itself, and what its
//! [debugger](https://www.twilio.com/docs/usage/monitor-alert) has noted.

use bytes::Bytes;
use http::header;
use serde::Deserialize;

use super::{
    Call, CallError, Twilio, body,
    page::{Next, RawPage},
};
use crate::clock::{Deadline, Timestamp};

/// An account. Twilio's answer holds its auth token too, which is not taken.
#[derive(Clone, Debug, Deserialize)]
pub struct AccountResource {
    /// `active`, `suspended` or `closed`.
    #[serde(default)]
    pub status: Option<String>,
    /// `Full` or `Trial`.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
}

/// Something that the debugger has noted. Its text may hold anything, and is not taken.
#[derive(Clone, Debug, Deserialize)]
pub struct AlertResource {
    /// Twilio's [error code](https://www.twilio.com/docs/api/errors), a text here.
    #[serde(default)]
    pub error_code: Option<String>,
    /// When, RFC 3339.
    #[serde(default)]
    date_created: Option<String>,
}

impl AlertResource {
    /// When it was noted, where Twilio says.
    #[must_use]
    pub fn created_at(&self) -> Option<Timestamp> {
        self.date_created.as_deref().and_then(Timestamp::from_rfc_3339)
    }
}

/// Pages of alerts that are read at most, of a thousand each.
const MOST_PAGES: usize = 5;

impl Twilio {
    /// The account, and what time it is at Twilio.
    pub async fn account(
        &self,
        deadline: Deadline,
    ) -> Result<(AccountResource, Option<Timestamp>), CallError> {
        let path = format!("/2010-04-01/Accounts/{}.json", self.account);
        let read = |answer: &http::Response<Bytes>| {
            let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
            Ok((body(answer)?, date.and_then(Timestamp::from_rfc_2822)))
        };
        self.send_and(Call::get(&self.bases.api, path, Vec::new()), read, deadline).await
    }

    /// What the debugger has noted since `since`, of the level `error` or `warning`, newest first: the newest 5,000.
    pub async fn alerts(
        &self,
        level: &'static str,
        since: Timestamp,
        deadline: Deadline,
    ) -> Result<Vec<AlertResource>, CallError> {
        let since = Timestamp::from_seconds(since.as_seconds()).to_string();
        let (mut alerts, mut next) = (Vec::new(), None::<Next>);
        for _ in 0..MOST_PAGES {
            let mut fields = vec![
                ("LogLevel", level.to_owned()),
                ("StartDate", since.clone()),
                ("PageSize", "1000".to_owned()),
            ];
            fields.extend(next.iter().flat_map(Next::fields));
            let call = Call::get(&self.bases.monitor, "/v1/Alerts".to_owned(), fields);
            let page = self.send::<RawPage>(call, deadline).await?.read("alerts")?;
            alerts.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        Ok(alerts)
    }
}
