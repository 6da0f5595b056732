//! Who asks, and what they may do.

pub mod rbac;
pub mod tokens;

use serde_json::{Map, Value, json};

/// Who asks.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// The name, such as `system:serviceaccount:vm:web`.
    pub name: String,
    /// The id; empty for users that are no objects.
    pub uid: String,
    /// The groups.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: Map<String, Value>,
}

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";

impl User {
    /// Returns the user that may do everything.
    pub fn admin() -> Self {
        Self {
            name: "kubernetes-admin".to_owned(),
            uid: String::new(),
            groups: vec![MASTERS.to_owned(), "system:authenticated".to_owned()],
            extra: Map::new(),
        }
    }

    /// Returns the user that has not logged in.
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            uid: String::new(),
            groups: vec!["system:unauthenticated".to_owned()],
            extra: Map::new(),
        }
    }

    /// Returns the user that a service account is.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                "system:authenticated".to_owned(),
            ],
            extra: Map::new(),
        }
    }

    /// Returns the user as reviews have it.
    pub fn to_value(&self) -> Value {
        let mut user = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            user["uid"] = json!(self.uid);
        }
        if !self.extra.is_empty() {
            user["extra"] = Value::Object(self.extra.clone());
        }
        user
    }
}
