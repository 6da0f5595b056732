//! A refusal, as the API writes it.

use serde_json::{Value, json};

/// Why a call was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: u16,
    pub reason: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message)
    }

    pub fn not_found(address: &str) -> Self {
        let message = format!("The resource '{address}' was not found");
        Self::new(404, "notFound", message)
    }

    pub fn stale(what: &str) -> Self {
        let message = format!("Supplied fingerprint does not match current {what} fingerprint.");
        Self::new(412, "conditionNotMet", message)
    }

    /// Returns the body of the answer.
    pub fn body(&self) -> Value {
        let Self {
            status,
            reason,
            message,
        } = self;
        let mut error = json!({
            "code": status,
            "message": message,
            "errors": [{"message": message, "domain": "global", "reason": reason}],
        });
        let word = match status {
            400 => Some("INVALID_ARGUMENT"),
            401 => Some("UNAUTHENTICATED"),
            403 => Some("PERMISSION_DENIED"),
            _ => None,
        };
        // Not every answer of the cloud has it.
        if let Some(word) = word {
            error["status"] = json!(word);
        }
        json!({"error": error})
    }
}
