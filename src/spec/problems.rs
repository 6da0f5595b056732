//! The problems of one set of files, collected so that all are reported at once.
//!
//! Invariants: what is reported is sorted by file and position, and no two entries
//! say the same of the same text.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diag::{Code, Diagnostic, Severity};

use super::place::{At, Files, Mark};

/// Collects problems.
#[derive(Debug)]
pub(super) struct Problems {
    /// The files that the marks point into.
    pub files: Arc<Files>,
    found: Vec<(Option<Mark>, Diagnostic)>,
    seen: BTreeSet<(Option<Mark>, String)>,
}

impl Problems {
    /// Starts without problems.
    pub fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            found: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Adds a problem; the same summary at the same span is kept once.
    pub fn add(&mut self, at: Option<&At>, diagnostic: Diagnostic) {
        let key = diagnostic.summary.clone();
        self.add_keyed(at, key, diagnostic);
    }

    /// Adds a problem whose summary names more than what is wrong at the span: of those with
    /// the same `key` and span the first is kept.
    ///
    /// What `defaults` get wrong is wrong in every fleet, and is told once.
    pub fn add_keyed(&mut self, at: Option<&At>, key: String, diagnostic: Diagnostic) {
        let mark = at.map(|at| at.mark);
        if !self.seen.insert((mark, key)) {
            return;
        }
        let place = at.and_then(|at| self.files.place(at));
        self.found.push((
            mark,
            Diagnostic {
                place,
                ..diagnostic
            },
        ));
    }

    /// Adds an error.
    pub fn error(
        &mut self,
        code: Code,
        at: &At,
        summary: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Some(at), Diagnostic::error(code, summary).with_hint(hint));
    }

    /// Adds a warning.
    pub fn warning(
        &mut self,
        code: Code,
        at: &At,
        summary: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Some(at), Diagnostic::warning(code, summary).with_hint(hint));
    }

    /// Returns whether anything must be mended.
    pub fn has_errors(&self) -> bool {
        self.found
            .iter()
            .any(|(_, diagnostic)| diagnostic.severity == Severity::Error)
    }

    /// Returns everything found; what has no place comes first.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|(a_mark, a), (b_mark, b)| {
            (a_mark, a.severity, &a.summary).cmp(&(b_mark, b.severity, &b.summary))
        });
        self.found.into_iter().map(|(_, found)| found).collect()
    }
}
