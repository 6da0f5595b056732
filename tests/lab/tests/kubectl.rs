//! The double, asked by a real kubectl.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use meshvm_lab::kube::{Cluster, ClusterOptions};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Finds kubectl, or says how to get one.
fn kubectl() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(path) = set("MESHVM_KUBECTL") {
        return path.into();
    }
    let in_path = std::env::split_paths(&set("PATH").unwrap_or_default())
        .map(|folder| folder.join("kubectl"))
        .find(|path| path.is_file());
    let home = || Some(Path::new(&set("HOME")?).join(".cache"));
    let cache = set("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cached = || Some(cache?.join("meshvm/kubectl/kubectl")).filter(|path| path.is_file());
    in_path.or_else(cached).unwrap_or_else(|| {
        panic!("there is no kubectl: run tests/lab/kubectl, or set MESHVM_KUBECTL to one")
    })
}

struct Lab {
    // Dropping it would end it.
    cluster: Cluster,
    folder: TempDir,
}

impl Lab {
    async fn new() -> Self {
        let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("config"), cluster.kubeconfig()).unwrap();
        Self { cluster, folder }
    }

    async fn run(&self, arguments: &str, input: &str) -> Output {
        let mut child = Command::new(kubectl())
            .args(arguments.split_whitespace().map(OsString::from))
            .env("KUBECONFIG", self.folder.path().join("config"))
            // Its caches are of this cluster alone.
            .env("HOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // One that reads nothing has closed its end.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.unwrap()
    }

    /// Runs a command that works, and returns what it prints.
    async fn works(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that fails, and returns why.
    async fn fails(&self, arguments: &str, input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert!(!output.status.success(), "{arguments} works");
        String::from_utf8(output.stderr).unwrap()
    }
}

const OBJECTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: a, namespace: vm}
data: {k: "1"}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: w, namespace: vm}
spec: {address: 10.0.0.1, ports: {http: 80}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: vm}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
"#;

#[tokio::test]
async fn objects_are_applied_read_and_deleted() {
    let lab = Lab::new().await;
    lab.works("create namespace vm", "").await;
    let all = |how: &str| {
        format!("configmap/a {how}\nworkloadentry.networking.istio.io/w {how}\nservice/web {how}\n")
    };
    assert_eq!(lab.works("apply -f -", OBJECTS).await, all("created"));
    assert_eq!(lab.works("apply -f -", OBJECTS).await, all("unchanged"));
    let changed = OBJECTS.replace("port: 80}", "port: 81}");
    let said = lab.works("apply -f -", &changed).await;
    assert!(said.contains("service/web configured"), "{said}");
    let said = lab.works("apply --server-side -f -", &changed).await;
    assert_eq!(said, all("serverside-applied"));
    let moved = changed.replace("10.0.0.1", "10.0.0.2");
    let said = lab
        .fails("apply --server-side --field-manager=other -f -", &moved)
        .await;
    let conflict = "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.address";
    assert!(said.contains(conflict), "{said}");

    let yaml = lab.works("get service web -n vm -o yaml", "").await;
    assert!(
        yaml.contains("port: 81") && yaml.contains("clusterIP: 10.96."),
        "{yaml}"
    );
    let table = lab.works("get workloadentries -n vm", "").await;
    assert!(
        table.contains("ADDRESS") && table.contains("10.0.0.1"),
        "{table}"
    );
    let short = lab.works("get we -n vm -o name", "").await;
    assert_eq!(short, "workloadentry.networking.istio.io/w\n");
    lab.works("delete we w -n vm", "").await;
    assert!(lab.fails("get we w -n vm", "").await.contains("NotFound"));
    lab.works("delete namespace vm", "").await;
    assert!(lab.fails("get namespace vm", "").await.contains("NotFound"));
    assert!(lab.cluster.requests().of("watch", "namespaces") <= 2);
}

