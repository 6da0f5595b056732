//! What the parts of a file must agree on.

use super::{
    HEAD, assert_fleet_problems, assert_found, assert_membership_problems, assert_problems, inputs,
    spec,
};

#[test]
fn exactly_one_provider() {
    assert_problems(
        "fleets:\n  web: {replicas: 1}\n  api:\n    sim: {image: x}\n    other: {}\n",
        &[
            "f:4:3 [web] the fleet `web` has no provider -> add one block of `sim`, `other`",
            "f:7:5 [other] the fleet `api` has two providers, `sim` and `other` -> keep one; \
             machines of both need two fleets",
        ],
    );
}

#[test]
fn findings_of_providers_have_their_place() {
    assert_problems(
        "fleets:\n  web:\n    sim:\n      image: none\n      zones:\n        - z1\n        - east\n",
        &[
            "f:6:14 [none] there is no such image",
            "f:9:11 [east] there is no zone `east` -> zones begin with z",
        ],
    );
}

#[test]
fn ledgers() {
    let ledger = |url: &str, found: &str| {
        assert_problems(&format!("ledger: {url:?}\n"), &[found]);
    };
    ledger(
        ".meshvm",
        "f:3:9 [\".meshvm\"] `.meshvm` is not the URL of a ledger -> for a folder write \
         file://.meshvm",
    );
    ledger(
        "s4://b/x",
        "f:3:9 [\"s4://b/x\"] a ledger cannot be at `s4://` -> known are `file`, `memory`, `s3`, \
         `gs`, `az`",
    );
    ledger(
        "files://x",
        "f:3:9 [\"files://x\"] a ledger cannot be at `files://` -> did you mean `file`?",
    );
    ledger(
        "s3:///x",
        "f:3:9 [\"s3:///x\"] the ledger's URL `s3:///x` names no place -> write it as \
         s3://bucket/prefix",
    );
    ledger(
        "file://",
        "f:3:9 [\"file://\"] the ledger's URL `file://` names no place -> write it as \
         file://.meshvm",
    );
    for url in [
        "file:///a/b",
        "file://a",
        "memory://",
        "s3://b",
        "gs://b/c",
        "az://c/d",
    ] {
        assert_eq!(spec(&format!("{HEAD}ledger: {url}\n")).ledger, url);
    }
}

/// Asserts what is told of a sidecar of a version, with what is in its `config`.
#[track_caller]
fn assert_sidecar_problems(version: &str, config: &str, expected: &[&str]) {
    let sha = "0".repeat(64);
    assert_problems(
        &format!(
            "sidecar:\n  version: {version}\n  packages: [{{format: deb, arch: amd64, sha256: '{sha}', \
             url: 'https://x/a'}}]\n  config: {{{config}}}\n"
        ),
        expected,
    );
}

#[test]
fn versions_of_the_sidecar() {
    for version in ["1.20.3", "1.23.9", "1.33.0-rc.1", "2.30.0", "0.8.1"] {
        let told = format!(
            "warning f:4:12 [{version}] what meshvm writes for a sidecar is that of Istio 1.24 to \
             1.32, and this one is of version {version} -> use a package of 1.24 to 1.32"
        );
        assert_sidecar_problems(version, "", &[&told]);
    }
    for version in ["1.24.0", "1.30.3+lab1", "1.32-alpha", "ours", "'1:2.3-1'"] {
        assert_sidecar_problems(version, "", &[]);
    }
}

#[test]
fn lives_of_certificates() {
    for (ttl, told) in [("1s", "1s"), ("599s", "9m59s")] {
        let told = format!(
            "f:6:28 [{ttl}] a certificate for {told} is renewed at half of that, and a machine that is \
             away for the other half cannot come back by itself -> write at least 10m, or 0s to leave \
             it to the mesh, which gives 24h"
        );
        assert_sidecar_problems("1.30.3", &format!("certificateTtl: {ttl}"), &[&told]);
    }
    for ttl in ["0s", "10m", "2160h"] {
        assert_sidecar_problems("1.30.3", &format!("certificateTtl: {ttl}"), &[]);
    }
}

