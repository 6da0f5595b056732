//! The mesh of a fleet file: where it is, how this user logs in to it, and what it says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{CliError, Exit};
use meshvm_provider_api::labels::Hash;
use secrecy::SecretString;

use crate::desired::{Desired, Tokens};
use crate::diag::{Code, Diagnostic};
use crate::istio::Facts;
use crate::mesh::kubernetes::{Calls, MeshRead, Overridden};
use crate::mesh::{
    Backend, Cluster, Kubernetes, KubernetesError, Logins, MeshError, ObjectRef, Proxies, Target,
    objects,
};
use crate::plan::{Context, MeshReading, Plan};
use crate::preflight::{self, Intent, Kinds, Rights};
use crate::show;
use crate::spec::FleetSpec;
use crate::spec::model::{KubernetesMesh, Mesh};

/// Whether a command asks the mesh what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It does: what it shows depends on that.
    Mesh,
    /// It does, and shows what can be done where no machine can be made.
    Plan,
    /// It does, and shows what it can where the mesh cannot be read.
    Status,
    /// As for a plan, and asks also what would be in the way of whoever applies.
    Obstacles,
    /// It does, and asks also what would be in its own way, if it were to apply.
    Advice,
    /// As for a plan, and asks also what is in its own way.
    Preflight,
    /// It does not, and works where no cluster can be reached.
    Nobody,
}

/// Returns where membership is written.
pub fn target(spec: &FleetSpec, base_dir: &Path) -> Option<Target> {
    Some(match spec.mesh.as_ref()? {
        Mesh::Manifests(manifests) => Target::Manifests(absolute(base_dir, &manifests.path)),
        Mesh::Kubernetes(mesh) => Target::Kubernetes(Cluster {
            kubeconfig: mesh
                .kubeconfig
                .as_deref()
                .map(|path| absolute(base_dir, path)),
            context: mesh.context.clone(),
            create_namespaces: mesh.create_namespaces,
        }),
    })
}

/// Names a mesh in the fleet file's words.
pub fn name(mesh: &Mesh) -> String {
    match mesh {
        Mesh::Manifests(manifests) => format!("manifests in {}", manifests.path),
        Mesh::Kubernetes(mesh) => match &mesh.context {
            Some(context) => format!("the cluster of context {context}"),
            None => "the cluster".to_owned(),
        },
    }
}

/// Returns where a path of the fleet file leads, without the `.` of `./mesh`, which says nothing.
fn absolute(base_dir: &Path, path: &str) -> PathBuf {
    base_dir.join(path).components().collect()
}

/// Opens the mesh of a plan; with `force_conflicts`, fields that others set are taken.
pub fn open(context: &Context, force_conflicts: bool, calls: &Calls) -> Option<Arc<dyn Backend>> {
    let target = context.mesh.as_ref()?;
    let logins = Logins {
        force_conflicts,
        ..logins(calls)
    };
    Some(target.open(&logins))
}

/// Returns how this user logs in to clusters, as kubectl finds it out
/// (<https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>).
fn logins(calls: &Calls) -> Logins {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let kubeconfigs = match set("KUBECONFIG") {
        Some(paths) => std::env::split_paths(&paths).collect(),
        None => set("HOME")
            .map(|home| PathBuf::from(home).join(".kube/config"))
            .into_iter()
            .collect(),
    };
    // An empty one is none, and hides none (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>).
    let either = |upper: &str, lower: &str| {
        let value = set(upper).or_else(|| set(lower))?;
        Some(value.to_string_lossy().into_owned())
    };
    let proxies = Proxies {
        https: either("HTTPS_PROXY", "https_proxy").map(SecretString::from),
        http: either("HTTP_PROXY", "http_proxy").map(SecretString::from),
        excluded: either("NO_PROXY", "no_proxy").unwrap_or_default(),
    };
    Logins {
        kubeconfigs,
        proxies,
        force_conflicts: false,
        calls: calls.clone(),
    }
}

/// A cluster that a fleet file names, and what it says of it.
pub struct Named<'a> {
    /// The cluster.
    pub cluster: Kubernetes,
    /// The file's settings.
    pub settings: &'a KubernetesMesh,
}

