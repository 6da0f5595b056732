//! Deployments of templates, as far as Azure's command line makes machines by them: resources
//! without expressions, one after another, each as if it were put by itself
//! (<https://learn.microsoft.com/rest/api/resources/deployments>). Microsoft's client for them is
//! in a package that nothing here is made from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::server::{Asked, Reply, alone};
use crate::world::World;

/// What a template says of a resource beside what the resource is.
const AROUND: [&str; 4] = ["apiVersion", "dependsOn", "name", "type"];

/// A call to a deployment.
pub(crate) struct Call<'a> {
    group: &'a str,
    name: &'a str,
    is_status: bool,
}

impl<'a> Call<'a> {
    /// Reads a call's path; `None` when it is to something else.
    pub fn of(path: &'a str) -> Option<Self> {
        let words: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, name, rest) = match words[..] {
            [
                _,
                _,
                _,
                group,
                "providers",
                "Microsoft.Resources",
                "deployments",
                name,
            ] => (group, name, None),
            [
                _,
                _,
                _,
                group,
                "providers",
                "Microsoft.Resources",
                "deployments",
                name,
                rest,
                _,
            ] => (group, name, Some(rest)),
            _ => return None,
        };
        let is_status = rest == Some("operationStatuses");
        (rest.is_none() || is_status).then_some(Self {
            group,
            name,
            is_status,
        })
    }

    /// Returns the right that the call needs.
    pub fn right(&self, method: &str) -> &'static str {
        match (method, self.is_status) {
            ("PUT", _) => "Microsoft.Resources/deployments/write",
            (_, true) => "Microsoft.Resources/deployments/operationstatuses/read",
            (_, false) => "Microsoft.Resources/deployments/read",
        }
    }

    /// Answers it.
    pub fn answer(&self, world: &mut World, asked: &Asked) -> Reply {
        if !asked.query.contains_key("api-version") {
            return Reply::error(400, "MissingApiVersionParameter", "It is needed.");
        }
        let key = asked.path.to_ascii_lowercase();
        match (asked.method.as_str(), self.is_status) {
            ("PUT", false) => {
                let error = self.deploy(world, asked).err();
                let state = if error.is_some() {
                    "Failed"
                } else {
                    "Succeeded"
                };
                let mut properties = json!({
                    "provisioningState": state, "mode": "Incremental", "outputs": {},
                    "timestamp": "2026-01-01T00:00:00Z", "duration": "PT1S",
                    "correlationId": uuid::Uuid::new_v4().to_string(),
                });
                if let Some(error) = error {
                    properties["error"] = error;
                }
                let body = json!({
                    "id": asked.path, "name": self.name, "properties": properties,
                    "type": "Microsoft.Resources/deployments",
                });
                world.deployments.insert(key, body.clone());
                let mut begun = body;
                begun["properties"]["provisioningState"] = json!("Accepted");
                let mut reply = Reply::of(201, Some(begun));
                let query = "api-version=2024-11-01";
                reply.operation = Some(format!("{}/operationStatuses/1?{query}", asked.path));
                reply.is_later = true;
                reply
            }
            ("GET", true) => {
                let of = key.split("/operationstatuses/").next().unwrap_or_default();
                let Some(found) = world.deployments.get(of) else {
                    return self.missing();
                };
                let mut body = json!({"status": found["properties"]["provisioningState"]});
                if found["properties"]["error"].is_object() {
                    body["error"] = found["properties"]["error"].clone();
                }
                Reply::of(200, Some(body))
            }
            ("GET", false) => match world.deployments.get(&key) {
                Some(found) => Reply::of(200, Some(found.clone())),
                None => self.missing(),
            },
            _ => Reply::error(405, "MethodNotAllowed", "It is not done to this."),
        }
    }

    fn missing(&self) -> Reply {
        let message = format!("Deployment '{}' could not be found.", self.name);
        Reply::error(404, "DeploymentNotFound", &message)
    }

    /// Puts each resource of a template and waits for it; what one is refused ends it.
    fn deploy(&self, world: &mut World, asked: &Asked) -> Result<(), Value> {
        let body = asked.body.clone().unwrap_or_default();
        let template = &body["properties"]["template"];
        let Some(resources) = template["resources"].as_array() else {
            return Err(error("InvalidTemplate", "There are no resources.", None));
        };
        if has_expressions(template) {
            let message = "The double reads no expressions.";
            return Err(error("InvalidTemplate", message, None));
        }
        for resource in resources {
            let field = |name: &str| resource[name].as_str().unwrap_or_default();
            let subscription = asked.path.split('/').nth(2).unwrap_or_default();
            let path = format!(
                "/subscriptions/{subscription}/resourceGroups/{}/providers/{}/{}",
                self.group,
                field("type"),
                field("name"),
            );
            let own = resource.as_object().into_iter().flatten();
            let own = own.filter(|(name, _)| !AROUND.contains(&name.as_str()));
            let own: Map<String, Value> =
                own.map(|(name, it)| (name.clone(), it.clone())).collect();
            let version = field("apiVersion").to_owned();
            let put = Asked {
                method: "PUT".to_owned(),
                base: asked.base.clone(),
                path: path.clone(),
                query: BTreeMap::from([("api-version".to_owned(), version)]),
                body: Some(Value::Object(own)),
                if_match: None,
                if_none_match: None,
            };
            let reply = alone(world, &put);
            if reply.status >= 400 {
                let refused = reply.body.unwrap_or_default();
                return Err(failed(&refused["error"]));
            }
            while world.is_busy(&path) {
                world.look_at(&path);
            }
            if let Some((code, message)) = world.get(&path).and_then(|it| it.failure.clone()) {
                return Err(failed(&json!({"code": code, "message": message})));
            }
        }
        Ok(())
    }
}

fn failed(why: &Value) -> Value {
    let message = "At least one resource deployment operation failed. Please list deployment operations for details.";
    error("DeploymentFailed", message, Some(why))
}

fn error(code: &str, message: &str, why: Option<&Value>) -> Value {
    let mut error = json!({"code": code, "message": message});
    if let Some(why) = why {
        error["details"] = json!([why]);
    }
    error
}

/// Returns whether a template holds expressions, which are texts in square brackets.
fn has_expressions(value: &Value) -> bool {
    match value {
        Value::String(text) => text.starts_with('[') && !text.starts_with("[["),
        Value::Array(items) => items.iter().any(has_expressions),
        Value::Object(fields) => fields.values().any(has_expressions),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
