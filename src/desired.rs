//! Desired: what the fleet file asks for, with every default filled in.
//!
//! [`expand`] is pure: the texts and hashes of files that the fleet file names
//! come in as arguments, and so does what was read of the mesh. What it makes is data that a saved
//! plan can hold.

mod boot;
mod lack;
mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use meshvm_provider_api::labels::{Hash, Labels};
use meshvm_provider_api::{Media, Template};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bootstrap::{self, IstioFiles, Rendered};
use crate::diag::{Code, Diagnostic};
use crate::istio::{self, Gateway};
use crate::mesh::Group;
use crate::mesh::kubernetes::MeshRead;
use crate::mesh::objects::Side;
use crate::spec::model::{
    External, Identity, Membership, Mesh, Package, Rollout, ServiceAccountToken,
};
use crate::spec::scalars::Amount;
use crate::spec::{Fleet, FleetSpec};

pub use boot::Boot;
pub use lack::Lack;

/// The machines deleted in one run without a `budgets.destroy` in the file.
pub const DEFAULT_DESTROY: Amount = Amount::Percent(25);
/// The machines replaced in one run without a `budgets.replace` in the file.
pub const DEFAULT_REPLACE: Amount = Amount::Percent(50);
/// How long a token may be used where the file does not say: time enough for a first boot.
const DEFAULT_TTL: Duration = Duration::from_secs(15 * 60);

/// Everything that a fleet file asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Desired {
    /// The stack.
    pub stack: String,
    /// The fleets, by name.
    pub fleets: BTreeMap<String, DesiredFleet>,
    /// The most machines that may be deleted.
    pub destroy_budget: Amount,
    /// The most machines that may be replaced.
    pub replace_budget: Amount,
    /// How machines prove who they are; `None` when meshvm gives them nothing for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// Whether the file itself sets `destroy_budget`; then `destroy` keeps to it too.
    pub destroy_budget_is_explicit: bool,
}

/// Machines are given tokens of their service accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tokens {
    /// How long a token may be used.
    pub ttl: Duration,
    /// Whether it may be in the user-data where the provider has no private way.
    pub in_user_data: bool,
}

impl Tokens {
    /// Returns what a fleet file means: with a cluster as its mesh, tokens where it says nothing.
    pub fn of(spec: &FleetSpec) -> Option<Self> {
        let token = match (&spec.identity, &spec.mesh) {
            (Some(Identity::ServiceAccountToken(token)), _) => token.clone(),
            (None, Some(Mesh::Kubernetes(_))) => ServiceAccountToken::default(),
            (Some(Identity::None), _) | (None, Some(Mesh::Manifests(_)) | None) => return None,
        };
        // Without a sidecar there is nobody to use it.
        spec.sidecar.as_ref()?;
        Some(Self {
            ttl: token.ttl.map_or(DEFAULT_TTL, |ttl| ttl.0),
            in_user_data: token.allow_token_in_user_data,
        })
    }
}

/// A fleet with every default filled in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DesiredFleet {
    /// How many machines.
    pub replicas: u32,
    /// Whether its machines need `--allow-protected` to be destroyed or replaced.
    pub protect: bool,
    /// What they are made from.
    pub template: Template,
    /// The user's own labels.
    pub labels: Labels,
    /// Their user-data.
    pub user_data: String,
    /// Files that the bootstrap expects from the provider.
    pub media: Vec<Media>,
    /// What it is made from, and is told by.
    pub boot: Boot,
    /// The hash of all that a machine is compared with.
    pub spec: Hash,
    /// How they are replaced.
    pub rollout: ResolvedRollout,
    /// The fleet's side of the mesh, when its machines are members.
    pub membership: Option<Membership>,
    /// Whether no sidecar of theirs reports health, though there may be a probe.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unreported: bool,
    /// What new machines could not be told; none can be made then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<Lack>,
    /// Whether the service account that they use is not there; none can be made then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_account: bool,
    /// The same, when they are known to it and no members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

