//! Names of what is found in a fleet file and in its mesh, for people to look up and for machines to
//! filter by.
//!
//! Those of 0 are classes of what a file alone gets wrong, of 1 about rights and namespaces, of 2
//! about the mesh, and of 3 about how fleets and what leads to them fit together.

use std::fmt;

use serde::Serialize;

/// What was found. A code keeps its meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A text is no YAML that meshvm reads.
    Syntax,
    /// A field is unknown or missing, or its value is of another type.
    Shape,
    /// A field does not take the value.
    Value,
    /// A variable is not declared, has no value, or one that does not fit.
    Variable,
    /// A fleet has no provider or two, or its provider does not take what the file says.
    Provider,
    /// Parts of the file do not agree.
    Disagreement,
    /// A file that the fleet file names is not there, or another than it says.
    NamedFile,
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
    /// A service account that is used and not made does not exist.
    NoAccount,
    /// The cluster has no name in the mesh.
    NoClusterId,
    /// The file and the cluster say different things.
    Overridden,
    /// Nobody knows where machines reach the control plane.
    NoGateway,
    /// The control plane is not known by a certificate in the namespace.
    NoRootCert,
    /// The machines' network is not the cluster's, and the cluster does not say which is its own, or
    /// says two.
    NoNetwork,
    /// The sidecar and the control plane are of versions that are not tested together.
    VersionSkew,
    /// There is no control plane of the revision.
    NoControlPlane,
    /// A gateway lacks a port that machines call.
    GatewayPort,
    /// Nothing leads from the machines' network into the cluster's.
    NoNetworkGateway,
    /// The cluster's network has a name, and the machines are in none.
    NetworkUnsaid,
    /// A Service would drop the machines, for want of a port.
    PortLost,
    /// Two entries have one address.
    SameAddress,
    /// Fleets have one service account.
    SharedAccount,
    /// A probe asks a port that the workload does not have.
    ProbePort,
    /// A port of a Service or ServiceEntry leads to none of the workload's.
    TargetPort,
    /// Fleets make one Service.
    ServiceTwice,
    /// Members get no sidecar.
    NoSidecar,
    /// No machines are in a subset.
    EmptySubset,
    /// A Service does not select the machines of its own fleet.
    NotSelected,
    /// A port of members is kept out of the mesh.
    ExcludedPort,
    /// Tokens go elsewhere than to their machines alone.
    OpenToken,
    /// The sidecar is of a version that meshvm does not know.
    UnknownVersion,
}

impl Code {
    /// All codes, in order.
    pub const ALL: [Self; 35] = [
        Self::Syntax,
        Self::Shape,
        Self::Value,
        Self::Variable,
        Self::Provider,
        Self::Disagreement,
        Self::NamedFile,
        Self::NoNamespace,
        Self::Foreign,
        Self::NotAllowed,
        Self::NotAsked,
        Self::NamespaceEnds,
        Self::NoAccount,
        Self::NoClusterId,
        Self::Overridden,
        Self::NoGateway,
        Self::NoRootCert,
        Self::NoNetwork,
        Self::VersionSkew,
        Self::NoControlPlane,
        Self::GatewayPort,
        Self::NoNetworkGateway,
        Self::NetworkUnsaid,
        Self::PortLost,
        Self::SameAddress,
        Self::SharedAccount,
        Self::ProbePort,
        Self::TargetPort,
        Self::ServiceTwice,
        Self::NoSidecar,
        Self::EmptySubset,
        Self::NotSelected,
        Self::ExcludedPort,
        Self::OpenToken,
        Self::UnknownVersion,
    ];

