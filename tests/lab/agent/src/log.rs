//! The agent's log: a line each on standard output, as the start script keeps it.
//!
//! Tab-separated time, level and text, like a real agent's, so that who reads the one reads the
//! other. Never a token or a key.

use std::io::Write as _;

/// Says what went as it should.
pub fn info(text: impl std::fmt::Display) {
    line("info", text);
}

/// Says what went wrong and may go better by itself.
pub fn warn(text: impl std::fmt::Display) {
    line("warn", text);
}

/// Says what went wrong.
pub fn error(text: impl std::fmt::Display) {
    line("error", text);
}

fn line(level: &str, text: impl std::fmt::Display) {
    let now = jiff::Timestamp::now();
    let mut out = std::io::stdout().lock();
    // Nobody is left to tell that the log has no reader.
    let _ = writeln!(out, "{now:.6}\t{level}\t{text}");
    let _ = out.flush();
}

/// Returns an error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_said = cause.to_string();
        // Many errors repeat their cause in their own words.
        if !said.contains(&cause_said) {
            said = format!("{said}: {cause_said}");
        }
        source = cause.source();
    }
    said
}
