//! From a method and a path to what is asked for
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/>). Pure.

use hyper::Method;
use url::form_urlencoded;

use crate::kube::api::{Query, Verb};

/// What a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Route {
    /// Objects.
    Objects(Objects),
    /// Something else, by its path.
    Path(String),
}

/// Objects that a path leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Objects {
    /// What is done.
    pub verb: Verb,
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind's name in paths.
    pub plural: String,
    /// The namespace; empty for all, or for none.
    pub namespace: String,
    /// The name; empty for many.
    pub name: String,
    /// The subresource; empty for none.
    pub subresource: String,
}

impl Objects {
    /// Returns the resource with its subresource.
    pub fn resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.plural.clone(),
            sub => format!("{}/{sub}", self.plural),
        }
    }
}

/// Finds what a method and a path ask for; `None` when the method goes with nothing there.
pub fn route(method: &Method, path: &str, query: &Query) -> Option<Route> {
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(decoded)
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(Route::Path(path.to_owned())),
    };
    let (namespace, rest) = match rest {
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, sub] => (*plural, *name, *sub),
        _ => return Some(Route::Path(path.to_owned())),
    };
    let one = !name.is_empty();
    let verb = match (method.as_str(), one) {
        ("GET" | "HEAD", _) if query.watch => Verb::Watch,
        ("GET" | "HEAD", true) => Verb::Get,
        ("GET" | "HEAD", false) => Verb::List,
        ("POST", _) => Verb::Create,
        ("PUT", true) => Verb::Update,
        ("PATCH", true) => Verb::Patch,
        ("DELETE", true) => Verb::Delete,
        ("DELETE", false) => Verb::DeleteCollection,
        _ => return None,
    };
    // A POST to a name makes a subresource of it, such as a token.
    if verb == Verb::Create && one && subresource.is_empty() {
        return None;
    }
    Some(Route::Objects(Objects {
        verb,
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    }))
}

fn decoded(part: &str) -> String {
    // In a path a plus is a plus, which the decoder of queries takes for a blank.
    let part = part.replace('+', "%2B");
    let mut pairs = form_urlencoded::parse(part.as_bytes());
    pairs
        .next()
        .map_or_else(String::new, |(text, _)| text.into_owned())
}

/// Reads the query of a request. What is not known is passed over, as by a real server.
pub fn query(text: &str) -> Query {
    let mut query = Query::default();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let value = value.into_owned();
        let yes = matches!(value.as_str(), "true" | "1" | "");
        match name.as_ref() {
            "fieldManager" => query.field_manager = value,
            "force" => query.force = yes,
            "dryRun" => query.dry_run = value == "All",
            "fieldValidation" => query.field_validation = value,
            "labelSelector" => query.label_selector = value,
            "fieldSelector" => query.field_selector = value,
            "limit" => query.limit = value.parse().unwrap_or(0),
            "continue" => query.continue_from = value,
            "resourceVersion" => query.resource_version = value,
            "resourceVersionMatch" => query.version_match = value,
            "watch" => query.watch = yes,
            "allowWatchBookmarks" => query.bookmarks = yes,
            "sendInitialEvents" => query.initial_events = yes,
            "timeoutSeconds" => query.timeout = value.parse().ok(),
            "propagationPolicy" => query.propagation = value,
            _ => {}
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(method: Method, path: &str) -> Objects {
        match route(&method, path, &Query::default()) {
            Some(Route::Objects(objects)) => objects,
            other => panic!("{path} leads to {other:?}"),
        }
    }

    #[test]
    fn paths_lead_to_objects() {
        let one = objects(Method::GET, "/api/v1/namespaces/vm");
        assert_eq!(
            (one.plural.as_str(), one.name.as_str()),
            ("namespaces", "vm")
        );
        assert_eq!(one.namespace, "");
        let many = objects(Method::DELETE, "/api/v1/namespaces/vm/secrets");
        assert_eq!(many.verb, Verb::DeleteCollection);
        assert_eq!(many.namespace, "vm");
        let token = objects(
            Method::POST,
            "/api/v1/namespaces/vm/serviceaccounts/web/token",
        );
        assert_eq!(token.resource(), "serviceaccounts/token");
        let role = objects(
            Method::GET,
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Adiscovery",
        );
        assert_eq!(role.name, "system:discovery");
    }

    #[test]
    fn other_paths_are_themselves() {
        for path in ["/version", "/api", "/api/v1", "/apis/g/v1"] {
            let found = route(&Method::GET, path, &Query::default());
            assert_eq!(found, Some(Route::Path(path.to_owned())));
        }
        let no = route(&Method::PUT, "/api/v1/pods", &Query::default());
        assert_eq!(no, None);
    }
}
