//! Services that select machines of several fleets.

use super::{HEAD, assert_membership_problems, assert_problems, spec};

/// Two versions; `service` is the first one's, with its traffic.
fn versions(service: &str) -> String {
    let fleet = |version: &str, more: &str| {
        format!(
            "  {version}:\n    sim: {{image: x}}\n    membership:\n      namespace: vm\n      \
             serviceAccount: {version}\n      labels: {{app: x, version: {version}}}\n      ports: \
             {{http: 80}}\n{more}"
        )
    };
    let traffic = "      traffic: {subsets: {v1: {version: v1}, v2: {version: v2}}}\n";
    let first = fleet("v1", &format!("      service: {{{service}}}\n{traffic}"));
    let second = fleet("v2", "");
    format!("mesh: {{manifests: {{path: m}}}}\nfleets:\n{first}{second}")
}

#[test]
fn one_service_leads_to_two_fleets() {
    let ports = "ports: [{name: http, port: 80}]";
    assert_problems(
        &versions(&format!("name: x, selector: {{app: x}}, {ports}")),
        &[],
    );
    assert_problems(
        &versions(&format!("name: x, {ports}")),
        &[
            "warning f:13:46 [v2] no machine of this file is in the subset `v2` -> fleet `v2` has \
           these labels, and the Service does not select it: let `service.selector` be `{app: x}`",
        ],
    );
    // The port is looked up in all fleets that are selected.
    let wanting = "name: x, selector: {app: x}, ports: [{name: http, port: 81, targetPort: web}]";
    let text = versions(wanting).replacen("{http: 80}", "{web: 81}", 1);
    assert_problems(
        &text,
        &[
            "f:12:54 [{name: http, port: 81, targetPort: web}] the Service selects the machines of \
           fleet `v2`, too, and they have no port `web` -> add `web` with its number to the \
           `ports` of `v2`, or tell the fleets apart by a label; the mesh leaves an endpoint out \
           whose named port it does not know",
        ],
    );
}

#[test]
fn a_service_selects_its_own_fleet() {
    let selector = |selector: &str, expected: &[&str]| {
        let text = format!(
            "labels: {{app: web, version: v1}}\nports: {{http: 80}}\nservice: {{selector: \
             {selector}, ports: [{{name: http, port: 80}}]}}"
        );
        assert_membership_problems(&text, expected);
    };
    let hint = "write a label here that all its machines have, or add this one to the membership's \
                `labels`";
    selector("{app: web}", &[]);
    selector("{version: v1, app: web}", &[]);
    selector(
        "{}",
        &[
            "f:12:17 [selector] the Service selects nothing: its selector is empty -> write labels that \
           the machines have, or leave it out to select by all of them",
        ],
    );
    let misses = "the Service does not select the fleet's own machines: they have";
    selector(
        "{app: api}",
        &[&format!("f:12:33 [api] {misses} `app: web` -> {hint}")],
    );
    selector(
        "{tier: web}",
        &[&format!("f:12:34 [web] {misses} no label `tier` -> {hint}")],
    );
    selector(
        "{a b: c}",
        &[
            "f:12:28 [a b] `a b` cannot be the key of a Kubernetes label -> write a name as app, or \
             a domain and a name as example.com/app",
            &format!("f:12:33 [c] {misses} no label `a b` -> {hint}"),
        ],
    );
}

#[test]
fn the_guide_shows_two_versions() {
    let guide = include_str!("../../../docs/istio.md");
    let (_, after) = guide
        .split_once("## Two versions behind one Service")
        .unwrap();
    let (_, after) = after.split_once("```yaml\n").unwrap();
    let (fleets, _) = after.split_once("```").unwrap();
    let sim = "defaults: {sim: {image: x}}\nmesh: {manifests: {path: m}}\n";
    // A provider's block of a default goes only into fleets that have one.
    let fleets = fleets.replace("    replicas", "    sim: {}\n    replicas");
    let spec = spec(&format!("{HEAD}{sim}{fleets}"));
    assert_eq!(spec.warnings, []);
    let first = spec.fleets.values().next().unwrap();
    let membership = first.body.membership.as_ref().unwrap();
    assert_eq!(membership.selector().len(), 1);
}
