//! What gets past the verifier, and what does not, seen from outside the crate.
#![cfg(test)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::{
    secrets::Secret,
    signature::{Params, body_hash, signature},
    webhook::{Limits, MAX_BODY, RawRequest, Refusal, Verified, Verifier},
};

const TOKEN: &str = "12345";
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";
const URL: &str = "https://api.example/webhooks/conversations";

/// A request of payload 2.0, as Twilio sends it to [`URL`] unless something is changed.
#[derive(Clone)]
struct Sent {
    method: &'static str,
    domain: String,
    path: String,
    query: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    signature: Option<String>,
}

impl Sent {
    fn new(content_type: &'static str, query: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: "POST",
            domain: "api.example".to_owned(),
            path: "/webhooks/conversations".to_owned(),
            query: query.to_owned(),
            content_type: Some(content_type),
            body: body.into(),
            signature: None,
        }
    }

    fn signed(mut self, signature: impl Into<String>) -> Self {
        self.signature = Some(signature.into());
        self
    }

    fn event(&self) -> Value {
        let mut headers = json!({"host": "elsewhere.example", "x-forwarded-host": "elsewhere.example"});
        if let Some(content_type) = self.content_type {
            headers["content-type"] = json!(content_type);
        }
        if let Some(signature) = &self.signature {
            headers["x-twilio-signature"] = json!(signature);
        }
        json!({
            "version": "2.0", "rawPath": self.path, "rawQueryString": self.query, "headers": headers,
            "requestContext": {
                "stage": "$default", "domainName": self.domain, "http": {"method": self.method}
            },
            "body": STANDARD.encode(&self.body), "isBase64Encoded": true
        })
    }

    fn verify(&self) -> Result<Verified, Refusal> {
        verify(&Verifier::default(), self.event())
    }
}

fn verify(verifier: &Verifier, event: Value) -> Result<Verified, Refusal> {
    let request = RawRequest::from_lambda(serde_json::from_value(event).unwrap()).unwrap();
    verifier.verify(&request, &[Secret::new(TOKEN)])
}

fn sign(url: &str, form: &str) -> String {
    signature(TOKEN.as_bytes(), url, &Params::parse(form.as_bytes()))
}

fn form(body: &str) -> Sent {
    Sent::new(FORM, "", body).signed(sign(URL, body))
}

/// A JSON request whose URL holds `hash`, with a signature that is right for that URL.
fn json_with_hash(body: &str, hash: &str) -> Sent {
    let query = format!("bodySHA256={hash}");
    let signature = sign(&format!("{URL}?{query}"), "");
    Sent::new(JSON, &query, body).signed(signature)
}

fn json(body: &str) -> Sent {
    json_with_hash(body, &body_hash(body.as_bytes()))
}

fn behind(base: &str) -> Verifier {
    Verifier::new(Some(base.parse().unwrap()))
}

// --- forms -----------------------------------------------------------------------------------------------

#[test]
fn a_signed_form_is_taken_with_and_without_a_charset() {
    for content_type in
        [FORM, "application/x-www-form-urlencoded; charset=UTF-8", "Application/X-WWW-Form-Urlencoded ;x"]
    {
        let mut sent = form("EventType=onMessageAdded&Body=hello");
        sent.content_type = Some(content_type);
        let verified = sent.verify().unwrap();
        assert_eq!(verified.field("EventType"), Some("onMessageAdded"), "{content_type}");
        assert_eq!(verified.field("nothing"), None);
    }
}

#[test]
fn repeated_keys_empty_values_and_every_way_of_encoding_are_taken() {
    let verified =
        form("b=2&b=1&b=2&a=&d=%C3%A9+%2B%20é&c=%e2%82%ac&SidAccount=x&Sid=z&=v").verify().unwrap();
    assert_eq!(verified.all("b").collect::<Vec<_>>(), ["2", "1", "2"]);
    assert_eq!(verified.field("a"), Some(""));
    assert_eq!(verified.field("d"), Some("é + é"));
    assert_eq!(verified.field("c"), Some("€"));
}

