//! `meshvm status`: the stack's machines and their membership, as they stand.

use serde::Serialize;

use super::load::{self, Loaded};
use super::mesh::{self, Ask};
use super::output::Output;
use super::progress::Bars;
use super::{CliError, Exit, Globals};
use crate::diag::Diagnostic;
use crate::engine::{Engine, EngineError};
use crate::ledger::Held;
use crate::observe::ObserveError;
use crate::plan::Options;
use crate::providers::Metrics;
use crate::show;
use crate::show::status::{Known, Status};

/// What a pipeline sees.
#[derive(Serialize)]
struct Report<'a> {
    status: &'a Status,
    /// Who works on the stack.
    locked: Option<&'a Held>,
    warnings: &'a [Diagnostic],
    metrics: Metrics,
}

pub async fn run(globals: &Globals, output: &Output) -> Result<Exit, CliError> {
    let mut loaded = load::load(globals, output, Ask::Status).await?;
    let bars = Bars::new(output);
    let engine = load::engine(
        globals,
        &loaded.context,
        &loaded.desired,
        bars.provider_progress(),
    )?;
    let status = match look(&engine, &mut loaded, output).await? {
        Some(status) => status,
        None => {
            let unread = loaded.unread.as_ref();
            let why = unread.map_or("it does not answer", |why| why.summary.as_str());
            let observed = engine.look_at_clouds(&loaded.desired).await?;
            let known = Known::Unread { why };
            show::status::status(&loaded.desired, &observed, &known)
        }
    };
    let locked = engine.ledger.held().await?;
    let report = Report {
        status: &status,
        locked: locked.as_ref(),
        warnings: &loaded.spec.warnings,
        metrics: load::metrics(globals, &engine),
    };
    output.result(|| show::status::table(&status), &report)?;
    if let Some(held) = &locked {
        output.note(format!("Locked by {}.", held.holder));
    }
    output.metrics(&report.metrics);
    Ok(match status.mesh_unread {
        Some(_) => Exit::Failed,
        None => Exit::Done,
    })
}

/// Looks at clouds and mesh; `None` where the mesh cannot be read, which is told then.
async fn look(
    engine: &Engine,
    loaded: &mut Loaded,
    output: &Output,
) -> Result<Option<Status>, CliError> {
    if loaded.unread.is_some() {
        return Ok(None);
    }
    let desired = &loaded.desired;
    let looked = async {
        let (plan, observed) = engine.look(desired.clone(), Options::default()).await?;
        let known = Known::All(&plan);
        Ok(show::status::status(desired, &observed, &known))
    };
    match looked.await {
        Ok(status) => Ok(Some(status)),
        Err(EngineError::Observe(ObserveError::Mesh(error))) => {
            let unread = mesh::not_read(&loaded.spec, &error);
            output.warnings(std::slice::from_ref(&unread));
            loaded.spec.warnings.push(unread.clone());
            loaded.unread = Some(unread);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
