//! What happened, for whoever must find out why.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use shared::transport::TransportError;

use super::machine::Side;

/// Lines, in the order in which things happened.
#[derive(Debug)]
pub(super) struct Story {
    lines: Option<Mutex<Vec<String>>>,
}

impl Story {
    pub(super) fn new(telling: bool) -> Self {
        Self { lines: telling.then(Mutex::default) }
    }

    pub(super) fn tell(&self, now_ms: u64, what: impl FnOnce() -> String) {
        let Some(lines) = &self.lines else { return };
        let (seconds, ms) = (now_ms / 1000, now_ms % 1000);
        let line = format!("{seconds:>7}.{ms:03}  {}", what());
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// What was asked and answered: whole bodies, so that two runs that differ anywhere tell different stories.
    pub(super) fn detail(
        &self,
        side: Side,
        request: &Request<Bytes>,
        outcome: &Result<Response<Bytes>, TransportError>,
    ) -> String {
        if self.lines.is_none() {
            return String::new();
        }
        let answer = outcome.as_ref().map(|answer| answer.body().as_ref()).unwrap_or_default();
        match side {
            Side::Twilio => {
                let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
                format!("  {path} {}", digest(&[request.body(), answer]))
            }
            Side::Table => {
                let (asked, told) = (in_order(request.body()), in_order(answer));
                format!(
                    "  {}{}",
                    written(&serde_json::from_slice(request.body()).unwrap_or_default()),
                    digest(&[asked.as_bytes(), told.as_bytes()])
                )
            }
        }
    }

    /// The lines, with short names in place of SIDs.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some(lines) = &self.lines else { return Vec::new() };
        let lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut names = Names::default();
        lines.iter().map(|line| names.in_line(line)).collect()
    }
}

/// The SDK writes the attributes of an item in any order.
fn in_order(body: &[u8]) -> String {
    serde_json::from_slice::<Value>(body).map(|body| body.to_string()).unwrap_or_default()
}

/// Sixteen digits that differ where anything does.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("[{hash:016x}]")
}

/// Which records a request writes, and what they become.
fn written(request: &Value) -> String {
    let mut written = String::new();
    for write in request["TransactItems"].as_array().into_iter().flatten() {
        let item = &write["Put"]["Item"];
        let Some(stage) = item["stage"]["S"].as_str() else { continue };
        let (pk, version) = (&item["pk"]["S"], &item["version"]["N"]);
        // Writing to a string cannot fail.
        let _ = write!(
            written,
            "{} becomes {stage} (version {}) ",
            pk.as_str().unwrap_or_default(),
            version.as_str().unwrap_or_default()
        );
    }
    written
}

/// `CH#1` for the first conversation that the story tells of, and so on.
#[derive(Default)]
struct Names {
    given: BTreeMap<String, String>,
    of_a_kind: BTreeMap<String, usize>,
}

impl Names {
    /// The length of a SID.
    const SID: usize = 34;

    fn in_line(&mut self, line: &str) -> String {
        let mut named = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(letter) = rest.chars().next() {
            if let Some(sid) = rest.get(..Self::SID).filter(|text| is_sid(text)) {
                named.push_str(&self.name(sid));
                rest = &rest[Self::SID..];
            } else {
                named.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
        named
    }

    fn name(&mut self, sid: &str) -> String {
        if let Some(name) = self.given.get(sid) {
            return name.clone();
        }
        let kind = sid[..2].to_owned();
        let number = self.of_a_kind.entry(kind.clone()).or_default();
        *number += 1;
        let name = format!("{kind}#{number}");
        self.given.insert(sid.to_owned(), name.clone());
        name
    }
}

fn is_sid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes[..2].iter().all(u8::is_ascii_uppercase) && bytes[2..].iter().all(u8::is_ascii_hexdigit)
}
