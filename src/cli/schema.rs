//! `meshvm schema`: the JSON Schema of the fleet file, for editors.

use super::output::Output;
use super::{CliError, Exit, load};
use crate::spec;

pub fn run(output: &Output) -> Result<Exit, CliError> {
    let kinds = load::pure_kinds();
    let pure: Vec<_> = kinds.values().map(AsRef::as_ref).collect();
    let schema = spec::schema(&pure);
    let mut text = serde_json::to_string_pretty(&schema).map_err(|error| CliError::of(&error))?;
    text.push('\n');
    output.text(&text)?;
    Ok(Exit::Done)
}
