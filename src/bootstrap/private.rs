//! Private files in user-data, for a cloud that has no other way to hand them over.
//!
//! User-data with such files is a multipart message: the user-data as it was,
//! and a boothook, which cloud-init runs before everything else, that puts the
//! files where the bootstrap looks for them. Whoever may read a machine's
//! user-data can read them, so they must be of use for a short time only.
//!
//! The content is in no log, argument or error, and in what is returned alone.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::template::{Author, Checked, Own, TemplateError};

static BOOTHOOK: Own = Own::new(|| {
    const SOURCE: &str = include_str!("../../templates/cloud-init/private-files.sh.hbs");
    Checked::new(SOURCE, Author::Meshvm)
});

/// The content type of what starts so
/// (<https://cloudinit.readthedocs.io/en/latest/explanation/format.html>); of two that fit, the
/// longer comes first.
const TYPES: [(&str, &str); 9] = [
    ("#include-once", "text/x-include-once-url"),
    ("#include", "text/x-include-url"),
    ("#!", "text/x-shellscript"),
    ("#cloud-config-archive", "text/cloud-config-archive"),
    ("#cloud-config-jsonp", "text/cloud-config-jsonp"),
    ("#cloud-config", "text/cloud-config"),
    ("#part-handler", "text/part-handler"),
    ("#cloud-boothook", "text/cloud-boothook"),
    ("## template: jinja", "text/jinja2"),
];

/// Why private files cannot be put into user-data.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PrivateError {
    /// A name that no such file can have.
    #[error(
        "`{name}` cannot be the name of a private file: only a-z, 0-9, `.`, `_` and `-`, and no `.` first"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// A content with a NUL byte, which no shell can take.
    #[error("the private file `{name}` holds a NUL byte")]
    Nul {
        /// The name.
        name: String,
    },
    /// The boothook cannot be made.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Makes user-data that hands over private files beside what it was.
///
/// The same arguments give the same bytes. A machine finds the files in
/// `/var/lib/meshvm/private`, until its bootstrap has used them up.
///
/// # Errors
/// A name or a content that cannot be handed over.
pub fn with_private_files(
    user_data: &str,
    files: &[(&str, SecretString)],
) -> Result<SecretString, PrivateError> {
    for (name, content) in files {
        let is_fine = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '-');
        if !name.chars().all(is_fine) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let name = (*name).to_owned();
            return Err(PrivateError::Name { name });
        }
        if content.expose_secret().contains('\0') {
            let name = (*name).to_owned();
            return Err(PrivateError::Nul { name });
        }
    }
    let values: Vec<_> = files
        .iter()
        .map(|(name, content)| {
            let sha256 = hex(content.expose_secret());
            json!({"name": name, "content": content.expose_secret(), "sha256": sha256})
        })
        .collect();
    let boothook = BOOTHOOK.fill(&json!({"files": values}))?;
    let parts = [part(user_data), part(&boothook)];
    // No line of a part can be this: it would have to know its own hash.
    let boundary = format!("meshvm-{}", hex(&parts.concat()));
    let [first, second] = parts;
    let message = format!(
        "Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n\
         --{boundary}\n{first}\n--{boundary}\n{second}\n--{boundary}--\n"
    );
    Ok(message.into())
}

/// Writes a text as a part of a message (RFC 2046).
fn part(text: &str) -> String {
    let Some(content_type) = content_type(text) else {
        // A message itself, with headers of its own.
        return text.to_owned();
    };
    // cloud-init reads characters beyond ASCII right in base64 alone.
    let (encoding, body) = match text.is_ascii() {
        true => ("7bit", text.to_owned()),
        false => ("base64", STANDARD.encode(text)),
    };
    format!(
        "Content-Type: {content_type}; charset=\"utf-8\"\n\
         Content-Transfer-Encoding: {encoding}\n\n{body}"
    )
}

/// Returns the type of a text by its start; `None` for a MIME message.
fn content_type(text: &str) -> Option<&'static str> {
    let start: String = text.trim_start().chars().take(64).collect();
    let start = start.to_lowercase();
    if ["content-type:", "mime-version:"]
        .iter()
        .any(|header| start.starts_with(header))
    {
        return None;
    }
    let found = TYPES.iter().find(|(prefix, _)| start.starts_with(prefix));
    // What has no header is for cloud-init to judge.
    Some(found.map_or("text/plain", |(_, content_type)| content_type))
}

fn hex(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
