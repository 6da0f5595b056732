//! Whether the application is ready, asked again and again as its probe says.
//!
//! Only changes are told. [`Tracker`] decides and is pure; [`ask`] does the asking. The probe and
//! its defaults are those of `pkg/istio-agent/health` in istio/istio, which counts one failure as
//! enough where the documentation of the API says three.

mod ask;
mod http;

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;

pub use self::ask::{Target, ask};
pub use self::http::{Answer, HttpError, get, post};

/// How to ask the application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// How long after the start.
    pub initial_delay_seconds: u32,
    /// How long an answer is waited for; 0 stands for 1.
    pub timeout_seconds: u32,
    /// How often; 0 stands for 10.
    pub period_seconds: u32,
    /// After how many good answers the application is healthy; 0 stands for 1.
    pub success_threshold: u32,
    /// After how many bad answers it is not; 0 stands for 1.
    pub failure_threshold: u32,
    /// Ask by HTTP.
    pub http_get: Option<HttpGet>,
    /// Ask by connecting.
    pub tcp_socket: Option<TcpSocket>,
    /// Ask a program.
    pub exec: Option<Exec>,
    /// Ask by gRPC.
    pub grpc: Option<Grpc>,
}

/// A request by HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// The port.
    pub port: u16,
    /// The path; empty stands for `/`.
    pub path: String,
    /// The host; empty stands for the workload itself.
    pub host: String,
    /// `HTTP` or `HTTPS`, in any case; empty stands for the former.
    pub scheme: String,
    /// Headers to send.
    pub http_headers: Vec<Header>,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A connection by TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpSocket {
    /// The port.
    pub port: u16,
    /// The host; empty stands for the workload itself.
    pub host: String,
}

/// A program, which says by its exit status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Exec {
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// A call of `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Grpc {
    /// The port.
    pub port: u16,
    /// Which service of the server.
    pub service: String,
}

/// How the application is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It is ready.
    Healthy,
    /// It is not, and why.
    Unhealthy(String),
}

/// Makes answers into changes.
#[derive(Debug)]
pub struct Tracker {
    success_threshold: u32,
    failure_threshold: u32,
    successes: u32,
    failures: u32,
    /// Whether the last change told of was a good one.
    told: Option<bool>,
}

impl Tracker {
    /// Starts with nothing told.
    pub fn new(probe: &Probe) -> Self {
        Self {
            success_threshold: probe.success_threshold.max(1),
            failure_threshold: probe.failure_threshold.max(1),
            successes: 0,
            failures: 0,
            told: None,
        }
    }

    /// Takes an answer; returns the change that it makes, if any.
    pub fn take(&mut self, answer: Result<(), String>) -> Option<Health> {
        match answer {
            Ok(()) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                let changes = self.successes >= self.success_threshold && self.told != Some(true);
                changes.then(|| {
                    self.told = Some(true);
                    Health::Healthy
                })
            }
            Err(why) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                let changes = self.failures >= self.failure_threshold && self.told != Some(false);
                changes.then(|| {
                    self.told = Some(false);
                    Health::Unhealthy(why)
                })
            }
        }
    }
}

/// Asks for ever, and tells of changes. While the proxy is not ready, nor is the application.
pub async fn watch_over(
    probe: Probe,
    target: Target,
    proxy_ready: watch::Receiver<bool>,
    changes: watch::Sender<Option<Health>>,
) {
    let mut tracker = Tracker::new(&probe);
    let timeout = Duration::from_secs(u64::from(probe.timeout_seconds.max(1)));
    let period = match probe.period_seconds {
        0 => Duration::from_secs(10),
        seconds => Duration::from_secs(u64::from(seconds)),
    };
    tokio::time::sleep(Duration::from_secs(u64::from(probe.initial_delay_seconds))).await;
    loop {
        let is_ready = *proxy_ready.borrow();
        let answer = if is_ready {
            tokio::time::timeout(timeout, ask(&probe, &target))
                .await
                .unwrap_or_else(|_| Err(format!("no answer in {timeout:?}")))
        } else {
            Err("the proxy is not ready".to_owned())
        };
        if let Some(health) = tracker.take(answer) {
            changes.send_replace(Some(health));
        }
        tokio::time::sleep(period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker(success_threshold: u32, failure_threshold: u32) -> Tracker {
        Tracker::new(&Probe {
            success_threshold,
            failure_threshold,
            ..Probe::default()
        })
    }

    fn bad(why: &str) -> Result<(), String> {
        Err(why.to_owned())
    }

    #[test]
    fn only_changes_are_told() {
        let mut tracker = tracker(0, 0);
        assert_eq!(tracker.take(Ok(())), Some(Health::Healthy));
        assert_eq!(tracker.take(Ok(())), None);
        assert_eq!(tracker.take(bad("a")), Some(Health::Unhealthy("a".into())));
        assert_eq!(tracker.take(bad("b")), None);
        assert_eq!(tracker.take(Ok(())), Some(Health::Healthy));
    }

    #[test]
    fn thresholds_count_answers_in_a_row() {
        let mut tracker = tracker(2, 3);
        assert_eq!(tracker.take(Ok(())), None);
        assert_eq!(tracker.take(bad("a")), None);
        assert_eq!(tracker.take(Ok(())), None);
        assert_eq!(tracker.take(Ok(())), Some(Health::Healthy));
        assert_eq!(tracker.take(bad("a")), None);
        assert_eq!(tracker.take(bad("b")), None);
        assert_eq!(tracker.take(bad("c")), Some(Health::Unhealthy("c".into())));
    }
}
