//! What a mesh does not say of itself, and new machines would have to be told. Pure.
//!
//! It keeps machines from being made, and nothing else: those that are there stay as they are, and
//! may leave.

use meshvm_provider_api::labels::{Hash, Ownership};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::boot::GATEWAY;
use super::{Boot, DesiredFleet, hash_of};
use crate::diag::{Code, Diagnostic};
use crate::istio::Gateway;
use crate::mesh::kubernetes::MeshRead;
use crate::spec::model::Membership;

/// What nobody could tell machines of a fleet that were made now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Lack {
    /// By which certificate they know the control plane. What they boot with is compared without it.
    RootCert,
    /// Where they reach the control plane. What they boot with is not known then, and so not
    /// compared; this is what else a machine is compared with.
    Gateway(Value),
}

/// Returns whether a problem is that something is lacking without which no machine can be made.
pub(super) fn is_lack(problem: &Diagnostic) -> bool {
    matches!(problem.code, Code::NoGateway | Code::NoRootCert)
}

/// Returns a mesh as it would be if nothing of that were lacking.
pub(super) fn assumed(mesh: &MeshRead, membership: Option<&Membership>) -> MeshRead {
    let mut mesh = mesh.clone();
    let namespace = membership.map(|membership| membership.namespace.to_string());
    let certs = &mut mesh.facts.root_certs;
    certs.extend(namespace.map(|namespace| (namespace, "none\n".to_owned())));
    if mesh.facts.gateway == Gateway::Unknown {
        mesh.facts.gateway = Gateway::PrivateDns;
    }
    mesh
}

impl DesiredFleet {
    /// Returns whether it is known what a machine that is made now would boot with.
    pub fn knows_boot(&self) -> bool {
        match &self.lacks {
            None | Some(Lack::RootCert) => true,
            Some(Lack::Gateway(_)) => false,
        }
    }

    /// Returns the settings in which what machines boot with is another than it was, as far as that
    /// is known: name, what it was, what it is.
    pub fn boot_changes<'a>(
        &'a self,
        was: &'a Boot,
    ) -> impl Iterator<Item = (&'a String, Option<&'a String>, Option<&'a String>)> {
        let is_known = |setting: &str| self.knows_boot() || !setting.starts_with(GATEWAY);
        was.changed(&self.boot)
            .filter(move |(setting, ..)| is_known(setting))
    }

    /// Returns whether a machine says that it was made from this, as far as that is known.
    pub fn is_made_from_this(&self, owned: &Ownership) -> bool {
        let own = match (&self.lacks, &owned.user_data) {
            (Some(Lack::Gateway(others)), Some(user_data)) => hash_of(others, user_data),
            (None | Some(Lack::RootCert | Lack::Gateway(_)), _) => self.spec.clone(),
        };
        // What was changed in place meanwhile says so without what it boots with.
        owned.spec == own || owned.spec == self.spec
    }

    /// Takes away what no machine may be made from.
    pub(super) fn lacking(mut self, lack: Lack) -> Self {
        self.user_data = String::new();
        if let Lack::Gateway(others) = &lack {
            self.boot.user_data = Hash::of("");
            self.spec = hash_of(others, &self.boot.user_data);
        }
        self.lacks = Some(lack);
        self
    }
}
