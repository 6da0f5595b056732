//! `pilot-agent proxy`: everything at once, until it is told to end.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::credentials::{ConnectError, IssueError, Material, keep};
use crate::discovery::follow;
use crate::envoy::bootstrap::bootstrap;
use crate::envoy::files::{Files, FilesError};
use crate::envoy::process::{Envoy, EnvoyError, is_ready};
use crate::probe::{Health, Target, watch_over};
use crate::proxy_config::{ProxyConfig, ProxyConfigError};
use crate::settings::{Environment, Settings, SettingsError};
use crate::status::{ListenError, Status};
use crate::wire::{Config, Node};
use crate::{hosts, log, node};

/// Where the mesh's configuration is.
const MESH_CONFIG: &str = "./etc/istio/config/mesh";

/// What the command line says.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file of host names.
    pub hosts: PathBuf,
    /// How much Envoy says.
    pub log_level: String,
}

/// Why the agent ended.
#[derive(Debug, Error)]
pub enum RunError {
    /// The mesh's configuration cannot be read.
    #[error("cannot read {MESH_CONFIG}")]
    MeshConfig(#[source] std::io::Error),
    /// A configuration cannot be used.
    #[error(transparent)]
    ProxyConfig(#[from] ProxyConfigError),
    /// The environment cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A duration is none.
    #[error("terminationDrainDuration {0:?} is no duration")]
    Duration(String),
    /// There will never be a certificate.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// There will never be a configuration.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Envoy cannot be told something.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// Envoy cannot be run.
    #[error(transparent)]
    Envoy(#[from] EnvoyError),
    /// Envoy ended by itself.
    #[error("Envoy ended: {0}")]
    Ended(std::process::ExitStatus),
    /// A port is taken.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT; after the former connections are drained.
///
/// # Errors
///
/// When something is wrong that gets no better by itself, or Envoy ends.
pub async fn run(environment: &Environment, options: &Options) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let proxy = proxy_config(environment)?;
    let settings = Settings::read(environment, &proxy)?;
    let patience = humantime::parse_duration(&proxy.termination_drain_duration)
        .map_err(|_| RunError::Duration(proxy.termination_drain_duration.clone()))?;
    let node = node::node(&settings, &addresses());
    log::info(format_args!("node {}", node.id));
    let mut agent = Agent::new(&settings, &proxy, &node, options)?;
    let is_interrupted = tokio::select! {
        ended = agent.serve() => return ended,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => true,
    };
    log::info("Agent draining Proxy for termination");
    if let Some(envoy) = agent.envoy.take() {
        envoy
            .drain(if is_interrupted {
                Duration::ZERO
            } else {
                patience
            })
            .await;
    }
    log::info("Agent draining complete");
    Ok(())
}

fn proxy_config(environment: &Environment) -> Result<ProxyConfig, RunError> {
    let mesh = match std::fs::read_to_string(MESH_CONFIG) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(RunError::MeshConfig(error)),
    };
    let environment = environment.get("PROXY_CONFIG").map(String::as_str);
    Ok(ProxyConfig::layered(mesh.as_deref(), environment)?)
}

/// Returns the addresses of all network cards that others may reach.
fn addresses() -> Vec<String> {
    let cards = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let addresses = cards.filter_map(|card| {
        let address = card.address?;
        if let Some(four) = address.as_sockaddr_in() {
            return Some(IpAddr::V4(four.ip()));
        }
        address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip()))
    });
    let is_link_local = |address: &IpAddr| match address {
        IpAddr::V4(four) => four.is_link_local(),
        IpAddr::V6(six) => six.is_unicast_link_local(),
    };
    addresses
        .filter(|address| !address.is_loopback() && !is_link_local(address))
        .map(|address| address.to_string())
        .collect()
}

struct Agent<'a> {
    settings: &'a Settings,
    proxy: &'a ProxyConfig,
    node: &'a Node,
    options: &'a Options,
    files: Files,
    envoy: Option<Envoy>,
}

impl<'a> Agent<'a> {
    fn new(
        settings: &'a Settings,
        proxy: &'a ProxyConfig,
        node: &'a Node,
        options: &'a Options,
    ) -> Result<Self, RunError> {
        let files = Files::new(Path::new(&proxy.config_path))?;
        files.write_nothing()?;
        Ok(Self {
            settings,
            proxy,
            node,
            options,
            files,
            envoy: None,
        })
    }

