//! Signatures: what Twilio signed is taken, whichever front end it comes through; what nobody signed, or was changed
//! since, is refused with 403 and not read.
//!
//! An input is the path and query that Twilio asks for, a line break, and the body.

use bytes::Bytes;
use fastrand::Rng;
use flexglue::local::event::{EventShape, Origin, event};
use http::{Method, Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use shared::{
    secrets::Secret,
    signature::{self, Params, body_hash},
    webhook::{Limits, MAX_BODY, RawRequest, Refusal, SIGNATURE_HEADER, Verified, Verifier},
};

use super::{
    change::{drawn_from, one_byte, replaced},
    first_line,
    stub::{AUTH_TOKEN, DOMAIN},
};

const PUBLIC: &str = "https://public.example/base";
const STAGE: &str = "prod";
const HASH: &str = "bodySHA256";

/// All but the unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One way in which a request may be signed and arrive.
#[derive(Clone, Copy, Debug)]
struct Way {
    shape: EventShape,
    place: Place,
    carrier: Carrier,
}

/// What Twilio was given for our URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The front end's own domain.
    Domain,
    /// The same, with a stage of API Gateway in the path.
    Stage,
    /// `PUBLIC_BASE_URL`.
    Public,
}

/// Where the fields are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Form,
    Json,
    Query,
}

/// A signed request: what Twilio asks for below the place, with which body.
struct Signed {
    way: Way,
    target: String,
    body: Vec<u8>,
    url: String,
    signature: String,
}

/// Signs the input in one of the ways, and changes it here and there.
pub fn run(input: &[u8]) {
    let mut rng = drawn_from(input);
    let ways = ways();
    let Some(signed) = Signed::of(input, ways[rng.usize(..ways.len())]) else { return };
    if !signed.holds() {
        return;
    }
    for _ in 0..3 {
        signed.refuses_another_body(&one_byte(&signed.body, &mut rng));
        signed.refuses_another_target(one_byte(signed.target.as_bytes(), &mut rng));
        signed.refuses_another_signature(one_byte(signed.signature.as_bytes(), &mut rng));
    }
}

/// Signs the input in each of the ways.
pub fn every_way(input: &[u8]) {
    for signed in ways().into_iter().filter_map(|way| Signed::of(input, way)) {
        signed.holds();
    }
}

/// Signs the input in each of the ways, and changes every byte of what comes through an HTTP API, every fifth of what
/// comes through others. How many changes were tried.
#[must_use]
pub fn every_byte(input: &[u8]) -> usize {
    let mut rng = drawn_from(input);
    let mut tried = 0;
    for signed in ways().into_iter().filter_map(|way| Signed::of(input, way)) {
        if !signed.holds() {
            continue;
        }
        let step = if signed.way.shape == EventShape::HttpApi { 1 } else { 5 };
        let part = |part: &[u8], rng: &mut Rng| -> Vec<Vec<u8>> {
            (0..part.len()).step_by(step).map(|at| replaced(part, at, rng)).collect()
        };
        for changed in part(&signed.body, &mut rng) {
            tried += usize::from(signed.refuses_another_body(&changed));
        }
        for changed in part(signed.target.as_bytes(), &mut rng) {
            tried += usize::from(signed.refuses_another_target(changed));
        }
        for changed in part(signed.signature.as_bytes(), &mut rng) {
            tried += usize::from(signed.refuses_another_signature(changed));
        }
    }
    tried
}

fn ways() -> Vec<Way> {
    let shapes = [EventShape::HttpApi, EventShape::FunctionUrl, EventShape::RestApi, EventShape::Alb];
    let mut ways = Vec::new();
    for shape in shapes {
        for place in [Place::Domain, Place::Stage, Place::Public] {
            if place == Place::Stage && matches!(shape, EventShape::FunctionUrl | EventShape::Alb) {
                continue;
            }
            ways.extend([Carrier::Form, Carrier::Json, Carrier::Query].map(|carrier| Way {
                shape,
                place,
                carrier,
            }));
        }
    }
    ways
}

impl Way {
    /// Whether the front end hands the query over byte for byte.
    fn keeps_query(self) -> bool {
        matches!(self.shape, EventShape::HttpApi | EventShape::FunctionUrl)
    }

