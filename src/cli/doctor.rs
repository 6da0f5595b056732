//! `meshvm doctor`: what this machine lacks, with the command that mends it.

#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use std::collections::BTreeSet;

use clap::Args;
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use meshvm_provider_api::{ProviderError, Scope, Template};
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load};
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
use crate::apply::worker::chain;
use crate::desired::Desired;
use crate::show::{ADD, FAINT, HINT, REMOVE, STRONG, paint};

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    about: String,
    name: String,
    ok: bool,
    detail: String,
    fix: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    /// Whether nothing is lacking.
    ok: bool,
    checks: &'a [Check],
}

#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Print the least policy or role that fleets on a cloud need, and look at nothing
    #[arg(long, value_name = "CLOUD", num_args = 0..=1, default_missing_value = "aws", value_parser = ["aws", "azure", "gcp"])]
    iam: Option<String>,
}

pub async fn run(args: &DoctorArgs, globals: &Globals, output: &Output) -> Result<Exit, CliError> {
    if let Some(cloud) = &args.iam {
        return iam(cloud, output);
    }
    let mut checks = Vec::new();
    #[cfg(feature = "local")]
    checks.extend(local());
    checks.extend(stack(globals, output).await);
    let report = Report {
        ok: checks.iter().all(|check| check.ok),
        checks: &checks,
    };
    output.result(|| print(&checks), &report)?;
    Ok(match report.ok {
        true => Exit::Done,
        false => Exit::Failed,
    })
}

fn iam(cloud: &str, output: &Output) -> Result<Exit, CliError> {
    let Some(rights) = least(cloud) else {
        let hint = format!("use the released binary, or build with `--features {cloud}`");
        return Err(CliError::new(format!("this build has no provider `{cloud}`")).with_hint(hint));
    };
    let mut text = serde_json::to_string_pretty(&rights).map_err(|error| CliError::of(&error))?;
    text.push('\n');
    output.text(&text)?;
    Ok(Exit::Done)
}

/// Returns the least rights on a cloud; `None` when this build does not have it.
fn least(cloud: &str) -> Option<serde_json::Value> {
    match cloud {
        #[cfg(feature = "aws")]
        "aws" => Some(meshvm_provider_aws::policy::least()),
        #[cfg(feature = "azure")]
        "azure" => Some(meshvm_provider_azure::policy::least(&[])),
        #[cfg(feature = "gcp")]
        "gcp" => Some(meshvm_provider_gcp::policy::least()),
        _ => None,
    }
}

/// Returns the scopes of a cloud that the stack's fleets are in.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn scopes<'d>(desired: &'d Desired, provider: &str) -> BTreeSet<&'d Scope> {
    let scopes = desired.fleets.values().map(|fleet| &fleet.template.scope);
    scopes.filter(|scope| scope.provider == provider).collect()
}

/// Says whose credentials reach a scope, or what to do where nobody's do.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn identity(scope: &Scope, found: Result<String, ProviderError>, fix: &str) -> Check {
    let (ok, detail, fix) = match found {
        Ok(whose) => (true, whose, None),
        Err(error) => (false, chain(&error), Some(fix.to_owned())),
    };
    Check {
        about: scope.to_string(),
        name: "identity".to_owned(),
        ok,
        detail,
        fix,
    }
}

/// Says which rights are lacking in a scope, for all fleets that are in it.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
fn rights(scope: &Scope, denied: Result<BTreeSet<String>, ProviderError>) -> Check {
    let provider = &scope.provider;
    let (ok, detail, fix) = match denied {
        Ok(denied) if denied.is_empty() => {
            let detail = "every right that was looked for is there".to_owned();
            (true, detail, None)
        }
        Ok(denied) => {
            let denied = Vec::from_iter(denied).join(", ");
            let fix =
                format!("grant them: `meshvm doctor --iam {provider}` prints the least that works");
            (false, format!("may not {denied}"), Some(fix))
        }
        Err(error) => (false, chain(&error), error.hint.clone()),
    };
    Check {
        about: scope.to_string(),
        name: "rights".to_owned(),
        ok,
        detail,
        fix,
    }
}

/// Looks whose credentials reach each scope of a cloud that the stack's fleets are in, and what
/// they may not do there.
#[cfg(any(feature = "aws", feature = "azure", feature = "gcp"))]
async fn cloud(
    desired: &Desired,
    provider: &str,
    log_in: &str,
    whose: impl AsyncFn(&Scope) -> Result<String, ProviderError>,
    denied: impl AsyncFn(&Template) -> Result<Vec<String>, ProviderError>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for scope in scopes(desired, provider) {
        let found = whose(scope).await;
        let is_known = found.is_ok();
        checks.push(identity(scope, found, log_in));
        if is_known {
            let templates = desired.fleets.values().map(|fleet| &fleet.template);
            let all = async {
                let mut all = BTreeSet::new();
                for template in templates.filter(|template| template.scope == *scope) {
                    all.extend(denied(template).await?);
                }
                Ok(all)
            };
            checks.push(rights(scope, all.await));
        }
    }
    checks
}

