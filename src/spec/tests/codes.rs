//! What is found in a file alone has a code.

use super::{HEAD, inputs, run};

/// Returns the codes of what is wrong with a file that begins with [`HEAD`].
fn codes(text: &str) -> Vec<&'static str> {
    let found = match run(&inputs(&[("f", &format!("{HEAD}{text}"))])) {
        Ok(spec) => spec.warnings,
        Err(found) => found,
    };
    found.iter().map(|found| found.code.as_str()).collect()
}

#[test]
fn classes() {
    let fleet = |text: &str| codes(&format!("fleets:\n  web:\n    {text}\n"));
    assert_eq!(codes("fleets: [\n"), ["MV001"]);
    assert_eq!(codes("fleets: {}\nfleets: {}\n"), ["MV001"]);
    assert_eq!(codes("flets: {}\n"), ["MV002"]);
    assert_eq!(fleet("{sim: {image: x}, replicas: two}"), ["MV002"]);
    assert_eq!(
        fleet("{sim: {image: x}, membership: {}}"),
        ["MV002", "MV002"]
    );
    assert_eq!(fleet("{sim: {image: x}, replicas: 100001}"), ["MV003"]);
    assert_eq!(fleet("{sim: {image: x}, labels: {A: b}}"), ["MV003"]);
    assert_eq!(codes("ledger: x\n"), ["MV003"]);
    assert_eq!(codes("vars: {a: null}\n"), ["MV004"]);
    assert_eq!(codes("ledger: '${var.a}'\n"), ["MV004"]);
    assert_eq!(fleet("{}"), ["MV005"]);
    assert_eq!(fleet("{sim: {image: x}, other: {}}"), ["MV005"]);
    assert_eq!(fleet("{sim: {image: none}}"), ["MV005"]);
    assert_eq!(
        fleet("{sim: {image: x}, rollout: {maxSurge: 0}}"),
        ["MV006"]
    );
}

#[test]
fn fleets_and_what_leads_to_them() {
    let members = |mesh: &str, web: &str, api: &str| {
        codes(&format!(
            "mesh: {{{mesh}}}\ndefaults: {{membership: {{namespace: vm, labels: {{app: x}}, ports: \
             {{http: 80}}}}}}\nfleets:\n  api: {{sim: {{image: x}}, membership: {{{api}}}}}\n  web: \
             {{sim: {{image: x}}, membership: {{{web}}}}}\n"
        ))
    };
    let fleets = |web: &str| {
        members(
            "manifests: {path: m}",
            &format!("serviceAccount: web, {web}"),
            "serviceAccount: api",
        )
    };
    let ports = "ports: [{name: http, port: 80}]";
    assert_eq!(fleets(""), [""; 0]);
    assert_eq!(fleets("probe: {tcpSocket: {port: 81}}"), ["MV304"]);
    assert_eq!(
        fleets("service: {ports: [{name: http, port: 80, targetPort: web}]}"),
        ["MV301", "MV305"]
    );
    assert_eq!(
        fleets("service: {ports: [{name: db, port: 81}]}, ports: {db: 81}"),
        ["MV301"]
    );
    assert_eq!(
        fleets(&format!("service: {{selector: {{a: b}}, {ports}}}")),
        ["MV309"]
    );
    assert_eq!(
        fleets(&format!(
            "service: {{{ports}}}, traffic: {{subsets: {{v: {{a: b}}}}}}"
        )),
        ["MV308"]
    );
    let shared = members(
        "manifests: {path: m}",
        "serviceAccount: a",
        "serviceAccount: a",
    );
    assert_eq!(shared, ["MV303"]);
    let service =
        |account: &str| format!("serviceAccount: {account}, service: {{name: s, {ports}}}");
    let twice = members("manifests: {path: m}", &service("a"), &service("b"));
    assert_eq!(twice, ["MV306"]);
    let bare = members("kubernetes: {}", "serviceAccount: a", "serviceAccount: b");
    assert_eq!(bare, ["MV307", "MV307"]);
}
