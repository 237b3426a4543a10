//! The gate: what passes it was signed by Twilio.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode, header};
use subtle::ConstantTimeEq as _;

use super::{
    base_url::PublicBaseUrl,
    json_body,
    request::{MAX_BODY, RawRequest},
    signed_urls::signed_urls,
    url_forms::Form,
    verified::Verified,
};
use crate::{
    secrets::Secret,
    signature::{BODY_HASH_PARAMETER, MAC_LEN, Params, body_hash, mac},
};

/// The header that holds the signature
/// ([Validating requests](https://www.twilio.com/docs/usage/security#validating-requests)).
pub const SIGNATURE_HEADER: &str = "x-twilio-signature";

/// The most signatures that are computed for one request, whatever it looks like. That is 24 orders of a query
/// times three ways to encode it times three paths times two tokens, all of which only payload 1.0 can come to;
/// where the ways to encode it agree, with and without the port as well. Payload 2.0 takes four per token, or
/// eight if there is a `'` in the query.
pub const MAX_ATTEMPTS: usize = 24 * 3 * 3 * 2;

const POST_ONLY: &[Method] = &[Method::POST];

/// What a request may look like before anybody looks at its signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest body in bytes; more than [`MAX_BODY`] has no effect.
    pub max_body: usize,
    /// The methods that are taken. Of `GET` the fields are those of the query, and a body is refused; of any
    /// other they are those of the body.
    pub methods: &'static [Method],
}

impl Default for Limits {
    /// 64 KiB, `POST` only.
    fn default() -> Self {
        Self { max_body: MAX_BODY, methods: POST_ONLY }
    }
}

/// Why a request is not taken. None of it says what was expected of the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not one of [`Limits::methods`].
    #[error("this method is not allowed here")]
    MethodNotAllowed,
    /// Longer than [`Limits::max_body`].
    #[error("the body is too large")]
    TooLarge,
    /// Neither a form nor JSON.
    #[error("the body must be application/x-www-form-urlencoded or application/json")]
    UnsupportedType,
    /// There is no `X-Twilio-Signature`.
    #[error("the signature is missing")]
    SignatureMissing,
    /// The signature, or the hash of a JSON body that it covers, does not hold.
    #[error("the signature does not hold")]
    SignatureInvalid,
    /// Signed, but not what its type says.
    #[error("the body is not what its type says")]
    BodyMalformed,
}

impl Refusal {
    /// The status to answer with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::SignatureMissing | Self::SignatureInvalid => StatusCode::FORBIDDEN,
            Self::BodyMalformed => StatusCode::BAD_REQUEST,
        }
    }
}

/// Tells requests that Twilio signed from all others.
#[derive(Clone, Debug, Default)]
pub struct Verifier {
    /// Where Twilio was told to reach us; `None` if that is the domain name that the front end reports.
    pub public_base_url: Option<PublicBaseUrl>,
    /// What is checked before the signature.
    pub limits: Limits,
}

/// Where a request's fields are, which is what its signature has to cover.
#[derive(Clone, Copy)]
enum Carrier {
    Query,
    Form,
    Json,
}

impl Verifier {
    /// A verifier with the usual limits.
    #[must_use]
    pub fn new(public_base_url: Option<PublicBaseUrl>) -> Self {
        Self { public_base_url, limits: Limits::default() }
    }

    /// Checks method, size and type, which is cheap and reveals nothing, then the signature over the bytes
    /// that came. Nothing is made of them before it holds.
    ///
    /// `tokens` are the auth tokens that may have signed, the likeliest first: the primary one of the account
    /// and, while it is being rotated, the secondary one
    /// ([auth tokens](https://www.twilio.com/docs/iam/api/authtoken)). An empty token signs nothing. At most
    /// [`MAX_ATTEMPTS`] signatures are computed, each compared in constant time.
    ///
    /// # Errors
    /// The first check that does not hold.
    pub fn verify(&self, request: &RawRequest, tokens: &[Secret]) -> Result<Verified, Refusal> {
        if !self.limits.methods.contains(&request.method) {
            return Err(Refusal::MethodNotAllowed);
        }
        if request.is_longer_than(self.limits.max_body) {
            return Err(Refusal::TooLarge);
        }
        let carrier = carrier(request)?;
        let claimed = claimed_mac(&request.headers)?;

        // The decoded parameters of a form are themselves what is signed; whatever the URL says of a hash,
        // they are never left out.
        let form = match carrier {
            Carrier::Form => Params::parse(&request.body),
            Carrier::Query | Carrier::Json => Params::default(),
        };
        let url = self
            .signed_url(request, tokens, &form.signed_text(), claimed)
            .ok_or(Refusal::SignatureInvalid)?;
        let query = Params::parse(url.split_once('?').map_or("", |(_, query)| query).as_bytes());

        let fields = match carrier {
            Carrier::Form => form,
            Carrier::Query if request.body.is_empty() => query,
            Carrier::Json if hash_holds(&query, &request.body) => {
                json_body::fields(&request.body).ok_or(Refusal::BodyMalformed)?
            }
            // Nothing covers this body.
            Carrier::Query | Carrier::Json => return Err(Refusal::SignatureInvalid),
        };
        Ok(Verified::new(fields, &request.headers))
    }

    /// The URL for which one of the tokens gives the claimed signature, with `signed_text` after it.
    fn signed_url(
        &self,
        request: &RawRequest,
        tokens: &[Secret],
        signed_text: &str,
        claimed: [u8; MAC_LEN],
    ) -> Option<String> {
        let urls = signed_urls(request, self.public_base_url.as_ref());
        let tokens =
            || tokens.iter().map(|token| token.expose().as_bytes()).filter(|token| !token.is_empty());
        Form::ALL
            .iter()
            .flat_map(|form| urls.iter().filter_map(|url| form.apply(url)))
            .flat_map(|url| tokens().map(move |token| (url.clone(), token)))
            .take(MAX_ATTEMPTS)
            .find(|(url, token)| mac(token, url, signed_text).ct_eq(&claimed).into())
            .map(|(url, _)| url)
    }
}

/// What the method and the `Content-Type` say. A type that is given twice is refused: another reader might
/// believe the other one.
fn carrier(request: &RawRequest) -> Result<Carrier, Refusal> {
    if request.method == Method::GET {
        return Ok(Carrier::Query);
    }
    let value = only(&request.headers, header::CONTENT_TYPE.as_str()).ok_or(Refusal::UnsupportedType)?;
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => Ok(Carrier::Form),
        "application/json" => Ok(Carrier::Json),
        _ => Err(Refusal::UnsupportedType),
    }
}

/// The signature that the request came with. Two of them are refused: only one can be meant, and it is not
/// for us to choose.
fn claimed_mac(headers: &HeaderMap) -> Result<[u8; MAC_LEN], Refusal> {
    if !headers.contains_key(SIGNATURE_HEADER) {
        return Err(Refusal::SignatureMissing);
    }
    only(headers, SIGNATURE_HEADER)
        .and_then(|text| STANDARD.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(Refusal::SignatureInvalid)
}

/// The value of a header that is there once, in ASCII.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// Whether the one hash in the signed query is that of the body. In lower case, as Twilio sends it.
fn hash_holds(query: &Params, body: &[u8]) -> bool {
    let mut hashes = query.all(BODY_HASH_PARAMETER);
    match (hashes.next(), hashes.next()) {
        (Some(hash), None) => hash.as_bytes().ct_eq(body_hash(body).as_bytes()).into(),
        _ => false,
    }
}
