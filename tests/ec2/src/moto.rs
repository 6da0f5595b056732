//! The server itself: moto, in a process of its own that ends with the tests.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The version that `tests/ec2/moto` installs.
const VERSION: &str = "5.2.5";

/// Serves until its standard input ends, which is when the tests are gone, however they went.
const SERVE: &str = r"
import logging, os, sys, threading
from werkzeug.serving import make_server
from moto.server import DomainDispatcherApplication, create_backend_app
logging.getLogger('werkzeug').setLevel(logging.ERROR)
app = DomainDispatcherApplication(create_backend_app)
server = make_server('127.0.0.1', 0, app, threaded=True)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)
";

/// A running server; it ends when this is dropped.
pub struct Moto {
    child: Child,
    address: SocketAddr,
}

impl Moto {
    /// Starts a server that takes any credentials; a key id of 12 digits is an account.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub fn start() -> Self {
        Self::launch(&[])
    }

    /// Starts a server that checks signatures and policies once `free` calls were made without.
    ///
    /// # Panics
    /// As [`Moto::start`].
    pub fn strict(free: u32) -> Self {
        Self::launch(&[("INITIAL_NO_AUTH_ACTION_COUNT", free.to_string())])
    }

    fn launch(environment: &[(&str, String)]) -> Self {
        let python = python();
        assert!(
            python.exists(),
            "{} is not there: run `tests/ec2/moto`, which installs it",
            python.display()
        );
        let mut child = Command::new(python)
            .args(["-c", SERVE])
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a port");
        let port: u16 = line.trim().parse().expect("moto prints its port");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        for _ in 0..200 {
            if TcpStream::connect(address).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, address }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Returns an address where nothing listens.
///
/// # Panics
/// When this computer has none left.
pub fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn python() -> PathBuf {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => PathBuf::from("/var/cache"),
    };
    let folder = cache.join("meshvm/moto").join(VERSION);
    folder.join("bin/python")
}