#[cfg(feature = "aws")]
async fn aws(desired: &Desired) -> Vec<Check> {
    let whose = async |scope: &Scope| {
        let identity = meshvm_provider_aws::identity(scope).await?;
        Ok(format!("{} in account {}", identity.arn, identity.account))
    };
    let denied = async |template: &Template| {
        let denied = meshvm_provider_aws::denied(&desired.stack, template).await?;
        Ok(denied.into_iter().map(|denied| denied.right).collect())
    };
    let log_in = "set AWS_PROFILE, or run `aws configure` or `aws sso login`";
    cloud(desired, "aws", log_in, whose, denied).await
}

#[cfg(not(feature = "aws"))]
async fn aws(_: &Desired) -> Vec<Check> {
    Vec::new()
}

#[cfg(feature = "azure")]
async fn azure(desired: &Desired) -> Vec<Check> {
    let whose = async |scope: &Scope| {
        let identity = meshvm_provider_azure::identity(scope).await?;
        Ok(format!("{} of tenant {}", identity.name, identity.tenant))
    };
    let log_in = "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET";
    let denied = async |template: &Template| meshvm_provider_azure::denied(template).await;
    cloud(desired, "azure", log_in, whose, denied).await
}

#[cfg(not(feature = "azure"))]
async fn azure(_: &Desired) -> Vec<Check> {
    Vec::new()
}

#[cfg(feature = "gcp")]
async fn gcp(desired: &Desired) -> Vec<Check> {
    let whose = async |scope: &Scope| {
        let identity = meshvm_provider_gcp::identity(scope).await?;
        Ok(format!("{} in project {}", identity.who, identity.project))
    };
    let log_in =
        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS";
    let denied = async |template: &Template| meshvm_provider_gcp::denied(template).await;
    cloud(desired, "gcp", log_in, whose, denied).await
}

#[cfg(not(feature = "gcp"))]
async fn gcp(_: &Desired) -> Vec<Check> {
    Vec::new()
}

#[cfg(feature = "local")]
fn local() -> Vec<Check> {
    let checks = meshvm_provider_local::doctor().into_iter();
    checks
        .map(|check| Check {
            about: format!("local, backend {}", check.backend),
            name: check.name,
            ok: check.ok,
            detail: check.detail,
            fix: check.fix,
        })
        .collect()
}

/// Looks at the stack of the fleet file, where there is one.
async fn stack(globals: &Globals, output: &Output) -> Vec<Check> {
    if !globals.files().iter().all(|file| file.exists()) {
        return Vec::new();
    }
    let loaded = match load::load(globals, output, Ask::Nobody).await {
        Ok(loaded) => loaded,
        Err(error) => {
            return vec![Check {
                about: "stack".to_owned(),
                name: "fleet file".to_owned(),
                ok: false,
                detail: error.summary,
                fix: Some("meshvm validate".to_owned()),
            }];
        }
    };
    let about = format!("stack {}", loaded.desired.stack);
    let bars = super::progress::Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    );
    let held = match engine {
        Ok(engine) => engine.ledger.held().await.map_err(CliError::from),
        Err(error) => Err(error),
    };
    let (ok, detail, fix) = match held {
        Ok(None) => (
            true,
            format!("{} is reachable", loaded.context.ledger),
            None,
        ),
        Ok(Some(held)) => (true, format!("locked by {}", held.holder), None),
        Err(error) => {
            let mut causes = vec![error.summary];
            causes.extend(error.causes);
            (false, causes.join(": "), error.hint)
        }
    };
    let mut checks = vec![Check {
        about,
        name: "ledger".to_owned(),
        ok,
        detail,
        fix,
    }];
    checks.extend(aws(&loaded.desired).await);
    checks.extend(azure(&loaded.desired).await);
    checks.extend(gcp(&loaded.desired).await);
    checks
}

fn print(checks: &[Check]) -> String {
    let mut text = String::new();
    let mut about = "";
    for check in checks {
        if check.about != about {
            about = &check.about;
            text.push_str(&format!("{}\n", paint(STRONG, about)));
        }
        let sign = if check.ok {
            paint(ADD, "✓")
        } else {
            paint(REMOVE, "✗")
        };
        text.push_str(&format!(
            "  {sign} {}: {}\n",
            check.name,
            paint(FAINT, &check.detail)
        ));
        if let Some(fix) = &check.fix {
            text.push_str(&format!("      {} {fix}\n", paint(HINT, "mend it:")));
        }
    }
    text
}
