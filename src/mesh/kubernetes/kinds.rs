//! The kinds of objects that meshvm writes to a cluster.
//!
//! A closed list: what is not here is never read, written or deleted.

use kube::api::ApiResource;
use kube::core::GroupVersionKind;

/// A kind, as the API server names it.
struct Kind {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
}

const fn istio(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "networking.istio.io",
        version: "v1",
        kind,
        plural,
    }
}

const fn core(kind: &'static str, plural: &'static str) -> Kind {
    Kind {
        group: "",
        version: "v1",
        kind,
        plural,
    }
}

/// In the order in which they are written: an owner comes before what it owns.
const KINDS: [Kind; 7] = [
    core("ServiceAccount", "serviceaccounts"),
    istio("WorkloadGroup", "workloadgroups"),
    istio("WorkloadEntry", "workloadentries"),
    core("Service", "services"),
    istio("ServiceEntry", "serviceentries"),
    istio("DestinationRule", "destinationrules"),
    istio("VirtualService", "virtualservices"),
];

impl Kind {
    fn resource(&self) -> ApiResource {
        let Self {
            group,
            version,
            kind,
            plural,
        } = self;
        let named = GroupVersionKind::gvk(group, version, kind);
        ApiResource::from_gvk_with_plural(&named, plural)
    }
}

/// Returns all kinds, in the order in which they are written.
pub(super) fn all() -> impl Iterator<Item = ApiResource> {
    KINDS.iter().map(Kind::resource)
}

/// Returns a kind by its name; `None` when meshvm does not write it.
pub(super) fn named(kind: &str) -> Option<ApiResource> {
    KINDS
        .iter()
        .find(|known| known.kind == kind)
        .map(Kind::resource)
}

/// Returns the place of a kind in the order of writing.
pub(super) fn order(kind: &str) -> usize {
    let place = KINDS.iter().position(|known| known.kind == kind);
    place.unwrap_or(KINDS.len())
}
