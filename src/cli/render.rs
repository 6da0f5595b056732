//! `meshvm render`: every file that would be generated, printed or written.

mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::SecretString;
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load, mesh};
use crate::bootstrap::TOKEN_FILE;
use crate::desired::generated;
use crate::mesh::{manifests, objects};
use crate::show::{STRONG, counted, few, paint};
use folder::{Folder, Stale};

#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// Write the files into this folder instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also make a token of each fleet's service account, as the file istio-token; needs --out
    #[arg(long, requires = "out")]
    with_token: bool,
    /// Only this fleet; may be repeated
    #[arg(long, value_name = "FLEET")]
    target: Vec<String>,
}

/// What a pipeline sees.
#[derive(Serialize)]
struct Rendered<'a> {
    /// The folder that the files were written into.
    folder: Option<&'a Path>,
    /// The files, by name.
    files: &'a BTreeMap<String, String>,
    /// Files of earlier renderings that were removed, by name.
    removed: &'a [String],
}

pub async fn run(globals: &Globals, args: &RenderArgs, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output, Ask::Mesh).await?;
    let stack = &loaded.desired.stack;
    if let Some(unknown) = args
        .target
        .iter()
        .find(|f| !loaded.desired.fleets.contains_key(*f))
    {
        return Err(
            CliError::new(format!("there is no fleet `{unknown}` in the fleet file"))
                .with_hint("`meshvm status` lists the fleets"),
        );
    }
    let mut files = BTreeMap::new();
    for (fleet, desired) in &loaded.desired.fleets {
        if !args.target.is_empty() && !args.target.contains(fleet) {
            continue;
        }
        files.insert(format!("{fleet}/user-data"), desired.user_data.clone());
        for (name, text) in packed(&loaded, fleet)? {
            files.insert(format!("{fleet}/{name}"), text);
        }
        for object in desired
            .side()
            .iter()
            .flat_map(|side| objects::of_fleet(stack, fleet, *side))
        {
            let text = manifests::render(stack, &object).map_err(CliError::new)?;
            files.insert(
                format!("mesh/{}", manifests::file_name(&object.reference)),
                text,
            );
        }
    }
    let tokens = match args.with_token {
        true => tokens(globals, &loaded, args).await?,
        false => BTreeMap::new(),
    };
    let stale = match &args.out {
        Some(folder) => Folder::new(folder, stack).put(&files, &tokens, &args.target)?,
        None => Stale::default(),
    };
    let rendered = Rendered {
        folder: args.out.as_deref(),
        files: &files,
        removed: &stale.removed,
    };
    let text = || match &args.out {
        Some(folder) => written(folder, files.len() + tokens.len(), &stale.removed),
        None => print(&files),
    };
    output.result(text, &rendered)?;
    if !stale.changed.is_empty() {
        output.note(format!(
            "Not rendered any more, and left, since somebody changed it: {}.",
            few(stale.changed.iter().map(String::as_str))
        ));
    }
    Ok(Exit::Done)
}

/// Returns what was packed into the user-data, to show it by itself.
fn packed(loaded: &load::Loaded, fleet: &str) -> Result<Vec<(String, String)>, CliError> {
    let mut fleets = loaded.spec.fleets.values();
    let Some(fleet) = fleets.find(|known| known.name.as_str() == fleet) else {
        return Ok(Vec::new());
    };
    generated(&loaded.spec, fleet, &loaded.named, loaded.mesh.as_ref())
        .map_err(|problem| CliError::input(vec![*problem]))
}

/// Makes the tokens, by the names of their files. They are in no output: whoever has one can use it.
async fn tokens(
    globals: &Globals,
    loaded: &load::Loaded,
    args: &RenderArgs,
) -> Result<BTreeMap<String, SecretString>, CliError> {
    let named = mesh::cluster(&loaded.spec, &loaded.context, &globals.calls);
    let (Some(named), Some(tokens)) = (named, loaded.desired.tokens) else {
        return Err(
            CliError::new("there is no cluster that makes tokens for these fleets")
                .with_hint("add `mesh: {kubernetes: {}}` and a sidecar, or leave --with-token out"),
        );
    };
    let mut made = BTreeMap::new();
    for (fleet, desired) in &loaded.desired.fleets {
        let Some(membership) = &desired.membership else {
            continue;
        };
        if !args.target.is_empty() && !args.target.contains(fleet) {
            continue;
        }
        let namespace = membership.namespace.as_str();
        let account = membership.service_account.as_str();
        let token = named
            .cluster
            .request_token(namespace, account, None, tokens.ttl)
            .await;
        let token = token.map_err(|error| {
            let mut failure = CliError::of(&error);
            failure.hint = error.hint();
            failure
        })?;
        made.insert(format!("{fleet}/{TOKEN_FILE}"), token);
    }
    Ok(made)
}

/// Says how many files were written, and removed.
fn written(folder: &Path, count: usize, removed: &[String]) -> String {
    let mut text = format!(
        "{} written to {}.\n",
        counted(count as u64, "file"),
        folder.display()
    );
    if !removed.is_empty() {
        let names = few(removed.iter().map(String::as_str));
        text.push_str(&format!("Removed, since rendered no more: {names}.\n"));
    }
    text
}

fn print(files: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (name, content) in files {
        text.push_str(&format!(
            "{}\n{content}",
            paint(STRONG, format!("# {name}"))
        ));
        if !content.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
    }
    text
}