    /// The request as it arrives, and the URL that Twilio asked for. `None` where no URL is made of that.
    fn request(self, target: &str, body: &[u8], signature: Option<&str>) -> Option<(RawRequest, String)> {
        if !target.starts_with('/') {
            return None;
        }
        let stage = if self.place == Place::Stage { format!("/{STAGE}") } else { String::new() };
        let uri: Uri = format!("https://{DOMAIN}{stage}{target}").parse().ok()?;
        let base = if self.place == Place::Public { PUBLIC.to_owned() } else { format!("https://{DOMAIN}") };
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{base}{}{query}", uri.path());
        let (method, kind) = match self.carrier {
            Carrier::Form => (Method::POST, "application/x-www-form-urlencoded; charset=UTF-8"),
            Carrier::Json => (Method::POST, "application/json"),
            Carrier::Query => (Method::GET, "text/plain"),
        };
        let mut request = Request::builder().method(method).uri(uri).header("content-type", kind);
        if let Some(signature) = signature {
            request = request.header(SIGNATURE_HEADER, signature);
        }
        let request = request.body(Bytes::copy_from_slice(body)).ok()?;
        let origin = Origin {
            domain_name: DOMAIN.to_owned(),
            stage: if self.place == Place::Stage { STAGE } else { "$default" }.to_owned(),
            source_ip: "192.0.2.1".to_owned(),
            request_id: "fuzzing".to_owned(),
            time_epoch_ms: 1_800_000_000_000,
        };
        let event = serde_json::from_value(event(self.shape, &request, &origin)).expect("an event as of AWS");
        Some((RawRequest::from_lambda(event).expect("an event of a front end that is known"), url))
    }

    fn verify(self, request: &RawRequest, tokens: &[&str]) -> Result<Verified, Refusal> {
        let public = (self.place == Place::Public).then(|| PUBLIC.parse().expect("a URL"));
        let limits = Limits { methods: &[Method::GET, Method::POST], ..Limits::default() };
        let tokens: Vec<_> = tokens.iter().map(|token| Secret::new(*token)).collect();
        Verifier { public_base_url: public, limits }.verify(request, &tokens)
    }

    /// Whether the front end hands the body over byte for byte: a REST API takes everything for a text.
    fn lets_through(self, body: &[u8]) -> bool {
        self.shape != EventShape::RestApi || std::str::from_utf8(body).is_ok()
    }

    /// What of a URL arrives: two URLs of which the same arrives are the same request.
    fn arriving(self, url: &str) -> (String, Vec<(String, String)>) {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let mut pairs: Vec<(String, String)> = match self.shape {
            EventShape::HttpApi | EventShape::FunctionUrl => vec![(query.to_owned(), String::new())],
            EventShape::RestApi => form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            EventShape::Alb => {
                let split = |pair: &str| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (name.to_owned(), value.to_owned())
                };
                query.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
            }
        };
        pairs.sort();
        (path.to_owned(), pairs)
    }
}

fn pairs(form: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(form).into_owned().collect()
}

