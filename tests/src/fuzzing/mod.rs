//! What holds whatever comes in, one file for each kind of input.
//!
//! Each has a `run`, which takes any bytes and panics where a promise is broken: libFuzzer calls it (`fuzz/`), and
//! so do bounded tests (`tests/fuzzing/`), from the same small corpus. Inputs are texts that a person can read and
//! write, so that a finding can be kept in the corpus under a name. What a `run` draws at random it draws from its
//! input: the same input does the same everywhere.

#![allow(clippy::panic, reason = "that is how something that does not hold is told")]

pub mod change;
pub mod gateway_events;
pub mod outbound_bodies;
pub mod routing;
pub mod settings;
mod stub;
pub mod tokens;
pub mod twilio_answers;
pub mod web_chat_forms;
pub mod webhook_events;
pub mod webhook_signatures;

use serde_json::{Map, Value};

/// One kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its file here, of the target in `fuzz/`, and of its folder in `fuzz/corpus/`.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// How many bytes of memory a run may hold at once, for each byte of its input. What it takes to check is part
    /// of it.
    pub bytes_per_byte: u64,
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    Target { name: "gateway_events", run: gateway_events::run, bytes_per_byte: 500 },
    Target { name: "outbound_bodies", run: outbound_bodies::run, bytes_per_byte: 50 },
    Target { name: "routing", run: routing::run, bytes_per_byte: 200 },
    Target { name: "settings", run: settings::run, bytes_per_byte: 100 },
    Target { name: "tokens", run: tokens::run, bytes_per_byte: 50 },
    Target { name: "twilio_answers", run: twilio_answers::run, bytes_per_byte: 50 },
    Target { name: "web_chat_forms", run: web_chat_forms::run, bytes_per_byte: 50 },
    Target { name: "webhook_events", run: webhook_events::run, bytes_per_byte: 50 },
    Target { name: "webhook_signatures", run: webhook_signatures::run, bytes_per_byte: 100 },
];

/// The first line of an input, and all that follows it.
fn first_line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// Whether two values are the same, but for the last digit of a number with a fraction: `serde_json` reads one of
/// more than 15 digits as a neighbour of what was written, unless it is built with `float_roundtrip`.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            (a - b).abs() <= a.abs() * 4.0 * f64::EPSILON + f64::MIN_POSITIVE
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => all_alike(a, b),
        _ => a == b,
    }
}

/// The same for the members of two objects.
fn all_alike(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| alike(value, other)))
}
