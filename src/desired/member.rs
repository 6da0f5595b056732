//! What makes a fleet's machines members of a cluster's mesh. Pure.

use crate::bootstrap::IstioFiles;
use crate::diag::{Code, Diagnostic};
use crate::istio::{self, FilesError, Improvements, Platform, Workload};
use crate::mesh::kubernetes::MeshRead;
use crate::spec::model::{Membership, Mesh, SidecarConfig};
use crate::spec::{Fleet, FleetSpec};

/// Returns the membership with what the mesh's own settings say where it says nothing itself.
pub(super) fn membership(spec: &FleetSpec, fleet: &Fleet) -> Option<Membership> {
    let mut membership = fleet.body.membership.clone()?;
    if let (None, Some(Mesh::Kubernetes(mesh))) = (&membership.network, &spec.mesh) {
        membership.network.clone_from(&mesh.network);
    }
    Some(membership)
}

/// Makes the files by which a fleet's machines join; `None` when they join by no files of ours.
pub(super) fn files(
    spec: &FleetSpec,
    fleet: &Fleet,
    membership: Option<&Membership>,
    mesh: Option<&MeshRead>,
    token: bool,
) -> Result<Option<IstioFiles>, Box<Diagnostic>> {
    let (Some(sidecar), Some(membership), Some(mesh)) = (&spec.sidecar, membership, mesh) else {
        return Ok(None);
    };
    let config = &sidecar.config;
    let name = fleet.name.as_str();
    let workload = workload(name, membership, config.capture_dns);
    let improvements = improvements(config, &fleet.provider, membership);
    let made = istio::files(&mesh.facts, &workload, &improvements, token);
    made.map(Some)
        .map_err(|error| Box::new(problem(spec, name, &error)))
}

fn workload<'a>(fleet: &'a str, membership: &'a Membership, capture_dns: bool) -> Workload<'a> {
    let ports = membership.ports.iter();
    Workload {
        name: fleet,
        namespace: membership.namespace.as_str(),
        service_account: membership.service_account.as_str(),
        labels: &membership.labels,
        annotations: &membership.annotations,
        ports: ports.map(|(name, port)| (name.as_str(), port.0)).collect(),
        network: membership.network.as_deref(),
        probe: membership
            .probe
            .as_ref()
            .map(|probe| serde_json::json!(probe)),
        auto_register: membership.auto_register,
        capture_dns,
    }
}

fn improvements(config: &SidecarConfig, provider: &str, membership: &Membership) -> Improvements {
    let SidecarConfig {
        capture_dns: _,
        cloud_platform,
        inventory_address,
        workload_entry,
        exclude_metadata_service,
        exclude_ports,
        certificate_ttl,
    } = config;
    Improvements {
        platform: cloud_platform.then(|| Platform::of_provider(provider)),
        // A machine without a health check is entered when it is ready, and its sidecar would be
        // refused before that.
        workload_entry: *workload_entry && membership.probe.is_some(),
        inventory_address: *inventory_address,
        exclude_ports: exclude_ports.iter().map(|port| port.0).collect(),
        exclude_metadata_service: *exclude_metadata_service,
        certificate_ttl: Some(certificate_ttl.0).filter(|ttl| !ttl.is_zero()),
    }
}

fn problem(spec: &FleetSpec, fleet: &str, error: &FilesError) -> Diagnostic {
    let (code, path, hint): (_, &[&str], _) = match error {
        FilesError::NoRootCert { .. } => (
            Code::NoRootCert,
            &["fleets", fleet, "membership", "namespace"],
            "let the mesh's discoverySelectors include the namespace: the control plane writes the \
             ConfigMap by itself, once the namespace exists",
        ),
        FilesError::NoGateway => (
            Code::NoGateway,
            &["mesh", "kubernetes", "eastWest"],
            "install the east-west gateway, or set `mesh.kubernetes.eastWest.address`, or \
             `privateDns: true` where the machines' DNS knows the control plane",
        ),
        FilesError::NoClusterId => (
            Code::NoClusterId,
            &["mesh", "kubernetes"],
            "set `mesh.kubernetes.clusterId` to what istiod has as CLUSTER_ID; by default it is \
             `Kubernetes`",
        ),
        FilesError::Annotation { .. } => (
            Code::Value,
            &["fleets", fleet, "membership", "annotations"],
            "write a ProxyConfig in YAML, as in `concurrency: 2`",
        ),
    };
    let diagnostic = Diagnostic::error(
        code,
        format!("the machines of fleet `{fleet}` could not join: {error}"),
    );
    let diagnostic = diagnostic.about(fleet).with_hint(hint);
    match spec.place(path) {
        Some(place) => diagnostic.at(place),
        None => diagnostic,
    }
}
