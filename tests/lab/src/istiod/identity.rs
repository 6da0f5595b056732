//! Who somebody is: a service account in a namespace. Pure.

use std::fmt;

/// A workload's identity.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

impl Identity {
    /// Returns it as a URI: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
    pub fn spiffe(&self, trust_domain: &str) -> String {
        let Self {
            namespace,
            service_account,
        } = self;
        format!("spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }

    /// Reads such a URI; `None` when it is another, or of another trust domain.
    pub fn from_spiffe(uri: &str, trust_domain: &str) -> Option<Self> {
        let path = uri.strip_prefix("spiffe://")?.strip_prefix(trust_domain)?;
        let (namespace, service_account) = path.strip_prefix("/ns/")?.split_once("/sa/")?;
        Self::of(namespace, service_account)
    }

    /// Reads the name of a Kubernetes user; `None` when it is no service account.
    pub fn from_user(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("system:serviceaccount:")?;
        let (namespace, service_account) = rest.split_once(':')?;
        Self::of(namespace, service_account)
    }

    fn of(namespace: &str, service_account: &str) -> Option<Self> {
        let is_name = |name: &str| !name.is_empty() && !name.contains(['/', ':']);
        (is_name(namespace) && is_name(service_account)).then(|| Self {
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
        })
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service_account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_and_users_are_read() {
        let uri = "spiffe://cluster.local/ns/vm/sa/web";
        let identity = Identity::from_spiffe(uri, "cluster.local").unwrap();
        assert_eq!(identity.spiffe("cluster.local"), uri);
        let user = Identity::from_user("system:serviceaccount:vm:web");
        assert_eq!(user, Some(identity));
    }

    #[test]
    fn others_are_nobody() {
        for uri in [
            "spiffe://other/ns/vm/sa/web",
            "spiffe://cluster.local.evil/ns/vm/sa/web",
            "spiffe://cluster.local/ns/vm/sa/",
            "spiffe://cluster.local/ns/vm/sa/web/more",
            "https://cluster.local/ns/vm/sa/web",
        ] {
            assert_eq!(Identity::from_spiffe(uri, "cluster.local"), None, "{uri}");
        }
        for user in [
            "admin",
            "system:serviceaccount:vm",
            "system:serviceaccount:a:b:c",
        ] {
            assert_eq!(Identity::from_user(user), None, "{user}");
        }
    }
}
