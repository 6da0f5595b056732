//! The gateways of a mesh: where machines reach the control plane, and what leads from one network
//! into another.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;

use super::live::NETWORK;
use super::{Kubernetes, KubernetesError, attempt, pages};
use crate::istio::Gateway;
use crate::spec::model::EastWest;

/// The gateway where the file names no other.
const GATEWAY: &str = "istio-eastwestgateway";
/// The label of a Service with the port of what comes from other networks, and that port where it has
/// none (<https://istio.io/latest/docs/reference/config/labels/>).
const PORT: &str = "networking.istio.io/gatewayPort";
const TLS_PORT: u16 = 15443;

/// The Service of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayService {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The network that it leads into, where it says one.
    pub network: Option<String>,
    /// The port of what comes from other networks.
    pub port: u16,
    /// The ports that it has.
    pub ports: BTreeSet<u16>,
}

impl GatewayService {
    fn of(service: &Service) -> Self {
        let labels = service.metadata.labels.as_ref();
        let label = |name| labels.and_then(|labels| labels.get(name));
        let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_ref());
        let ports = ports.into_iter().flatten().map(|port| port.port);
        Self {
            namespace: service.metadata.namespace.clone().unwrap_or_default(),
            name: service.metadata.name.clone().unwrap_or_default(),
            network: label(NETWORK).filter(|name| !name.is_empty()).cloned(),
            port: label(PORT)
                .and_then(|text| text.parse().ok())
                .unwrap_or(TLS_PORT),
            ports: ports.filter_map(|port| u16::try_from(port).ok()).collect(),
        }
    }
}

impl Kubernetes {
    /// Returns where machines reach the control plane, and the Service that leads there, where it is
    /// one.
    pub(super) async fn gateway(
        &self,
        east_west: &EastWest,
        istio: &str,
    ) -> Result<(Gateway, Option<GatewayService>), KubernetesError> {
        if east_west.private_dns {
            return Ok((Gateway::PrivateDns, None));
        }
        if let Some(address) = &east_west.address {
            return Ok((address_or_name(address), None));
        }
        let named = east_west.service.as_deref().unwrap_or(GATEWAY);
        let (name, namespace) = named.split_once('.').unwrap_or((named, istio));
        let api: Api<Service> = Api::namespaced(self.client().await?.clone(), namespace);
        let action = format!("read Service {namespace}/{name}");
        let service = attempt(&action, || api.get_opt(name)).await?;
        Ok(match service {
            Some(service) => (gateway_of(&service), Some(GatewayService::of(&service))),
            None => (Gateway::Unknown, None),
        })
    }

    /// Lists the Services that lead into networks, wherever they are.
    pub(super) async fn network_gateways(&self) -> Result<Vec<GatewayService>, KubernetesError> {
        let api: Api<Service> = Api::all(self.client().await?.clone());
        let labelled = ListParams::default().labels(NETWORK);
        let found = pages(&api, "list Services of gateways", labelled).await?;
        Ok(found.iter().map(GatewayService::of).collect())
    }
}

/// Returns where a load balancer is: its lowest address, else its first name by the alphabet, else an
/// external address. Several are listed in any order, that of nodes for instance, and none of them is
/// to move machines.
fn gateway_of(service: &Service) -> Gateway {
    let status = service.status.as_ref();
    let balancer = status.and_then(|status| status.load_balancer.as_ref());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_deref());
    let ingress = ingress.unwrap_or_default();
    let addresses = ingress.iter().filter_map(|place| place.ip.as_ref());
    if let Some(lowest) = addresses.filter_map(|ip| ip.parse().ok()).min() {
        return Gateway::Address(lowest);
    }
    let names = ingress.iter().filter_map(|place| place.hostname.as_ref());
    let spec = service.spec.as_ref();
    let external = spec.and_then(|spec| spec.external_ips.as_ref()?.first());
    names
        .filter(|name| !name.is_empty())
        .min()
        .or(external)
        .map_or(Gateway::Unknown, |text| address_or_name(text))
}

fn address_or_name(text: &str) -> Gateway {
    match text.parse() {
        Ok(address) => Gateway::Address(address),
        Err(_) => Gateway::Host(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_gateway_is_where_its_load_balancer_is() {
        let at = |value: Value| gateway_of(&serde_json::from_value(value).unwrap());
        let balanced = |ingress: Value| {
            at(json!({"metadata": {}, "status": {"loadBalancer": {"ingress": ingress}}}))
        };
        let address = |text: &str| Gateway::Address(text.parse().unwrap());
        assert_eq!(balanced(json!([{"ip": "10.0.0.1"}])), address("10.0.0.1"));
        assert_eq!(
            balanced(json!([{"hostname": "a.elb.example"}])),
            Gateway::Host("a.elb.example".to_owned())
        );
        assert_eq!(balanced(json!([])), Gateway::Unknown);
        for several in [
            json!([{"ip": "10.0.0.9"}, {"ip": "fd00::1"}, {"ip": "10.0.0.10"}]),
            json!([{"ip": "fd00::1"}, {"ip": "10.0.0.10"}, {"hostname": "a"}, {"ip": "10.0.0.9"}]),
        ] {
            assert_eq!(balanced(several), address("10.0.0.9"));
        }
        let names = json!([{"hostname": "b.example"}, {"hostname": "a.example"}]);
        assert_eq!(balanced(names), Gateway::Host("a.example".to_owned()));
        let external = json!({"metadata": {}, "spec": {"externalIPs": ["fd00::1"]}});
        assert_eq!(at(external), address("fd00::1"));
        assert_eq!(at(json!({"metadata": {}})), Gateway::Unknown);
    }

    #[test]
    fn a_gateway_says_where_it_leads_and_by_which_port() {
        let of = |labels: Value| {
            let service = json!({
                "metadata": {"name": "ew", "namespace": "istio-system", "labels": labels},
                "spec": {"ports": [{"port": 15012}, {"port": 443}]},
            });
            GatewayService::of(&serde_json::from_value(service).unwrap())
        };
        let plain = of(json!({}));
        assert_eq!((plain.network, plain.port), (None, 15443));
        assert_eq!(plain.ports, [443, 15012].into());
        let led = of(json!({NETWORK: "net1", PORT: "443"}));
        assert_eq!((led.network.as_deref(), led.port), (Some("net1"), 443));
    }
}
