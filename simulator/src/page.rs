//! Lists, page by page. A page token says after which row the next page begins, as Twilio's do: what is
//! added or taken away during a walk neither repeats a row nor skips one.

use std::fmt;

use serde_json::{Value, json};

use crate::answer::{Answer, Refusal, Reply};
use crate::call::Call;

/// A row of a list and its place there, which it keeps however the list changes.
pub(crate) struct Row {
    place: String,
    body: Value,
}

impl Row {
    /// A row of a list that runs from the lowest number to the highest.
    pub(crate) fn at(number: u64, body: Value) -> Self {
        Self::by(format!("{number:020}"), body)
    }

    /// A row of a list that runs from the highest number to the lowest.
    pub(crate) fn newest_first(number: u64, body: Value) -> Self {
        Self::at(u64::MAX - number, body)
    }

    /// A row of a list that is in the order of these texts.
    pub(crate) fn by(place: String, body: Value) -> Self {
        Self { place, body }
    }

    /// Rows of a list that only grows at its end, or never.
    pub(crate) fn numbered(bodies: impl IntoIterator<Item = Value>) -> Vec<Self> {
        (0..).zip(bodies).map(|(number, body)| Self::at(number, body)).collect()
    }
}

/// Where a page begins.
enum From {
    Number(usize),
    After(String),
    Before(String),
}

/// The page that a call asks for: by number, or by a token that an earlier page gave.
struct Asked {
    number: usize,
    from: From,
}

impl Asked {
    fn read(call: &Call) -> Result<Self, Refusal> {
        if let Some(token) = call.query("PageToken") {
            return Self::of_token(token).ok_or_else(|| Refusal::invalid("Invalid PageToken"));
        }
        let number = call
            .query("Page")
            .map_or(Ok(0), |page| page.parse().map_err(|_| Refusal::invalid("Invalid Page")))?;
        Ok(Self { number, from: From::Number(number) })
    }

    fn of_token(token: &str) -> Option<Self> {
        let (direction, rest) = token.split_at_checked(2)?;
        let (number, place) = rest.split_once('.')?;
        let place = place.to_owned();
        let from = match direction {
            "PA" => From::After(place),
            "PB" => From::Before(place),
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, from })
    }

    /// The index of the first row of the page.
    fn start(&self, rows: &[Row], size: usize) -> usize {
        match &self.from {
            From::Number(number) => number.saturating_mul(size).min(rows.len()),
            From::After(place) => rows.partition_point(|row| row.place <= *place),
            From::Before(place) => rows.partition_point(|row| row.place < *place).saturating_sub(size),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.from {
            From::Number(_) => Ok(()),
            From::After(place) => write!(f, "PA{}.{place}", self.number),
            From::Before(place) => write!(f, "PB{}.{place}", self.number),
        }
    }
}

