//! Two machines in one mesh, from end to end: real certificates, real rules, real Envoys.
//!
//! Needs root, and `ip`, `iptables` and `setpriv`; what is missing fails the test with its own
//! hint. The machines are network namespaces, and the control plane is in this process.

mod machine;
mod network;

use std::fmt::Debug;
use std::fs;
use std::net::SocketAddr;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use meshvm_lab::istiod::{Istiod, IstiodOptions};
use meshvm_lab::kube::{Cluster, ClusterOptions};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use self::machine::{Machine, Programs};
use self::network::{Application, HUB, Network, address, ask};

const CALLER: u8 = 2;
const SERVER: u8 = 3;
const OUTSIDER: u8 = 9;

/// The control plane, and what the machines are to find in it.
struct Plane {
    client: Client,
    istiod: Istiod,
    _cluster: Cluster,
}

impl Plane {
    async fn new() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let client = cluster.client().await.unwrap();
        make::<Namespace>(
            &Api::all(client.clone()),
            json!({ "metadata": { "name": "vm" } }),
        )
        .await;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "vm");
        for name in ["caller", "web"] {
            make(&accounts, json!({ "metadata": { "name": name } })).await;
        }
        let mut options = IstiodOptions::new(client.clone());
        options.listen = SocketAddr::new(address(HUB).parse().unwrap(), 0);
        let istiod = Istiod::start(options).await.unwrap();
        let plane = Self {
            client,
            istiod,
            _cluster: cluster,
        };
        plane
            .entry("caller-1", CALLER, "caller", "caller", false)
            .await;
        plane.entry("web-1", SERVER, "web", "web", true).await;
        // It says that somebody is there who is not.
        plane
            .entry("other-1", SERVER, "other", "caller", false)
            .await;
        plane
    }

    fn entries(&self) -> Api<DynamicObject> {
        let named = GroupVersionKind::gvk("networking.istio.io", "v1", "WorkloadEntry");
        let kind = ApiResource::from_gvk_with_plural(&named, "workloadentries");
        Api::namespaced_with(self.client.clone(), "vm", &kind)
    }

    async fn entry(&self, name: &str, machine: u8, app: &str, account: &str, checked: bool) {
        let checked = if checked { "true" } else { "false" };
        let entry = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "WorkloadEntry",
            "metadata": {
                "name": name,
                "annotations": { "proxy.istio.io/health-checks-enabled": checked },
            },
            "spec": { "address": address(machine), "labels": { "app": app }, "serviceAccount": account },
        });
        make(&self.entries(), entry).await;
    }

    /// Makes a service; returns its address.
    async fn service(&self, name: &str) -> String {
        let services: Api<Service> = Api::namespaced(self.client.clone(), "vm");
        let service = json!({
            "metadata": { "name": name },
            "spec": {
                "selector": { "app": name },
                "ports": [
                    { "name": "http", "port": 80, "targetPort": 8080 },
                    { "name": "tcp-echo", "port": 7000, "targetPort": 7000 },
                ],
            },
        });
        let made = make(&services, service).await;
        made.spec.unwrap().cluster_ip.unwrap()
    }

    async fn token(&self, account: &str) -> String {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "vm");
        let asked = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec!["istio-ca".to_owned()],
                expiration_seconds: Some(600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let made = accounts
            .create_token_request(account, &params, &asked)
            .await;
        made.unwrap().status.unwrap().token
    }

    async fn machine(
        &self,
        programs: &Programs,
        namespace: String,
        (name, account, machine): (&str, &str, u8),
        probe: &Value,
    ) -> Machine {
        let mesh = json!({ "defaultConfig": {
            "discoveryAddress": self.istiod.address().to_string(),
            "terminationDrainDuration": "1s",
            "concurrency": 1,
            "readinessProbe": probe,
        } });
        Machine::new(
            programs,
            namespace,
            &mesh.to_string(),
            self.istiod.root_pem(),
            &self.token(account).await,
            &[
                ("INSTANCE_IP", &address(machine)),
                ("POD_NAME", name),
                ("POD_NAMESPACE", "vm"),
                ("SERVICE_ACCOUNT", account),
                ("ISTIO_META_WORKLOAD_ENTRY", name),
                ("SECRET_TTL", "20s"),
            ],
        )
    }

    /// Returns whether a machine is healthy, as its entry says.
    async fn health(&self, name: &str) -> Option<Value> {
        let entry = self.entries().get(name).await.unwrap();
        let conditions = entry.data["status"]["conditions"].as_array()?;
        let found = conditions
            .iter()
            .find(|condition| condition["type"] == "Healthy");
        Some(found?["status"].clone())
    }
}

async fn make<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + DeserializeOwned + serde::Serialize + Debug,
{
    let object = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap()
}

/// Does something that blocks while the control plane goes on.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn is_ready(machine: &Machine) -> bool {
    let answer = ask(&machine.namespace, "127.0.0.1:15021", "");
    answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

