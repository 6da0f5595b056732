//! The rules of a CRD in CEL, `x-kubernetes-validations`.
//!
//! The crate `cel` evaluates them; the functions that Kubernetes adds to the language and
//! Istio's rules use are here (<https://kubernetes.io/docs/reference/using-api/cel/>).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::{Context, Env, Program, extensions};
use serde_json::Value;
use thiserror::Error;
use url::Url;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    program: Program,
    message: String,
    /// The field to blame, below the value that the rule is of.
    pub field: String,
}

/// Why a rule cannot be used.
#[derive(Debug, Error)]
pub enum BadRule {
    /// It is no CEL.
    #[error("the rule {rule:?} is no CEL: {why}")]
    Syntax {
        /// The rule.
        rule: String,
        /// Why.
        why: String,
    },
    /// It compares with the object before the write.
    #[error("the rule {0:?} looks at the object before the write, which is not known here")]
    Transition(String),
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .expect("the standard library has no functions of these names");
    Arc::new(env)
});

impl Rule {
    /// Compiles a rule from what a CRD has.
    ///
    /// # Errors
    ///
    /// When the rule is no CEL, or looks at the object before the write.
    pub fn compile(raw: &Value) -> Result<Self, BadRule> {
        let text = |word: &str| raw.get(word).and_then(Value::as_str).unwrap_or_default();
        let rule = text("rule").trim();
        let program = ENV.compile(rule).map_err(|error| BadRule::Syntax {
            rule: rule.to_owned(),
            why: error.to_string(),
        })?;
        if program.references().has_variable("oldSelf") {
            return Err(BadRule::Transition(rule.to_owned()));
        }
        Ok(Self {
            message: match text("message") {
                "" => format!("failed rule: {rule}"),
                message => message.to_owned(),
            },
            field: text("fieldPath").to_owned(),
            program,
        })
    }

    /// Returns why a value breaks the rule; `None` when it keeps it.
    pub fn broken_by(&self, value: &cel::Value) -> Option<String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        add_urls(&mut context);
        context.add_variable_from_value("self", value.clone());
        match self.program.execute(&context) {
            Ok(cel::Value::Bool(true)) => None,
            Ok(_) => Some(self.message.clone()),
            Err(error) => Some(format!("rule evaluation error: {error}")),
        }
    }
}

/// Adds what Kubernetes knows of URLs; a URL is handed on as its text.
fn add_urls(context: &mut Context<'_, '_>) {
    let is_url = |text: Arc<String>| Url::parse(&text).is_ok();
    let scheme = |This(text): This<Arc<String>>| -> Arc<String> {
        Arc::new(Url::parse(&text).map_or_else(|_| String::new(), |url| url.scheme().to_owned()))
    };
    let added = context
        .add_function("url", |text: Arc<String>| text)
        .and_then(|()| context.add_function("isURL", is_url))
        .and_then(|()| context.add_function("getScheme", scheme));
    added.expect("the standard library has no functions of these names");
}

/// Returns a JSON value as CEL has it: every whole number is an `int`, and what is null is absent.
pub fn value_of(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(truth) => cel::Value::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => cel::Value::List(Arc::new(items.iter().map(value_of).collect())),
        Value::Object(fields) => {
            let there = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: HashMap<String, cel::Value> =
                there.map(|(k, v)| (k.clone(), value_of(v))).collect();
            cel::Value::from(fields)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn broken(rule: &str, value: Value) -> Option<String> {
        let rule = Rule::compile(&json!({"rule": rule, "message": "no"})).unwrap();
        rule.broken_by(&value_of(&value))
    }

    #[test]
    fn the_rules_of_a_workload_entry_hold() {
        let address = "has(self.address) || has(self.network)";
        assert_eq!(broken(address, json!({"address": "10.0.0.1"})), None);
        assert_eq!(broken(address, json!({"network": "n"})), None);
        assert_eq!(broken(address, json!({})).as_deref(), Some("no"));
        let socket = "(has(self.address) ? self.address : \"\").startsWith(\"unix://\") ? \
                      !has(self.ports) : true";
        assert_eq!(broken(socket, json!({"address": "unix:///a"})), None);
        let both = json!({"address": "unix:///a", "ports": {"http": 80}});
        assert_eq!(broken(socket, both).as_deref(), Some("no"));
        let path = "self.startsWith(\"unix://\") ? (self.substring(7, 8) == \"/\" || \
                    self.substring(7, 8) == \"@\") : true";
        assert_eq!(broken(path, json!("unix://@a")), None);
        assert_eq!(broken(path, json!("unix://a")).as_deref(), Some("no"));
    }

    #[test]
    fn numbers_keys_and_durations_are_compared() {
        assert_eq!(broken("0 < self && self <= 65535", json!(80)), None);
        assert!(broken("0 < self && self <= 65535", json!(0)).is_some());
        let name = "self.all(key, size(key) < 63 && \
                    key.matches(\"^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$\"))";
        assert_eq!(broken(name, json!({"http-a": 1})), None);
        assert!(broken(name, json!({"-a": 1})).is_some());
        let long = "duration(self) >= duration('1ms')";
        assert_eq!(broken(long, json!("10s")), None);
        assert!(broken(long, json!("0.0001s")).is_some());
        let once = "self.all(l1, self.exists_one(l2, l1.number == l2.number))";
        assert_eq!(broken(once, json!([{"number": 1}, {"number": 2}])), None);
        assert!(broken(once, json!([{"number": 1}, {"number": 1}])).is_some());
    }

    #[test]
    fn urls_have_a_scheme() {
        let rule = "url(self).getScheme() in [\"http\", \"https\"]";
        assert_eq!(broken(rule, json!("https://a.example")), None);
        assert!(broken(rule, json!("ftp://a.example")).is_some());
        assert!(broken("isURL(self)", json!("no url")).is_some());
    }
}
