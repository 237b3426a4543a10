//! The committed corpus.

use std::{fs, path::PathBuf};

/// A file of it.
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// The inputs that are kept for a target, by name. What libFuzzer has added on this machine (it names files by their
/// digest) is left out.
pub(crate) fn corpus(target: &str) -> Vec<Kept> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut kept: Vec<_> = files
        .map(|file| {
            let file = file.unwrap();
            Kept { name: file.file_name().into_string().unwrap(), bytes: fs::read(file.path()).unwrap() }
        })
        .filter(|kept| !(kept.name.len() == 40 && kept.name.bytes().all(|byte| byte.is_ascii_hexdigit())))
        .collect();
    kept.sort_by(|a, b| a.name.cmp(&b.name));
    kept
}
