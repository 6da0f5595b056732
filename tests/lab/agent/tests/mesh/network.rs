//! Machines as network namespaces on a bridge of their own.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

/// Which machine of a network the test process is, as the bridge.
pub const HUB: u8 = 1;

/// Returns the address of a machine: in a network of this process, so that two can be tested.
pub fn address(machine: u8) -> String {
    format!("198.18.{}.{machine}", std::process::id() % 256)
}

/// A bridge with namespaces, which all end with it.
pub struct Network {
    bridge: String,
    namespaces: Vec<String>,
}

impl Network {
    /// Makes a bridge.
    pub fn new() -> Self {
        let network = Self {
            bridge: format!("mvl{}", std::process::id()),
            namespaces: Vec::new(),
        };
        let bridge = network.bridge.as_str();
        ip(&["link", "add", bridge, "type", "bridge"]);
        ip(&[
            "addr",
            "add",
            &format!("{}/24", address(HUB)),
            "dev",
            bridge,
        ]);
        ip(&["link", "set", bridge, "up"]);
        network
    }

    /// Makes a namespace for a machine; returns its name.
    pub fn machine(&mut self, machine: u8) -> String {
        let number = self.namespaces.len();
        let name = format!("{}n{number}", self.bridge);
        let (outer, inner) = (format!("{}o{number}", self.bridge), "eth0");
        ip(&["netns", "add", &name]);
        self.namespaces.push(name.clone());
        ip(&[
            "link", "add", &outer, "type", "veth", "peer", "name", inner, "netns", &name,
        ]);
        ip(&["link", "set", &outer, "master", &self.bridge, "up"]);
        ip(&[
            "-n",
            &name,
            "addr",
            "add",
            &format!("{}/24", address(machine)),
            "dev",
            inner,
        ]);
        ip(&["-n", &name, "link", "set", "lo", "up"]);
        ip(&["-n", &name, "link", "set", inner, "up"]);
        // Virtual addresses of services need some way out before they are captured.
        ip(&["-n", &name, "route", "add", "default", "via", &address(HUB)]);
        name
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.namespaces {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
        let _ = Command::new("ip")
            .args(["link", "del", &self.bridge])
            .status();
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output();
    let output = output.expect("no ip: apt-get install iproute2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {said} (it needs root)",
        arguments.join(" ")
    );
}

/// Does something in a namespace. What is opened in there stays there.
pub fn inside<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let path = format!("/run/netns/{name}");
    let done = thread::spawn(move || {
        let namespace = File::open(path).unwrap();
        // For this thread alone, which ends with the work.
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    });
    done.join().unwrap()
}

/// An application that answers with what it was asked, until it is dropped.
pub struct Application {
    address: SocketAddr,
    namespace: String,
    is_over: Arc<AtomicBool>,
    serving: Option<thread::JoinHandle<()>>,
}

impl Application {
    /// Starts one in a namespace.
    pub fn start(namespace: &str, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let listener = inside(namespace, move || TcpListener::bind(address).unwrap());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let serving = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || answer(stream));
            }
        });
        Self {
            address,
            namespace: namespace.to_owned(),
            is_over,
            serving: Some(serving),
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // One more connection, for it to see that it is over.
        let address = SocketAddr::from(([127, 0, 0, 1], self.address.port()));
        let woken = inside(&self.namespace, move || TcpStream::connect(address).is_ok());
        if let Some(serving) = self.serving.take()
            && woken
        {
            let _ = serving.join();
        }
    }
}

/// Answers each request of a connection with its head.
fn answer(mut stream: TcpStream) {
    let mut asked = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        asked.extend_from_slice(&buffer[..count]);
        while let Some(end) = asked.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head: Vec<u8> = asked.drain(..end + 4).collect();
            let length = head.len();
            let sent = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            );
            let is_last = head.windows(17).any(|bytes| bytes == b"Connection: close");
            if sent.and_then(|()| stream.write_all(&head)).is_err() || is_last {
                return;
            }
        }
    }
}

/// Asks a server from within a namespace; returns the whole answer.
pub fn ask(namespace: &str, to: &str, headers: &str) -> io::Result<String> {
    let to: SocketAddr = to.parse().unwrap();
    let headers = headers.to_owned();
    inside(namespace, move || {
        let patience = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(patience))?;
        write!(
            stream,
            "GET /healthz/ready HTTP/1.1\r\nHost: {to}\r\n{headers}Connection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}
