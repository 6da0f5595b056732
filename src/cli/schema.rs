//! `meshvm schema`: the JSON Schema of the fleet file, for editors.

use clap::Args;

use super::output::Output;
use super::{CliError, Exit, load};
use crate::show::reference::reference;
use crate::spec;

#[derive(Clone, Debug, Args)]
pub struct SchemaArgs {
    /// Print it for people, as the reference of the fleet file in Markdown
    #[arg(long)]
    markdown: bool,
}

pub fn run(args: &SchemaArgs, output: &Output) -> Result<Exit, CliError> {
    let kinds = load::pure_kinds();
    let pure: Vec<_> = kinds.values().map(AsRef::as_ref).collect();
    let schema = spec::schema(&pure);
    if args.markdown {
        let schema = serde_json::to_value(&schema).map_err(|error| CliError::of(&error))?;
        output.text(&reference(&schema))?;
        return Ok(Exit::Done);
    }
    let mut text = serde_json::to_string_pretty(&schema).map_err(|error| CliError::of(&error))?;
    text.push('\n');
    output.text(&text)?;
    Ok(Exit::Done)
}