/// Path and query in a form that this front end lets through: where it loses order and encoding, at most four
/// parameters, the hash of a JSON body included, and encoded as most clients do.
fn target(line: &str, way: Way, body: &[u8]) -> Option<String> {
    let line = format!("/{}", line.trim_start_matches('/'));
    let uri: Uri = format!("https://{DOMAIN}{line}").parse().ok()?;
    let (path, query) = (uri.path(), uri.query().unwrap_or_default());
    if pairs(query.as_bytes()).iter().any(|(name, _)| name == HASH) {
        return None;
    }
    let mut query = query.to_owned();
    if !way.keeps_query() {
        let mut pairs = pairs(query.as_bytes());
        // A load balancer hands over one value for each name.
        pairs.sort();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.truncate(3);
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        query = pairs.join("&");
    }
    if way.carrier == Carrier::Json {
        let and = if query.is_empty() { "" } else { "&" };
        query = format!("{query}{and}{HASH}={}", body_hash(body));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    Some(format!("{path}{mark}{query}"))
}

impl Signed {
    /// Signed by the simulated Twilio, which shares no code with what verifies.
    fn of(input: &[u8], way: Way) -> Option<Self> {
        let (line, body) = first_line(input);
        if !way.lets_through(body) {
            return None;
        }
        let target = target(std::str::from_utf8(line).ok()?, way, body)?;
        let (_, url) = way.request(&target, body, None)?;
        let params = if way.carrier == Carrier::Form { pairs(body) } else { Vec::new() };
        let signature = simulator::sign(AUTH_TOKEN, &url, &params);
        let ours = signature::signature(AUTH_TOKEN.as_bytes(), &url, &params.into_iter().collect());
        assert_eq!(signature, ours, "two signers of {url}");
        Some(Self { way, target, body: body.to_vec(), url, signature })
    }

    /// Checks that it is taken as signed and refused otherwise. Whether it is one that is taken.
    fn holds(&self) -> bool {
        let request = |signature| {
            let request = self.way.request(&self.target, &self.body, signature);
            request.expect("it was a request a moment ago").0
        };
        let way = self.way;
        let verified = way.verify(&request(Some(&self.signature)), &["another", AUTH_TOKEN]);
        if self.body.len() > MAX_BODY {
            assert_eq!(verified.map(drop), Err(Refusal::TooLarge));
            return false;
        }
        let unsigned = way.verify(&request(None), &[AUTH_TOKEN]).map(drop);
        assert_eq!(unsigned, Err(Refusal::SignatureMissing));
        for forged in [Refusal::SignatureMissing, Refusal::SignatureInvalid] {
            assert_eq!(forged.status().as_u16(), 403);
        }
        for tokens in [&["another"][..], &[""], &[]] {
            let forged = way.verify(&request(Some(&self.signature)), tokens).map(drop);
            assert_eq!(forged, Err(Refusal::SignatureInvalid));
        }
        let is_object = || serde_json::from_slice::<Map<String, Value>>(&self.body).is_ok();
        let expected = match way.carrier {
            Carrier::Query if !self.body.is_empty() => Err(Refusal::SignatureInvalid),
            Carrier::Json if !is_object() => Err(Refusal::BodyMalformed),
            _ => Ok(()),
        };
        assert_eq!(verified.as_ref().map(drop).map_err(|refusal| *refusal), expected, "{way:?} {}", self.url);
        let Ok(verified) = verified else { return false };
        let sent = match way.carrier {
            Carrier::Form => Params::parse(&self.body),
            Carrier::Query => {
                Params::parse(self.url.split_once('?').map_or("", |(_, query)| query).as_bytes())
            }
            Carrier::Json => Params::default(),
        };
        for (name, _) in sent.iter().take(16) {
            assert!(verified.all(name).eq(sent.all(name)), "the values of {name}");
        }
        true
    }

    /// Whether there was anything to refuse. A form whose parameters are the same is the same form.
    fn refuses_another_body(&self, body: &[u8]) -> bool {
        let text = |form: &[u8]| {
            let mut pairs = pairs(form);
            pairs.sort();
            pairs.dedup();
            // As Twilio signs them, with nothing between a name and its value.
            pairs.into_iter().map(|(name, value)| name + &value).collect::<String>()
        };
        let is_same = self.way.carrier == Carrier::Form && text(body) == text(&self.body);
        if is_same || !self.way.lets_through(body) {
            return false;
        }
        let request = self.way.request(&self.target, body, Some(&self.signature));
        self.is_refused(&request.expect("it differs in its body alone").0, "body");
        true
    }

    fn refuses_another_target(&self, target: Vec<u8>) -> bool {
        let Ok(target) = String::from_utf8(target) else { return false };
        let request = self.way.request(&target, &self.body, Some(&self.signature));
        let Some((request, url)) = request else { return false };
        let way = self.way;
        // An empty query does not arrive.
        if way.arriving(url.trim_end_matches('?')) == way.arriving(&self.url) {
            return false;
        }
        self.is_refused(&request, &target);
        true
    }

    fn refuses_another_signature(&self, signature: Vec<u8>) -> bool {
        let Ok(signature) = String::from_utf8(signature) else { return false };
        let request = self.way.request(&self.target, &self.body, Some(&signature));
        let Some((request, _)) = request else { return false };
        self.is_refused(&request, &signature);
        true
    }

    fn is_refused(&self, request: &RawRequest, changed: &str) {
        let refusal = self.way.verify(request, &[AUTH_TOKEN]).map(drop);
        let allowed =
            if request.is_longer_than(MAX_BODY) { Refusal::TooLarge } else { Refusal::SignatureInvalid };
        assert_eq!(refusal, Err(allowed), "{:?} {}: {changed:?}", self.way, self.url);
    }
}
