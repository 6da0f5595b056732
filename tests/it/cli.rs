//! The command line itself: what every command says for people and for programs, and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::golden::{assert_file, tests_dir};
use crate::support::program::{Ran, Sandbox, finish};

/// A stack with a protected fleet and a mesh.
const FLEETS: &str = "\
apiVersion: meshvm/v1
stack: shop
mesh: {manifests: {path: ./mesh}}
fleets:
  db:
    protect: true
    sim: {}
  web:
    replicas: 2
    sim: {}
    membership: {namespace: vm, serviceAccount: web, labels: {app: web}, ports: {http: 8080}}
";

const COMMANDS: [&str; 12] = [
    "init",
    "validate",
    "plan",
    "apply",
    "destroy",
    "status",
    "render",
    "schema",
    "doctor",
    "unlock",
    "completions",
    "version",
];

/// Asserts the keys of an object.
#[track_caller]
fn assert_keys(value: &Value, keys: &[&str]) {
    let found: BTreeSet<&str> = value
        .as_object()
        .unwrap_or_else(|| panic!("no object: {value}"))
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, keys.iter().copied().collect());
}

#[test]
fn help_is_what_was_read_and_approved() {
    let sandbox = Sandbox::new();
    let pages = [("meshvm", "--help")]
        .into_iter()
        .chain(COMMANDS.map(|command| (command, "")));
    let mut expected = BTreeSet::new();
    for (name, flag) in pages {
        let line = match flag {
            "" => format!("{name} --help"),
            flag => flag.to_owned(),
        };
        let help = sandbox.meshvm(&line).exits(0);
        assert_eq!(help.stderr, "");
        assert_file(&tests_dir("help").join(format!("{name}.txt")), &help.stdout);
        expected.insert(format!("{name}.txt"));
        let short = sandbox.meshvm(&line.replace("--help", "-h")).exits(0);
        assert_eq!(short.stdout, help.stdout, "there is one help, not two");
    }
    let files: BTreeSet<String> = fs::read_dir(tests_dir("help"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, expected);
}

#[test]
fn the_help_names_every_command() {
    let sandbox = Sandbox::new();
    let help = sandbox.meshvm("--help").stdout;
    let named: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .collect();
    let expected: Vec<&str> = COMMANDS.into_iter().chain(["help"]).collect();
    assert_eq!(named, expected);
}

#[test]
fn every_command_speaks_json() {
    let sandbox = Sandbox::with(FLEETS);
    let json = |line: &str, code: i32| {
        let ran = sandbox.meshvm(&format!("{line} --format json")).exits(code);
        assert_eq!(ran.stderr, "", "{line}");
        ran.json()
    };
    assert_keys(&json("init other.yaml", 0), &["written"]);
    let valid = json("validate", 0);
    assert_keys(&valid, &["stack", "fleets", "machines", "warnings"]);
    assert_eq!(
        (&valid["fleets"], &valid["machines"]),
        (&2.into(), &3.into())
    );
    let plan = json("plan", 0);
    assert_keys(&plan, &["plan", "pending", "warnings", "metrics"]);
    let plan_keys = [
        "format",
        "madeBy",
        "id",
        "madeAt",
        "context",
        "options",
        "desired",
        "fleets",
        "objects",
        "drift",
        "waiting",
        "observedMachines",
    ];
    assert_keys(&plan["plan"], &plan_keys);
    assert_eq!(plan["pending"], true);
    let run_keys = ["plan", "outcome", "warnings", "metrics"];
    let outcome_keys = [
        "done", "failed", "skipped", "created", "deleted", "changed", "mesh",
    ];
    let applied = json("apply -y", 0);
    assert_keys(&applied, &run_keys);
    assert_keys(&applied["outcome"], &outcome_keys);
    assert_eq!(applied["outcome"]["created"], 3);
    // A ServiceAccount, a WorkloadGroup, and an entry of each member.
    let written = serde_json::json!({"written": 4, "deleted": 0});
    assert_eq!(applied["outcome"]["mesh"], written);
    assert_keys(&applied["metrics"], &["operations", "requests", "cluster"]);
    let create = &applied["metrics"]["operations"]["sim"]["create"];
    assert_eq!(create["operations"], 2);
    let status = json("status", 0);
    assert_keys(&status, &["status", "locked", "warnings", "metrics"]);
    assert_keys(
        &status["status"],
        &[
            "stack",
            "fleets",
            "meshUnread",
            "objects",
            "stale",
            "pending",
        ],
    );
    let machine = &status["status"]["fleets"]["web"]["machines"][0];
    let machine_keys = [
        "name",
        "id",
        "zone",
        "power",
        "readiness",
        "address",
        "mesh",
        "current",
    ];
    assert_keys(machine, &machine_keys);
    assert_eq!(json("plan", 0)["pending"], false);
    let rendered = json("render", 0);
    assert_keys(&rendered, &["folder", "files", "removed"]);
    assert!(
        rendered["files"]["web/user-data"]
            .as_str()
            .unwrap()
            .starts_with("#cloud-config\n")
    );
    let written = json("render --out rendered", 0);
    assert_eq!(written["folder"], "rendered");
    for (name, text) in written["files"].as_object().unwrap() {
        assert_eq!(
            sandbox.read(&format!("rendered/{name}")),
            text.as_str().unwrap()
        );
    }
    let schema = json("schema", 0);
    assert_eq!(schema["type"], "object");
    let doctor = json("doctor", 0);
    assert_keys(&doctor, &["ok", "checks"]);
    assert_keys(
        &doctor["checks"][0],
        &["about", "name", "ok", "detail", "fix"],
    );
    let unlocked = json("unlock -y", 0);
    assert_keys(&unlocked, &["unlocked", "held"]);
    assert_eq!(unlocked["unlocked"], false);
    assert_keys(&json("completions fish", 0), &["shell", "script"]);
    assert_keys(&json("version", 0), &["version", "providers"]);

    // Without -y nobody approves, since nobody is asked for a program.
    let destroyed = json("destroy", 3);
    assert_keys(&destroyed, &["error"]);
    let destroyed = json("destroy -y --allow-protected", 0);
    assert_keys(&destroyed, &run_keys);
    assert_eq!(destroyed["outcome"]["deleted"], 3);
    assert_eq!(destroyed["outcome"]["mesh"]["deleted"], 4);

    let error = json("plan -f nothing.yaml", 1);
    assert_keys(&error, &["error"]);
    let error_keys = ["summary", "causes", "hint", "diagnostics", "refusals"];
    assert_keys(&error["error"], &error_keys);
}

#[test]
fn the_exit_codes_are_the_documented_ones() {
    let sandbox = Sandbox::with(FLEETS);
    let code = |line: &str| sandbox.meshvm(line).code.unwrap();
    // 0: done, or nothing to do.
    assert_eq!(code("plan"), 0);
    assert_eq!(code("--version"), 0);
    assert_eq!(code("plan --help"), 0);
    // 2: something is pending, only when asked for.
    assert_eq!(code("plan --detailed-exitcode"), 2);
    assert_eq!(code("plan --out saved.json"), 0);
    assert_eq!(code("apply saved.json"), 0);
    assert_eq!(code("plan --detailed-exitcode"), 0);
    // 4: a saved plan that is out of date.
    assert_eq!(code("apply saved.json"), 4);
    // 3: refused by a protection.
    assert_eq!(code("destroy -y"), 3);
    // 1: failed, bad input, bad usage.
    assert_eq!(code("plan -f nothing.yaml"), 1);
    assert_eq!(code("plan --no-such-option"), 1);
    assert_eq!(code("plan --destroy --refresh-only"), 1);
    assert_eq!(code("no-such-command"), 1);
    assert_eq!(code("apply --parallelism 0"), 1);
    assert_eq!(code(""), 1);
    // 5, locked, is in the scenario of that name.

    let readme = fs::read_to_string(tests_dir("../README.md")).unwrap();
    let table: Vec<&str> = readme
        .lines()
        .skip_while(|line| !line.starts_with("| exit code |"))
        .skip(2)
        .map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    assert_eq!(table, ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn colours_are_for_terminals() {
    let sandbox = Sandbox::with(FLEETS);
    let plain = sandbox.meshvm("plan").exits(0).stdout;
    assert!(!plain.contains('\x1b'));
    let coloured = sandbox.meshvm("plan --color always").exits(0).stdout;
    assert!(coloured.contains("\x1b[32m"));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
    let file = "apiVersion: meshvm/v1\nstack: 7\n";
    sandbox.write("meshvm.yaml", file);
    let plain = sandbox.meshvm("plan").exits(1).stderr;
    let coloured = sandbox.meshvm("plan --color always").exits(1).stderr;
    assert!(!plain.contains('\x1b') && coloured.contains('\x1b'));
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

/// Runs a command that reads a text from standard input.
fn fed(sandbox: &Sandbox, line: &str, text: &str) -> Ran {
    let args: Vec<&str> = line.split(' ').collect();
    let mut child = sandbox
        .command(&args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    finish(child)
}

#[test]
fn the_fleet_file_may_come_from_standard_input() {
    let ran = fed(&Sandbox::new(), "validate -f -", FLEETS).exits(0);
    assert_eq!(
        ran.stdout,
        "The fleet file is valid: stack shop, 2 fleets, 3 machines.\n"
    );
}

#[test]
fn sarif_has_a_rule_and_a_file_for_what_the_file_tells() {
    let sandbox = Sandbox::with(FLEETS);
    let flaw = format!("{FLEETS}flets: {{}}\n");
    fs::create_dir(sandbox.path("pr\u{f6}d#1")).unwrap();
    sandbox.write("pr\u{f6}d#1/a:b.yaml", &flaw);
    let inside = sandbox.path("pr\u{f6}d#1/a:b.yaml").display().to_string();
    for file in [
        "pr\u{f6}d#1/a:b.yaml",
        "./pr\u{f6}d#1/../pr\u{f6}d#1/a:b.yaml",
        &inside,
    ] {
        let line = format!("validate --sarif found.sarif -f {file}");
        sandbox.meshvm(&line).exits(1);
        let log: Value = serde_json::from_str(&sandbox.read("found.sarif")).unwrap();
        let result = &log["runs"][0]["results"][0];
        assert_eq!(result["ruleId"], "MV002");
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(uri.ends_with("pr%C3%B6d%231/a%3Ab.yaml"), "{uri}");
        assert!(!uri.starts_with("file:"), "{uri}");
    }
    let line = "validate --sarif found.sarif -f -";
    fed(&sandbox, line, &flaw).exits(1);
    let log: Value = serde_json::from_str(&sandbox.read("found.sarif")).unwrap();
    let place = &log["runs"][0]["results"][0]["locations"][0];
    assert_eq!(place["physicalLocation"], Value::Null);
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "flets");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let sandbox = Sandbox::with(FLEETS);
    for line in ["schema", "plan", "completions bash", "validate"] {
        let args: Vec<&str> = line.split(' ').collect();
        let mut child = sandbox.command(&args).spawn().unwrap();
        drop(child.stdout.take());
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut stderr).unwrap();
        assert_eq!(
            (child.wait().unwrap().code(), stderr.as_str()),
            (Some(0), ""),
            "{line}"
        );
    }
}

#[test]
fn verbose_tells_what_was_asked() {
    let sandbox = Sandbox::with(FLEETS);
    let ran = sandbox.meshvm("apply -y --verbose").exits(0);
    for told in [
        "sim create: 2 calls, 0 failed, 0 retries, ",
        "requests create: 2\n",
    ] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    let ran = sandbox.meshvm("plan -v").exits(0);
    assert!(
        ran.stderr
            .contains("sim observe: 1 call, 0 failed, 0 retries, "),
        "{}",
        ran.stderr
    );
}

#[test]
fn completions_know_every_command() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = sandbox
            .meshvm(&format!("completions {shell}"))
            .exits(0)
            .stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

/// What may be in no output and no file.
const SECRET: &str = "hunter2-must-never-be-seen";

/// Asserts that the secret is in nothing that the program printed or wrote.
#[track_caller]
fn assert_hushed(sandbox: &Sandbox, ran: &[Ran]) {
    for ran in ran {
        assert!(!ran.all().contains(SECRET), "{}", ran.all());
    }
    let secret = SECRET.as_bytes();
    let files = sandbox.files().into_iter().chain(sandbox.home());
    for (name, bytes) in files.filter(|(name, _)| !name.ends_with("meshvm.yaml")) {
        assert!(
            !bytes.windows(secret.len()).any(|text| text == secret),
            "{name}"
        );
    }
}

fn with_secrets(sandbox: &Sandbox, line: &str) -> Ran {
    let args: Vec<&str> = line.split_whitespace().collect();
    let mut command = sandbox.command(&args);
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_STORAGE_SAS_KEY",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "KUBECONFIG",
        "MESHVM_VAR_password",
    ] {
        command.env(name, SECRET);
    }
    finish(command.spawn().unwrap())
}

#[test]
fn the_secrets_of_the_environment_are_nowhere() {
    let sandbox = Sandbox::with(FLEETS);
    sandbox.write(
        ".meshvm/cloud/faults.json",
        r#"{"failBootstrap": {"names": ["db"]}}"#,
    );
    let lines = [
        "validate -v",
        "plan -v --out saved.json",
        "plan --format json",
        "apply -y -v",
        "status -v",
        "status --format json",
        "doctor",
        "doctor --format json",
        "render --out rendered",
        "render --format json",
        "unlock -y",
        "plan -f nothing.yaml",
        "destroy -y --format json --allow-protected",
        "version",
    ];
    let ran: Vec<Ran> = lines.map(|line| with_secrets(&sandbox, line)).into();
    assert!(
        ran[3].stderr.contains("did not come up"),
        "the run was to fail"
    );
    assert_hushed(&sandbox, &ran);
}

#[test]
fn a_ledger_with_a_password_is_refused_and_not_shown() {
    let urls = [
        "s3://AKIA:hunter2-must-never-be-seen@bucket/x",
        "s3://bucket/x?secret=hunter2-must-never-be-seen",
        "az://hunter2-must-never-be-seen@box/x",
        "https://ann:hunter2-must-never-be-seen@host/x",
        "ann:hunter2-must-never-be-seen@host/x",
        "s3:///ann:hunter2-must-never-be-seen@host/x",
        "file://ann:hunter2-must-never-be-seen@host/x\", \"y",
        "gs://${var.password}@bucket/x",
        "s3://ann:${var.password}@bucket/x",
        "ann:${var.password}@bucket",
    ];
    for url in urls {
        let sandbox = Sandbox::with(&format!(
            "apiVersion: meshvm/v1\nstack: shop\nvars: {{password: null}}\nledger: \"{url}\"\n\
             fleets: {{web: {{sim: {{}}}}}}\n"
        ));
        let ran = [
            "validate",
            "plan",
            "apply -y",
            "status",
            "doctor",
            "unlock -y",
            "render",
        ]
        .into_iter()
        .flat_map(|line| [line.to_owned(), format!("{line} --format json")])
        .map(|line| {
            let ran = with_secrets(&sandbox, &line);
            assert_eq!(ran.code, Some(1), "{url} {line}: {}", ran.all());
            ran
        });
        let ran: Vec<Ran> = ran.collect();
        assert_hushed(&sandbox, &ran);
        assert_eq!(sandbox.files().len(), 1, "{url}: nothing may be made");
    }
}