    /// Returns the code as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "MV001",
            Self::Shape => "MV002",
            Self::Value => "MV003",
            Self::Variable => "MV004",
            Self::Provider => "MV005",
            Self::Disagreement => "MV006",
            Self::NamedFile => "MV007",
            Self::NoNamespace => "MV101",
            Self::Foreign => "MV102",
            Self::NotAllowed => "MV103",
            Self::NotAsked => "MV104",
            Self::NamespaceEnds => "MV105",
            Self::NoAccount => "MV106",
            Self::NoClusterId => "MV201",
            Self::Overridden => "MV202",
            Self::NoGateway => "MV203",
            Self::NoRootCert => "MV204",
            Self::NoNetwork => "MV205",
            Self::VersionSkew => "MV206",
            Self::NoControlPlane => "MV207",
            Self::GatewayPort => "MV208",
            Self::NoNetworkGateway => "MV209",
            Self::NetworkUnsaid => "MV210",
            Self::PortLost => "MV301",
            Self::SameAddress => "MV302",
            Self::SharedAccount => "MV303",
            Self::ProbePort => "MV304",
            Self::TargetPort => "MV305",
            Self::ServiceTwice => "MV306",
            Self::NoSidecar => "MV307",
            Self::EmptySubset => "MV308",
            Self::NotSelected => "MV309",
            Self::ExcludedPort => "MV310",
            Self::OpenToken => "MV311",
            Self::UnknownVersion => "MV312",
        }
    }

    /// Returns whether it is of a class of findings, and not of one.
    pub fn is_class(self) -> bool {
        self <= Self::NamedFile
    }

    /// Returns why what was found matters.
    pub fn why(self) -> &'static str {
        match self {
            Self::Syntax => "nothing can be made of a file that is not read whole",
            Self::Shape => "a field that is not read as it was meant makes something else",
            Self::Value => {
                "a cloud, Kubernetes or Istio would refuse it, or take it for something else"
            }
            Self::Variable => "the file asks for something else with every value of it",
            Self::Provider => "no cloud could make the machines",
            Self::Disagreement => "one part of the file keeps the other from having an effect",
            Self::NamedFile => "machines boot from what it holds",
            Self::NoNamespace => "nothing can be written into a namespace that is not there",
            Self::Foreign => "what meshvm did not make, it does not change",
            Self::NotAllowed => "an apply would stop half-way",
            Self::NotAsked => "what machines need to know of their mesh is read from its cluster",
            Self::NamespaceEnds => "nothing new can be written into it, and what is in it goes",
            Self::NoAccount => {
                "machines get their tokens from it, and meshvm makes none with `create: false`"
            }
            Self::NoClusterId => {
                "the control plane asks the cluster of that name about a machine's token, and \
                 refuses the machine"
            }
            Self::Overridden => "machines take the file's word, and the control plane its own",
            Self::NoGateway | Self::NoRootCert => "the sidecar could not start",
            Self::NoNetwork => {
                "the mesh cannot tell the machines' network from the cluster's, and calls go to where \
                 nobody is"
            }
            Self::VersionSkew => {
                "Istio supports sidecars as new as the control plane, or one minor version older"
            }
            Self::NoControlPlane => "nobody would let the machines in",
            Self::GatewayPort => "the gateway would refuse the machines' connections",
            Self::NoNetworkGateway => {
                "machines would call the cluster's workloads at addresses of the cluster's own network"
            }
            Self::NetworkUnsaid => {
                "the mesh takes the machines to be in the cluster's network, and them to reach every \
                 network directly"
            }
            Self::PortLost => "the mesh leaves an endpoint out whose named port it does not know",
            Self::SameAddress => "the mesh knows an endpoint by its address: one hides the other",
            Self::SharedAccount => "whoever is let in by one of them is let in by the other",
            Self::ProbePort => "the mesh sends no traffic to what is never healthy",
            Self::TargetPort => "clients that call it would reach nothing",
            Self::ServiceTwice => "one would undo what the other wrote",
            Self::NoSidecar => "what is no part of the mesh cannot answer its members",
            Self::EmptySubset => "whoever is sent there gets no answer",
            Self::NotSelected => "clients of the Service would not reach them",
            Self::ExcludedPort => {
                "callers that speak mutual TLS, as those in the mesh do, would reach a workload that does not"
            }
            Self::OpenToken => "whoever has a token can be that machine in the mesh",
            Self::UnknownVersion => {
                "another version may read other settings, and before 1.24 its packet filter's rules \
                 may keep it from starting again"
            }
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
        assert!(Code::ALL.is_sorted_by_key(|code| code.as_str()));
    }

    #[test]
    fn the_guide_has_every_code() {
        let guide = include_str!("../../docs/istio.md");
        let missing = |code: &Code| !guide.contains(&format!("| {code} | "));
        let missing: Vec<Code> = Code::ALL.into_iter().filter(missing).collect();
        assert_eq!(missing, []);
    }
}
