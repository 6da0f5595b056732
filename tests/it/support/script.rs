//! Scripts: prose, commands and what they print, in one file that reads like a session.
//!
//! A line at the margin is prose (`#`), or something to do; what is indented below it is its
//! input or its output:
//!
//! | line | does |
//! |---|---|
//! | `$ [NAME=VALUE…] meshvm ARGS` | runs the program; `[exit N]` stands last when N is not 0 |
//! | `signal INT at "TEXT"[, …]: meshvm ARGS` | runs it and sends each signal when it prints TEXT |
//! | `write FILE` | writes what is indented below |
//! | `change FILE: OLD => NEW` | replaces a text that stands in the file once |
//! | `remove FILE` | |
//! | `show FILE` | prints it |
//! | `files [FOLDER]` | lists them |
//! | `kill MACHINE [gone\|stopped\|broken]` | the machine ends as if by itself |
//! | `edit MACHINE ATTRIBUTE JSON` | somebody changes the machine |
//! | `relabel MACHINE LABEL [VALUE]` | somebody changes or removes its label |
//! | `double MACHINE NAME` | somebody makes a machine with the same labels |
//! | `foreign NAME` | somebody makes a machine, with the attributes indented below |
//! | `faults {JSON}` | the cloud behaves like that from now on |
//! | `machines` | prints what machines there truly are |
//! | `calls` | prints how often the cloud was asked to change something |
//! | `lock STACK` | somebody else takes the stack's lock |
//!
//! Machines are named as [`Normal`] names them.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::path::Path;
use std::process::{Child, Command};

use meshvm::ledger::{Claim, Clock, DEFAULT_TTL, Holder, Lease, Ledger};
use meshvm_provider_api::{Machine, MachineId, Power, Readiness, Scope, labels};
use meshvm_provider_sim::{Call, Death};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Runtime;

use super::normal::Normal;
use super::program::Sandbox;

const INDENT: &str = "    ";

/// A part of a script.
enum Part {
    /// Prose or an empty line.
    Text(String),
    /// Something to do, and what is indented below it.
    Step { line: String, body: Vec<String> },
}

/// A script, read from a file.
pub struct Script(Vec<Part>);

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        let mut blanks = 0;
        for line in text.lines() {
            if line.is_empty() {
                blanks += 1;
                continue;
            }
            if let Some(content) = line.strip_prefix(INDENT) {
                let Some(Part::Step { body, .. }) = parts.last_mut() else {
                    panic!("nothing stands above: {line}");
                };
                body.extend(std::iter::repeat_n(String::new(), blanks));
                body.push(content.to_owned());
            } else {
                parts.extend((0..blanks).map(|_| Part::Text(String::new())));
                parts.push(if line.starts_with('#') {
                    Part::Text(line.to_owned())
                } else {
                    Part::Step {
                        line: line.to_owned(),
                        body: Vec::new(),
                    }
                });
            }
            blanks = 0;
        }
        Self(parts)
    }

    /// Runs it, and returns it with what was printed in place of what was expected.
    pub fn run(&self, stage: &mut Stage) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(&format!("{text}\n")),
                Part::Step { line, body } => {
                    out.push_str(&format!("{line}\n"));
                    let printed = stage.step(line, body);
                    let shown = printed.as_deref().map(str::lines);
                    let lines: Vec<&str> = match shown {
                        Some(lines) => lines.collect(),
                        None => body.iter().map(String::as_str).collect(),
                    };
                    for line in lines {
                        out.push_str(format!("{INDENT}{line}").trim_end());
                        out.push('\n');
                    }
                }
            }
        }
        out
    }
}

/// Where a script is played.
pub struct Stage {
    /// The folder.
    pub sandbox: Sandbox,
    /// What gives stable names.
    pub normal: Normal,
    /// Somebody else's lock, and what keeps it renewed.
    locks: Vec<(Runtime, Lease)>,
}

impl Stage {
    /// Makes an empty one.
    pub fn new() -> Self {
        let sandbox = Sandbox::new();
        let host = nix::unistd::gethostname().unwrap();
        let host = format!("@{}", host.to_string_lossy());
        let work = sandbox.work().display().to_string();
        Self {
            normal: Normal::new([(work, "$DIR"), (host, "@$HOST")]),
            sandbox,
            locks: Vec::new(),
        }
    }

