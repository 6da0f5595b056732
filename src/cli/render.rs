//! `meshvm render`: every file that would be generated, printed or written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::output::Output;
use super::{CliError, Exit, Globals, load};
use crate::bootstrap;
use crate::mesh::{manifests, objects};
use crate::show::{STRONG, counted, paint};

#[derive(Clone, Debug, Args)]
pub struct RenderArgs {
    /// Write the files into this folder instead of printing them
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
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

pub fn run(globals: &Globals, args: &RenderArgs, output: &Output) -> Result<Exit, CliError> {
    let loaded = load::load(globals, output)?;
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
        for (name, text) in bootstrap_files(&loaded, fleet)? {
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
    if let Some(folder) = &args.out {
        for (name, text) in &files {
            write(&folder.join(name), text)?;
        }
    }
    let rendered = Rendered {
        folder: args.out.as_deref(),
        files: &files,
    };
    let text = || match &args.out {
        Some(folder) => format!(
            "{} written to {}.\n",
            counted(files.len() as u64, "file"),
            folder.display()
        ),
        None => print(&files),
    };
    output.result(text, &rendered)?;
    Ok(Exit::Done)
}

/// Renders again what was packed into the user-data, to show it by itself.
fn bootstrap_files(loaded: &load::Loaded, fleet: &str) -> Result<Vec<(String, String)>, CliError> {
    let Some(spec) = loaded
        .spec
        .fleets
        .values()
        .find(|f| f.name.as_str() == fleet)
    else {
        return Ok(Vec::new());
    };
    let request = bootstrap::Request {
        stack: &loaded.desired.stack,
        fleet,
        sidecar: loaded.spec.sidecar.as_ref(),
        bootstrap: &spec.body.bootstrap,
        istio: None,
        own_template: None,
    };
    let rendered = bootstrap::render(&request).map_err(|error| CliError::of(&error))?;
    Ok(rendered.files)
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| {
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