/// One page of `rows` under `key`, with the `meta` that leads to the others.
///
/// A `PageSize` above `most` is refused.
pub(crate) fn page(call: &Call, key: &str, default: usize, most: usize, mut rows: Vec<Row>) -> Reply {
    let size = match call.query("PageSize") {
        None => default,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=most).contains(size))
            .ok_or_else(|| Refusal::invalid(format!("Invalid PageSize {text}: 1 to {most}")))?,
    };
    let asked = Asked::read(call)?;
    rows.sort_by(|one, other| one.place.cmp(&other.place));
    let start = asked.start(&rows, size);
    let end = start.saturating_add(size).min(rows.len());
    let url = |asked: &Asked| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in &call.query {
            if !matches!(name.as_str(), "PageSize" | "Page" | "PageToken") {
                query.append_pair(name, value);
            }
        }
        query.append_pair("PageSize", &size.to_string()).append_pair("Page", &asked.number.to_string());
        let token = asked.to_string();
        if !token.is_empty() {
            query.append_pair("PageToken", &token);
        }
        format!("{}?{}", call.url(), query.finish())
    };
    let last = rows.get(start..end).and_then(<[Row]>::last).filter(|_| end < rows.len());
    let next = last.map(|row| Asked { number: asked.number + 1, from: From::After(row.place.clone()) });
    let first = rows.get(start).filter(|_| start > 0);
    let previous = first
        .map(|row| Asked { number: asked.number.saturating_sub(1), from: From::Before(row.place.clone()) });
    let meta = json!({
        "page": asked.number,
        "page_size": size,
        "first_page_url": url(&Asked { number: 0, from: From::Number(0) }),
        "previous_page_url": previous.as_ref().map(url),
        "url": url(&asked),
        "next_page_url": next.as_ref().map(url),
        "key": key,
    });
    let bodies: Vec<Value> = rows.drain(start..end).map(|row| row.body).collect();
    Ok(Answer::ok(json!({ key: bodies, "meta": meta })))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::testing::{CUSTOMER, HOOK, OURS, Sim, code, text};

    fn sids(body: &Value, key: &str) -> Vec<String> {
        body[key].as_array().expect("rows").iter().map(|row| text(&row["sid"])).collect()
    }

    /// The path of the page that `meta` names, or nothing.
    fn path(body: &Value, name: &str) -> String {
        text(&body["meta"][name]).replace("https://conversations.twilio.com", "")
    }

    /// Reads a list to its end, doing something after each page.
    fn walk(sim: &Sim, first: &str, key: &str, mut after: impl FnMut(usize)) -> Vec<Vec<String>> {
        let (mut next, mut pages) = (first.to_owned(), Vec::new());
        while !next.is_empty() {
            let (status, body) = sim.get(&next);
            assert_eq!((status, &body["meta"]["page"]), (200, &pages.len().into()));
            assert_eq!(body["meta"]["key"], key);
            pages.push(sids(&body, key));
            next = path(&body, "next_page_url");
            after(pages.len());
        }
        pages
    }

    #[test]
    fn a_list_is_read_page_by_page() {
        let sim = Sim::new();
        let all: Vec<String> = (0..5).map(|_| sim.conversation()).collect();
        let service = sim.twilio.settings().chat_service_sid;
        for list in ["/v1/Conversations".to_owned(), format!("/v1/Services/{service}/Conversations")] {
            let pages = walk(&sim, &format!("{list}?PageSize=2&State=active"), "conversations", |_| {});
            assert_eq!((pages.concat(), pages.len()), (all.clone(), 3));
        }
        let (_, second) = sim.get("/v1/Conversations?PageSize=2&Page=1");
        assert_eq!(sids(&second, "conversations"), all[2..4]);
        let (_, first) = sim.get(&path(&second, "previous_page_url"));
        assert_eq!((sids(&first, "conversations"), &first["meta"]["page"]), (all[..2].to_vec(), &0.into()));
        assert_eq!(first["meta"]["previous_page_url"], Value::Null);
    }

    #[test]
    fn a_walk_skips_nothing_when_rows_go_and_repeats_nothing_when_rows_come() {
        let sim = Sim::new();
        let all: Vec<String> = (0..5).map(|_| sim.conversation()).collect();
        // What was read is closed, as a sweeper does, and leaves the list that is filtered by state.
        let close = |page: usize| {
            let state = [("State", "closed")];
            all.iter().skip((page - 1) * 2).take(2).for_each(|sid| {
                sim.post(&format!("/v1/Conversations/{sid}"), &state);
            });
        };
        let pages = walk(&sim, "/v1/Conversations?PageSize=2&State=active", "conversations", close);
        assert_eq!(pages.concat(), all);
        let come = |_| drop(sim.conversation());
        let newest_first = "/v1/Conversations?PageSize=2&StartDate=2026-01-01";
        let pages = walk(&sim, newest_first, "conversations", come);
        assert_eq!(pages.concat(), all.into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_is_in_a_conversation_is_read_page_by_page_too() {
        let sim = Sim::new();
        let sid = sim.twilio.customer_writes(CUSTOMER, OURS, "0").conversation_sid;
        let base = format!("/v1/Conversations/{sid}");
        for number in 1..5 {
            sim.post(&format!("{base}/Participants"), &[("Identity", &format!("guest-{number}"))]);
            sim.post(&format!("{base}/Messages"), &[("Body", &number.to_string())]);
            let hook = [("Target", "webhook"), ("Configuration.Url", HOOK)];
            let filter = ("Configuration.Filters", "onMessageAdded");
            sim.post(&format!("{base}/Webhooks"), &[hook[0], hook[1], filter]);
        }
        let found = sim.twilio.conversation(&sid).expect("made");
        let messages: Vec<_> = found.messages.iter().map(|message| message.sid.clone()).collect();
        let people: Vec<_> = found.participants.iter().map(|participant| participant.sid.clone()).collect();
        let hooks: Vec<_> = found.webhooks.iter().map(|webhook| webhook.sid.clone()).collect();
        let write = |_| drop(sim.post(&format!("{base}/Messages"), &[("Body", "more")]));
        let list = format!("{base}/Messages?Order=desc&PageSize=2");
        let pages = walk(&sim, &list, "messages", write);
        assert_eq!(pages.concat(), messages.into_iter().rev().collect::<Vec<_>>());
        // The second page begins after a row that is no longer there.
        let leave = |page| {
            if page == 1 {
                sim.delete(&format!("{base}/Participants/guest-1"));
            }
        };
        let pages = walk(&sim, &format!("{base}/Participants?PageSize=2"), "participants", leave);
        assert_eq!(pages.concat(), people);
        let detach = |page| {
            if page == 1 {
                sim.delete(&format!("{base}/Webhooks/{}", hooks[0]));
            }
        };
        let pages = walk(&sim, &format!("{base}/Webhooks?PageSize=2"), "webhooks", detach);
        assert_eq!(pages.concat(), hooks);
    }

    #[test]
    fn a_page_may_not_be_larger_than_twilio_allows() {
        let sim = Sim::new();
        assert_eq!(sim.get("/v1/Conversations?PageSize=100").0, 200);
        assert_eq!(code(&sim.get("/v1/Conversations?PageSize=101")), 20001);
        assert_eq!(code(&sim.get("/v1/ParticipantConversations?Identity=a&PageSize=51")), 20001);
        for token in ["x", "PT1", "PA1", "PAx.y"] {
            assert_eq!(code(&sim.get(&format!("/v1/Conversations?PageToken={token}"))), 20001, "{token}");
        }
    }
}
