//! The server's own kinds.
//!
//! Their schemas are generated from the types of `k8s-openapi`. What those do not say, how
//! items of a list are told apart, is added from the markers in the API's types
//! (<https://github.com/kubernetes/api>).

use k8s_openapi::api::{
    admissionregistration, authentication, authorization, coordination, core, rbac,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{BadKinds, Kind, Nature, Review, version};
use crate::kube::schema::compile::compile;
use crate::kube::schema::{Identity, Schema, Shape};

/// What the generated schema of a kind leaves open.
struct Marker {
    path: &'static str,
    mark: Mark,
}

enum Mark {
    /// A list whose items have these keys; the second is the key of a strategic merge patch.
    Keys(&'static [&'static str], &'static str),
    /// A list that is a set, and merges.
    Set,
    /// A map that is one value.
    Atomic,
    /// A list whose items are one value each.
    AtomicItems,
    /// A text that is this when left out.
    Default(&'static str),
    /// Anything may be in it.
    Open,
}

const fn mark(path: &'static str, mark: Mark) -> Marker {
    Marker { path, mark }
}

const META: &[Marker] = &[
    mark("ownerReferences", Mark::Keys(&["uid"], "uid")),
    mark("ownerReferences", Mark::AtomicItems),
    mark("finalizers", Mark::Set),
    mark("managedFields.fieldsV1", Mark::Open),
];
const SERVICE: &[Marker] = &[
    mark("spec.ports", Mark::Keys(&["port", "protocol"], "port")),
    mark("spec.ports.protocol", Mark::Default("TCP")),
    mark("spec.selector", Mark::Atomic),
    mark("status.conditions", Mark::Keys(&["type"], "type")),
];
const ACCOUNT: &[Marker] = &[
    mark("secrets", Mark::Keys(&["name"], "name")),
    mark("secrets", Mark::AtomicItems),
];
const NAMESPACE: &[Marker] = &[mark("status.conditions", Mark::Keys(&["type"], "type"))];
const BINDING: &[Marker] = &[mark("roleRef", Mark::Atomic)];
const EVENT: &[Marker] = &[
    mark("involvedObject", Mark::Atomic),
    mark("related", Mark::Atomic),
];
const WEBHOOKS: &[Marker] = &[
    mark("webhooks", Mark::Keys(&["name"], "name")),
    mark("webhooks.failurePolicy", Mark::Default("Fail")),
    mark("webhooks.matchConditions", Mark::Keys(&["name"], "name")),
    mark("webhooks.matchPolicy", Mark::Default("Equivalent")),
    mark("webhooks.namespaceSelector", Mark::Atomic),
    mark("webhooks.objectSelector", Mark::Atomic),
    mark("webhooks.reinvocationPolicy", Mark::Default("Never")),
    mark("webhooks.rules.scope", Mark::Default("*")),
];
const NONE: &[Marker] = &[];

struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    nature: Nature,
    schema: fn() -> Value,
    markers: &'static [Marker],
}

const RBAC: &str = "rbac.authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";

const fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    schema: fn() -> Value,
) -> Row {
    Row {
        group,
        kind,
        plural,
        short,
        namespaced: true,
        status: false,
        nature: Nature::Builtin,
        schema,
        markers: NONE,
    }
}

impl Row {
    const fn everywhere(mut self) -> Self {
        self.namespaced = false;
        self
    }

    const fn with_status(mut self) -> Self {
        self.status = true;
        self
    }

    const fn marked(mut self, markers: &'static [Marker]) -> Self {
        self.markers = markers;
        self
    }

    const fn asking(mut self, review: Review) -> Self {
        self.nature = Nature::Review(review);
        self.everywhere()
    }
}

