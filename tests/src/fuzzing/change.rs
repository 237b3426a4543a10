//! Changes of one byte.

use fastrand::Rng;

/// What is drawn for an input: the same for the same bytes.
#[must_use]
pub fn drawn_from(input: &[u8]) -> Rng {
    // FNV-1a; any hash would do.
    let seed = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    Rng::with_seed(seed)
}

/// The bytes with one of them replaced, taken away or put in.
#[must_use]
pub fn one_byte(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let at = rng.usize(..=bytes.len());
    match rng.u8(..3) {
        0 if at < bytes.len() => changed[at] ^= rng.u8(1..),
        1 if at < bytes.len() => drop(changed.remove(at)),
        _ => changed.insert(at, rng.u8(..)),
    }
    changed
}

/// The bytes with the one at `at` replaced by another.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn replaced(bytes: &[u8], at: usize, rng: &mut Rng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= rng.u8(1..);
    changed
}

/// The same for a text, where what comes of it is one.
#[must_use]
pub fn one_byte_of(text: &str, rng: &mut Rng) -> Option<String> {
    String::from_utf8(one_byte(text.as_bytes(), rng)).ok()
}
