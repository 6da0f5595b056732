//! Runs a test in a process of its own, whose environment trusts the double.
//!
//! What a client trusts is its environment's to say, and that of a process is set before it
//! starts: so a test starts itself again.

use std::path::PathBuf;
use std::process::Command;

use crate::authority::Authority;
use crate::{SECRET, TENANT};

/// Where the inner process finds the authority.
const FOLDER: &str = "MESHVM_ARM_AUTHORITY";

/// By what a process shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// By the secret that every application has.
    Secret,
    /// By the certificate of one that has it.
    Certificate,
}

/// Runs a test again in a process that trusts the double, and returns `None`; in that process,
/// returns the authority to start the double with.
///
/// `name` is the test's, as the test program lists it.
///
/// # Panics
/// When the test fails in its process.
pub fn sealed(name: &str, login: Login) -> Option<Authority> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(Authority::in_folder(&PathBuf::from(folder)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::in_folder(folder.path());
    let mut run = Command::new(std::env::current_exe().expect("this program"));
    match login {
        Login::Secret => run.env("AZURE_CLIENT_SECRET", SECRET),
        Login::Certificate => run.env("AZURE_CLIENT_CERTIFICATE_PATH", authority.application()),
    };
    let run = run
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env("SSL_CERT_FILE", authority.certificate())
        .env("AZURE_TENANT_ID", TENANT)
        .env("AZURE_CLIENT_ID", "meshvm-tests")
        .output()
        .expect("the test starts");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{name}\n{said}\n{errors}");
    assert!(said.contains("1 passed"), "there is no test `{name}`");
    print!("{said}");
    None
}