const ROWS: &[Row] = &[
    row(
        "",
        "Namespace",
        "namespaces",
        &["ns"],
        root::<core::v1::Namespace>,
    )
    .everywhere()
    .with_status()
    .marked(NAMESPACE),
    row(
        "",
        "ConfigMap",
        "configmaps",
        &["cm"],
        root::<core::v1::ConfigMap>,
    ),
    row("", "Secret", "secrets", &[], root::<core::v1::Secret>),
    row(
        "",
        "ServiceAccount",
        "serviceaccounts",
        &["sa"],
        root::<core::v1::ServiceAccount>,
    )
    .marked(ACCOUNT),
    row(
        "",
        "Service",
        "services",
        &["svc"],
        root::<core::v1::Service>,
    )
    .with_status()
    .marked(SERVICE),
    row("", "Event", "events", &["ev"], root::<core::v1::Event>).marked(EVENT),
    row(
        "coordination.k8s.io",
        "Lease",
        "leases",
        &[],
        root::<coordination::v1::Lease>,
    ),
    row(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        &[],
        root::<admissionregistration::v1::MutatingWebhookConfiguration>,
    )
    .everywhere()
    .marked(WEBHOOKS),
    row(RBAC, "Role", "roles", &[], root::<rbac::v1::Role>),
    row(
        RBAC,
        "ClusterRole",
        "clusterroles",
        &[],
        root::<rbac::v1::ClusterRole>,
    )
    .everywhere(),
    row(
        RBAC,
        "RoleBinding",
        "rolebindings",
        &[],
        root::<rbac::v1::RoleBinding>,
    )
    .marked(BINDING),
    row(
        RBAC,
        "ClusterRoleBinding",
        "clusterrolebindings",
        &[],
        root::<rbac::v1::ClusterRoleBinding>,
    )
    .everywhere()
    .marked(BINDING),
    row(
        AUTHENTICATION,
        "TokenReview",
        "tokenreviews",
        &[],
        root::<authentication::v1::TokenReview>,
    )
    .asking(Review::Token),
    row(
        AUTHORIZATION,
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        &[],
        root::<authorization::v1::SelfSubjectAccessReview>,
    )
    .asking(Review::SelfAccess),
    row(
        AUTHORIZATION,
        "SubjectAccessReview",
        "subjectaccessreviews",
        &[],
        root::<authorization::v1::SubjectAccessReview>,
    )
    .asking(Review::Access),
    row(
        AUTHORIZATION,
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        &[],
        root::<authorization::v1::SelfSubjectRulesReview>,
    )
    .asking(Review::SelfRules),
];

/// Returns the server's own kinds, but for the CRDs themselves.
///
/// # Errors
///
/// When a generated schema says something that is not known here.
pub fn all() -> Result<Vec<Kind>, BadKinds> {
    ROWS.iter().map(kind_of).collect()
}

fn kind_of(row: &Row) -> Result<Kind, BadKinds> {
    let mut schema = schema_of(row.kind, &(row.schema)())?;
    set_metadata(&mut schema)?;
    for marker in row.markers {
        set(&mut schema, marker);
    }
    Ok(Kind {
        group: row.group.to_owned(),
        versions: vec![version("v1", schema)],
        kind: row.kind.to_owned(),
        plural: row.plural.to_owned(),
        singular: row.kind.to_ascii_lowercase(),
        short: row.short.iter().map(|name| (*name).to_owned()).collect(),
        categories: match row.plural {
            "services" => vec!["all".to_owned()],
            _ => Vec::new(),
        },
        namespaced: row.namespaced,
        nature: row.nature,
        status: row.status,
    })
}

/// Gives a kind the schema of `apiVersion`, `kind` and `metadata`, which are the same for all.
///
/// # Errors
///
/// When the generated schema of metadata says something that is not known here.
pub fn set_metadata(schema: &mut Schema) -> Result<(), BadKinds> {
    let mut metadata = schema_of("ObjectMeta", &root::<ObjectMeta>())?;
    for marker in META {
        set(&mut metadata, marker);
    }
    if let Shape::Object(object) = &mut schema.shape {
        object.fields.insert("metadata".to_owned(), metadata);
        for name in ["apiVersion", "kind"] {
            object
                .fields
                .insert(name.to_owned(), Schema::of(Shape::String));
        }
        object.required.retain(|name| name != "metadata");
    }
    Ok(())
}

fn schema_of(kind: &str, generated: &Value) -> Result<Schema, BadKinds> {
    let none = Map::new();
    let definitions = generated["$defs"].as_object().unwrap_or(&none);
    compile(generated, definitions).map_err(|source| BadKinds::Schema {
        kind: kind.to_owned(),
        source,
    })
}

fn root<T: JsonSchema>() -> Value {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    json!(schema)
}

fn set(schema: &mut Schema, marker: &Marker) {
    let found = schema.at_mut(marker.path);
    let found = found.unwrap_or_else(|| unreachable!("there is no {}", marker.path));
    match (&marker.mark, &mut found.shape) {
        (Mark::Keys(keys, merge_key), Shape::List(list)) => {
            list.identity = Identity::Keys(keys.iter().map(|key| (*key).to_owned()).collect());
            list.merge_key = Some((*merge_key).to_owned());
        }
        (Mark::Set, Shape::List(list)) => list.identity = Identity::Set,
        (Mark::Atomic, Shape::Object(object)) => object.atomic = true,
        (Mark::AtomicItems, Shape::List(list)) => {
            if let Shape::Object(item) = &mut list.items.shape {
                item.atomic = true;
            }
        }
        (Mark::Default(text), _) => found.default = Some(json!(text)),
        (Mark::Open, shape) => *shape = Shape::Any,
        (Mark::Keys(..) | Mark::Set | Mark::Atomic | Mark::AtomicItems, _) => {
            unreachable!("{} is of no form that can be marked so", marker.path)
        }
    }
}
