//! Signed JSON ([JWS](https://www.rfc-editor.org/rfc/rfc7515), compact form) with HMAC-SHA256 and nothing else: what
//! a text says of its own algorithm is checked and never followed.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;

use crate::secrets::Secret;

/// The only algorithm.
pub const ALGORITHM: &str = "HS256";

/// More than any text of ours has; what is longer is not even decoded.
const LONGEST_TEXT: usize = 4096;

/// Why a text tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// It is none as we take them: another form, another algorithm, or no JSON.
    #[error("this is no signed JSON")]
    Malformed,
    /// Another key signed it, or nobody did, or it was changed since.
    #[error("the signature does not hold")]
    Forged,
}

/// A text whose header was read, and of which nobody knows yet who signed it.
#[derive(Debug)]
pub struct Unverified<'a> {
    text: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

/// Signs claims.
#[must_use]
pub fn sign(header: &impl Serialize, claims: &impl Serialize, secret: &Secret) -> String {
    let encode = |json: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(json);
    // Headers and claims are made of strings and numbers, which always serialise.
    let header = encode(serde_json::to_vec(header).unwrap_or_default());
    let claims = encode(serde_json::to_vec(claims).unwrap_or_default());
    let text = format!("{header}.{claims}");
    let signature = mac(&text, secret).finalize().into_bytes();
    format!("{text}.{}", encode(signature.to_vec()))
}

/// Takes a text apart and reads its header. The caller says by it whether it is of the kind that it takes.
///
/// # Errors
/// Where it has another form.
pub fn take_apart<H: DeserializeOwned>(text: &str) -> Result<(H, Unverified<'_>), JwsError> {
    if text.len() > LONGEST_TEXT {
        return Err(JwsError::Malformed);
    }
    let (text, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
    let (header, claims) = text.split_once('.').ok_or(JwsError::Malformed)?;
    let header = read(&decode(header)?)?;
    Ok((header, Unverified { text, claims, signature: decode(signature)? }))
}

impl Unverified<'_> {
    /// Whether this secret signed it.
    #[must_use]
    pub fn is_signed_with(&self, secret: &Secret) -> bool {
        mac(self.text, secret).verify_slice(&self.signature).is_ok()
    }

    /// Its claims, if this secret signed it.
    ///
    /// # Errors
    /// Where it did not, or what was signed are no such claims.
    pub fn claims<C: DeserializeOwned>(&self, secret: &Secret) -> Result<C, JwsError> {
        if self.is_signed_with(secret) { read(&decode(self.claims)?) } else { Err(JwsError::Forged) }
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(text: &str, secret: &Secret) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any length will do");
    mac.chain_update(text)
}

fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| JwsError::Malformed)
}

fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, JwsError> {
    serde_json::from_slice(json).map_err(|_| JwsError::Malformed)
}

/// A digest of a text that only whoever has the secret can make: it tells apart and does not tell what.
#[must_use]
pub fn keyed_digest(text: &str, secret: &Secret) -> [u8; 32] {
    mac(text, secret).finalize().into_bytes().into()
}
