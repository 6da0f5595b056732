//! Checks of how machines prove who they are.

use std::time::Duration;

use crate::diag::Code;
use crate::spec::model::{Identity, Mesh};

use super::Checker;

/// The shortest and the longest life that a Kubernetes API server gives a token
/// (<https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>);
/// an hour is as long as some grant, and a day as long as anybody should want.
const SHORTEST: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Checks the identity; `mesh` is where a token would come from.
pub(in crate::spec) fn identity(
    identity: &Identity,
    mesh: Option<&Mesh>,
    checker: &mut Checker<'_>,
) {
    let token = match identity {
        Identity::None => return,
        Identity::ServiceAccountToken(token) => token,
    };
    let path = ["identity", "serviceAccountToken"];
    match mesh {
        Some(Mesh::Kubernetes(_)) => {}
        Some(Mesh::Manifests(_)) | None => {
            let summary = "there is no cluster to ask for tokens".to_owned();
            let hint = "add `mesh: {kubernetes: {}}`, or write `identity: none`";
            checker
                .coded(Code::Disagreement)
                .key_error(&path, summary, hint);
        }
    }
    if let Some(ttl) = token.ttl
        && !(SHORTEST..=LONGEST).contains(&ttl.0)
    {
        let path = ["identity", "serviceAccountToken", "ttl"];
        let summary = format!("a token cannot live for {ttl}");
        checker.error(
            &path,
            summary,
            "write 10m to 24h; 15m does for a first boot",
        );
    }
}