impl Desired {
    /// Returns the namespaces of the fleets' sides of the mesh.
    pub fn namespaces(&self) -> BTreeSet<&str> {
        let sides = self.fleets.values().filter_map(DesiredFleet::side);
        sides.map(|side| side.namespace()).collect()
    }

    /// Returns the fleets whose machines register by themselves.
    pub fn by_themselves(&self) -> Vec<Group<'_>> {
        let fleets = self.fleets.iter();
        let sides = fleets.filter_map(|(fleet, desired)| Some((fleet, desired.side()?)));
        sides
            .filter(|(_, side)| !side.has_entries())
            .map(|(fleet, side)| Group {
                stack: &self.stack,
                fleet,
                namespace: side.namespace(),
                by_itself: true,
            })
            .collect()
    }
}

impl DesiredFleet {
    /// Returns what the fleet is to the mesh; `None` when it has nothing to do with it.
    pub fn side(&self) -> Option<Side<'_>> {
        match (&self.membership, &self.external) {
            (Some(membership), _) => Some(Side::Member {
                membership,
                reports: !self.unreported,
            }),
            (None, Some(external)) => Some(Side::External(external)),
            (None, None) => None,
        }
    }
}

/// A rollout in numbers of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResolvedRollout {
    /// The most machines above `replicas`.
    pub max_surge: u32,
    /// The most machines below `replicas` that may be unavailable.
    pub max_unavailable: u32,
    /// How long a machine must stay ready.
    pub min_ready: Duration,
    /// How long a machine may take to become ready.
    pub ready_timeout: Duration,
    /// How long a machine that left the mesh is let alone; as its mesh needs it when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<Duration>,
}

impl ResolvedRollout {
    fn of(rollout: &Rollout, replicas: u32) -> Self {
        let surge = rollout.max_surge.unwrap_or(Amount::Count(1));
        let unavailable = rollout.max_unavailable.unwrap_or(Amount::Count(0));
        let max_surge = surge.of_rounded_up(replicas);
        let max_unavailable = unavailable.of_rounded_down(replicas);
        // A percentage of a small fleet may round to nothing on both sides; such a
        // rollout could never move, so it takes the step that keeps machines up.
        let stuck = max_surge == 0 && max_unavailable == 0;
        Self {
            max_surge: if stuck { 1 } else { max_surge },
            max_unavailable,
            min_ready: rollout.min_ready.map_or(Duration::ZERO, |d| d.0),
            ready_timeout: rollout
                .ready_timeout
                .map_or(Duration::from_secs(600), |d| d.0),
            drain: rollout.drain.map(|d| d.0),
        }
    }
}

/// The texts and places of files that a fleet file names, read at the edge.
#[derive(Clone, Debug, Default)]
pub struct NamedFiles {
    /// Own user-data templates: their texts by the path as written.
    pub templates: BTreeMap<String, String>,
    /// Sidecar packages: their absolute places by the path as written.
    pub packages: BTreeMap<String, PathBuf>,
}

/// What a fleet file asks for, and what is in the way of machines that were made now.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// What it asks for.
    pub desired: Desired,
    /// What keeps machines from being made, by fleet: what the mesh does not say of itself.
    pub lacking: BTreeMap<String, Diagnostic>,
}