#[test]
fn twilios_own_vectors_are_taken() {
    let call =
        "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    let repeated = "SidAccount=AC123&Sid=CA123&Digits=5678&Digits=1234&Digits=1234";
    for (body, signature) in [
        (call, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        // Signed with ":443", which the request came without.
        (call, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
    ] {
        let mut sent = Sent::new(FORM, "foo=1&bar=2", body).signed(signature);
        sent.domain = "mycompany.com".to_owned();
        sent.path = "/myapp.php".to_owned();
        assert!(sent.verify().is_ok(), "{signature}");
    }

    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let mut sent = Sent::new(
        JSON,
        &format!("foo=1&bar=2&bodySHA256={hash}"),
        r#"{"property": "value", "boolean": true}"#,
    )
    .signed("a9nBmqA0ju/hNViExpshrM61xv4=");
    sent.domain = "mycompany.com".to_owned();
    sent.path = "/myapp.php".to_owned();
    assert_eq!(sent.verify().unwrap().field("property"), Some("value"));
}

#[test]
fn a_hash_in_the_url_never_takes_a_forms_parameters_out_of_the_signature() {
    let body = "EventType=onMessageAdded";
    let query = format!("bodySHA256={}", body_hash(body.as_bytes()));
    let url = format!("{URL}?{query}");
    let sent = Sent::new(FORM, &query, body);
    // Right for the URL alone, and the hash is right as well.
    assert_eq!(sent.clone().signed(sign(&url, "")).verify().unwrap_err(), Refusal::SignatureInvalid);
    assert!(sent.signed(sign(&url, body)).verify().is_ok());
}

// --- JSON ------------------------------------------------------------------------------------------------

#[test]
fn a_json_body_is_taken_when_both_its_url_and_its_hash_hold() {
    let verified = json(r#"{"conversation": {"EventType": "onMessageAdded", "Index": 3}}"#).verify().unwrap();
    assert_eq!(verified.field("EventType"), Some("onMessageAdded"));
    assert_eq!(verified.field("Index"), Some("3"));
}

#[test]
fn a_json_body_without_a_hash_is_refused() {
    let sent = Sent::new(JSON, "", r#"{"EventType": "x"}"#).signed(sign(URL, ""));
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureInvalid);
}

#[test]
fn a_json_body_that_its_hash_does_not_fit_is_refused_though_the_urls_signature_holds() {
    let body = r#"{"EventType": "x"}"#;
    let hash = body_hash(body.as_bytes());
    let other = body_hash(b"other");
    for wrong in [
        other.as_str(),
        "",
        &hash[..63],
        &hash.to_uppercase(),
        &format!("{hash}&bodySHA256={hash}"),
        &format!("{other}&bodySHA256={hash}"),
        &format!("&bodysha256={hash}"),
    ] {
        assert_eq!(json_with_hash(body, wrong).verify().unwrap_err(), Refusal::SignatureInvalid, "{wrong}");
    }
    assert!(json_with_hash(body, &hash).verify().is_ok());
}

#[test]
fn a_json_body_whose_urls_signature_does_not_hold_is_refused_though_the_hash_fits() {
    let mut sent = json(r#"{"EventType": "x"}"#);
    sent.query.push_str("&a=1");
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureInvalid);
}

#[test]
fn a_signed_body_that_is_no_json_object_is_malformed_and_not_forged() {
    for body in ["", "[]", "1", "{", "EventType=x", &"[".repeat(20_000)] {
        assert_eq!(json(body).verify().unwrap_err(), Refusal::BodyMalformed);
    }
}

// --- GET -------------------------------------------------------------------------------------------------

#[test]
fn get_is_refused_unless_it_is_allowed_and_then_its_fields_are_in_the_url() {
    const METHODS: &[Method] = &[Method::POST, Method::GET];
    let allowing =
        Verifier { limits: Limits { methods: METHODS, ..Limits::default() }, ..Verifier::default() };
    let query = "EventType=onMessageAdded&Author=a+b";
    let mut sent = Sent::new(FORM, query, "").signed(sign(&format!("{URL}?{query}"), ""));
    sent.method = "GET";
    sent.content_type = None;
    assert_eq!(sent.verify().unwrap_err(), Refusal::MethodNotAllowed);
    assert_eq!(verify(&allowing, sent.event()).unwrap().field("Author"), Some("a b"));

    sent.body = b"EventType=forged".to_vec();
    assert_eq!(verify(&allowing, sent.event()).unwrap_err(), Refusal::SignatureInvalid);
}

// --- what is checked before the signature ----------------------------------------------------------------

#[test]
fn method_then_size_then_type_are_checked_before_the_signature() {
    let mut sent = Sent::new("text/plain", "", vec![b'a'; MAX_BODY + 1]);
    sent.method = "PUT";
    assert_eq!(sent.verify().unwrap_err(), Refusal::MethodNotAllowed);
    sent.method = "POST";
    assert_eq!(sent.verify().unwrap_err(), Refusal::TooLarge);
    sent.body.truncate(MAX_BODY);
    assert_eq!(sent.verify().unwrap_err(), Refusal::UnsupportedType);
    sent.content_type = None;
    assert_eq!(sent.verify().unwrap_err(), Refusal::UnsupportedType);
    sent.content_type = Some(FORM);
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureMissing);
    sent.signature = Some(sign(URL, &"a".repeat(MAX_BODY)));
    assert!(sent.verify().is_ok());
}

#[test]
fn a_smaller_limit_holds_and_a_content_length_has_no_say() {
    let small = Verifier { limits: Limits { max_body: 10, ..Limits::default() }, ..Verifier::default() };
    let mut event = form("EventType=x").event();
    assert_eq!(verify(&small, event.clone()).unwrap_err(), Refusal::TooLarge);
    for absurd in ["0", "-1", "99999999999999999999999", "x"] {
        event["headers"]["content-length"] = json!(absurd);
        assert!(verify(&Verifier::default(), event.clone()).is_ok());
    }
}

#[test]
fn other_types_are_refused() {
    for content_type in ["multipart/form-data; boundary=x", "application/jsonp", "text/json", "", ";"] {
        let mut sent = form("a=1");
        sent.content_type = Some(content_type);
        assert_eq!(sent.verify().unwrap_err(), Refusal::UnsupportedType, "{content_type}");
    }
}

// --- the signature header and the tokens -----------------------------------------------------------------

#[test]
fn a_missing_signature_is_told_from_a_wrong_one() {
    let mut sent = form("a=1");
    sent.signature = None;
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureMissing);
    let right = sign(URL, "a=1");
    for wrong in [
        "",
        "x",
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        &right[..27],
        right.trim_end_matches('='),
        &format!("{right}="),
        &format!("{right}, {right}"),
        &format!("{right} "),
        &right.replace('=', "é"),
        "RSOYDt4T1cUTdK1PDd93_VVr8B8=",
        &"A".repeat(10_000),
    ] {
        assert_eq!(form("a=1").signed(wrong).verify().unwrap_err(), Refusal::SignatureInvalid, "{wrong}");
    }
}

#[test]
fn a_repeated_signature_header_is_refused_even_if_both_are_right() {
    let right = sign(URL, "a=1");
    let mut event = form("a=1").event();
    event["headers"]["x-twilio-signature"] = json!([right, right]);
    assert_eq!(verify(&Verifier::default(), event).unwrap_err(), Refusal::SignatureInvalid);
}

#[test]
fn either_of_two_live_tokens_may_have_signed_and_no_other() {
    let request = RawRequest::from_lambda(serde_json::from_value(form("a=1").event()).unwrap()).unwrap();
    let verify = |tokens: &[&str]| {
        let tokens: Vec<_> = tokens.iter().map(|&token| Secret::new(token)).collect();
        Verifier::default().verify(&request, &tokens).map(|_| ())
    };
    assert_eq!(verify(&[TOKEN, "new"]), Ok(()));
    assert_eq!(verify(&["new", TOKEN]), Ok(()));
    assert_eq!(verify(&["new", "newer"]), Err(Refusal::SignatureInvalid));
    assert_eq!(verify(&[]), Err(Refusal::SignatureInvalid));
}

#[test]
fn an_empty_token_signs_nothing() {
    let request = form("a=1").signed(signature(b"", URL, &Params::parse(b"a=1")));
    let request = RawRequest::from_lambda(serde_json::from_value(request.event()).unwrap()).unwrap();
    let refusal = Verifier::default().verify(&request, &[Secret::new("")]).unwrap_err();
    assert_eq!(refusal, Refusal::SignatureInvalid);
}

#[test]
fn the_idempotency_token_is_handed_on() {
    let mut event = form("a=1").event();
    assert_eq!(verify(&Verifier::default(), event.clone()).unwrap().idempotency_token(), None);
    event["headers"]["I-Twilio-Idempotency-Token"] = json!("token-1");
    let verified = verify(&Verifier::default(), event).unwrap();
    assert_eq!(verified.idempotency_token(), Some("token-1"));
}

#[test]
fn a_verified_request_prints_names_only() {
    let printed = format!("{:?}", form("Author=customer1&Body=hello").verify().unwrap());
    assert!(printed.contains("Author") && !printed.contains("customer1"), "{printed}");
}

// --- which URL was signed --------------------------------------------------------------------------------

#[test]
fn the_query_is_signed_byte_for_byte() {
    let query = "b=%2f&a=%C3%a9&b&&c=x+y";
    let sent = Sent::new(FORM, query, "a=1");
    assert!(sent.clone().signed(sign(&format!("{URL}?{query}"), "a=1")).verify().is_ok());
    let normalised = "b=%2F&a=%C3%A9&b=&c=x%20y";
    assert!(sent.signed(sign(&format!("{URL}?{normalised}"), "a=1")).verify().is_err());
}

#[test]
fn a_quote_in_the_query_may_have_been_signed_escaped() {
    let sent = Sent::new(FORM, "q=It's+amazing", "a=1");
    for signed in ["q=It's+amazing", "q=It%27s+amazing"] {
        assert!(sent.clone().signed(sign(&format!("{URL}?{signed}"), "a=1")).verify().is_ok(), "{signed}");
    }
}

#[test]
fn a_trailing_slash_is_part_of_the_signed_url() {
    let mut sent = form("a=1");
    sent.path.push('/');
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureInvalid);
    assert!(sent.signed(sign(&format!("{URL}/"), "a=1")).verify().is_ok());
}

