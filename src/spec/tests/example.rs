//! The file that users are meant to write, as far as this version goes.

use super::super::schema::schema;
use super::super::{place, problems, yaml};
use super::{inputs, kinds, run, shown, source};
use std::sync::Arc;

const EXAMPLE: &str = r#"
apiVersion: meshvm/v1
stack: bookinfo                       # owner of everything made from this file

ledger: s3://acme-meshvm/bookinfo     # lock and journal; the default is file://.meshvm

vars:                                 # ${var.x}; set by --var, --var-file or MESHVM_VAR_x
  replicas: 3
  region: z1

mesh:
  manifests: {path: ./mesh}

sidecar:
  version: 1.30.3
  packages:                           # exactly one for each format and architecture
    - {format: deb, arch: arm64, url: "https://example.com/istio-sidecar-arm64.deb", sha256: "0000000000000000000000000000000000000000000000000000000000000000"}
    - {format: deb, arch: amd64, path: ./istio-sidecar.deb, sha256: "1111111111111111111111111111111111111111111111111111111111111111"}

identity: none

budgets:                              # refused before the first call when a run would exceed them
  replace: 25%
  destroy: 1

defaults:                             # merged into every fleet
  rollout: {maxSurge: 1, maxUnavailable: 0, minReady: 30s, readyTimeout: 10m}
  sim: {zones: ["${var.region}"], image: debian-12}

fleets:
  mysqldb:
    replicas: 1
    protect: true                     # never destroyed or replaced without --allow-protected
    sim:
      memory: 2GiB
    membership:
      namespace: vm
      serviceAccount: mysqldb
      labels: {app: mysqldb, version: v1}
      ports: {tcp-mysql: 3306}
      probe: {tcpSocket: {port: 3306}, periodSeconds: 5, failureThreshold: 3}
      service: {ports: [{name: tcp-mysql, port: 3306}]}     # a Kubernetes Service that selects the VMs
    bootstrap:
      packages: [mariadb-server]
      files:
        - {path: /etc/mysql/mariadb.conf.d/60-bind.cnf, mode: "0644", content: "[mysqld]\nbind-address = 0.0.0.0\n"}
      run: ["systemctl restart mariadb"]

  ratings:
    replicas: "${var.replicas}"
    sim: {zones: [z1, z2]}
    membership:
      namespace: vm
      serviceAccount: ratings
      labels: {app: ratings, version: v2-vm}
      ports: {http: 9080}
      probe: {httpGet: {path: /health, port: 9080}}
      service: {ports: [{name: http, port: 9080}]}
    rollout: {maxSurge: 25%, maxUnavailable: 0}

  laptop:                             # real machines on this computer
    replicas: 2
    other: {backend: auto, image: debian-12, memory: 512MiB, cpus: 1}
    membership:
      namespace: vm
      serviceAccount: laptop
      labels: {app: laptop}
      ports: {http: 8080}
"#;

#[test]
fn the_example_parses() {
    let spec = match run(&inputs(&[("meshvm.yaml", EXAMPLE)])) {
        Ok(spec) => spec,
        Err(found) => panic!("{}", shown(&found).join("\n")),
    };
    assert!(spec.warnings.is_empty(), "{:?}", shown(&spec.warnings));
    let fleets: Vec<String> = spec
        .fleets
        .values()
        .map(|fleet| {
            let zones = fleet.template.zones.join(",");
            let replicas = fleet.body.replicas.unwrap_or(1);
            let surge = fleet.body.rollout.max_surge.map(|a| a.to_string());
            format!(
                "{} {replicas} {} {zones} {surge:?}",
                fleet.name, fleet.provider
            )
        })
        .collect();
    assert_eq!(
        fleets,
        [
            "laptop 2 other here Some(\"1\")",
            "mysqldb 1 sim z1 Some(\"1\")",
            "ratings 3 sim z1,z2 Some(\"25%\")",
        ]
    );
    let place = spec
        .place(&["fleets", "ratings", "membership", "ports"])
        .unwrap();
    let text = EXAMPLE.lines().nth(place.line - 1).unwrap();
    assert_eq!(text.trim(), "ports: {http: 9080}");
}

#[test]
fn the_schema_accepts_it_as_it_is_written() {
    let source = source("meshvm.yaml", EXAMPLE);
    let files = Arc::new(place::Files::new([&source]));
    let mut problems = problems::Problems::new(files);
    let root = yaml::read(0, &source.text, &mut problems).unwrap();
    let schema = schema(&kinds());
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let json = root.json();
    let errors: Vec<String> = validator
        .iter_errors(&json)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