    /// Runs everything; returns only when something is wrong.
    async fn serve(&mut self) -> Result<(), RunError> {
        let (material_to, material) = watch::channel(None::<Material>);
        let (config_to, config) = watch::channel(None::<Config>);
        let (health_to, health) = watch::channel(None::<Health>);
        let (ready_to, ready) = watch::channel(false);
        let (settings, node) = (self.settings, self.node);
        let status = Status {
            proxy_ready: ready.clone(),
            health: self.proxy.readiness_probe.as_ref().map(|_| health.clone()),
            material: material.clone(),
            admin_port: self.proxy.proxy_admin_port,
        };
        let answering = status.clone().listen(self.proxy.status_port).await?;
        let answering_ready = status.listen(settings.ready_port).await?;
        let probing = async {
            match self.proxy.readiness_probe.clone() {
                Some(probe) => watch_over(probe, target(settings, node), ready, health_to).await,
                None => std::future::pending().await,
            }
        };
        let watching = watch_ready(self.proxy.proxy_admin_port, ready_to);
        tokio::select! {
            ended = keep(settings, &material_to) => match ended? {},
            ended = follow(settings, node, &config_to, health) => match ended? {},
            ended = tell(
                TellTo {
                    envoy: &mut self.envoy,
                    files: &self.files,
                    proxy: self.proxy,
                    settings,
                    node,
                    options: self.options,
                },
                material,
                config,
            ) => ended,
            never = answering => match never {},
            never = answering_ready => match never {},
            () = probing => Ok(()),
            () = watching => Ok(()),
        }
    }
}

/// Returns whom probes go to that do not say.
fn target(settings: &Settings, node: &Node) -> Target {
    let first = node.addresses.first().cloned();
    match first {
        Some(address) if !settings.probe_localhost => Target(address),
        Some(_) | None => Target("localhost".to_owned()),
    }
}

/// Finds out for ever whether Envoy is ready.
async fn watch_ready(admin_port: u16, ready: watch::Sender<bool>) {
    loop {
        let is_ready = is_ready(admin_port).await;
        let changes = ready.send_if_modified(|was| std::mem::replace(was, is_ready) != is_ready);
        if changes {
            if is_ready {
                log::info("Envoy proxy is ready");
            } else {
                log::warn("Envoy proxy is NOT ready");
            }
        }
        tokio::time::sleep(Duration::from_millis(if is_ready { 1000 } else { 250 })).await;
    }
}

/// What [`tell`] works with.
struct TellTo<'a> {
    envoy: &'a mut Option<Envoy>,
    files: &'a Files,
    proxy: &'a ProxyConfig,
    settings: &'a Settings,
    node: &'a Node,
    options: &'a Options,
}

/// Starts Envoy at the first certificate, then tells it of everything new.
async fn tell(
    to: TellTo<'_>,
    mut material: watch::Receiver<Option<Material>>,
    mut config: watch::Receiver<Option<Config>>,
) -> Result<(), RunError> {
    // The sender lives as long as this runs, so waiting ends with a value.
    if let Ok(first) = material
        .wait_for(Option::is_some)
        .await
        .map(|held| held.clone())
        && let Some(first) = first
    {
        to.files.write_secrets(&first)?;
    }
    let admin = to.proxy.proxy_admin_port;
    let cluster = to.proxy.service_cluster.as_str();
    to.files
        .write_bootstrap(&bootstrap(to.node, cluster, admin, to.files))?;
    let envoy = to.envoy.insert(Envoy::start(
        &to.proxy.binary_path,
        &to.files.bootstrap(),
        to.proxy.concurrency,
        &to.options.log_level,
        admin,
    )?);
    config.mark_changed();
    loop {
        tokio::select! {
            ended = envoy.ended() => return Err(RunError::Ended(ended?)),
            Ok(()) = material.changed() => {
                let now = material.borrow_and_update().clone();
                if let Some(now) = now {
                    to.files.write_secrets(&now)?;
                }
            }
            Ok(()) = config.changed() => {
                let now = config.borrow_and_update().clone();
                if let Some(now) = now {
                    to.files.write_config(&now, &to.settings.trust_domain)?;
                    if let Err(error) = hosts::keep(&to.options.hosts, &now.services) {
                        let path = to.options.hosts.display();
                        log::warn(format_args!("cannot put names into {path}: {error}"));
                    }
                }
            }
        }
    }
}
