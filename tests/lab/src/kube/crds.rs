//! Where the CRDs come from.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::kinds::{BadKinds, crd};

/// Names a file of CRDs to be served.
pub const VARIABLE: &str = "MESHVM_LAB_CRDS";

/// Where Istio's CRDs are beside a checkout, as seen from it.
const BESIDE: &str = "../shared/data/istio-crds-1.30.3.yaml";

/// The CRDs that a cluster serves.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Crds {
    /// Those that `MESHVM_LAB_CRDS` names, else Istio's where they are beside the checkout, else
    /// the small ones.
    #[default]
    Found,
    /// Those of the lab itself: the part of Istio's that meshvm writes.
    Small,
    /// Those in a file.
    File(PathBuf),
}

impl Crds {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no YAML.
    pub(super) fn read(&self) -> Result<Vec<Value>, BadKinds> {
        let file = match self {
            Self::Small => None,
            Self::File(path) => Some(path.clone()),
            Self::Found => found(),
        };
        let Some(path) = file else {
            return crd::documents(crd::SMALL);
        };
        let text = std::fs::read_to_string(&path);
        crd::documents(&text.map_err(|source| BadKinds::File { path, source })?)
    }
}

fn found() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Some(PathBuf::from(path));
    }
    // Cargo runs tests in the folder of their crate, people run binaries in the checkout.
    let checkout = ["", "../.."].map(|up| Path::new(up).join(BESIDE));
    checkout.into_iter().find(|path| path.is_file())
}
