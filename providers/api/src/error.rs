//! Errors of providers, by what the engine can do about them.
//!
//! A provider maps each answer of its cloud to one [`ErrorClass`] in one
//! function; the engine and the retry layer look at nothing else.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a failed call means for the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorClass {
    /// The cloud asks to slow down; the call had no effect.
    Throttled,
    /// The cloud could not be reached or failed by itself; the call had no effect.
    Unavailable,
    /// The call was sent and its reply is unknown: it may have had its effect.
    ReplyLost,
    /// The cloud has no room for such a machine here, now.
    Capacity,
    /// The account may not have more of this.
    Quota,
    /// The credentials may not do this.
    PermissionDenied,
    /// What the call names does not exist.
    NotFound,
    /// What the call names exists, and is not what the caller believes.
    Conflict,
    /// The request can never succeed as it is.
    Invalid,
    /// This machine lacks a program, a right or a file that the provider needs.
    Environment,
    /// The cloud answered with a code that this version does not know.
    Unrecognized,
}

impl ErrorClass {
    /// Returns whether sending the same request again may succeed by itself.
    pub fn is_transient(self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable | Self::ReplyLost => true,
            Self::Capacity
            | Self::Quota
            | Self::PermissionDenied
            | Self::NotFound
            | Self::Conflict
            | Self::Invalid
            | Self::Environment
            | Self::Unrecognized => false,
        }
    }

    /// Returns the class as a word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::ReplyLost => "reply lost",
            Self::Capacity => "no capacity",
            Self::Quota => "quota exceeded",
            Self::PermissionDenied => "permission denied",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid request",
            Self::Environment => "environment",
            Self::Unrecognized => "unrecognized answer",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failed call to a cloud.
///
/// `message` is a lowercase fragment that fits behind "failed to create
/// machines: "; it never holds a secret.
#[derive(Debug)]
pub struct ProviderError {
    /// What the engine can do about it.
    pub class: ErrorClass,
    /// What happened, for people.
    pub message: String,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// How long the cloud asks to wait before the next call.
    pub retry_after: Option<Duration>,
    /// The error underneath.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// Makes an error of a class.
    pub fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            retry_after: None,
            source: None,
        }
    }

    /// Adds what the user can do about it.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Makes one error of all that is in the way of the same thing; `None` of none.
    ///
    /// It says what each says. One that may pass by itself is told alone: whether the others are
    /// so is known when it has.
    pub fn all(errors: Vec<Self>) -> Option<Self> {
        let (mut passing, mut lasting): (Vec<_>, Vec<_>) = errors
            .into_iter()
            .partition(|error| error.class.is_transient());
        if !passing.is_empty() {
            return Some(passing.swap_remove(0));
        }
        if lasting.len() < 2 {
            return lasting.pop();
        }
        let text = |texts: Vec<&str>| texts.join("; ");
        let messages = lasting.iter().map(|error| error.message.as_str()).collect();
        let mut hints: Vec<&str> = lasting.iter().filter_map(|it| it.hint.as_deref()).collect();
        hints.dedup();
        Some(Self {
            class: lasting[0].class,
            message: text(messages),
            hint: (!hints.is_empty()).then(|| text(hints)),
            retry_after: None,
            source: None,
        })
    }

    /// Adds the error underneath.
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_told_at_once_unless_it_may_pass() {
        let error = |class, message: &str| ProviderError::new(class, message).with_hint("mend it");
        assert!(ProviderError::all(Vec::new()).is_none());
        let all = ProviderError::all(vec![
            error(ErrorClass::Quota, "a"),
            error(ErrorClass::NotFound, "b"),
        ]);
        let all = all.unwrap();
        assert_eq!(
            (all.class, all.message.as_str()),
            (ErrorClass::Quota, "a; b")
        );
        assert_eq!(all.hint.as_deref(), Some("mend it"));
        let passing = ProviderError::all(vec![
            error(ErrorClass::Quota, "a"),
            error(ErrorClass::Unavailable, "c"),
        ]);
        assert_eq!(passing.unwrap().message, "c");
    }
}
