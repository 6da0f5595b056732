//! What the program tells of kubeconfigs that cannot be used, and never tells; and proxies.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::ground::Ground;
use super::program::FILE;
use crate::support::program::{Ran, Sandbox, finish};

/// What no output may have in it.
const SECRETS: [&str; 5] = [
    "s3cr3t-in-env",
    "s3cr3t-in-args",
    "s3cr3t-in-file",
    "eyJhbGciOi",
    "s3cr3t-in-key",
];

/// Returns a kubeconfig with a user.
fn kubeconfig(user: &str) -> String {
    format!(
        r#"
apiVersion: v1
kind: Config
current-context: lab
clusters: [{{name: lab, cluster: {{server: "https://127.0.0.1:1"}}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: me}}}}, {{name: other, context: {{cluster: lab}}}}]
users: [{{name: me, user: {user}}}]
"#
    )
}

/// Returns a user who logs in with a program that does so.
fn plugin(sandbox: &Sandbox, mode: &str, script: &str) -> String {
    sandbox.write("login-helper", &format!("#!/bin/sh\n{script}\n"));
    let path = sandbox.path("login-helper");
    format!(
        r#"{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: /bin/sh, interactiveMode: {mode},
 args: ["{}", "--oidc-client-secret=s3cr3t-in-args"], env: [{{name: AWS_SECRET, value: s3cr3t-in-env}}]}}}}"#,
        path.display()
    )
}

/// Runs the program in every way that tells of a kubeconfig; no way tells a secret.
fn told(sandbox: &Sandbox, config: &str) -> Vec<Ran> {
    sandbox.write("kubeconfig", config);
    let file = FILE.replace("context: lab", "kubeconfig: kubeconfig");
    sandbox.write("meshvm.yaml", &file);
    let lines = [
        "plan",
        "plan --format json",
        "validate --online --format json --sarif found.sarif",
        "apply -y",
        "destroy -y",
    ];
    let ran = lines.map(|line| {
        let ran = sandbox.meshvm(line);
        let mut all = ran.all();
        for (name, bytes) in sandbox.files() {
            if !["kubeconfig", "login-helper"].contains(&name.as_str()) {
                all += &String::from_utf8_lossy(&bytes);
            }
        }
        for secret in SECRETS {
            assert!(!all.contains(secret), "{line} tells {secret}:\n{all}");
        }
        ran
    });
    ran.into()
}

#[test]
fn what_a_login_program_is_given_and_says_is_not_told() {
    let credential = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"eyJhbGciOi","expirationTimestamp":"2020-01-01T00:00:00Z"}}"#;
    let fails = format!("echo '{credential}'; exit 1");
    // It logs in, and does no more when it is asked for another token.
    let fails_later = format!("echo x >> runs; echo '{credential}'; test $(wc -l < runs) -le 3");
    for (script, said) in [
        (fails.as_str(), "it failed (exit status: 1)"),
        (
            "echo 'token: eyJhbGciOi s3cr3t-in-file: ['",
            "what it wrote is no ExecCredential",
        ),
        ("echo '{}'", "it gave no credentials"),
        (
            r#"echo '{"status":{"token":"eyJhbGciOi","expirationTimestamp":"eyJhbGciOi"}}'"#,
            "the time when its token ends cannot be read",
        ),
        (fails_later.as_str(), "it failed (exit status: 1)"),
    ] {
        for mode in ["Never", "IfAvailable"] {
            let sandbox = Sandbox::new();
            let config = kubeconfig(&plugin(&sandbox, mode, script));
            let ran = told(&sandbox, &config);
            let planned = ran.into_iter().next().unwrap().exits(1);
            assert!(
                planned.stderr.contains(said),
                "{script}\n{}",
                planned.stderr
            );
            assert!(
                planned.stderr.contains("cannot log in to the cluster"),
                "{}",
                planned.stderr
            );
            if script == fails {
                assert!(planned.stderr.contains("with the program `sh`"));
            }
        }
    }
}