/// Fills in everything that a fleet file leaves open.
///
/// # Errors
/// Returns every problem of rendering the bootstrap, each at its place in the file.
pub fn expand(
    spec: &FleetSpec,
    files: &NamedFiles,
    mesh: Option<&MeshRead>,
) -> Result<Expanded, Vec<Diagnostic>> {
    let tokens = Tokens::of(spec);
    let (mut problems, mut lacking) = (Vec::new(), BTreeMap::new());
    let mut fleets = BTreeMap::new();
    for (name, fleet) in &spec.fleets {
        let made = |mesh| expand_fleet(spec, fleet, files, mesh, tokens.is_some());
        let expanded = match (made(mesh), mesh) {
            (Err(problem), Some(mesh)) if lack::is_lack(&problem) => {
                lacking.insert(name.to_string(), *problem);
                let assumed = lack::assumed(mesh, fleet.body.membership.as_ref());
                let lack = match mesh.facts.gateway {
                    Gateway::Unknown => {
                        Lack::Gateway(made_from(&fleet.template, &fleet.body.labels))
                    }
                    Gateway::Address(_) | Gateway::Host(_) | Gateway::PrivateDns => Lack::RootCert,
                };
                made(Some(&assumed)).map(|desired| desired.lacking(lack))
            }
            (expanded, _) => expanded,
        };
        match expanded {
            Ok(desired) => {
                fleets.insert(name.to_string(), desired);
            }
            Err(diagnostic) => problems.push(*diagnostic),
        }
    }
    if !problems.is_empty() {
        problems.extend(lacking.into_values());
        return Err(problems);
    }
    let desired = Desired {
        stack: spec.stack.to_string(),
        fleets,
        destroy_budget: spec.budgets.destroy.unwrap_or(DEFAULT_DESTROY),
        replace_budget: spec.budgets.replace.unwrap_or(DEFAULT_REPLACE),
        destroy_budget_is_explicit: spec.budgets.destroy.is_some(),
        tokens,
    };
    Ok(Expanded { desired, lacking })
}

/// Returns every file that is generated for a fleet's machines, by name; the user-data holds them.
///
/// # Errors
/// The first problem of rendering them, at its place in the file.
pub fn generated(
    spec: &FleetSpec,
    fleet: &Fleet,
    files: &NamedFiles,
    mesh: Option<&MeshRead>,
) -> Result<Vec<(String, String)>, Box<Diagnostic>> {
    let made = make(spec, fleet, files, mesh, Tokens::of(spec).is_some())?;
    let mut generated = made.rendered.files;
    if let Some(istio) = made.istio {
        let hosts = istio::hosts(&istio);
        let IstioFiles {
            cluster_env,
            mesh_yaml,
            root_cert,
            hosts: _,
            machine_env: _,
            token: _,
        } = istio;
        for (name, text) in [
            ("cluster.env", cluster_env),
            ("mesh.yaml", mesh_yaml),
            ("root-cert.pem", root_cert),
            ("hosts", hosts),
        ] {
            generated.push((name.to_owned(), text));
        }
    }
    Ok(generated)
}

/// What is made of a fleet's part of the file.
struct Made {
    membership: Option<Membership>,
    istio: Option<IstioFiles>,
    rendered: Rendered,
    user_data_hash: Hash,
}

fn make(
    spec: &FleetSpec,
    fleet: &Fleet,
    files: &NamedFiles,
    mesh: Option<&MeshRead>,
    token: bool,
) -> Result<Made, Box<Diagnostic>> {
    let body = &fleet.body;
    let membership = member::membership(spec, fleet);
    let istio = member::files(spec, fleet, membership.as_ref(), mesh, token)?;
    let own_template = body.bootstrap.template.as_ref();
    let render = |istio: Option<&IstioFiles>| {
        let request = bootstrap::Request {
            stack: spec.stack.as_str(),
            fleet: fleet.name.as_str(),
            // Machines that are no members run no sidecar.
            sidecar: spec.sidecar.as_ref().filter(|_| body.external.is_none()),
            bootstrap: &body.bootstrap,
            istio,
            own_template: own_template
                .and_then(|path| files.templates.get(path))
                .map(String::as_str),
        };
        bootstrap::render(&request).map_err(|error| {
            let code = own_template.map_or(Code::Value, |_| Code::NamedFile);
            let diagnostic = Diagnostic::error(
                code,
                format!(
                    "the user-data of fleet `{}` cannot be rendered: {error}",
                    fleet.name
                ),
            );
            let place = spec.place(&["fleets", fleet.name.as_str(), "bootstrap"]);
            Box::new(match place {
                Some(place) => diagnostic.at(place),
                None => diagnostic,
            })
        })
    };
    let rendered = render(istio.as_ref())?;
    let user_data_hash = match &istio {
        // The sidecar renews it as the mesh's roots change: another one is no other machine.
        Some(istio) => {
            let rootless = IstioFiles {
                root_cert: String::new(),
                ..istio.clone()
            };
            Hash::of(render(Some(&rootless))?.user_data)
        }
        None => Hash::of(&rendered.user_data),
    };
    Ok(Made {
        membership,
        istio,
        rendered,
        user_data_hash,
    })
}

