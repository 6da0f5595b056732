//! Azurite, in a process of its own that ends with the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use tempfile::TempDir;

/// The version that `tests/azurite/setup` installs.
const VERSION: &str = "3.37.0";
/// The account that every emulator has, and its key
/// (<https://learn.microsoft.com/azure/storage/common/storage-use-emulator>).
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running server.
pub struct Azurite {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Azurite {
    pub fn start() -> Self {
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
            PathBuf::from,
        );
        let folder = cache.join("meshvm/azurite").join(VERSION);
        let program = folder.join("node_modules/.bin/azurite-blob");
        assert!(
            program.exists(),
            "{} is not there: run `tests/azurite/setup`, which installs it",
            program.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args(["--blobHost", "127.0.0.1", "--blobPort", "0"])
            .args(["--skipApiVersionCheck", "--disableTelemetry", "--location"])
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It tells of every request, and ends where nobody reads that.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, address) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listens on http://") {
                    send.send(address.to_owned()).ok();
                }
            }
        });
        Self {
            child,
            address: address.recv().expect("it says where it listens"),
            _folder: folder,
        }
    }

    /// Returns what clients of an emulator are told by.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
            (
                "AZURITE_BLOB_STORAGE_URL",
                format!("http://{}", self.address),
            ),
        ]
    }

    /// Makes a container, as its administrator does
    /// (<https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>).
    pub fn make_container(&self, name: &str) {
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let headers = format!("x-ms-date:{now}\nx-ms-version:2021-12-02");
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container");
        // Eleven standard headers, none of which is sent.
        let signed = format!("PUT\n{}{headers}\n{resource}", "\n".repeat(11));
        let key = STANDARD.decode(KEY).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(signed.as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let host = &self.address;
        let request = format!(
            "PUT /{ACCOUNT}/{name}?restype=container HTTP/1.1\r\nhost: {host}\r\n{}\r\nauthorization: SharedKey {ACCOUNT}:{signature}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            headers.replace('\n', "\r\n"),
        );
        let mut stream = TcpStream::connect(host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
