//! Names of what a look at the mesh finds, for people to look up and for machines to filter by.

use std::fmt;

use serde::Serialize;

/// What a look at the mesh found. A code keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A membership's namespace does not exist.
    NoNamespace,
    /// An object of a wanted name exists and is not the stack's.
    Foreign,
    /// The user may not do what an apply does.
    NotAllowed,
    /// Nothing can be asked of the cluster, or not all.
    NotAsked,
    /// The namespace is being deleted.
    NamespaceEnds,
    /// The cluster has no name in the mesh.
    NoClusterId,
    /// The file and the cluster say different things.
    Overridden,
    /// Nobody knows where machines reach the control plane.
    NoGateway,
    /// The control plane is not known by a certificate in the namespace.
    NoRootCert,
    /// The machines' network is not the cluster's, and the cluster does not say which is its own.
    NoNetwork,
    /// The sidecar and the control plane are of versions that are not tested together.
    VersionSkew,
    /// There is no control plane of the revision.
    NoControlPlane,
    /// A Service would drop the machines, for want of a port.
    PortLost,
    /// Two entries have one address.
    SameAddress,
}

impl Code {
    /// All codes, in order.
    pub const ALL: [Self; 14] = [
        Self::NoNamespace,
        Self::Foreign,
        Self::NotAllowed,
        Self::NotAsked,
        Self::NamespaceEnds,
        Self::NoClusterId,
        Self::Overridden,
        Self::NoGateway,
        Self::NoRootCert,
        Self::NoNetwork,
        Self::VersionSkew,
        Self::NoControlPlane,
        Self::PortLost,
        Self::SameAddress,
    ];

    /// Returns the code as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoNamespace => "MV101",
            Self::Foreign => "MV102",
            Self::NotAllowed => "MV103",
            Self::NotAsked => "MV104",
            Self::NamespaceEnds => "MV105",
            Self::NoClusterId => "MV201",
            Self::Overridden => "MV202",
            Self::NoGateway => "MV203",
            Self::NoRootCert => "MV204",
            Self::NoNetwork => "MV205",
            Self::VersionSkew => "MV206",
            Self::NoControlPlane => "MV207",
            Self::PortLost => "MV301",
            Self::SameAddress => "MV302",
        }
    }

    /// Returns why what was found matters.
    pub fn why(self) -> &'static str {
        match self {
            Self::NoNamespace => "nothing can be written into a namespace that is not there",
            Self::Foreign => "what meshvm did not make, it does not change",
            Self::NotAllowed => "an apply would stop half-way",
            Self::NotAsked => "what machines need to know of their mesh is read from its cluster",
            Self::NamespaceEnds => "nothing new can be written into it, and what is in it goes",
            Self::NoClusterId => {
                "the control plane asks the cluster of that name about a machine's token, and \
                 refuses the machine"
            }
            Self::Overridden => "machines take the file's word, and the control plane its own",
            Self::NoGateway | Self::NoRootCert => "the sidecar could not start",
            Self::NoNetwork => {
                "the mesh takes the machines to be in the cluster's network, and calls them there"
            }
            Self::VersionSkew => {
                "Istio supports sidecars as new as the control plane, or one minor version older"
            }
            Self::NoControlPlane => "nobody would let the machines in",
            Self::PortLost => "the mesh leaves an endpoint out whose named port it does not know",
            Self::SameAddress => "the mesh knows an endpoint by its address: one hides the other",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_told_apart() {
        let codes: BTreeSet<&str> = Code::ALL.into_iter().map(Code::as_str).collect();
        assert_eq!(codes.len(), Code::ALL.len());
    }
}
