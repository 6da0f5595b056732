//! Whether machines and cluster find each other: by the gateway before the control plane, and between
//! their networks
//! (<https://istio.io/latest/docs/ops/deployment/deployment-models/#multiple-networks>). Pure.

use super::Checker;
use crate::diag::{Code, Diagnostic};
use crate::istio::CONTROL_PLANE_PORT;
use crate::mesh::kubernetes::{GatewayService, Live, MeshRead};
use crate::spec::model::Mesh;

/// The label by which namespaces and Services say their network.
const LABEL: &str = "topology.istio.io/network";

/// Where the file says what the machines' network is, or would.
const NETWORK: [&str; 3] = ["mesh", "kubernetes", "network"];
const EAST_WEST: [&str; 3] = ["mesh", "kubernetes", "eastWest"];

impl Checker<'_> {
    /// Checks the networks of members and cluster.
    pub(super) fn networks(&mut self, read: &MeshRead, live: &Live) {
        let spec = self.spec;
        let of_all = match &spec.mesh {
            Some(Mesh::Kubernetes(mesh)) => mesh.network.as_deref(),
            Some(Mesh::Manifests(_)) | None => None,
        };
        let members = spec.fleets.values().filter_map(|fleet| {
            let membership = fleet.body.membership.as_ref()?;
            let network = membership.network.as_deref().or(of_all);
            Some((fleet.name.as_str(), network))
        });
        let members: Vec<_> = members.collect();
        if !members.is_empty() && spec.sidecar.is_some() {
            self.control_plane_port(read);
        }
        let cluster = read.network.as_deref().or(live.network.as_deref());
        for (fleet, network) in &members {
            match (network, cluster) {
                (Some(_), None) => self.nameless(fleet, read),
                (None, Some(cluster)) => self.unsaid(fleet, cluster),
                (Some(_), Some(_)) | (None, None) => {}
            }
        }
        let Some(cluster) = cluster else {
            return;
        };
        let networks = members.iter().filter_map(|(_, network)| *network);
        let is_elsewhere = networks.clone().any(|network| network != cluster);
        if networks.count() > 0 {
            self.two_names(read, live, is_elsewhere);
        }
        if is_elsewhere && !read.with_gateways.contains(cluster) {
            self.gateways(cluster, read, live);
        }
    }

    /// Finds that machines reach the gateway, and not the control plane behind it.
    fn control_plane_port(&mut self, read: &MeshRead) {
        let discovery = read.facts.default_config.get("discoveryAddress");
        let port = discovery.and_then(|address| address.as_str()?.rsplit_once(':')?.1.parse().ok());
        let port = port.unwrap_or(CONTROL_PLANE_PORT);
        let Some(service) = &read.east_west else {
            return;
        };
        if service.ports.contains(&port) {
            return;
        }
        let text = format!(
            "machines call the control plane at port {port} of the gateway, and the Service {} has \
             no such port",
            named(service)
        );
        let hint = format!(
            "let the gateway lead {port} to istiod, as `samples/multicluster/expose-istiod.yaml` of \
             Istio does, or name another with `mesh.kubernetes.eastWest`"
        );
        let found = Diagnostic::error(Code::GatewayPort, text).about(named(service));
        self.add(found, &EAST_WEST, hint);
    }

    fn nameless(&mut self, fleet: &str, read: &MeshRead) {
        let text = "the machines' network is not the cluster's, which has no name";
        let hint = format!(
            "label the control plane's namespace: `kubectl label namespace {} {LABEL}=NAME`, and \
             set `global.network` to the same",
            read.facts.revision.namespace
        );
        let path = ["fleets", fleet, "membership", "network"];
        let found = Diagnostic::warning(Code::NoNetwork, text).about(fleet);
        self.add(found, &path, hint);
    }

    fn unsaid(&mut self, fleet: &str, cluster: &str) {
        let text = format!("the machines have no network, and the cluster is in `{cluster}`");
        let hint = format!(
            "set `mesh.kubernetes.network` to `{cluster}` if machines and the cluster's workloads \
             reach each other directly, and to another name if they do not"
        );
        let path = ["fleets", fleet, "membership"];
        let found = Diagnostic::warning(Code::NetworkUnsaid, text).about(fleet);
        self.add(found, &path, hint);
    }

    /// Finds that the installation and the label of the control plane's namespace do not agree on
    /// the cluster's network; that one of them says nothing matters to machines of another.
    fn two_names(&mut self, read: &MeshRead, live: &Live, is_elsewhere: bool) {
        let istio = &read.facts.revision.namespace;
        let (text, hint) = match (&read.network, &live.network) {
            (Some(one), Some(other)) if one != other => (
                format!(
                    "the cluster is in network `{one}` by `global.network`, and in `{other}` by the \
                     label {LABEL} of the namespace `{istio}`"
                ),
                format!("`kubectl label namespace {istio} {LABEL}={one} --overwrite`"),
            ),
            (Some(one), None) if is_elsewhere => (
                format!(
                    "the cluster is in network `{one}`, and the namespace `{istio}` has no label \
                     {LABEL}"
                ),
                format!("`kubectl label namespace {istio} {LABEL}={one}`"),
            ),
            (None, Some(other)) if is_elsewhere => (
                format!(
                    "the cluster is in network `{other}` by the label {LABEL} of the namespace \
                     `{istio}`, and sidecars are told of none"
                ),
                format!("set `global.network` of the installation to `{other}`"),
            ),
            (Some(_) | None, Some(_) | None) => return,
        };
        let found = Diagnostic::warning(Code::NoNetwork, text).about(istio);
        self.add(found, &NETWORK, hint);
    }

    /// Finds that nothing leads from the machines' network into the cluster's.
    fn gateways(&mut self, cluster: &str, read: &MeshRead, live: &Live) {
        let gateways = live.gateways.iter();
        let leading: Vec<&GatewayService> = gateways
            .filter(|gateway| gateway.network.as_deref() == Some(cluster))
            .collect();
        for gateway in &leading {
            let GatewayService { port, ports, .. } = gateway;
            if ports.contains(port) {
                continue;
            }
            let text = format!(
                "machines call the workloads of network `{cluster}` at port {port} of a gateway, and \
                 the Service {} has no such port",
                named(gateway)
            );
            let hint = "add it, as Istio's east-west gateway has it, with mode AUTO_PASSTHROUGH; \
                        another one is told by the label networking.istio.io/gatewayPort"
                .to_owned();
            let found = Diagnostic::warning(Code::GatewayPort, text).about(named(gateway));
            self.add(found, &EAST_WEST, hint);
        }
        if !leading.is_empty() {
            return;
        }
        let (said, hint) = match &read.east_west {
            Some(gateway) => (
                match &gateway.network {
                    Some(other) => {
                        format!("; that of the Service {} is `{other}`", named(gateway))
                    }
                    None => String::new(),
                },
                format!(
                    "`kubectl label service {} -n {} {LABEL}={cluster} --overwrite`",
                    gateway.name, gateway.namespace
                ),
            ),
            None => (
                String::new(),
                format!(
                    "install an east-west gateway, and label its Service: `kubectl label service \
                     NAME -n {} {LABEL}={cluster}`",
                    read.facts.revision.namespace
                ),
            ),
        };
        let text = format!(
            "nothing leads from the machines' network to the cluster's workloads: no Service has \
             the label {LABEL}={cluster}{said}"
        );
        let found = Diagnostic::warning(Code::NoNetworkGateway, text).about(cluster);
        self.add(found, &EAST_WEST, hint);
    }
}

/// Names a gateway's Service.
fn named(gateway: &GatewayService) -> String {
    format!("{}/{}", gateway.namespace, gateway.name)
}
