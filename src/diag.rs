//! What is wrong with a user's input, and where.
//!
//! A [`Diagnostic`] is plain data; [`crate::cli`] draws it. Nothing here prints.
//!
//! Invariant: no text of a diagnostic holds the credentials of a URL.

mod code;

use std::fmt;
use std::ops::Range;

use serde::Serialize;

pub use code::Code;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// Nothing is done until it is mended.
    Error,
    /// Work goes on; the user should know.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The file, as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// The bytes of the offending text in the file.
    #[serde(skip)]
    pub span: Range<usize>,
    /// The field, as a dotted path from the top of the file; empty for the file as a whole.
    pub field: String,
    /// The offending text, cut after its first line.
    pub text: String,
}

/// One problem, with where it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// What it is called.
    pub code: Code,
    /// What is wrong, as a lowercase fragment without period.
    pub summary: String,
    /// Where.
    pub place: Option<Place>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Which of many it is about, by name: people are told of many that are alike only once.
    #[serde(skip)]
    pub about: Option<String>,
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(code: Code, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            summary: masked(&summary.into()),
            place: None,
            hint: None,
            about: None,
        }
    }

    /// Makes a warning.
    pub fn warning(code: Code, summary: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, summary)
        }
    }

    /// Makes it one that stops nothing.
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Adds where.
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds which of many it is about.
    pub fn about(mut self, name: impl Into<String>) -> Self {
        self.about = Some(name.into());
        self
    }

    /// Adds what to do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(masked(&hint.into()));
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        f.write_str(&self.summary)
    }
}

/// Returns a text of the same length with `*` for what may be a credential: in anything like
/// `USER:PASSWORD@HOST` what stands before the `@`, and in a URL what follows its `?`.
pub fn masked(text: &str) -> String {
    let is_outside = |c: char| c.is_whitespace() || "\"'`<>()[]{},".contains(c);
    let mut bytes = text.as_bytes().to_vec();
    let mut begin = 0;
    for word in text.split(is_outside) {
        let after_scheme = word.find("://").map(|at| at + 3);
        let host = after_scheme.unwrap_or(0);
        let mut hide = |from: usize, to: usize| bytes[begin + from..begin + to].fill(b'*');
        if let Some(at) = word.rfind('@').filter(|at| *at >= host)
            && (after_scheme.is_some() || word[..at].contains(':'))
        {
            hide(host, at);
        }
        if let (Some(_), Some(query)) = (after_scheme, word.find('?')) {
            hide(query + 1, word.len());
        }
        begin += word.len();
        begin += text[begin..].chars().next().map_or(0, char::len_utf8);
    }
    String::from_utf8(bytes).unwrap_or_else(|_| "*".repeat(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_and_nothing_moves() {
        let cases = [
            (
                "ledger: \"s3://AKIA:pass@bucket/x\"",
                "ledger: \"s3://*********@bucket/x\"",
            ),
            ("s3://tökén@b und s3://b/x", "s3://*******@b und s3://b/x"),
            ("`me:sec/ret@host/x`", "`**********@host/x`"),
            ("az://box/x?sig=a@b, ok?", "az://*************, ok?"),
            (
                "git@host:x a@b.c x@sha256:0 10:30",
                "git@host:x a@b.c x@sha256:0 10:30",
            ),
            ("https://host/a.deb", "https://host/a.deb"),
            ("ann@[::1], ä", "ann@[::1], ä"),
        ];
        for (text, expected) in cases {
            assert_eq!(masked(text), expected);
            assert_eq!(masked(text).len(), text.len());
        }
        let error = Diagnostic::error(Code::Value, "`s3://a:secret@b` is bad")
            .with_hint("not s3://a:secret@b");
        assert!(!format!("{error:?}").contains("secret"));
    }
}