fn expand_fleet(
    spec: &FleetSpec,
    fleet: &Fleet,
    files: &NamedFiles,
    mesh: Option<&MeshRead>,
    token: bool,
) -> Result<DesiredFleet, Box<Diagnostic>> {
    let body = &fleet.body;
    let made = make(spec, fleet, files, mesh, token)?;
    let packages = spec.sidecar.iter().flat_map(|sidecar| &sidecar.packages);
    let media = packages
        .filter(|_| body.external.is_none())
        .filter_map(|package| media(package, files))
        .collect();
    let replicas = body.replicas.unwrap_or(1);
    Ok(DesiredFleet {
        replicas,
        protect: body.protect,
        template: fleet.template.clone(),
        labels: body.labels.clone(),
        spec: hash_of(
            &made_from(&fleet.template, &body.labels),
            &made.user_data_hash,
        ),
        user_data: made.rendered.user_data,
        boot: Boot {
            from: boot::settings(spec, fleet, made.membership.as_ref(), mesh),
            user_data: made.user_data_hash,
        },
        media,
        rollout: ResolvedRollout::of(&body.rollout, replicas),
        membership: made.membership,
        unreported: spec
            .sidecar
            .as_ref()
            .is_some_and(|sidecar| !sidecar.config.workload_entry),
        external: body.external.clone(),
        lacks: None,
        lacks_account: false,
    })
}

/// Returns the package as a file to hand over; `None` when the machine fetches it itself.
fn media(package: &Package, files: &NamedFiles) -> Option<Media> {
    let path = files.packages.get(package.path.as_ref()?)?;
    Some(Media {
        name: bootstrap::media_name(package),
        path: path.clone(),
        sha256: package.sha256.clone(),
    })
}

/// Returns what a machine is compared with beside its user-data.
fn made_from(template: &Template, labels: &Labels) -> Value {
    // The zone is left out: where a machine stands is the planner's choice, and
    // adding a zone must not make the machines of the others outdated.
    let Template {
        scope,
        zones: _,
        settings: _,
        attributes,
    } = template;
    json!([scope, attributes, labels])
}

/// Returns the hash of what a machine is compared with.
fn hash_of(others: &Value, user_data: &Hash) -> Hash {
    let others = others.as_array().into_iter().flatten();
    let all: Vec<Value> = others.cloned().chain([json!(user_data)]).collect();
    Hash::of(Value::from(all).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::scalars;

    #[test]
    fn a_rollout_that_rounds_to_nothing_surges_by_one() {
        let rollout = Rollout {
            max_surge: Some(Amount::Count(0)),
            max_unavailable: Some(Amount::Percent(25)),
            min_ready: Some(scalars::Duration(Duration::from_secs(3))),
            ready_timeout: None,
            drain: None,
        };
        let resolved = ResolvedRollout::of(&rollout, 3);
        assert_eq!((resolved.max_surge, resolved.max_unavailable), (1, 0));
        let resolved = ResolvedRollout::of(&rollout, 8);
        assert_eq!((resolved.max_surge, resolved.max_unavailable), (0, 2));
    }
}
