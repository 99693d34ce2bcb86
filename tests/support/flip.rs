//! Flips single bits of objects in a `file://` store, and puts them back.

use std::fs;
use std::path::{Path, PathBuf};

/// A flipped byte; the object is whole again when this is dropped.
#[derive(Debug)]
pub(crate) struct Flipped {
    object: PathBuf,
    whole: Vec<u8>,
}

impl Flipped {
    /// Flips one bit of the byte at `at`.
    pub(crate) fn at(object: &Path, at: usize) -> Self {
        let whole = fs::read(object).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
        let mut bytes = whole.clone();
        let byte = bytes.get_mut(at).unwrap_or_else(|| panic!("{} has no byte {at}", object.display()));
        *byte ^= 1 << (at % 8);
        replace(object, &bytes);
        Self { object: object.to_owned(), whole }
    }
}

impl Drop for Flipped {
    fn drop(&mut self) {
        replace(&self.object, &self.whole);
    }
}

fn replace(object: &Path, bytes: &[u8]) {
    fs::write(object, bytes).unwrap_or_else(|error| panic!("{}: {error}", object.display()));
}

/// Positions spread over an object: its first and last bytes, and `count` between.
pub(crate) fn spread(object: &Path, count: usize) -> Vec<usize> {
    let length = fs::metadata(object).expect("the object is there").len();
    let length = usize::try_from(length).expect("an object fits memory");
    let mut positions: Vec<usize> = (0..=count + 1).map(|n| (length - 1) * n / (count + 1)).collect();
    positions.dedup();
    positions
}
