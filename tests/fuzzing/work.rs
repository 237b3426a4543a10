//! How much memory a run takes, and whether twice the input is twice the work. What is counted is allocations, not
//! time: the same input allocates the same on any machine, however busy.
//!
//! Work that allocates nothing is not seen here; libFuzzer's `-timeout` sees it.

use std::fmt::Write as _;

use allocation_counter::{AllocationInfo, measure};
use flexglue_tests::fuzzing::{TARGETS, Target, webhook_signatures};
use serde_json::json;

use crate::corpus::corpus;

/// What a run may hold whatever its input: the functions' own, answers, and what it takes to check.
const FIXED: u64 = 512 * 1024;

/// Inputs of one kind, of about as many bytes as they are asked for.
struct Growing {
    target: &'static str,
    name: &'static str,
    of: fn(usize) -> Vec<u8>,
    /// The largest that is not refused for its size.
    most: usize,
}

fn growing() -> Vec<Growing> {
    let big = 60_000;
    let of = |target, name, most, of| Growing { target, name, of, most };
    vec![
        of("webhook_signatures", "one long field", big, |n| [b"/x?a=1\na=", &*vec![b'x'; n]].concat()),
        of("webhook_signatures", "many fields", big, |n| {
            [b"/x?a=1\n".to_vec(), times(n / 12, |i| format!("name{i:04}=x&"))].concat()
        }),
        of("webhook_signatures", "many of one name", big, |n| {
            [b"/x\n".to_vec(), b"a=%41&".repeat(n / 6)].concat()
        }),
        of("webhook_signatures", "a long path", big, |n| [b"/", &*vec![b'x'; n], b"?a=1\na=1"].concat()),
        of("webhook_events", "many fields", big, |n| {
            [b"EventType=onMessageAdded&".to_vec(), times(n / 12, |i| format!("name{i:04}=x&"))].concat()
        }),
        of("webhook_events", "one field many times", big, |n| {
            [b"EventType=x&".to_vec(), b"ConversationSid=CH1&".repeat(n / 20)].concat()
        }),
        of("webhook_events", "many members", big, |n| object(n / 16, |i| format!("\"name{i:05}\":null"))),
        of("webhook_events", "large attributes", big, |n| {
            let attributes = String::from_utf8(object(n / 20, |i| format!("\"name{i:05}\":{i}"))).unwrap();
            let account = "AC00000000000000000000000000000001";
            let event = json!({
                "EventType": "onMessageAdded", "AccountSid": account,
                "ConversationSid": "CH00000000000000000000000000000001", "ChannelAttributes": attributes,
            });
            event.to_string().into_bytes()
        }),
        of("gateway_events", "a large body", big, |n| payload_2(&json!({}), "", &"x".repeat(n))),
        of("gateway_events", "many headers", big, |n| {
            payload_2(&(0..n / 16).map(|i| (format!("x-{i:05}"), json!("1"))).collect(), "", "")
        }),
        of("gateway_events", "a long query", big, |n| payload_2(&json!({}), &"a=1&".repeat(n / 4), "")),
        of("gateway_events", "many parameters", big, |n| {
            let pairs: serde_json::Map<_, _> =
                (0..n / 20).map(|i| (format!("name{i:05}"), json!(["1"]))).collect();
            rest_api(&json!(pairs))
        }),
        // All of a REST API's headers and its query have 10,240 bytes.
        of("gateway_events", "four long parameters", 10_000, |n| {
            let long = "'".repeat(n / 4);
            rest_api(&json!({"a": [long], "b": [long], "c": [long], "d": [long]}))
        }),
        of("outbound_bodies", "many names", 30_000, |n| {
            [b"key\n".to_vec(), object(n / 16, |i| format!("\"name{i:05}\":null"))].concat()
        }),
        of("outbound_bodies", "large attributes", 30_000, |n| {
            [
                b"key\n{\"attributes\":".to_vec(),
                object(n / 16, |i| format!("\"name{i:05}\":[]")),
                b"}".to_vec(),
            ]
            .concat()
        }),
        of("web_chat_forms", "many fields", 15_000, |n| {
            [b"{\"formData\":".to_vec(), object(n / 16, |i| format!("\"name{i:05}\":{i}")), b"}".to_vec()]
                .concat()
        }),
        of("tokens", "a long token", 4_000, |n| [b"e30.".to_vec(), vec![b'a'; n], b".YQ".to_vec()].concat()),
        of("tokens", "many parts", 4_000, |n| b"a.".repeat(n / 2)),
        of("settings", "many rules", big, |n| {
            [b"ROUTING_RULES=[{}".to_vec(), b",{\"priority\":1}".repeat(n / 15), b"]".to_vec()].concat()
        }),
        of("settings", "many senders", big, |n| {
            [b"OUTBOUND_SENDERS=".to_vec(), b"+15551230001,".repeat(n / 13)].concat()
        }),
        of("settings", "a wrong policy", big, |n| {
            [b"TERMINAL_POLICY={\"".to_vec(), b"\\n".repeat(n / 2), b"\":[]}".to_vec()].concat()
        }),
        of("routing", "many rules", big, |n| {
            [b"{\"rules\":[{}".to_vec(), b",{\"priority\":1}".repeat(n / 15), b"]}".to_vec()].concat()
        }),
        of("routing", "large pre-engagement data", big, |n| {
            let data = object(n / 16, |i| format!("\"name{i:05}\":{i}"));
            [b"{\"rules\":[],\"attributes\":{\"pre_engagement_data\":".to_vec(), data, b"}}".to_vec()]
                .concat()
        }),
        of("twilio_answers", "a long page", big, |n| {
            let items = times(n / 45, |i| format!("{{\"sid\":\"CH{i:032}\"}},"));
            [b"200\n\n{\"conversations\":[".to_vec(), items, b"{}]}".to_vec()].concat()
        }),
        of("twilio_answers", "a long message", big, |n| {
            [b"400\n\n{\"code\":1,\"message\":\"".to_vec(), vec![b'x'; n], b"\"}".to_vec()].concat()
        }),
        of("twilio_answers", "a long page token", big, |n| {
            let url = [b"https://x?PageToken=".to_vec(), vec![b'x'; n]].concat();
            let meta = b"200\n\n{\"conversations\":[],\"meta\":{\"next_page_url\":\"".to_vec();
            [meta, url, b"\"}}".to_vec()].concat()
        }),
    ]
}

