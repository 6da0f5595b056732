//! `meshvm doctor`: what this machine lacks, with the command that mends it.

use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load};
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

pub async fn run(globals: &Globals, output: &Output) -> Result<Exit, CliError> {
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
    vec![Check {
        about,
        name: "ledger".to_owned(),
        ok,
        detail,
        fix,
    }]
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
