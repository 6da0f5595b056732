//! Checks of machines that the mesh knows and that are no members.

use crate::spec::model::External;

use super::Checker;
use super::entry::{self, EntryPort};
use super::names::check_labels;

/// Checks an external fleet.
pub(super) fn check(fleet: &str, external: &External, checker: &mut Checker<'_>) {
    let External {
        namespace: _,
        hosts,
        addresses,
        ports,
        labels,
    } = external;
    check_labels(&["fleets", fleet, "external", "labels"], labels, checker);
    let ports = ports.iter().map(|port| EntryPort {
        name: &port.name,
        port: port.port,
        protocol: port.protocol.as_deref(),
    });
    let at = ["fleets", fleet, "external"];
    entry::check(&at, hosts, addresses, ports, checker);
}