#[test]
fn packages_of_the_sidecar() {
    let sha = "0".repeat(64);
    let package = |rest: &str| format!("    - {{format: deb, sha256: '{sha}', {rest}}}\n");
    let text = [
        "sidecar:\n  version: '1'\n  packages:\n".to_owned(),
        package("arch: amd64, path: a"),
        package("arch: arm64, path: a, url: 'https://x/a'"),
        package("arch: amd64"),
    ]
    .concat();
    let line = |rest: &str| package(rest).trim().trim_start_matches("- ").to_owned();
    assert_problems(
        &text,
        &[
            "f:7:119 [url] the package has both `path` and `url` -> keep one of them",
            &format!(
                "f:8:7 [{}] the package is nowhere to be had -> add `path` for a file on this \
                 computer, or `url`",
                line("arch: amd64")
            ),
            &format!(
                "f:8:7 [{}] there is another package for deb and amd64 -> the first is at f:6:7",
                line("arch: amd64")
            ),
        ],
    );
}

#[test]
fn labels_of_machines() {
    let long = "x".repeat(64);
    assert_fleet_problems(
        &format!("labels:\n  meshvm-x: a\n  Team: a\n  1a: b\n  ok_1-x: ''\n  a: A b\n  b: {long}"),
        &[
            "f:7:7 [meshvm-x] the label `meshvm-x` begins with `meshvm-` -> those are meshvm's \
             own: it knows its machines by them",
            "f:8:7 [Team] `Team` cannot be the key of a machine's label -> write 1 to 63 of a-z, \
             0-9, _ and -, beginning with a letter",
            "f:9:7 [1a] `1a` cannot be the key of a machine's label -> write 1 to 63 of a-z, 0-9, \
             _ and -, beginning with a letter",
            "f:11:10 [A b] `A b` cannot be the value of a machine's label -> write at most 63 of \
             a-z, 0-9, _ and -",
            &format!(
                "f:12:10 [{long}] `{long}` cannot be the value of a machine's label -> write at \
                 most 63 of a-z, 0-9, _ and -"
            ),
        ],
    );
}

#[test]
fn labels_of_workloads() {
    assert_membership_problems(
        "labels:\n  app.kubernetes.io/name: Web_1.x\n  -app: a\n  UPPER.com/x: a\n  a/b/c: d\n  v: \
         -x\n  e: ''\n",
        &[
            "f:12:9 [-app] `-app` cannot be the key of a Kubernetes label -> write a name as app, \
             or a domain and a name as example.com/app",
            "f:13:9 [UPPER.com/x] `UPPER.com/x` cannot be the key of a Kubernetes label -> write \
             a name as app, or a domain and a name as example.com/app",
            "f:14:9 [a/b/c] `a/b/c` cannot be the key of a Kubernetes label -> write a name as \
             app, or a domain and a name as example.com/app",
            "f:15:12 [-x] `-x` cannot be the value of a Kubernetes label -> write at most 63 \
             letters, digits, -, _ and ., beginning and ending with a letter or digit",
        ],
    );
}

#[test]
fn names_of_ports() {
    let long = "p".repeat(63);
    assert_membership_problems(
        &format!("ports:\n  http: 80\n  HTTP-2: 81\n  my_port: 82\n  -x: 83\n  {long}: 84"),
        &[
            "f:13:9 [my_port] `my_port` cannot be the name of a port -> write 1 to 62 letters, \
             digits and -, beginning and ending with a letter or digit",
            "f:14:9 [-x] `-x` cannot be the name of a port -> write 1 to 62 letters, digits and \
             -, beginning and ending with a letter or digit",
            &format!(
                "f:15:9 [{long}] `{long}` cannot be the name of a port -> write 1 to 62 letters, \
                 digits and -, beginning and ending with a letter or digit"
            ),
        ],
    );
}

#[test]
fn too_many_ports() {
    let ports: String = (1..=129)
        .map(|port| format!("  p{port}: {port}\n"))
        .collect();
    assert_membership_problems(
        &format!("ports:\n{ports}"),
        &["f:10:7 [ports] 129 ports are too many -> Istio takes at most 128"],
    );
}

