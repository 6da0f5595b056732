//! Envoy's process.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::process::{Child, Command};

use crate::log;
use crate::probe::{get, post};

/// How long Envoy may take to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why Envoy does not run.
#[derive(Debug, Error)]
pub enum EnvoyError {
    /// It cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be waited for.
    #[error("cannot wait for Envoy")]
    Wait(#[source] std::io::Error),
}

/// A running Envoy, which ends when it is dropped.
pub struct Envoy {
    child: Child,
    admin_port: u16,
}

impl Envoy {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// When there is no such program.
    pub fn start(
        program: &str,
        bootstrap: &Path,
        concurrency: u32,
        log_level: &str,
        admin_port: u16,
    ) -> Result<Self, EnvoyError> {
        let child = Command::new(program)
            .arg("-c")
            .arg(bootstrap)
            .args(["--disable-hot-restart", "--log-level", log_level])
            .args(["--drain-time-s", "45", "--local-address-ip-version", "v4"])
            .arg("--concurrency")
            .arg(concurrency.max(1).to_string())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| EnvoyError::Start {
                program: program.to_owned(),
                source,
            })?;
        Ok(Self { child, admin_port })
    }

    /// Waits until it ends, which it should not.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub async fn ended(&mut self) -> Result<ExitStatus, EnvoyError> {
        self.child.wait().await.map_err(EnvoyError::Wait)
    }

    /// Lets what comes in end by itself for a while, then ends Envoy.
    pub async fn drain(mut self, patience: Duration) {
        if !patience.is_zero() {
            let drained = post(self.admin_port, "/drain_listeners?inboundonly&graceful").await;
            if let Err(error) = drained {
                log::warn(format_args!("cannot drain: {}", log::chain(&error)));
            }
            log::info(format_args!("Graceful termination period is {patience:?}"));
            tokio::time::sleep(patience).await;
        }
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        // What has not ended yet is killed when it is dropped.
    }
}

/// Returns whether an Envoy is ready: it lives, and listens for what comes in.
pub async fn is_ready(admin_port: u16) -> bool {
    let answers = async {
        let lives = get(admin_port, "/ready").await?.status == 200;
        let listeners = get(admin_port, "/listeners").await?;
        let listens = String::from_utf8_lossy(&listeners.body).contains("virtualInbound");
        Ok::<_, crate::probe::HttpError>(lives && listens)
    };
    let answers = tokio::time::timeout(Duration::from_secs(1), answers).await;
    matches!(answers, Ok(Ok(true)))
}
