//! `meshvm render`: every file that would be generated, printed or written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::mesh::Ask;
use super::output::Output;
use super::{CliError, Exit, Globals, load, mesh};
use crate::bootstrap::TOKEN_FILE;
use crate::desired::generated;
use crate::mesh::{manifests, objects};
use crate::show::{STRONG, counted, paint};

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
    let mut tokens = 0;
    if let Some(folder) = &args.out {
        for (name, text) in &files {
            write(&folder.join(name), text)?;
        }
        match args.with_token {
            true => tokens = write_tokens(globals, &loaded, args, folder).await?,
            false => remove_tokens(&loaded, args, folder)?,
        }
    }
    let rendered = Rendered {
        folder: args.out.as_deref(),
        files: &files,
    };
    let text = || match &args.out {
        Some(folder) => format!(
            "{} written to {}.\n",
            counted((files.len() + tokens) as u64, "file"),
            folder.display()
        ),
        None => print(&files),
    };
    output.result(text, &rendered)?;
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

/// Makes and writes the tokens, and returns how many. They are in no other output: whoever has one can use it.
async fn write_tokens(
    globals: &Globals,
    loaded: &load::Loaded,
    args: &RenderArgs,
    folder: &Path,
) -> Result<usize, CliError> {
    let mut written = 0;
    let named = mesh::cluster(&loaded.spec, &loaded.context, &globals.calls);
    let (Some(named), Some(tokens)) = (named, loaded.desired.tokens) else {
        return Err(
            CliError::new("there is no cluster that makes tokens for these fleets")
                .with_hint("add `mesh: {kubernetes: {}}` and a sidecar, or leave --with-token out"),
        );
    };
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
        write(&folder.join(fleet).join(TOKEN_FILE), token.expose_secret())?;
        written += 1;
    }
    Ok(written)
}

/// Removes the tokens of an earlier rendering: they are of other files than those that were written.
fn remove_tokens(loaded: &load::Loaded, args: &RenderArgs, folder: &Path) -> Result<(), CliError> {
    for fleet in loaded.desired.fleets.keys() {
        if !args.target.is_empty() && !args.target.contains(fleet) {
            continue;
        }
        let path = folder.join(fleet).join(TOKEN_FILE);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let mut failure = CliError::new(format!("cannot remove {}", path.display()));
                failure.causes.push(error.to_string());
                return Err(failure);
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Writes a file that nobody else can read.
fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = made.and_then(|()| {
        // In one move: what stands there keeps neither its mode nor, as a link, its target.
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        file.persist(path).map(drop).map_err(|error| error.error)
    });
    written.map_err(|error| {
        let mut failure = CliError::new(format!("cannot write {}", path.display()));
        failure.causes.push(error.to_string());
        failure
    })
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
