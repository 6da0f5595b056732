//! Asks a person before something is done.

use std::io::{BufRead, Write};

use super::CliError;
use super::output::Output;

/// Asks for the word that approves; anything else is a no.
///
/// # Errors
/// When nobody can answer: a pipeline has to say -y.
pub fn approve(output: &Output, question: &str, word: &str) -> Result<bool, CliError> {
    if !output.is_interactive() {
        return Err(
            CliError::new("nobody is here to be asked, and nothing was done")
                .with_hint("pass -y to go ahead without asking"),
        );
    }
    anstream::eprint!("{question} Only `{word}` is a yes: ");
    std::io::stderr().flush().ok();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| CliError::of(&error))?;
    Ok(answer.trim() == word)
}
