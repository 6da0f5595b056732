//! Which rules an environment makes.

use super::*;

fn rules(variables: &[(&str, &str)]) -> Vec<String> {
    let environment = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let rules = Rules::read(&environment, (997, 998)).unwrap();
    rules.calls().iter().map(|call| call.join(" ")).collect()
}

fn position(rules: &[String], rule: &str) -> usize {
    let found = rules.iter().position(|known| known == rule);
    found.unwrap_or_else(|| panic!("no {rule} in {rules:#?}"))
}

#[test]
fn all_ports_but_the_excluded_are_captured() {
    let rules = rules(&[
        ("ISTIO_INBOUND_PORTS", "*"),
        ("ISTIO_LOCAL_EXCLUDE_PORTS", "22,15021"),
        ("ISTIO_SERVICE_CIDR", "*"),
    ]);
    let all = position(&rules, "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT");
    for port in [22, 15021, 15008] {
        let excluded = format!("-A ISTIO_INBOUND -p tcp --dport {port} -j RETURN");
        assert!(position(&rules, &excluded) < all);
    }
    position(&rules, "-A PREROUTING -p tcp -j ISTIO_INBOUND");
}

#[test]
fn excluded_ports_say_nothing_when_ports_are_listed() {
    let rules = rules(&[
        ("ISTIO_INBOUND_PORTS", "8080"),
        ("ISTIO_LOCAL_EXCLUDE_PORTS", "8080"),
    ]);
    position(
        &rules,
        "-A ISTIO_INBOUND -p tcp --dport 8080 -j ISTIO_IN_REDIRECT",
    );
    assert!(!rules.iter().any(|rule| rule.contains("8080 -j RETURN")));
}

#[test]
fn without_inbound_ports_nothing_that_comes_in_is_captured() {
    let rules = rules(&[("ISTIO_SERVICE_CIDR", "*")]);
    assert!(!rules.iter().any(|rule| rule.contains("PREROUTING")));
}

#[test]
fn the_proxy_goes_out_before_anything_is_captured() {
    let rules = rules(&[
        ("ISTIO_SERVICE_CIDR", "*"),
        ("ISTIO_SERVICE_EXCLUDE_CIDR", "169.254.169.254/32"),
    ]);
    let all = position(&rules, "-A ISTIO_OUTPUT -j ISTIO_REDIRECT");
    for rule in [
        "-A ISTIO_OUTPUT -m owner --uid-owner 997 -j RETURN",
        "-A ISTIO_OUTPUT -m owner --gid-owner 998 -j RETURN",
        "-A ISTIO_OUTPUT -d 169.254.169.254/32 -j RETURN",
    ] {
        assert!(position(&rules, rule) < all);
    }
}

#[test]
fn a_mode_that_is_not_known_is_refused() {
    let mode = ("ISTIO_INBOUND_INTERCEPTION_MODE", "TPROXY");
    let environment = [mode].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert!(Rules::read(&environment.into(), (0, 0)).is_err());
}