#[test]
fn the_port_may_be_in_the_signed_url_or_not() {
    let signed_with_port = sign("https://api.example:443/webhooks/conversations", "a=1");
    assert!(form("a=1").signed(signed_with_port).verify().is_ok());
    let verifier = behind("https://api.example:8443");
    for signed in ["https://api.example:8443", "https://api.example"] {
        let sent = form("a=1").signed(sign(&format!("{signed}/webhooks/conversations"), "a=1"));
        assert!(verify(&verifier, sent.event()).is_ok(), "{signed}");
    }
}

#[test]
fn a_stage_may_be_in_the_signed_url_or_not() {
    for (raw_path, stage) in [
        ("/webhooks/conversations", "prod"),
        ("/prod/webhooks/conversations", "prod"),
        ("/webhooks/conversations", "$default"),
    ] {
        for prefix in ["", "/prod"] {
            let url = format!("https://api.example{prefix}/webhooks/conversations");
            let mut event = form("a=1").signed(sign(&url, "a=1")).event();
            event["rawPath"] = json!(raw_path);
            event["requestContext"]["stage"] = json!(stage);
            let accepted = verify(&Verifier::default(), event).is_ok();
            assert_eq!(accepted, stage == "prod" || prefix.is_empty(), "{raw_path} {stage} {prefix}");
        }
    }
}

