//! Requests that Twilio's own library has signed: each is taken, and refused after any change.
//!
//! `tests/crosscheck/signatures.sh` makes thousands of them and names the file in
//! `FLEXGLUE_SIGNATURE_VECTORS`. Without that variable it is the committed beginning of the same file.
#![cfg(test)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use shared::{
    secrets::Secret,
    webhook::{RawRequest, Verifier},
};

const SAMPLE: &str = include_str!("data/signatures.jsonl");

#[derive(Clone, Deserialize)]
struct Vector {
    token: String,
    url: String,
    #[serde(rename = "type")]
    kind: String,
    body: String,
    signature: String,
}

impl Vector {
    /// Whether the request is taken if it reaches us by a function URL, with the public base URL set.
    fn is_taken(&self) -> bool {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (authority, path_and_query) = rest.split_at(rest.find('/').unwrap());
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let content_type = match self.kind.as_str() {
            "form" => "application/x-www-form-urlencoded; charset=utf-8",
            _ => "application/json",
        };
        let event = json!({
            "rawPath": path, "rawQueryString": query,
            "headers": {"content-type": content_type, "x-twilio-signature": self.signature},
            "requestContext": {"stage": "$default", "http": {"method": "POST"}},
            "body": STANDARD.encode(&self.body), "isBase64Encoded": true
        });
        let request = RawRequest::from_lambda(serde_json::from_value(event).unwrap()).unwrap();
        let verifier = Verifier::new(Some(format!("{scheme}://{authority}").parse().unwrap()));
        verifier.verify(&request, &[Secret::new("another token"), Secret::new(self.token.as_str())]).is_ok()
    }

    fn changed(&self) -> [Self; 5] {
        let mut signature = self.signature.clone();
        let first = if signature.starts_with('A') { "B" } else { "A" };
        signature.replace_range(..1, first);
        let parameter = if self.kind == "json" { " " } else { "&x=1" };
        let mark = if self.url.contains('?') { "&" } else { "?" };
        [
            Self { signature, ..self.clone() },
            Self { body: format!("{}{parameter}", self.body), ..self.clone() },
            Self { url: format!("{}{mark}x=1", self.url), ..self.clone() },
            Self { url: self.url.replacen("://", "://x", 1), ..self.clone() },
            Self { token: format!("{}x", self.token), ..self.clone() },
        ]
    }
}

#[test]
fn what_twilios_library_signs_is_taken_and_any_change_is_refused() {
    let file = std::env::var_os("FLEXGLUE_SIGNATURE_VECTORS");
    let lines = file.map_or_else(|| SAMPLE.to_owned(), |file| std::fs::read_to_string(file).unwrap());
    let vectors: Vec<Vector> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(vectors.len() >= 40, "only {}", vectors.len());
    for vector in vectors {
        assert!(vector.is_taken(), "{} {}", vector.url, vector.body);
        for (change, changed) in vector.changed().iter().enumerate() {
            assert!(!changed.is_taken(), "change {change} of {} {}", vector.url, vector.body);
        }
    }
}
