//! `pilot-agent`: the double's command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nix::unistd::User;

use meshvm_lab_agent::proxy_config::ProxyConfig;
use meshvm_lab_agent::run::{Options, run};
use meshvm_lab_agent::settings::Environment;
use meshvm_lab_agent::{VERSION, iptables, log, probe};

/// The user and the group of the proxy when the computer has no such user.
const DEFAULT_OWNER: (u32, u32) = (1337, 1337);

/// A double of Istio's pilot-agent.
#[derive(Debug, Parser)]
#[command(name = "pilot-agent", version = VERSION, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy, and everything that it needs.
    Proxy {
        /// What the proxy is.
        #[arg(default_value = "sidecar", value_parser = ["sidecar"])]
        role: String,
        /// How much Envoy says.
        #[arg(
            long = "proxyLogLevel",
            value_name = "LEVEL",
            default_value = "warning"
        )]
        proxy_log_level: String,
        /// How much the agent says; the double says the same whatever this is.
        #[arg(long = "log_output_level", value_name = "LEVELS")]
        log_output_level: Option<String>,
        /// The file of host names, for tests.
        #[arg(long, value_name = "FILE", default_value = "/etc/hosts", hide = true)]
        hosts: PathBuf,
    },
    /// Lead connections through the proxy.
    IstioIptables {
        /// Only remove the rules.
        #[arg(long)]
        cleanup_only: bool,
    },
    /// Say the version.
    Version,
    /// Ask Envoy's admin interface.
    Request {
        /// `GET` or `POST`.
        #[arg(value_parser = ["GET", "POST"])]
        method: String,
        /// The path.
        path: String,
    },
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let environment: Environment = std::env::vars().collect();
    let ended = match Arguments::parse().command {
        Command::Proxy {
            role: _,
            proxy_log_level,
            log_output_level: _,
            hosts,
        } => {
            let options = Options {
                hosts,
                log_level: proxy_log_level,
            };
            run(&environment, &options)
                .await
                .map_err(|error| log::chain(&error))
        }
        Command::IstioIptables { cleanup_only } => {
            rules(&environment, cleanup_only).map_err(|error| log::chain(&error))
        }
        Command::Version => {
            println!("version.BuildInfo{{Version:\"{VERSION}\"}}");
            Ok(())
        }
        Command::Request { method, path } => request(&method, &path).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("Error: {said}");
            ExitCode::FAILURE
        }
    }
}

fn rules(environment: &Environment, cleanup_only: bool) -> Result<(), iptables::IptablesError> {
    if cleanup_only
        || environment
            .get("CLEANUP_ONLY")
            .is_some_and(|value| value == "true")
    {
        return iptables::clean();
    }
    let name = environment
        .get("ENVOY_USER")
        .map_or("istio-proxy", String::as_str);
    let owner = match User::from_name(name) {
        Ok(Some(user)) => (user.uid.as_raw(), user.gid.as_raw()),
        Ok(None) | Err(_) => DEFAULT_OWNER,
    };
    iptables::apply(&iptables::Rules::read(environment, owner)?)
}

async fn request(method: &str, path: &str) -> Result<(), String> {
    let port = ProxyConfig::default().proxy_admin_port;
    let answer = match method {
        "POST" => probe::post(port, path).await,
        _ => probe::get(port, path).await,
    };
    let answer = answer.map_err(|error| log::chain(&error))?;
    print!("{}", String::from_utf8_lossy(&answer.body));
    match answer.status {
        200 => Ok(()),
        status => Err(format!("received unsuccessful status code {status}")),
    }
}