#[tokio::test]
async fn what_is_wrong_is_refused() {
    let lab = Lab::new().await;
    let wrong = OBJECTS
        .replace("address", "adress")
        .replace("namespace: vm", "namespace: default");
    let said = lab.fails("apply -f -", &wrong).await;
    assert!(
        said.contains("strict decoding error: unknown field \"spec.adress\""),
        "{said}"
    );
    let said = lab.fails("apply --server-side -f -", &wrong).await;
    assert!(
        said.contains(".spec.adress: field not declared in schema"),
        "{said}"
    );
    let said = lab.fails("get pods", "").await;
    assert!(
        said.contains("the server doesn't have a resource type \"pods\""),
        "{said}"
    );
}

#[tokio::test]
async fn tokens_and_roles_are_given() {
    let lab = Lab::new().await;
    lab.works("create serviceaccount vm", "").await;
    let token = lab
        .works("create token vm --audience=istio-ca --duration=10m", "")
        .await;
    assert_eq!(token.trim().split('.').count(), 3);
    let said = lab.fails("create token vm --duration=60s", "").await;
    assert!(
        said.contains("may not specify a duration less than 10 minutes"),
        "{said}"
    );

    let asked = "auth can-i list workloadentries.networking.istio.io \
                 --as=system:serviceaccount:default:vm";
    let no = lab.run(asked, "").await;
    assert_eq!(String::from_utf8(no.stdout).unwrap(), "no\n");
    let role = "create role r --verb=list --resource=workloadentries.networking.istio.io";
    lab.works(role, "").await;
    let binding = "create rolebinding b --role=r --serviceaccount=default:vm";
    lab.works(binding, "").await;
    assert_eq!(lab.works(asked, "").await, "yes\n");
    let listed = "auth can-i --list --as=system:serviceaccount:default:vm";
    let listed = lab.works(listed, "").await;
    assert!(
        listed.contains("workloadentries.networking.istio.io"),
        "{listed}"
    );
}

const TAG: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: istio-revision-tag-default
  labels: {istio.io/tag: default, istio.io/rev: "1-30"}
webhooks:
- name: rev.namespace.sidecar-injector.istio.io
  clientConfig: {service: {name: istiod-1-30, namespace: istio-system, path: /inject}}
  sideEffects: None
  admissionReviewVersions: [v1]
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods], scope: "*"}]
"#;

#[tokio::test]
async fn webhooks_are_kept_for_the_whole_cluster() {
    let lab = Lab::new().await;
    let name =
        "mutatingwebhookconfiguration.admissionregistration.k8s.io/istio-revision-tag-default";
    let said = lab.works("apply -f -", TAG).await;
    assert_eq!(said, format!("{name} created\n"));
    let said = lab.works("apply -f -", TAG).await;
    assert_eq!(said, format!("{name} unchanged\n"));
    let moved = TAG.replace("rev: \"1-30\"", "rev: \"1-31\"");
    let said = lab
        .works("apply --server-side --force-conflicts -f -", &moved)
        .await;
    assert_eq!(said, format!("{name} serverside-applied\n"));
    let list = "get mutatingwebhookconfigurations -l istio.io/tag=default -o yaml";
    let yaml = lab.works(list, "").await;
    for told in [
        "istio.io/rev: 1-31",
        "failurePolicy: Fail",
        "matchPolicy: Equivalent",
    ] {
        assert!(yaml.contains(told), "{told}: {yaml}");
    }
    assert!(!yaml.contains("namespace: default"), "{yaml}");
    let wrong = TAG.replace("sideEffects", "sideEffect");
    let said = lab.fails("apply --server-side -f -", &wrong).await;
    assert!(said.contains("field not declared in schema"), "{said}");

    lab.works("create serviceaccount vm", "").await;
    let asked = "auth can-i list mutatingwebhookconfigurations.admissionregistration.k8s.io \
                 --as=system:serviceaccount:default:vm";
    let no = lab.run(asked, "").await;
    assert!(String::from_utf8(no.stdout).unwrap().starts_with("no"));
    let role = "create clusterrole r --verb=list \
                --resource=mutatingwebhookconfigurations.admissionregistration.k8s.io";
    lab.works(role, "").await;
    let binding = "create clusterrolebinding b --clusterrole=r --serviceaccount=default:vm";
    lab.works(binding, "").await;
    assert_eq!(lab.works(asked, "").await, "yes\n");
}
