//! What the double refuses, in the words of a real API server.
//!
//! A refusal is a `Status` object. Its texts are those of apimachinery, since tools look into
//! them (<https://github.com/kubernetes/apimachinery/blob/master/pkg/api/errors/errors.go>).

use serde_json::{Value, json};

/// Why a request is refused, and what is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The HTTP code.
    pub code: u16,
    /// The reason, one word; empty when the server has none.
    pub reason: &'static str,
    /// The text for people.
    pub message: String,
    /// What it is about, as `details` of the `Status`.
    pub details: Value,
    /// After how many seconds to ask again.
    pub retry_after: Option<u32>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldFault {
    /// The field, such as `spec.ports[0].port`.
    pub field: String,
    /// What is wrong, such as `Required value`.
    pub text: String,
    /// The machine's word for it, such as `FieldValueRequired`.
    pub cause: &'static str,
}

impl FieldFault {
    /// A field that has to be there.
    pub fn required(field: &str, detail: &str) -> Self {
        let text = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self {
            field: field.to_owned(),
            text,
            cause: "FieldValueRequired",
        }
    }

    /// A value that cannot be.
    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self {
            field: field.to_owned(),
            text: format!("Invalid value: {value}: {detail}"),
            cause: "FieldValueInvalid",
        }
    }

    /// A value that is none of those that can be.
    pub fn unsupported(field: &str, value: &Value, known: &[String]) -> Self {
        let known: Vec<String> = known.iter().map(|v| format!("{v:?}")).collect();
        Self {
            field: field.to_owned(),
            text: format!(
                "Unsupported value: {value}: supported values: {}",
                known.join(", ")
            ),
            cause: "FieldValueNotSupported",
        }
    }

    /// Returns the fault as a real server writes it.
    pub fn said(&self) -> String {
        format!("{}: {}", self.field, self.text)
    }
}

impl Refusal {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: Value::Null,
            retry_after: None,
        }
    }

    fn about(mut self, group: &str, plural: &str, name: &str) -> Self {
        let mut details = json!({"name": name, "kind": plural});
        if !group.is_empty() {
            details["group"] = json!(group);
        }
        self.details = details;
        self
    }

    /// The object is not there.
    pub fn not_found(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(plural, group));
        Self::new(404, "NotFound", message).about(group, plural, name)
    }

    /// There is no such resource at all.
    pub fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message)
    }

    /// The object is there already.
    pub fn already_exists(group: &str, plural: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(plural, group));
        Self::new(409, "AlreadyExists", message).about(group, plural, name)
    }

    /// The write came too late, or does not fit what is there.
    pub fn conflict(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            qualified(plural, group)
        );
        Self::new(409, "Conflict", message).about(group, plural, name)
    }

    /// The write was made from an older version of the object.
    pub fn modified(group: &str, plural: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version \
                   and try again";
        Self::conflict(group, plural, name, why)
    }

    /// Others own what is to be applied.
    pub fn apply_conflict(message: String, causes: Vec<Value>) -> Self {
        let mut refusal = Self::new(409, "Conflict", message);
        refusal.details = json!({"causes": causes});
        refusal
    }

    /// Fields are wrong.
    pub fn invalid(group: &str, kind: &str, name: &str, faults: &[FieldFault]) -> Self {
        let said: Vec<String> = faults.iter().map(FieldFault::said).collect();
        let said = match said.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {said}", qualified(kind, group));
        let mut refusal = Self::new(422, "Invalid", message).about(group, kind, name);
        let causes = faults
            .iter()
            .map(|f| json!({"reason": f.cause, "message": f.text, "field": f.field}));
        refusal.details["causes"] = Value::Array(causes.collect());
        refusal
    }

    /// The request itself is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// Nobody is logged in.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// The user may not.
    pub fn forbidden(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = match name {
            "" => qualified(plural, group),
            name => format!("{} {name:?}", qualified(plural, group)),
        };
        let message = format!("{what} is forbidden: {why}");
        Self::new(403, "Forbidden", message).about(group, plural, name)
    }

    /// The user may not read what is no resource.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        Self::new(403, "Forbidden", message)
    }

    /// The version asked for is not kept any more.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// The method does not go with what it is asked of.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message)
    }

    /// The body is of no type that the server reads.
    pub fn unsupported_media(got: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, \
             application/apply-patch+yaml; got {got:?}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// Too many requests.
    pub fn too_many(retry_after: u32) -> Self {
        let message = "the server has received too many requests and has asked us to try again \
                       later"
            .to_owned();
        let mut refusal = Self::new(429, "TooManyRequests", message);
        refusal.retry_after = Some(retry_after);
        refusal.details = json!({"retryAfterSeconds": retry_after});
        refusal
    }

    /// The server failed.
    pub fn internal(message: &str) -> Self {
        let message = format!("Internal error occurred: {message}");
        Self::new(500, "InternalError", message)
    }

    /// What is applied does not fit its schema: code 500, and no reason.
    pub fn unfit(message: String) -> Self {
        Self::new(500, "", message)
    }

    /// Returns the `Status` object.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}

/// Returns a resource or kind with its group, as messages have it.
pub fn qualified(word: &str, group: &str) -> String {
    match group {
        "" => word.to_owned(),
        group => format!("{word}.{group}"),
    }
}
