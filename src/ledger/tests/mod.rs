//! Tests of the ledger as a whole, on every store that this computer has.

mod interleave;
mod kill;
mod lock;
mod log;
mod meddle;
mod store;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;

use super::{Claim, Clock, Holder, Ledger};

/// What every test's locks live for.
const TTL: i64 = 60;

/// An empty ledger of its own, on one kind of store.
struct Place {
    url: String,
    dir: TempDir,
}

impl Place {
    fn memory() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            url: format!("memory://test-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            dir: TempDir::new().unwrap(),
        }
    }

    fn folder() -> Self {
        Self {
            url: "file://.meshvm".to_owned(),
            dir: TempDir::new().unwrap(),
        }
    }

    /// Returns a place on each store: those that every computer has, and the
    /// ones that `MESHVM_TEST_LEDGERS` names, by URLs with commas between.
    fn each() -> Vec<Self> {
        let more = std::env::var("MESHVM_TEST_LEDGERS").unwrap_or_default();
        let more = more
            .split(',')
            .filter(|url| !url.is_empty())
            .map(|url| Self {
                url: format!("{url}/{}", uuid::Uuid::new_v4()),
                dir: TempDir::new().unwrap(),
            });
        [Self::memory(), Self::folder()]
            .into_iter()
            .chain(more)
            .collect()
    }

    /// Opens the ledger anew, as another process would.
    fn open(&self) -> Ledger {
        Ledger::open(&self.url, self.dir.path(), "bookinfo").unwrap()
    }

    /// Returns where a folder's objects are.
    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join(".meshvm/bookinfo")
    }
}

/// A clock that tests move.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_000_000_000)))
    }

    fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::new(move || hands.now())
    }
}

fn holder(who: &str) -> Holder {
    Holder {
        who: who.to_owned(),
        host: "laptop".to_owned(),
        pid: 812,
        command: "meshvm apply".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        process: None,
    }
}

fn claim(who: &str) -> Claim {
    Claim {
        holder: holder(who),
        ttl: Duration::from_secs(TTL.unsigned_abs()),
    }
}

/// Lists all files below a folder, relative to it.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap();
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
