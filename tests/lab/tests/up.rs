//! `meshvm-lab up`: a cluster with a mesh, for as long as the program runs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Ends the program also where a test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_it_says_is_there_and_a_signal_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    let mut program = Command::new(env!("CARGO_BIN_EXE_meshvm-lab"));
    program
        .args(["up", "--istiod", "127.0.0.1:0", "--kubeconfig"])
        .arg(&kubeconfig);
    let mut lab = Ended(program.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(lab.0.stdout.take().unwrap()).lines();
    let mut line = || lines.next().expect("it says more").unwrap();

    let serving = line();
    let url = serving.strip_prefix("serving on ").unwrap();
    assert!(std::fs::read_to_string(&kubeconfig).unwrap().contains(url));
    assert_eq!(
        line(),
        format!("export KUBECONFIG={}", kubeconfig.display())
    );
    let istiod = line();
    let address = istiod.strip_prefix("istiod on ").unwrap();
    std::net::TcpStream::connect(address).unwrap();

    let pid = Pid::from_raw(lab.0.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(lab.0.wait().unwrap().success());
}
