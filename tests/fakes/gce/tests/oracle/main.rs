//! Google's own clients use the double as they use Compute Engine: a double that only meshvm can
//! talk to would prove nothing.

mod gcloud;
mod python;

use std::path::{Path, PathBuf};

use meshvm_gce::{Gce, Manners, Refused};

/// A project that is as narrow as both scripts expect it: room for five machines, for one of a
/// type, pages of two, and a machine that fails to stop once.
fn narrow() -> Manners {
    Manners {
        slow: 2,
        page: 2,
        quota: 5,
        room: [("t2a-standard-1".to_owned(), 1)].into(),
        refusals: vec![Refused::later("instances.stop", 503, "INTERNAL_ERROR")],
        ..Manners::default()
    }
}

/// Writes the double's credentials as a file of Google's; returns its path.
fn credentials(gce: &Gce, folder: &Path) -> PathBuf {
    let file = folder.join("credentials.json");
    std::fs::write(&file, gce.credentials().to_string()).unwrap();
    file
}