#[test]
fn behind_a_public_base_url_the_signed_url_is_base_path_and_query() {
    let url = "https://hooks.example/flex/webhooks/conversations?a=%27";
    let mut sent = form("a=1").signed(sign(url, "a=1"));
    sent.query = "a=%27".to_owned();
    assert!(verify(&behind("https://hooks.example/flex/"), sent.event()).is_ok());
    assert!(verify(&behind("https://hooks.example"), sent.event()).is_err());

    let mut event = sent.event();
    event["rawPath"] = json!("/prod/webhooks/conversations");
    event["requestContext"]["stage"] = json!("prod");
    assert!(verify(&behind("https://hooks.example/flex"), event).is_ok());
}

#[test]
fn behind_a_public_base_url_headers_and_domain_have_no_say() {
    for url in ["https://elsewhere.example", "https://api.example"] {
        let sent = form("a=1").signed(sign(&format!("{url}/webhooks/conversations"), "a=1"));
        let refusal = verify(&behind("https://hooks.example"), sent.event()).unwrap_err();
        assert_eq!(refusal, Refusal::SignatureInvalid);
    }
}

#[test]
fn forwarded_headers_have_no_say_anywhere() {
    let sent = form("a=1").signed(sign("https://elsewhere.example/webhooks/conversations", "a=1"));
    assert_eq!(sent.verify().unwrap_err(), Refusal::SignatureInvalid);
}

