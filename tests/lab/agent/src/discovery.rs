//! Following what istiod says, and telling it how the application is.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use thiserror::Error;
use tokio::sync::watch;
use tonic::Code;

use crate::credentials::{ConnectError, Peer, authorized, connect};
use crate::log;
use crate::probe::Health;
use crate::settings::Settings;
use crate::wire::discovery::DiscoveryClient;
use crate::wire::{Config, HealthReport, Node};

/// Why a stream ended.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// istiod cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// istiod does not know who asks.
    #[error("authentication failure: {0}")]
    Unauthenticated(String),
    /// istiod ends it for another reason.
    #[error("{code:?}: {message}")]
    Ended {
        /// Its class.
        code: Code,
        /// Its words.
        message: String,
    },
    /// istiod ends it without a reason.
    #[error("the stream ended")]
    Closed,
}

impl From<tonic::Status> for DiscoveryError {
    fn from(status: tonic::Status) -> Self {
        let message = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Self::Unauthenticated(message),
            code => Self::Ended { code, message },
        }
    }
}

/// Follows istiod for ever: hands on each configuration, reports each change of health.
///
/// The last change is told again on each new stream, since istiod may have lost it.
///
/// # Errors
///
/// When there is no root to trust istiod by. Everything else is tried again.
pub async fn follow(
    settings: &Settings,
    node: &Node,
    configs: &watch::Sender<Option<Config>>,
    health: watch::Receiver<Option<Health>>,
) -> Result<std::convert::Infallible, ConnectError> {
    let mut pauses = pauses();
    loop {
        let mut was_connected = false;
        let ended = stream(settings, node, configs, health.clone(), &mut was_connected).await;
        match ended {
            DiscoveryError::Connect(error @ ConnectError::NoRoot { .. }) => return Err(error),
            error => log::warn(format_args!(
                "failed to keep the upstream XDS connection: {}",
                log::chain(&error)
            )),
        }
        if was_connected {
            pauses = self::pauses();
        }
        let pause = pauses.next().unwrap_or(LONGEST);
        tokio::time::sleep(pause).await;
    }
}

/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(10);

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(LONGEST)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Follows one stream to its end.
async fn stream(
    settings: &Settings,
    node: &Node,
    configs: &watch::Sender<Option<Config>>,
    mut health: watch::Receiver<Option<Health>>,
    was_connected: &mut bool,
) -> DiscoveryError {
    let followed = async {
        let channel = connect(settings, Peer::Discovery).await?;
        let mut client = DiscoveryClient::new(channel);
        let answer = client.watch(authorized(settings, node.clone())).await?;
        let mut stream = answer.into_inner();
        health.mark_changed();
        let mut is_told_of_changes = true;
        loop {
            tokio::select! {
                message = stream.message() => {
                    let Some(config) = message? else {
                        return Err(DiscoveryError::Closed);
                    };
                    if !std::mem::replace(was_connected, true) {
                        log::info(format_args!(
                            "connected to upstream XDS server: {}",
                            settings.discovery_address
                        ));
                    }
                    configs.send_replace(Some(config));
                }
                // istiod takes reports of those it has accepted.
                changed = health.changed(), if *was_connected && is_told_of_changes => {
                    // No probe, no changes.
                    is_told_of_changes = changed.is_ok();
                    let now = health.borrow_and_update().clone();
                    if let Some(now) = now {
                        client.report(authorized(settings, report(node, now))).await?;
                    }
                }
            }
        }
    };
    let ended: Result<std::convert::Infallible, DiscoveryError> = followed.await;
    match ended {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn report(node: &Node, health: Health) -> HealthReport {
    let (healthy, message) = match health {
        Health::Healthy => (true, String::new()),
        Health::Unhealthy(why) => (false, why),
    };
    HealthReport {
        node: Some(node.clone()),
        healthy,
        message,
    }
}
