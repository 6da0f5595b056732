//! The node, as it presents itself to istiod. Pure.

use crate::settings::Settings;
use crate::wire::Node;

/// The label that says a node's locality, with `.` where a locality has `/`.
const LOCALITY_LABELS: [&str; 2] = ["istio-locality", "topology.istio.io/locality"];

/// Returns the node of a workload that has these addresses.
///
/// The id is that of a sidecar in `pilot/cmd/pilot-agent` of istio/istio. The workload's own
/// address comes first whatever the network cards have.
pub fn node(settings: &Settings, addresses: &[String]) -> Node {
    let Settings {
        instance_ip,
        pod_name,
        namespace,
        service_account,
        ..
    } = settings;
    let mut all: Vec<String> = Vec::new();
    let own = (!instance_ip.is_empty()).then(|| instance_ip.clone());
    for address in own.into_iter().chain(addresses.iter().cloned()) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let first = all.first().cloned().unwrap_or_default();
    let locality = LOCALITY_LABELS
        .iter()
        .find_map(|label| settings.labels.get(*label))
        .map(|locality| locality.replace('.', "/"))
        .unwrap_or_default();
    Node {
        id: format!("sidecar~{first}~{pod_name}.{namespace}~{namespace}.svc.cluster.local"),
        namespace: namespace.clone(),
        service_account: service_account.clone(),
        addresses: all,
        workload_entry: settings.meta("WORKLOAD_ENTRY"),
        auto_register_group: settings.meta("AUTO_REGISTER_GROUP"),
        labels: settings.labels.clone(),
        network: settings.meta("NETWORK"),
        cluster: settings.cluster_id.clone(),
        locality,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_config::ProxyConfig;
    use crate::settings::Environment;

    #[test]
    fn the_workloads_own_address_is_the_first_and_there_once() {
        let environment: Environment = [
            ("INSTANCE_IP", "10.0.0.7"),
            ("POD_NAME", "web-1"),
            ("POD_NAMESPACE", "vm"),
            ("SERVICE_ACCOUNT", "web"),
            ("ISTIO_META_AUTO_REGISTER_GROUP", "web"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let settings = Settings::read(&environment, &ProxyConfig::default()).unwrap();
        let node = node(&settings, &["172.17.0.1".to_owned(), "10.0.0.7".to_owned()]);
        assert_eq!(node.id, "sidecar~10.0.0.7~web-1.vm~vm.svc.cluster.local");
        assert_eq!(node.addresses, ["10.0.0.7", "172.17.0.1"]);
        assert_eq!(node.auto_register_group, "web");
        assert_eq!(node.workload_entry, "");
    }
}
