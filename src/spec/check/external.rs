//! Checks of machines that the mesh knows and that are no members.

use std::collections::BTreeSet;

use crate::spec::model::External;

use super::Checker;
use super::membership::check_labels;

/// Checks an external fleet.
pub(super) fn check(fleet: &str, external: &External, checker: &mut Checker<'_>) {
    let External {
        namespace: _,
        hosts: _,
        addresses: _,
        ports,
        labels,
    } = external;
    check_labels(&["fleets", fleet, "external", "labels"], labels, checker);
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let index = index.to_string();
        let at = |field| ["fleets", fleet, "external", "ports", &index, field].map(str::to_owned);
        if !names.insert(port.name.as_str()) {
            let summary = format!("there are two ports named `{}`", port.name);
            checker.error(&at("name"), summary, "give each port a name of its own");
        }
        if !numbers.insert(port.port) {
            let summary = format!("there is port {} twice", port.port.0);
            checker.error(&at("port"), summary, "keep one of them");
        }
    }
}