/// Returns the cluster of a fleet file; `None` when its mesh is no cluster, or is simulated.
pub fn cluster<'a>(spec: &'a FleetSpec, context: &Context, calls: &Calls) -> Option<Named<'a>> {
    match (spec.mesh.as_ref()?, context.mesh.as_ref()?) {
        (Mesh::Kubernetes(settings), Target::Kubernetes(cluster)) => Some(Named {
            cluster: Kubernetes::new(cluster.clone(), logins(calls)),
            settings,
        }),
        (Mesh::Kubernetes(_) | Mesh::Manifests(_), _) => None,
    }
}

/// Reads the mesh of a fleet file; `None` when it is no cluster.
pub async fn read(
    spec: &FleetSpec,
    context: &Context,
    calls: &Calls,
) -> Result<Option<MeshRead>, CliError> {
    let Some(named) = cluster(spec, context, calls) else {
        return Ok(None);
    };
    let namespaces = memberships(spec);
    let read = named.cluster.read_mesh(named.settings, &namespaces).await;
    read.map(Some).map_err(|error| unread(spec, &error))
}

/// Returns what would be in the way of a fleet file in the mesh that was read.
pub async fn preflight(
    spec: &FleetSpec,
    context: &Context,
    read: &MeshRead,
    applies: bool,
    calls: &Calls,
) -> Result<Vec<Diagnostic>, CliError> {
    let Some(named) = cluster(spec, context, calls) else {
        return Ok(Vec::new());
    };
    let istio = read.facts.revision.namespace.as_str();
    let live = named.cluster.look_round(istio, &namespaces(spec)).await;
    let live = live.map_err(|error| unread(spec, &error))?;
    let mut found = preflight::check(spec, read, &live);
    let rights = Rights {
        rules: &live.rules,
        to_make: &live.to_make,
        wanted: &preflight::wanted(preflight::sides(spec)),
        intent: match applies {
            true => intent(false, Tokens::of(spec)),
            false => Intent::Look,
        },
    };
    let lacking = lacking(&named.cluster, spec.stack.as_str(), &rights).await;
    for mut lacking in lacking.map_err(|error| unread(spec, &error))? {
        lacking.place = spec.place(&["mesh", "kubernetes"]);
        found.push(lacking);
    }
    Ok(found)
}

/// Finds what this user may not do; of kinds that are not in the file, only where the stack still has
/// some, which are looked for only where it matters.
async fn lacking(
    cluster: &Kubernetes,
    stack: &str,
    rights: &Rights<'_>,
) -> Result<Vec<Diagnostic>, KubernetesError> {
    let doubted = rights.in_doubt();
    let own = match doubted.is_empty() {
        true => Kinds::new(),
        false => cluster.kinds_of(stack, &doubted).await?,
    };
    Ok(rights.lacking(&own))
}

/// Warns that the mesh of a fleet file was not read, where that is no reason to stop.
pub fn not_read(spec: &FleetSpec, error: &MeshError) -> Diagnostic {
    let failure = match error {
        MeshError::Kubernetes(error) => unread(spec, error),
        other => CliError {
            hint: other.hint(),
            ..CliError::of(other)
        },
    };
    unread_warning(failure)
}

/// As [`not_read`], of the failure to read it.
pub fn unread_warning(failure: CliError) -> Diagnostic {
    let found = failure.diagnostics.into_iter().next();
    let found = found.unwrap_or_else(|| Diagnostic {
        hint: failure.hint,
        ..Diagnostic::error(Code::NotAsked, failure.summary)
    });
    let mut said = vec![format!("the mesh was not read: {}", found.summary)];
    said.extend(failure.causes);
    let warning = Diagnostic::warning(Code::NotAsked, said.join(": "));
    Diagnostic {
        summary: warning.summary,
        ..found.as_warning()
    }
}

/// Returns how the mesh of a fleet file was read, and what was; `None` when it is no cluster.
pub fn reading(spec: &FleetSpec, facts: &Facts) -> Option<MeshReading> {
    let Some(Mesh::Kubernetes(settings)) = &spec.mesh else {
        return None;
    };
    Some(MeshReading {
        settings: settings.as_ref().clone(),
        namespaces: memberships(spec).into_iter().map(str::to_owned).collect(),
        facts: hashed(facts),
    })
}

