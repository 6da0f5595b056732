//! Files that hold what is expected; `UPDATE_GOLDEN=1` writes them anew.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns a path below `tests/`.
pub fn tests_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

/// Returns whether the expected files shall be written anew.
pub fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| !value.is_empty())
}

/// Asserts that a file holds a text, or writes it there.
#[track_caller]
pub fn assert_file(path: &Path, found: &str) {
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return;
    }
    if updates() {
        fs::write(path, found).unwrap();
        return;
    }
    panic!(
        "{} differs; UPDATE_GOLDEN=1 writes it anew:\n{}",
        path.display(),
        difference(&expected, found)
    );
}

/// Shows where two texts part: the lines before, and then both.
fn difference(expected: &str, found: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[same..].iter().rev().zip(new[same..].iter().rev());
    let end = tail.take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &old[same.saturating_sub(6)..same] {
        writeln!(text, "    {line}").unwrap();
    }
    for line in &old[same..old.len() - end] {
        writeln!(text, "  - {line}").unwrap();
    }
    for line in &new[same..new.len() - end] {
        writeln!(text, "  + {line}").unwrap();
    }
    text
}