fn get(machine: &Machine, to: &str, headers: &str) -> String {
    ask(&machine.namespace, to, headers).unwrap_or_else(|error| format!("nothing: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_from_one_machine_to_the_other_as_who_they_are() {
    let programs = blocking(Programs::new);
    let mut network = Network::new();
    let (near, far) = (network.machine(CALLER), network.machine(SERVER));
    let plane = Plane::new().await;
    let (web, other) = (plane.service("web").await, plane.service("other").await);
    let probe = json!({ "periodSeconds": 1, "httpGet": { "port": 8080, "path": "/" } });
    let mut caller = plane
        .machine(
            &programs,
            near,
            ("caller-1", "caller", CALLER),
            &Value::Null,
        )
        .await;
    let mut server = plane
        .machine(&programs, far, ("web-1", "web", SERVER), &probe)
        .await;
    for machine in [&mut caller, &mut server] {
        machine.capture();
        machine.start();
    }

    // Without its application a machine is not ready, and nobody is sent to it.
    blocking(|| caller.eventually("the caller is ready", || is_ready(&caller)));
    blocking(|| {
        let said = "Envoy proxy is ready";
        server.eventually("the proxy is ready", || server.log().contains(said));
    });
    assert!(!is_ready(&server));
    let no_one = blocking(|| get(&caller, &format!("{web}:80"), ""));
    assert!(no_one.starts_with("HTTP/1.1 503"), "{no_one}");

    let application = Application::start(&server.namespace, "0.0.0.0:8080");
    let echo = Application::start(&server.namespace, "127.0.0.1:7000");
    blocking(|| server.eventually("the server is ready", || is_ready(&server)));
    let handle = tokio::runtime::Handle::current();
    let health = |wanted: &str| {
        let health = plane.health("web-1");
        handle
            .block_on(health)
            .is_some_and(|health| health == wanted)
    };
    blocking(|| server.eventually("its entry is healthy", || health("True")));

    // The application sees who calls, whatever the caller says of itself.
    let lie = "X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/vm/sa/admin\r\n";
    let mut answer = String::new();
    blocking(|| {
        caller.eventually("the call arrives", || {
            answer = get(&caller, &format!("{web}:80"), lie);
            answer.starts_with("HTTP/1.1 200")
        });
    });
    let certificate = answer
        .lines()
        .find(|line| line.starts_with("x-forwarded-client-cert:"))
        .unwrap_or_else(|| panic!("nothing of the caller in {answer}"));
    assert!(
        certificate.contains("By=spiffe://cluster.local/ns/vm/sa/web;"),
        "{certificate}"
    );
    assert!(
        certificate.ends_with("URI=spiffe://cluster.local/ns/vm/sa/caller"),
        "{certificate}"
    );
    assert!(!certificate.contains("admin"), "{certificate}");

    // Bytes of no known protocol arrive as they are.
    let plain = blocking(|| get(&caller, &format!("{web}:7000"), ""));
    assert!(plain.starts_with("HTTP/1.1 200"), "{plain}");
    assert!(!plain.contains("x-forwarded"), "{plain}");

    // Who is not whom istiod named is not spoken to.
    let not_him = blocking(|| get(&caller, &format!("{other}:80"), ""));
    assert!(not_him.starts_with("HTTP/1.1 503"), "{not_him}");

    // Nobody comes in without a certificate, by whatever port.
    let outside = network.machine(OUTSIDER);
    for port in [8080, 7000, 9999] {
        let answer = blocking(|| ask(&outside, &format!("{}:{port}", address(SERVER)), ""));
        assert!(
            !answer.is_ok_and(|answer| answer.starts_with("HTTP")),
            "port {port}"
        );
    }

    let hosts = fs::read_to_string(caller.file("etc/hosts")).unwrap();
    assert!(hosts.contains(&format!(
        "{web} web.vm.svc.cluster.local web.vm.svc web.vm web\n"
    )));

    // Without the token the certificate is renewed, and calls go on.
    let chain = || fs::read(caller.file("etc/certs/cert-chain.pem")).unwrap();
    let before = chain();
    fs::remove_file(caller.file("var/run/secrets/tokens/istio-token")).unwrap();
    blocking(|| caller.eventually("the certificate is a new one", || chain() != before));
    blocking(|| {
        caller.eventually("calls go on", || {
            get(&caller, &format!("{web}:80"), "").starts_with("HTTP/1.1 200")
        });
    });

    // An application that is gone takes its machine out.
    drop(application);
    blocking(|| server.eventually("its entry is not healthy", || health("False")));
    assert!(!is_ready(&server));
    blocking(|| {
        caller.eventually("nobody is sent there", || {
            get(&caller, &format!("{web}:80"), "").starts_with("HTTP/1.1 503")
        });
    });

    for machine in [&mut caller, &mut server] {
        let ended = blocking(|| machine.stop());
        assert!(ended.success(), "{ended}:\n{}", machine.log());
        assert!(machine.rules().contains("ISTIO_INBOUND"));
        machine.clean();
        let left = machine.rules();
        assert!(!left.contains("ISTIO"), "{left}");
    }
    drop(echo);
}