fn hashed(facts: &Facts) -> BTreeMap<String, Hash> {
    let value = serde_json::to_value(facts).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(name, value)| (name.clone(), Hash::of(value.to_string())))
        .collect()
}

/// Refuses a saved plan when the mesh is not any more what its machines would be told, or does not
/// have what their tokens are made for.
pub async fn still(plan: &Plan, calls: &Calls) -> Result<(), CliError> {
    let (Some(Target::Kubernetes(cluster)), Some(reading)) =
        (&plan.context.mesh, &plan.context.mesh_read)
    else {
        return Ok(());
    };
    let cluster = Kubernetes::new(cluster.clone(), logins(calls));
    let namespaces = reading.namespaces.iter().map(String::as_str).collect();
    let read = cluster.read_mesh(&reading.settings, &namespaces).await;
    let facts = hashed(&read.map_err(|error| failed(&error))?.facts);
    let names = reading.facts.keys().chain(facts.keys());
    let mut changed: BTreeSet<String> = names
        .filter(|name| reading.facts.get(*name) != facts.get(*name))
        .cloned()
        .collect();
    let absent = cluster.absent(plan.used_accounts()).await;
    let absent = absent.map_err(|error| not_listed(&error))?;
    changed.extend(absent.iter().map(ToString::to_string));
    if changed.is_empty() {
        return Ok(());
    }
    let what = show::few(changed.iter().map(String::as_str));
    Err(CliError::new(format!(
        "the saved plan is out of date: the mesh changed since it was made ({what})"
    ))
    .with_hint("make a new plan with `meshvm plan --out`")
    .exiting(Exit::OutOfDate))
}

/// Tells of objects in the mesh that are not the stack's, where its own would be.
pub async fn foreign(
    spec: &FleetSpec,
    context: &Context,
    desired: &Desired,
    calls: &Calls,
) -> Result<Vec<Diagnostic>, CliError> {
    let Some(named) = cluster(spec, context, calls) else {
        return Ok(Vec::new());
    };
    let sides = desired.fleets.iter();
    let wanted: BTreeSet<ObjectRef> = sides
        .filter_map(|(fleet, desired)| Some((fleet, desired.side()?)))
        .flat_map(|(fleet, side)| objects::of_fleet(&desired.stack, fleet, side))
        .map(|object| object.reference)
        .collect();
    let found = named.cluster.foreign(&desired.stack, &wanted).await;
    let found = found.map_err(|error| not_listed(&error))?;
    Ok(preflight::foreign(spec, desired, &found))
}

/// Tells of service accounts that the file's fleets use, and that the cluster does not have, by fleet.
pub async fn accounts(
    spec: &FleetSpec,
    context: &Context,
    read: &MeshRead,
    calls: &Calls,
) -> Result<BTreeMap<String, Diagnostic>, CliError> {
    let used = preflight::used_accounts(spec);
    let named = cluster(spec, context, calls).filter(|_| !used.is_empty());
    let Some(named) = named else {
        return Ok(BTreeMap::new());
    };
    let absent = named.cluster.absent(used).await;
    let absent = absent.map_err(|error| not_listed(&error))?;
    Ok(preflight::no_account(spec, read, &absent))
}

fn intent(destroys: bool, tokens: Option<Tokens>) -> Intent {
    match (destroys, tokens) {
        (false, Some(_)) => Intent::WriteAndToken,
        (false, None) => Intent::Write,
        (true, Some(_)) => Intent::DeleteAndRevoke,
        (true, None) => Intent::Delete,
    }
}

/// Checks that this user may apply a plan in the namespaces of a stack's fleets, or destroy what is
/// there. Before a saved plan and a destroy nothing else is looked for: of the one it was when it
/// was saved, and nothing is in the way of the other.
pub async fn may(
    context: &Context,
    desired: &Desired,
    destroys: bool,
    calls: &Calls,
) -> Result<(), CliError> {
    let Some(Target::Kubernetes(cluster)) = &context.mesh else {
        return Ok(());
    };
    let namespaces = desired.namespaces();
    let cluster = Kubernetes::new(cluster.clone(), logins(calls));
    let rules = cluster.rules_in(&namespaces).await;
    let rules = rules.map_err(|error| failed(&error))?;
    let to_make = match destroys {
        true => BTreeSet::new(),
        false => {
            let absent = cluster.absent_namespaces(&namespaces).await;
            absent.map_err(|error| failed(&error))?
        }
    };
    let sides = desired.fleets.iter();
    let sides = sides.filter_map(|(fleet, desired)| Some((fleet.as_str(), desired.side()?)));
    let rights = Rights {
        rules: &rules,
        to_make: &to_make.into_iter().map(str::to_owned).collect(),
        wanted: &preflight::wanted(sides),
        intent: intent(destroys, desired.tokens),
    };
    let found = lacking(&cluster, &desired.stack, &rights).await;
    let found = found.map_err(|error| failed(&error))?;
    match found.is_empty() {
        true => Ok(()),
        false => Err(CliError::input(found)),
    }
}