#[test]
fn probes_check_one_thing() {
    assert_membership_problems(
        "probe: {periodSeconds: 5}",
        &[
            "f:10:7 [probe] the probe does not say what to check -> add one of `httpGet`, \
           `tcpSocket`, `exec`, `grpc`",
        ],
    );
    assert_membership_problems(
        "probe: {tcpSocket: {port: 1}, exec: {command: [a]}, httpGet: {port: 2}}",
        &[
            "f:10:15 [tcpSocket] the probe has both `httpGet` and `tcpSocket` -> keep one; set to \
             null what comes from `defaults`",
            "f:10:37 [exec] the probe has both `httpGet` and `exec` -> keep one; set to null what \
             comes from `defaults`",
        ],
    );
}

#[test]
fn probes_ask_ports_of_the_membership() {
    for (method, column) in [("httpGet", 31), ("tcpSocket", 33), ("grpc", 28)] {
        assert_membership_problems(
            &format!("ports: {{http: 9080, tcp: 1}}\nprobe: {{{method}: {{port: 9081}}}}"),
            &[&format!(
                "f:11:{column} [9081] the probe asks port 9081, which the membership does not \
                 have -> the membership has http: 9080, tcp: 1"
            )],
        );
    }
    assert_membership_problems(
        "ports: {http: 9080}\nprobe: {httpGet: {port: 80, host: example.com}}",
        &[],
    );
    assert_membership_problems("probe: {httpGet: {port: 80}}", &[]);
}

#[test]
fn services_lead_to_ports() {
    assert_membership_problems(
        "labels: {app: web}\nports: {http: 9080, tcp-db: 3306}\nservice:\n  ports:\n    - {name: \
         http, port: 80}\n    - {name: db, port: 3306}\n    - {name: x, port: 81, targetPort: \
         tcp-bd}\n    - {name: y, port: 82, targetPort: zzz}\n    - {name: z, port: 83}\n    - \
         {name: http, port: 84}\n    - {name: w, port: 80, targetPort: http}\n",
        &[
            "f:16:45 [tcp-bd] the membership has no port `tcp-bd` -> did you mean `tcp-db`?",
            "f:17:45 [zzz] the membership has no port `zzz` -> the membership has http: 9080, \
             tcp-db: 3306",
            "f:18:20 [z] the Service's port `z` leads nowhere: the membership has no port of this \
             name or number -> set `targetPort`; the membership has http: 9080, tcp-db: 3306",
            "f:19:20 [http] the Service has two ports named `http` -> give each port a name of \
             its own",
            "f:20:29 [80] the Service has port 80 twice -> keep one of them",
        ],
    );
    assert_membership_problems(
        "labels: {app: web}\nservice: {ports: [{name: http, port: 80}]}",
        &[
            "f:11:32 [http] the Service's port `http` leads nowhere: the membership has no port \
             of this name or number -> add `ports: {http: 80}` to the membership",
        ],
    );
}

#[test]
fn a_service_needs_labels_to_select_by() {
    assert_membership_problems(
        "ports: {http: 80}\nservice: {ports: [{name: http, port: 80}]}",
        &[
            "f:11:7 [service] the Service selects nothing: the membership has no labels -> add \
           `labels: {app: web}` to the membership",
        ],
    );
}

#[test]
fn a_membership_without_a_mesh_is_a_warning() {
    assert_fleet_problems(
        "membership: {namespace: vm, serviceAccount: web}",
        &[
            "warning f:6:5 [membership] the fleet `web` has a membership, and the file has no mesh \
           -> add `mesh: {manifests: {path: ./mesh}}`; without it nothing is written",
        ],
    );
}

#[test]
fn fleets_with_one_identity_are_a_warning() {
    let fleet = |name: &str, namespace: &str| {
        format!(
            "  {name}:\n    sim: {{image: x}}\n    membership: {{namespace: {namespace}, \
             serviceAccount: web}}\n"
        )
    };
    let text = [
        "mesh: {manifests: {path: m}}\nfleets:\n",
        &fleet("a", "vm"),
        &fleet("b", "vm"),
        &fleet("c", "other"),
    ]
    .concat();
    assert_problems(
        &text,
        &[
            "warning f:10:49 [web] the fleets `a` and `b` have one identity, `vm/web`: no policy \
           can tell them apart -> give each fleet a service account of its own",
        ],
    );
}