#[test]
fn payload_1_finds_the_signed_order_and_encoding_of_the_query() {
    let event = |query: &str| {
        json!({
            "path": "/webhooks", "httpMethod": "POST",
            "multiValueHeaders": {
                "Content-Type": [FORM],
                "X-Twilio-Signature": [sign(&format!("https://api.example/prod/webhooks?{query}"), "a=1")]
            },
            "multiValueQueryStringParameters": {"z": ["2", "1"], "a": ["é/ b"], "m": [""]},
            "requestContext": {
                "httpMethod": "POST", "stage": "prod", "path": "/prod/webhooks", "domainName": "api.example"
            },
            "body": "a=1", "isBase64Encoded": false
        })
    };
    for query in [
        "z=2&a=%C3%A9%2F%20b&z=1&m=",
        "m=&z=1&z=2&a=%C3%A9%2F%20b",
        "m=&z=1&z=2&a=%C3%A9%2F+b",
        "m=&z=1&z=2&a=%C3%A9/%20b",
    ] {
        assert!(verify(&Verifier::default(), event(query)).is_ok(), "{query}");
    }
    let refusal = verify(&Verifier::default(), event("m=&z=1&z=3&a=%C3%A9/%20b")).unwrap_err();
    assert_eq!(refusal, Refusal::SignatureInvalid);
}

#[test]
fn a_load_balancer_hands_the_query_on_as_it_came_but_for_its_order() {
    let event = |query: &str| {
        json!({
            "requestContext": {"elb": {}}, "path": "/webhooks", "httpMethod": "POST",
            "headers": {
                "host": "lb.example", "content-type": FORM,
                "x-twilio-signature": sign(&format!("https://lb.example/webhooks?{query}"), "a=1")
            },
            "queryStringParameters": {"z": "%2f+", "a": "1"},
            "body": STANDARD.encode("a=1"), "isBase64Encoded": true
        })
    };
    assert!(verify(&Verifier::default(), event("z=%2f+&a=1")).is_ok());
    assert!(verify(&Verifier::default(), event("a=1&z=%2f+")).is_ok());
    assert!(verify(&Verifier::default(), event("a=1&z=%2F%20")).is_err());
}

#[test]
fn a_json_body_is_taken_through_payload_1_with_many_query_parameters() {
    let body = r#"{"EventType": "x"}"#;
    let hash = body_hash(body.as_bytes());
    let url = format!("https://api.example/x?a=1&c=1&d=1&e=1&z=1&bodySHA256={hash}");
    let event = json!({
        "path": "/x", "httpMethod": "POST",
        "headers": {"Content-Type": JSON, "X-Twilio-Signature": sign(&url, "")},
        "queryStringParameters": {"a": "1", "c": "1", "d": "1", "e": "1", "z": "1", "bodySHA256": hash},
        "requestContext": {"httpMethod": "POST", "domainName": "api.example"},
        "body": body, "isBase64Encoded": false
    });
    assert!(verify(&Verifier::default(), event).is_ok());
}

// --- every byte counts -----------------------------------------------------------------------------------

/// Every text that differs from `bytes` in one byte, within reason.
fn changed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let others = |byte: u8| [byte ^ 1, byte ^ 0x20, b'&', b'=', b'+', b'%', b'A'];
    bytes.iter().enumerate().flat_map(move |(at, &byte)| {
        others(byte).into_iter().filter(move |other| *other != byte).map(move |other| {
            let mut changed = bytes.to_vec();
            changed[at] = other;
            changed
        })
    })
}

/// What a form says: which values each name has.
fn meaning(form: &[u8]) -> std::collections::BTreeSet<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

#[test]
fn every_changed_byte_of_a_form_is_refused_unless_it_says_the_same() {
    let body = "EventType=onMessageAdded&Body=h%C3%A9llo+%2b1%20x&Author=%2B15551230001&Empty=&Index=0";
    let sent = form(body);
    let (mut accepted, mut refused) = (0, 0);
    for changed in changed(body.as_bytes()) {
        let same = meaning(&changed) == meaning(body.as_bytes());
        let sent = Sent { body: changed.clone(), ..sent.clone() };
        assert_eq!(sent.verify().is_ok(), same, "{}", String::from_utf8_lossy(&changed));
        *if same { &mut accepted } else { &mut refused } += 1;
    }
    // The case of the digits in "%C3", "%A9", "%2b" and "%2B", and "Empty&&Index" for "Empty=&Index".
    assert_eq!(accepted, 5, "of {refused}");
}