    /// Does one thing; returns what it printed, if it is something that prints.
    fn step(&mut self, line: &str, body: &[String]) -> Option<String> {
        let line = self.normal.real(line);
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let words: Vec<&str> = rest.split_whitespace().collect();
        let cloud = || self.sandbox.cloud();
        match (verb, words.as_slice()) {
            ("$", _) => return Some(self.command(rest)),
            ("signal", _) => return Some(self.signalled(rest)),
            ("write", [file]) => self.sandbox.write(file, &text(body)),
            ("change", _) => self.change(rest),
            ("remove", [file]) => fs::remove_file(self.sandbox.path(file)).unwrap(),
            ("show", [file]) => {
                let text = self.sandbox.read(file);
                return Some(self.normal.stable(&text));
            }
            ("files", folder) => {
                let names = self.sandbox.files();
                let folder = folder.first().copied().unwrap_or("");
                let names = names.keys().filter(|name| name.starts_with(folder));
                let mut names: Vec<String> = names.map(|name| self.normal.stable(name)).collect();
                names.sort();
                return Some(names.join("\n"));
            }
            ("kill", [name, how @ ..]) => {
                let how = match how {
                    [] | ["gone"] => Death::Gone,
                    ["stopped"] => Death::Stopped,
                    ["broken"] => Death::Broken,
                    _ => panic!("{line}"),
                };
                cloud().kill(&self.machine(name).id, how).unwrap();
            }
            ("edit", [name, attribute, json]) => {
                let value = serde_json::from_str(json).unwrap();
                let id = self.machine(name).id;
                cloud().edit(&id, attribute, value).unwrap();
            }
            ("relabel", [name, label, value @ ..]) => {
                let id = self.machine(name).id;
                cloud().relabel(&id, label, value.first().copied()).unwrap();
            }
            ("double", [name, new]) => self.foreign(Machine {
                id: MachineId::from(*new),
                name: (*new).to_owned(),
                ..self.machine(name)
            }),
            ("foreign", [name]) => self.foreign(Machine {
                id: MachineId::from(*name),
                name: (*name).to_owned(),
                zone: "a".to_owned(),
                power: Power::Running,
                readiness: Readiness::Unknown,
                address: Some([10, 9, 9, 9].into()),
                labels: BTreeMap::new(),
                attributes: serde_json::from_str(&text(body)).unwrap(),
            }),
            ("faults", _) => self.sandbox.write(".meshvm/cloud/faults.json", rest),
            ("machines", []) => return Some(self.machines()),
            ("calls", []) => return Some(self.calls()),
            ("lock", [stack]) => self.lock(stack),
            _ => panic!("what is `{line}`?"),
        }
        None
    }

    fn machine(&self, name: &str) -> Machine {
        let mut machines = self.sandbox.cloud().machines().unwrap().into_iter();
        let found = machines.find(|machine| machine.name == name);
        found.unwrap_or_else(|| panic!("there is no machine {name}"))
    }

    fn foreign(&self, machine: Machine) {
        let scope = Scope::new("sim", [("region", Some("sim-1".to_owned()))], []);
        self.sandbox.cloud().add_foreign(&scope, machine).unwrap();
    }

    fn change(&self, rest: &str) {
        let (file, change) = rest.split_once(": ").unwrap();
        let (old, new) = change.split_once(" => ").unwrap();
        let before = self.sandbox.read(file);
        assert_eq!(before.matches(old).count(), 1, "`{old}` in {file}");
        self.sandbox.write(file, &before.replace(old, new));
    }

    /// Counts the machines that there truly are, by all that a person may know of them.
    fn machines(&mut self) -> String {
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for machine in self.sandbox.cloud().machines().unwrap() {
            let fleet = machine.labels.get(labels::FLEET);
            let owner = fleet.map_or("nobody's", String::as_str);
            let attributes: Vec<String> = machine
                .attributes
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            let power = format!("{:?}", machine.power).to_lowercase();
            let line = format!(
                "{owner}: {power} in {}, {}",
                machine.zone,
                attributes.join(", ")
            );
            *counts.entry(line).or_default() += 1;
        }
        let lines = counts
            .iter()
            .map(|(line, count)| format!("{count} × {line}\n"));
        self.normal.stable(&lines.collect::<String>())
    }