#[test]
fn fleets_with_one_service() {
    let fleet = |name: &str, namespace: &str, service: &str| {
        format!(
            "  {name}:\n    sim: {{image: x}}\n    membership:\n      namespace: {namespace}\n      \
             serviceAccount: {name}\n      labels: {{app: x}}\n      ports: {{http: 80}}\n      \
             service: {{{service}ports: [{{name: http, port: 80}}]}}\n"
        )
    };
    let text = [
        "mesh: {manifests: {path: m}}\nfleets:\n",
        &fleet("a", "vm", ""),
        &fleet("b", "vm", "name: a, "),
        &fleet("c", "other", "name: a, "),
    ]
    .concat();
    assert_problems(
        &text,
        &[
            "f:20:23 [a] the fleets `a` and `b` both make the Service `vm/a` -> let one of them \
             make it, with a `service.selector` of labels that both have, and take `service` out of \
             the other",
        ],
    );
}

#[test]
fn files_of_the_bootstrap() {
    assert_fleet_problems(
        "bootstrap:\n  files:\n    - {path: /etc/a, content: x}\n    - {path: /etc/../b, content: \
         x}\n    - {path: /etc//./a, content: x}\n    - {path: /etc/, content: x}\n    - {path: /, \
         content: x}\n    - {path: etc/a, content: x}\n    - {path: /..a, content: x, owner: ROOT}",
        &[
            "f:13:18 [etc/a] string \"etc/a\" does not match ^/ -> The absolute path.",
            "f:14:43 [ROOT] string \"ROOT\" does not match \
             ^[a-z_][-a-z0-9_]*(:[a-z_][-a-z0-9_]*)?$ -> The owner, as user or user:group; \
             root:root when absent.",
        ],
    );
    assert_fleet_problems(
        "bootstrap:\n  files:\n    - {path: /etc/a, content: x}\n    - {path: /etc/../b, content: \
         x}\n    - {path: /etc//./a, content: x}\n    - {path: /etc/, content: x}\n    - {path: /, \
         content: x}\n    - {path: /..a, content: x}",
        &[
            "f:9:18 [/etc/../b] the path `/etc/../b` goes up with `..` -> write where the file is \
             in the end",
            "f:10:18 [/etc//./a] the file `/etc//./a` is written twice -> the first is at f:8:18",
            "f:11:18 [/etc/] `/etc/` is not the path of a file -> write an absolute path, as \
             /etc/motd",
            "f:12:18 [/] `/` is not the path of a file -> write an absolute path, as /etc/motd",
        ],
    );
}

#[test]
fn rollouts_must_be_able_to_begin() {
    let found = "with `maxSurge` and `maxUnavailable` both 0 no machine can be replaced -> allow \
                 one of them at least 1";
    assert_fleet_problems("rollout: {maxSurge: 0}", &[&format!("f:6:25 [0] {found}")]);
    assert_fleet_problems(
        "rollout: {maxSurge: 0%, maxUnavailable: 0}",
        &[&format!("f:6:25 [0%] {found}")],
    );
    assert_fleet_problems("rollout: {maxUnavailable: 0}", &[]);
    assert_fleet_problems("rollout: {maxSurge: 0, maxUnavailable: 1%}", &[]);
}

#[test]
fn a_warning_comes_with_the_errors() {
    let text = format!(
        "{HEAD}fleets:\n  web:\n    sim: {{image: x}}\n    replicas: x\n    membership: \
         {{namespace: vm, serviceAccount: web}}\n"
    );
    assert_found(
        &inputs(&[("f", &text)]),
        &[
            "f:6:15 [x] expected an integer, found string \"x\" -> How many machines; 1 when \
             absent.",
            "warning f:7:5 [membership] the fleet `web` has a membership, and the file has no \
             mesh -> add `mesh: {manifests: {path: ./mesh}}`; without it nothing is written",
        ],
    );
}