#[test]
fn every_changed_byte_of_a_url_is_refused() {
    let query = "a=1&b=%2F+x";
    let sent = Sent::new(FORM, query, "a=1").signed(sign(&format!("{URL}?{query}"), "a=1"));
    assert!(sent.verify().is_ok());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    for query in changed(query.as_bytes()).map(text) {
        assert!(Sent { query: query.clone(), ..sent.clone() }.verify().is_err(), "{query}");
    }
    for path in changed(sent.path.as_bytes()).map(text) {
        assert!(Sent { path: path.clone(), ..sent.clone() }.verify().is_err(), "{path}");
    }
    for domain in changed(sent.domain.as_bytes()).map(text) {
        assert!(Sent { domain: domain.clone(), ..sent.clone() }.verify().is_err(), "{domain}");
    }
}

#[test]
fn every_changed_byte_of_a_json_body_or_of_its_hash_is_refused() {
    let body = r#"{"EventType": "onMessageAdded", "Index": 0}"#;
    let sent = json(body);
    for changed in changed(body.as_bytes()) {
        assert_eq!(Sent { body: changed, ..sent.clone() }.verify().unwrap_err(), Refusal::SignatureInvalid);
    }
    for query in changed(sent.query.as_bytes()) {
        let query = String::from_utf8_lossy(&query).into_owned();
        assert!(Sent { query, ..sent.clone() }.verify().is_err());
    }
}

#[test]
fn every_changed_byte_of_a_signature_is_refused() {
    let sent = form("a=1");
    let right = sign(URL, "a=1");
    // No header can hold a control character.
    for changed in changed(right.as_bytes()).filter(|text| text.iter().all(u8::is_ascii_graphic)) {
        let signature = String::from_utf8_lossy(&changed).into_owned();
        assert_eq!(sent.clone().signed(signature).verify().unwrap_err(), Refusal::SignatureInvalid);
    }
}

// --- any input -------------------------------------------------------------------------------------------

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_signed_is_verified(
        pairs in prop::collection::vec(("[A-Za-z.é ]{1,8}", ".{0,12}"), 0..8),
        host in "[a-z][a-z0-9.-]{0,12}",
        path in "(/[A-Za-z0-9%._~-]{0,6}){1,3}",
        query in "([a-z]{1,3}=[A-Za-z0-9%+._~:/-]{0,6}(&[a-z]=[A-Z]{0,2})?)?",
    ) {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("https://{host}{path}{mark}{query}");
        let params: Params = pairs.clone().into_iter().collect();
        let mut sent = Sent::new(FORM, &query, body).signed(signature(TOKEN.as_bytes(), &url, &params));
        (sent.domain, sent.path) = (host, path);
        let verified = sent.verify();
        prop_assert!(verified.is_ok());
        for (name, value) in &pairs {
            prop_assert!(verified.as_ref().is_ok_and(|verified| verified.all(name).any(|it| it == value)));
        }
        // Somebody else's token, and the same request at another path.
        let foreign = signature(b"54321", &url, &params);
        prop_assert!(sent.clone().signed(foreign).verify().is_err());
        sent.path.push('x');
        prop_assert!(sent.verify().is_err());
    }

    #[test]
    fn no_input_makes_it_panic(
        texts in prop::array::uniform5(".{0,20}"),
        map in prop::collection::hash_map(".{0,5}", prop::collection::vec(".{0,5}", 0..3), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..60),
        json in any::<bool>(),
    ) {
        let [domain, path, query, stage, _] = &texts;
        let content_type = if json { JSON } else { FORM };
        let headers = json!({
            "content-type": content_type, "x-twilio-signature": sign(URL, ""), "host": "h"
        });
        let body = STANDARD.encode(&body);
        let payload_2 = json!({
            "rawPath": path, "rawQueryString": query, "headers": headers,
            "requestContext": {"stage": stage, "domainName": domain, "http": {"method": "POST"}},
            "body": body, "isBase64Encoded": true
        });
        let payload_1 = json!({
            "path": path, "httpMethod": "POST", "headers": headers, "multiValueQueryStringParameters": map,
            "requestContext": {
                "httpMethod": "POST", "stage": stage, "path": query, "domainName": domain
            },
            "body": body, "isBase64Encoded": true
        });
        let alb = json!({
            "requestContext": {"elb": {}}, "path": path, "httpMethod": "POST", "headers": headers,
            "multiValueQueryStringParameters": map, "body": body, "isBase64Encoded": true
        });
        for event in [payload_2, payload_1, alb] {
            prop_assert!(verify(&Verifier::default(), event).is_err());
        }
    }
}
