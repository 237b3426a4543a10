//! What must hold whatever comes in, without libFuzzer: every target of `flexglue_tests::fuzzing` over the committed
//! corpus (`fuzz/corpus/`), over changes of it, and over inputs that are made (`made`). Bounded, and the same in
//! every run.

#![allow(clippy::panic, clippy::unwrap_used, reason = "what cannot be made fails the test that wanted it")]

mod corpus;
mod made;
mod work;

use flexglue_tests::fuzzing::{TARGETS, Target, change, tokens, webhook_signatures};

use crate::corpus::{Kept, corpus};

/// Runs an input; where something does not hold, says which it was.
fn run(target: &Target, name: &str, input: &[u8]) {
    let held = std::panic::catch_unwind(|| (target.run)(input));
    assert!(held.is_ok(), "{}: {name} does not hold: {:?}", target.name, String::from_utf8_lossy(input));
}

#[test]
fn every_target_has_a_small_corpus_and_one_of_libfuzzer() {
    let manifest = include_str!("../../fuzz/Cargo.toml");
    let bins = manifest.lines().filter(|line| *line == "[[bin]]").count();
    assert_eq!(bins, TARGETS.len());
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"\n", target.name)), "{}", target.name);
        let kept = corpus(target.name);
        assert!((5..=40).contains(&kept.len()), "{}: {} files", target.name, kept.len());
        for Kept { name, bytes } in kept {
            assert!(bytes.len() <= 8192, "{}/{name} is not small", target.name);
        }
    }
}

#[test]
fn every_target_holds_on_its_corpus() {
    for target in TARGETS {
        for Kept { name, bytes } in corpus(target.name) {
            run(&target, &name, &bytes);
        }
        run(&target, "nothing", b"");
    }
}

#[test]
fn every_target_holds_on_what_is_cut_off() {
    for target in TARGETS {
        for Kept { name, bytes } in corpus(target.name) {
            // Every place in what is short, and as many in what is long.
            for end in (0..bytes.len()).step_by(bytes.len() / 32 + 1) {
                run(&target, &name, &bytes[..end]);
            }
        }
    }
}

#[test]
fn every_target_holds_on_what_is_changed() {
    for target in TARGETS {
        let kept = corpus(target.name);
        for Kept { name, bytes } in &kept {
            let mut rng = change::drawn_from(bytes);
            for _ in 0..16 {
                run(&target, name, &change::one_byte(bytes, &mut rng));
            }
            for _ in 0..4 {
                // The beginning of one and the end of another.
                let other = &kept[rng.usize(..kept.len())].bytes;
                let (head, tail) = (rng.usize(..=bytes.len()), rng.usize(..=other.len()));
                run(&target, name, &[&bytes[..head], &other[tail..]].concat());
            }
        }
    }
}

#[test]
fn whichever_byte_of_a_signed_request_is_changed_it_is_refused() {
    let tried: usize =
        corpus("webhook_signatures").iter().map(|kept| webhook_signatures::every_byte(&kept.bytes)).sum();
    assert!(tried > 4_000, "{tried} changes");
}

#[test]
fn whichever_letter_of_a_token_is_changed_it_lets_nobody_in() {
    assert!(tokens::every_byte() > 8_000);
}