fn times(count: usize, one: impl Fn(usize) -> String) -> Vec<u8> {
    let mut all = String::new();
    (0..count).for_each(|i| write!(all, "{}", one(i)).unwrap());
    all.into_bytes()
}

fn object(members: usize, one: impl Fn(usize) -> String) -> Vec<u8> {
    let members: Vec<_> = (0..members).map(one).collect();
    format!("{{{}}}", members.join(",")).into_bytes()
}

fn payload_2(headers: &serde_json::Value, query: &str, body: &str) -> Vec<u8> {
    let mut headers = headers.clone();
    headers["content-type"] = json!("application/x-www-form-urlencoded");
    headers["x-twilio-signature"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    let event = json!({
        "version": "2.0", "rawPath": "/x", "rawQueryString": query, "headers": headers, "body": body,
        "requestContext": {"stage": "$default", "domainName": "x", "http": {"method": "POST", "path": "/x"}},
        "isBase64Encoded": false,
    });
    event.to_string().into_bytes()
}

fn rest_api(parameters: &serde_json::Value) -> Vec<u8> {
    let event = json!({
        "path": "/x", "httpMethod": "POST", "body": "a=1", "isBase64Encoded": false,
        "headers": {
            "content-type": "application/x-www-form-urlencoded",
            "x-twilio-signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        },
        "multiValueQueryStringParameters": parameters,
        "requestContext": {"httpMethod": "POST", "stage": "prod", "path": "/mapped/x", "domainName": "x"},
    });
    event.to_string().into_bytes()
}

fn target(name: &str) -> Target {
    *TARGETS.iter().find(|target| target.name == name).unwrap()
}

/// What a run allocates, once what the thread keeps is there.
fn taken(run: fn(&[u8]), input: &[u8]) -> AllocationInfo {
    run(b"{}");
    run(b"");
    measure(|| run(input))
}

#[test]
fn no_input_takes_more_memory_than_its_size_allows() {
    let holds_within = |target: &Target, name: &str, input: &[u8]| {
        let held = taken(target.run, input).bytes_max;
        let allowed = FIXED + target.bytes_per_byte * input.len() as u64;
        assert!(held <= allowed, "{}: {name}: {held} bytes of {allowed} for {}", target.name, input.len());
    };
    for target in TARGETS {
        for kept in corpus(target.name) {
            holds_within(&target, &kept.name, &kept.bytes);
        }
    }
    for growing in growing() {
        holds_within(&target(growing.target), growing.name, &(growing.of)(growing.most));
    }
}

#[test]
fn twice_as_much_is_twice_the_work_and_no_more() {
    for growing in growing() {
        let run = match growing.target {
            // Which way a request goes is drawn from its bytes, and some ways are longer than others.
            "webhook_signatures" => webhook_signatures::every_way,
            name => target(name).run,
        };
        let [half, whole] = [growing.most / 4, growing.most / 2].map(|size| taken(run, &(growing.of)(size)));
        // Vectors grow by doubling, so that a little more than twice is nothing.
        assert!(
            whole.bytes_total * 10 <= half.bytes_total * 26
                && whole.count_total * 10 <= half.count_total * 24,
            "{}: {}: {half:?} and {whole:?}",
            growing.target,
            growing.name
        );
    }
}
