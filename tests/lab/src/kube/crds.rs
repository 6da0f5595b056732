//! Where the CRDs come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::kinds::{BadKinds, Kinds, builtin, crd};

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

/// CRDs, and the kinds that a cluster has with them.
#[derive(Debug)]
pub struct Served {
    /// All kinds.
    pub kinds: Arc<Kinds>,
    /// The CRDs.
    pub crds: Vec<Value>,
}

/// What was compiled before, by its text: a test binary starts many clusters.
static COMPILED: Mutex<BTreeMap<String, Arc<Served>>> = Mutex::new(BTreeMap::new());

impl Crds {
    /// Reads and compiles them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no YAML, or has CRDs that cannot be served.
    pub(super) fn read(&self) -> Result<Arc<Served>, BadKinds> {
        let file = match self {
            Self::Small => None,
            Self::File(path) => Some(path.clone()),
            Self::Found => found(),
        };
        let text = match file {
            None => crd::SMALL.to_owned(),
            Some(path) => {
                let text = std::fs::read_to_string(&path);
                text.map_err(|source| BadKinds::File { path, source })?
            }
        };
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = compiled.get(&text) {
            return Ok(Arc::clone(served));
        }
        let crds = crd::documents(&text)?;
        let mut kinds = builtin::all()?;
        kinds.push(crd::itself()?);
        for crd in &crds {
            kinds.push(crd::kind(crd)?);
        }
        let kinds = Arc::new(Kinds::new(kinds));
        let served = Arc::new(Served { kinds, crds });
        compiled.insert(text, Arc::clone(&served));
        Ok(served)
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