#[test]
fn the_lines_of_a_kubeconfig_are_not_told() {
    let pem = "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tczNjcjN0LWluLWtleQ==";
    for (user, said) in [
        (
            "\n    token: s3cr3t-in-file: [\n".to_owned(),
            "see line 9, column",
        ),
        (
            "{exec: {command: [s3cr3t-in-file]}}".to_owned(),
            "see line 7, column",
        ),
        (
            format!("{{client-certificate-data: {pem}, client-key-data: {pem}}}"),
            "are no certificate and key in PEM",
        ),
        (
            "{client-certificate-data: s3cr3t-in-key, client-key-data: s3cr3t-in-key}".to_owned(),
            "`client-certificate-data` is no base64",
        ),
        (
            "{token: \"s3cr3t-in-file\\n\"}".to_owned(),
            "characters that cannot be sent",
        ),
        (
            "{auth-provider: {name: gcp, config: {cmd-path: /bin/sh, cmd-args: \"-c s3cr3t-in-args\"}}}"
                .to_owned(),
            "it failed (exit status: 127)",
        ),
    ] {
        let config = match user.starts_with('\n') {
            true => format!("{}{user}", kubeconfig("{}")),
            false => kubeconfig(&user),
        };
        let ran = told(&Sandbox::new(), &config);
        let planned = ran.into_iter().next().unwrap().exits(1);
        assert!(planned.stderr.contains(said), "{user}\n{}", planned.stderr);
    }
    for (server, said) in [
        ("user:s3cr3t-in-file@127.0.0.1:1", "no URL"),
        (
            "https://127.0.0.1:1\", proxy-url: \"ftp://user:s3cr3t-in-file@127.0.0.1:1",
            "no URL of an http, https or socks5 proxy",
        ),
        (
            "https://127.0.0.1:1\", proxy-url: \"http://user:s3cr3t-in-file@127.0.0.1:1",
            "does not answer",
        ),
    ] {
        let config = kubeconfig("{token: x}").replace("https://127.0.0.1:1", server);
        let ran = told(&Sandbox::new(), &config);
        let planned = ran.into_iter().next().unwrap().exits(1);
        assert!(
            planned.stderr.contains(said),
            "{server}\n{}",
            planned.stderr
        );
    }
}

#[test]
fn what_a_context_names_and_is_not_there_is_told_with_what_is() {
    let good = kubeconfig("{token: x}");
    for (from, to, said) in [
        (
            "user: me}",
            "user: nobody}",
            "context `lab` names the user `nobody`, and there is me",
        ),
        (
            "{cluster: lab, user",
            "{cluster: gone, user",
            "context `lab` names the cluster `gone`, and there is lab",
        ),
        (
            "current-context: lab",
            "current-context: gone",
            "no context `gone`; it has lab, other",
        ),
        (
            "current-context: lab",
            "current-context: \"\"",
            "says no current context; it has lab, other",
        ),
    ] {
        let config = good.replacen(from, to, 1);
        assert_ne!(config, good);
        let found = told(&Sandbox::new(), &config)
            .swap_remove(1)
            .exits(1)
            .json();
        let found = &found["error"]["diagnostics"][0];
        let text = found.to_string();
        assert!(text.contains(said), "{text}");
        assert_eq!(found["place"]["field"], "mesh.kubernetes.context", "{text}");
    }
}

/// Starts a proxy that leads wherever it is asked to; returns where it is, and whom it was asked for.
async fn proxy() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut near = BufReader::new(stream);
                let (mut head, mut line) = (String::new(), String::new());
                while near.read_line(&mut line).await.unwrap() > 2 {
                    head.push_str(&line);
                    line.clear();
                }
                let target = head.split_whitespace().nth(1).unwrap().to_owned();
                let mut far = TcpStream::connect(&target).await.unwrap();
                asked.lock().unwrap().push(target);
                near.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                copy_bidirectional(&mut near, &mut far).await.ok();
            });
        }
    });
    (address, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_reached_through_its_own_proxy_or_none() {
    let ground = Ground::new().await;
    let sandbox = Sandbox::with(FILE);
    let (address, asked) = proxy().await;
    let planned = async |kubeconfig: &str, excluded: &str| {
        let mut command = sandbox.command(&["plan"]);
        command.env("KUBECONFIG", kubeconfig);
        // Nobody is there.
        command.env("HTTPS_PROXY", "http://127.0.0.1:1");
        let child = command.env("NO_PROXY", excluded).spawn().unwrap();
        let ran = tokio::task::spawn_blocking(move || finish(child));
        ran.await.unwrap().exits(0);
    };
    // This computer is reached directly, whatever else is excluded.
    planned(&ground.kubeconfig(), ", a b,").await;
    assert_eq!(asked.lock().unwrap().len(), 0);

    let text = std::fs::read_to_string(ground.kubeconfig()).unwrap();
    let mut config: Value = serde_saphyr::from_str(&text).unwrap();
    let server = &mut config["clusters"][0]["cluster"];
    server["proxy-url"] = json!(format!("http://{address}"));
    let server = server["server"].as_str().unwrap().to_owned();
    sandbox.write("through", &config.to_string());
    planned(&sandbox.path("through").display().to_string(), "*").await;
    let asked = asked.lock().unwrap();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|asked| server.ends_with(asked)),
        "{asked:?}"
    );
}
