//! The real program in a sealed folder: nothing of the computer's own settings reaches it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use meshvm_provider_sim::SimCloud;
use tempfile::TempDir;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_meshvm");
/// What may be inherited: without it a coverage build writes its counts into the sandbox.
const INHERITED: [&str; 1] = ["LLVM_PROFILE_FILE"];

/// A folder to run the program in, with a home of its own.
pub struct Sandbox {
    root: TempDir,
}

/// How a run of the program ended, and what it printed.
pub struct Ran {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed for its result.
    pub stdout: String,
    /// What it printed beside.
    pub stderr: String,
}

impl Ran {
    /// Returns everything that was printed.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Reads the result as the one JSON document that it must be.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.stderr))
    }

    /// Asserts the exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

impl Sandbox {
    /// Makes an empty one.
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("meshvm-it-").tempdir();
        let sandbox = Self {
            root: root.unwrap(),
        };
        for folder in ["home", "tmp", "work"] {
            fs::create_dir(sandbox.root.path().join(folder)).unwrap();
        }
        sandbox
    }

    /// Makes one with a fleet file.
    pub fn with(fleet_file: &str) -> Self {
        let sandbox = Self::new();
        sandbox.write("meshvm.yaml", fleet_file);
        sandbox
    }

    /// Returns the folder that the program runs in.
    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Returns a path in that folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file, and the folders above it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Returns every file below the folder, by name, with its content.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.work())
    }

    /// Returns every file of the home, which must stay empty.
    pub fn home(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.root.path().join("home"))
    }

    /// Prepares a command.
    pub fn command(&self, args: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args.iter().map(AsRef::as_ref))
            .current_dir(self.work())
            .env_clear()
            .envs(
                INHERITED
                    .iter()
                    .filter_map(|&name| Some((name, std::env::var_os(name)?))),
            )
            .env("HOME", self.root.path().join("home"))
            .env("TMPDIR", self.root.path().join("tmp"))
            .env("MESHVM_DATA_DIR", self.root.path().join("home/machines"))
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("USER", "tester")
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, args: &[impl AsRef<str>]) -> Ran {
        finish(self.command(args).spawn().unwrap())
    }

    /// Runs a command line: words parted by blanks.
    pub fn meshvm(&self, line: &str) -> Ran {
        let args: Vec<&str> = line.split_whitespace().collect();
        self.run(&args)
    }

    /// Opens the simulated cloud of the fleet file's folder, under its own faults.
    pub fn cloud(&self) -> SimCloud {
        SimCloud::folder(&self.path(".meshvm/cloud")).unwrap()
    }
}

/// Waits for the program to end.
pub fn finish(mut child: Child) -> Ran {
    let mut out = child.stdout.take().unwrap();
    let mut err = child.stderr.take().unwrap();
    // Both at once: a full pipe that nobody reads would stop the program.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        err.read_to_string(&mut text).unwrap();
        text
    });
    let mut stdout = String::new();
    out.read_to_string(&mut stdout).unwrap();
    let stderr = reader.join().unwrap();
    Ran {
        code: child.wait().unwrap().code(),
        stdout,
        stderr,
    }
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}
