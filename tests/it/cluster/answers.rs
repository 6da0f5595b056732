//! What the program makes of servers that do not answer as an API server does.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use meshvm::mesh::{Cluster, Kubernetes, Logins};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::ground::Ground;
use super::program::{FILE, run};
use crate::support::program::{Ran, Sandbox};

/// A server that gives everybody the same answer.
struct Server {
    url: String,
    /// The first lines of what it was asked.
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Starts one that answers so: a status line and headers, and a body.
    async fn answering(head: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        let asked = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 16_384];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]);
                let line = request.lines().next().unwrap_or_default();
                lines.lock().unwrap().push(line.to_owned());
                stream.write_all(answer.as_bytes()).await.ok();
            }
        });
        Self { url, asked, task }
    }

    fn kubeconfig(&self) -> String {
        format!(
            "{{apiVersion: v1, kind: Config, current-context: lab, \
             clusters: [{{name: lab, cluster: {{server: \"{}\"}}}}], \
             contexts: [{{name: lab, context: {{cluster: lab, user: me}}}}], \
             users: [{{name: me, user: {{token: t}}}}]}}",
            self.url
        )
    }

    /// Runs the program against it.
    async fn plan(&self) -> Ran {
        let sandbox = Sandbox::with(&FILE.replace("context: lab", "kubeconfig: kubeconfig"));
        sandbox.write("kubeconfig", &self.kubeconfig());
        tokio::task::spawn_blocking(move || sandbox.meshvm("plan"))
            .await
            .unwrap()
    }

    /// Returns how many requests it got.
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_another_server_is_told_as_one_and_not_asked_for_again() {
    for (head, body) in [
        (
            "200 OK\r\ncontent-type: text/html",
            "<!DOCTYPE html><p>Log in</p>",
        ),
        ("200 OK", "{}"),
        ("302 Found\r\nlocation: https://login.example/", ""),
        ("200 OK", "\u{0}"),
    ] {
        let server = Server::answering(head, body).await;
        let refused = server.plan().await.exits(1);
        let told = &refused.stderr;
        assert!(told.contains("no answer of Kubernetes"), "{head}: {told}");
        assert!(told.contains("kubectl version"), "{head}: {told}");
        assert!(!told.contains("DOCTYPE"), "{head}: {told}");
        assert_eq!(server.count(), 1, "{head}: {:?}", server.asked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_to_be_asked_in_an_hour_is_told_of_and_not_waited_for() {
    let head = "429 Too Many Requests\r\nretry-after: 3600";
    let server = Server::answering(head, "Too many requests, please try again later.\n").await;
    let refused = server.plan().await.exits(1);
    assert!(
        refused.stderr.contains("before 3600 s"),
        "{}",
        refused.stderr
    );
    assert_eq!(server.count(), 1, "{:?}", server.asked);
}

#[tokio::test]
async fn a_token_in_an_answer_that_is_none_is_not_told() {
    for body in [
        r#"{"kind":"TokenRequest","status":{"token":["eyJhbGciOi"]}}"#,
        r#"{"spec":"eyJhbGciOi"}"#,
        "eyJhbGciOi",
    ] {
        let server = Server::answering("201 Created", body).await;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        std::fs::write(&path, server.kubeconfig()).unwrap();
        let cluster = Cluster {
            kubeconfig: Some(path),
            ..Cluster::default()
        };
        let mesh = Kubernetes::new(cluster, Logins::default());
        let made = mesh
            .request_token("vm", "web", None, Duration::from_secs(600))
            .await;
        let error = made.unwrap_err();
        assert!(!error.class().is_transient(), "{error}");
        let mut next: Option<&dyn Error> = Some(&error);
        while let Some(error) = next {
            let told = format!("{error} {error:?}");
            assert!(!told.contains("eyJhbGciOi"), "{told}");
            next = error.source();
        }
        assert_eq!(server.count(), 1, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_certificate_is_of_another_authority_is_told_of_as_that() {
    let (ground, other) = (Ground::new().await, Ground::new().await);
    let authority = |path: String| {
        let text = std::fs::read_to_string(path).unwrap();
        let (_, rest) = text.split_once("certificate-authority-data: ").unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    };
    let text = std::fs::read_to_string(ground.kubeconfig()).unwrap();
    let (own, foreign) = (
        authority(ground.kubeconfig()),
        authority(other.kubeconfig()),
    );
    assert_ne!(own, foreign);
    let sandbox = Sandbox::with(&FILE.replace("context: lab", "kubeconfig: kubeconfig"));
    sandbox.write("kubeconfig", &text.replace(&own, &foreign));
    let refused = run(&ground, &sandbox, "plan --format json").await.exits(1);
    let found = &refused.json()["error"]["diagnostics"][0];
    assert_eq!(found["place"]["field"], "mesh.kubernetes.kubeconfig");
    for said in ["no trusted connection", "certificate-authority-data"] {
        assert!(found.to_string().contains(said), "{found}");
    }
    assert!(
        refused.stdout.contains("invalid peer certificate"),
        "{}",
        refused.stdout
    );
    assert!(!refused.all().contains("does not answer"));
}
