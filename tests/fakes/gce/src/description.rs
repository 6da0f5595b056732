//! Google's descriptions of its APIs: which calls there are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The version of the client that `tests/fakes/gce/discovery` installs.
const VERSION: &str = "2.202.0";

/// Compute Engine's.
static COMPUTE: LazyLock<Api> = LazyLock::new(|| Api::read(&description(), "/compute/v1/"));
/// That of Resource Manager, of which rights are asked.
static MANAGER: LazyLock<Api> =
    LazyLock::new(|| Api::read(&folder().join("cloudresourcemanager.v3.json"), "/"));

fn folder() -> PathBuf {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => PathBuf::from("/var/cache"),
    };
    cache.join("meshvm/gce").join(VERSION)
}

/// Returns where the description of Compute Engine's API is.
pub fn description() -> PathBuf {
    folder().join("compute.v1.json")
}

/// Returns the Python that has Google's client.
pub fn python() -> PathBuf {
    folder().join("bin/python")
}

/// An API, as it describes itself.
pub struct Api {
    /// What the addresses of its calls begin with.
    base: &'static str,
    /// What its schemas call it.
    pub name: String,
    pub schemas: Map<String, Value>,
    /// Parameters that every call takes.
    pub common: Map<String, Value>,
    methods: Vec<Method>,
}

/// One call of the API.
pub struct Method {
    /// Its name, such as `instances.bulkInsert`.
    pub name: String,
    verb: String,
    /// Its path, such as `projects/{project}/zones/{zone}`, or `v3/{+resource}:verb` where a
    /// parameter stands for several parts.
    path: String,
    /// What every address of it begins with.
    start: String,
    pub parameters: Map<String, Value>,
    /// The schema of its body.
    pub body: Option<String>,
    /// The schema of its answer.
    pub answer: Option<String>,
}

impl Method {
    /// Returns whether it changes nothing.
    pub fn is_reading(&self) -> bool {
        let asks = [".wait", ".testIamPermissions"];
        self.verb == "GET" || asks.iter().any(|end| self.name.ends_with(end))
    }
}

/// A call, taken apart.
pub struct Call {
    pub method: &'static Method,
    /// What was called, from `projects/` on.
    pub address: String,
    pub path: BTreeMap<String, String>,
}

impl Api {
    /// Returns the API of an address.
    pub fn at(path: &str) -> &'static Self {
        match path.starts_with("/v3/") {
            true => &MANAGER,
            false => &COMPUTE,
        }
    }

    fn read(file: &Path, base: &'static str) -> Self {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| {
            let file = file.display();
            panic!("{file}: {error}: run `tests/fakes/gce/discovery`, which gets it")
        });
        let mut whole: Value = serde_json::from_str(&text).expect("a description is JSON");
        let mut methods = Vec::new();
        for (resource, it) in take(&mut whole, "resources") {
            for (name, method) in it["methods"].as_object().into_iter().flatten() {
                methods.push(Method {
                    name: format!("{resource}.{name}"),
                    verb: text_of(&method["httpMethod"]),
                    path: path_of(method),
                    start: start_of(method),
                    parameters: method["parameters"]
                        .as_object()
                        .cloned()
                        .unwrap_or_default(),
                    body: method["request"]["$ref"].as_str().map(str::to_owned),
                    answer: method["response"]["$ref"].as_str().map(str::to_owned),
                });
            }
        }
        Self {
            base,
            name: text_of(&whole["name"]),
            schemas: take(&mut whole, "schemas"),
            common: take(&mut whole, "parameters"),
            methods,
        }
    }

    /// Finds the call of a request.
    ///
    /// # Errors
    /// When the API has no such call.
    pub fn route(&'static self, verb: &str, path: &str) -> Result<Call, Refusal> {
        let unknown = || Refusal::new(404, "notFound", format!("There is no {verb} {path}"));
        let address = path.strip_prefix(self.base).ok_or_else(unknown)?;
        let fits = self.methods.iter();
        let fits = fits.filter(|it| it.verb == verb && address.starts_with(&it.start));
        let found = fits.filter_map(|method| Some((method, parameters(&method.path, address)?)));
        // `instances/{instance}` fits what `instances/bulkInsert` names exactly.
        let (method, path) = found
            .min_by_key(|(_, path)| path.len())
            .ok_or_else(unknown)?;
        Ok(Call {
            address: address.to_owned(),
            path,
            method,
        })
    }
}

fn take(whole: &mut Value, name: &str) -> Map<String, Value> {
    match whole[name].take() {
        Value::Object(map) => map,
        other => panic!("a description has {name}, not {other}"),
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns a method's path, with one parameter for what is named by one.
fn path_of(method: &Value) -> String {
    let (path, flat) = (text_of(&method["path"]), text_of(&method["flatPath"]));
    // The last part is the parameter's end and the verb.
    match flat.contains("}:") {
        true => path,
        false => flat,
    }
}

/// Returns what comes before a method's first parameter, whatever that stands for.
fn start_of(method: &Value) -> String {
    let mut flat = text_of(&method["flatPath"]);
    flat.truncate(flat.find('{').unwrap_or(flat.len()));
    flat
}

/// Returns the parameters of an address, where it is one of a path's.
fn parameters(path: &str, address: &str) -> Option<BTreeMap<String, String>> {
    if let Some((before, rest)) = path.split_once("{+") {
        let (name, after) = rest.split_once('}')?;
        let value = address.strip_prefix(before)?.strip_suffix(after)?;
        return Some([(name.to_owned(), value.to_owned())].into());
    }
    let mut found = BTreeMap::new();
    let mut parts = address.split('/');
    for name in path.split('/') {
        let part = parts.next()?;
        match name.strip_prefix('{').and_then(|it| it.strip_suffix('}')) {
            Some(name) if !part.is_empty() => {
                found.insert(name.to_owned(), part.to_owned());
            }
            None if name == part => {}
            Some(_) | None => return None,
        }
    }
    parts.next().is_none().then_some(found)
}