/// Returns the namespaces of members: machines that are told what the mesh is.
fn memberships(spec: &FleetSpec) -> BTreeSet<&str> {
    let fleets = spec.fleets.values();
    let memberships = fleets.filter_map(|fleet| fleet.body.membership.as_ref());
    memberships.map(|m| m.namespace.as_str()).collect()
}

/// Returns all namespaces that objects are written to.
fn namespaces(spec: &FleetSpec) -> BTreeSet<&str> {
    let fleets = spec.fleets.values();
    let externals = fleets.filter_map(|fleet| fleet.body.external.as_ref());
    let externals = externals.map(|external| external.namespace.as_str());
    externals.chain(memberships(spec)).collect()
}

/// Says why the mesh of a fleet file could not be read, and what of the file that is about.
fn unread(spec: &FleetSpec, error: &KubernetesError) -> CliError {
    let (code, field) = match error {
        KubernetesError::NoControlPlane { revision, .. } => {
            let field = revision.as_ref().map_or("istioNamespace", |_| "revision");
            (Code::NoControlPlane, field)
        }
        KubernetesError::NoContext { .. }
        | KubernetesError::NoCurrentContext { .. }
        | KubernetesError::NoEntry { .. } => (Code::NotAsked, "context"),
        KubernetesError::NoConfig { .. }
        | KubernetesError::Kubeconfig { .. }
        | KubernetesError::BadUrl { .. }
        | KubernetesError::Login { .. }
        | KubernetesError::NotTrusted { .. }
        | KubernetesError::NotKubernetes { .. }
        | KubernetesError::Client(_) => (Code::NotAsked, "kubeconfig"),
        KubernetesError::InCluster(_)
        | KubernetesError::Refused { .. }
        | KubernetesError::TooLate { .. }
        | KubernetesError::NoRequest { .. }
        | KubernetesError::Unreachable { .. }
        | KubernetesError::Unreadable { .. }
        | KubernetesError::Conflict(_)
        | KubernetesError::NoAccount { .. }
        | KubernetesError::Incomplete { .. } => (Code::NotAsked, ""),
    };
    let mut found = Diagnostic::error(code, error.to_string());
    found.hint = error.hint();
    let path = ["mesh", "kubernetes", field];
    found.place = spec.place(&path[..path.len() - usize::from(field.is_empty())]);
    CliError {
        diagnostics: vec![found],
        hint: None,
        summary: "the mesh cannot be read, and nothing was touched".to_owned(),
        ..CliError::of(error)
    }
}

/// Says why objects could not be looked for.
fn not_listed(error: &MeshError) -> CliError {
    CliError {
        hint: error.hint(),
        ..CliError::of(error)
    }
}

/// Says why the mesh could not be read.
fn failed(error: &KubernetesError) -> CliError {
    let mut failure = CliError::of(error);
    failure.hint = error.hint();
    failure
}

/// Tells what the file says otherwise than the cluster.
pub fn overridden(spec: &FleetSpec, read: &MeshRead) -> Vec<Diagnostic> {
    read.overridden
        .iter()
        .map(
            |Overridden {
                 field,
                 file,
                 cluster,
             }| {
                let text = format!("the file says `{file}`, and the cluster `{cluster}`");
                let mut diagnostic = Diagnostic::warning(Code::Overridden, text).with_hint(
                    "leave it out to take the cluster's; machines may be refused otherwise",
                );
                diagnostic.place = spec.place(&["mesh", "kubernetes", field]);
                diagnostic
            },
        )
        .collect()
}