    fn calls(&self) -> String {
        let calls = self.sandbox.cloud().calls().unwrap();
        let changes = [Call::Create, Call::Update, Call::Delete].map(|call| {
            let count = calls.get(&call).copied().unwrap_or_default();
            format!("{count} {}", call.as_str())
        });
        format!("{}\n", changes.join(", "))
    }

    fn lock(&mut self, stack: &str) {
        let runtime = Runtime::new().unwrap();
        let work = self.sandbox.work();
        let ledger = Ledger::open("file://.meshvm", &work, stack).unwrap();
        let now = jiff::Timestamp::now();
        let holder = Holder::this_process("ann", "laptop", "meshvm apply", now);
        let claim = Claim {
            holder,
            ttl: DEFAULT_TTL,
        };
        let lease = runtime.block_on(ledger.acquire(claim, Clock::system()));
        self.locks.push((runtime, lease.unwrap()));
    }

    fn command(&mut self, line: &str) -> String {
        let (command, shows_progress) = self.prepare(line);
        let (child, mut output) = spawn(command);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        self.ended(child, &text, shows_progress)
    }

    fn signalled(&mut self, line: &str) -> String {
        let (how, command) = line.split_once(": ").unwrap();
        let mut signals: VecDeque<(Signal, &str)> = how
            .split(", ")
            .map(|one| {
                let (signal, at) = one.split_once(" at ").unwrap();
                (
                    format!("SIG{signal}").parse().unwrap(),
                    at.trim_matches('"'),
                )
            })
            .collect();
        let (command, shows_progress) = self.prepare(command);
        let (child, output) = spawn(command);
        let mut text = String::new();
        for line in BufReader::new(output).lines() {
            let line = line.unwrap();
            if let Some((signal, _)) = signals.pop_front_if(|(_, at)| line.contains(*at)) {
                kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
            }
            text.push_str(&line);
            text.push('\n');
        }
        assert!(signals.is_empty(), "it never printed {signals:?}:\n{text}");
        self.ended(child, &text, shows_progress)
    }

    /// Returns the command of a line, and whether its progress is in order.
    fn prepare(&self, line: &str) -> (Command, bool) {
        let words = words(line);
        let start = words.iter().position(|word| word == "meshvm").unwrap();
        let (env, args) = (&words[..start], &words[start + 1..]);
        let mut command = self.sandbox.command(args);
        command.envs(env.iter().map(|pair| pair.split_once('=').unwrap()));
        (command, args.contains(&"--parallelism".to_owned()))
    }

    fn ended(&mut self, mut child: Child, text: &str, shows_progress: bool) -> String {
        let kept = text
            .lines()
            .filter(|line| shows_progress || !is_progress(line));
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        let mut shown = self.normal.stable(&kept);
        let status = child.wait().unwrap();
        match status.code() {
            Some(0) => {}
            Some(code) => shown.push_str(&format!("[exit {code}]\n")),
            None => shown.push_str("[killed]\n"),
        }
        shown
    }
}

/// Starts a command whose both outputs are one, as on a terminal.
fn spawn(mut command: Command) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let child = command
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    // Ours would keep the pipe open for ever.
    drop(command);
    (child, reader)
}

/// Returns whether a line tells the progress of steps, which go at the same time in any order.
fn is_progress(line: &str) -> bool {
    let told = |line: &str| line.starts_with("  wait for fleet ") && line.ends_with(" ready");
    line.starts_with("✓ ")
        || line.starts_with("✗ ")
        || (line.starts_with("… ") && !line.starts_with("… fleet "))
        || told(line)
}

/// Parts a command line into words; `'…'` holds blanks together.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn text(body: &[String]) -> String {
    body.iter().map(|line| format!("{line}\n")).collect()
}

/// Plays the script in a file, and asserts or updates what it prints.
pub fn play(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let played = Script::parse(&text).run(&mut Stage::new());
    super::golden::assert_file(path, &played);
}
