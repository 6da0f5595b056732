//! `meshvm version`: the version, and what is in this build.

use serde::Serialize;

use super::output::Output;
use super::{CliError, Exit, load};

#[derive(Serialize)]
struct Version {
    version: &'static str,
    providers: Vec<Provider>,
}

#[derive(Serialize)]
struct Provider {
    name: &'static str,
    summary: &'static str,
}

pub fn run(output: &Output) -> Result<Exit, CliError> {
    let kinds = load::pure_kinds();
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        providers: kinds
            .values()
            .map(|kind| Provider {
                name: kind.info().name,
                summary: kind.info().summary,
            })
            .collect(),
    };
    let text = || {
        let mut text = format!("meshvm {}\n", version.version);
        for provider in &version.providers {
            text.push_str(&format!(
                "  provider {}: {}\n",
                provider.name, provider.summary
            ));
        }
        text
    };
    output.result(text, &version)?;
    Ok(Exit::Done)
}
