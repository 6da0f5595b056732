//! Rendering: from a request to the text of the user-data.
//!
//! The values that templates see, a user's own template too:
//!
//! | value | what |
//! |---|---|
//! | `stack`, `fleet` | the names |
//! | `bootstrap` | the text of the bootstrap script |
//! | `bootstrapPath` | where the script must be on the machine |
//! | `writeFiles` | what must be on the machine before the script runs, the script itself too: `what`, `path`, `owner`, `permissions`, `encoding`, `content`, as cloud-init's `write_files` has them |
//! | `sidecar` | null, or `version`, `unit`, `readyUrl`, `packages` (`machine`, `name`, `url`, `sha256`) |
//! | `packages` | names |
//! | `files` | `path`, `mode`, `owner`, `content`, `staged` (where the script takes it from) |
//! | `run` | `number`, `text` |
//! | `istio` | null, or `files` (with the fields of those above), `hosts` (null, or `name`, `address`, `resolve`), `machineEnv` (`key`, `value`), `token` |
//!
//! A template of the user's own writes all of `writeFiles` and runs
//! `/bin/bash` with `bootstrapPath`, or does their work itself.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::gzip::gzip;
use super::istio::{self, IstioValues};
use super::template::{Author, Checked, Own, TemplateError};
use super::{Rendered, Request, SCRIPT_PATH, STAGING_DIR, arch_name, media_name, quote};

/// The parts of the script. Each may use what those before it define.
const SCRIPT: &str = concat!(
    include_str!("../../templates/cloud-init/bootstrap/start.sh.hbs"),
    include_str!("../../templates/cloud-init/bootstrap/packages.sh.hbs"),
    include_str!("../../templates/cloud-init/bootstrap/sidecar.sh.hbs"),
    include_str!("../../templates/cloud-init/bootstrap/istio.sh.hbs"),
    include_str!("../../templates/cloud-init/bootstrap/main.sh.hbs"),
);
static BOOTSTRAP: Own = Own::new(|| Checked::new(&without_comments(SCRIPT), Author::Meshvm));
static USER_DATA: Own = Own::new(|| {
    const SOURCE: &str = include_str!("../../templates/cloud-init/user-data.yaml.hbs");
    Checked::new(SOURCE, Author::Meshvm)
});

/// What cloud-init knows user-data by
/// (<https://cloudinit.readthedocs.io/en/latest/explanation/format.html>).
const HEADERS: [&str; 9] = [
    "#cloud-config\n",
    "#cloud-config-archive\n",
    "#cloud-boothook\n",
    "#!",
    "#include",
    "#part-handler\n",
    "## template: jinja\n",
    "Content-Type: multipart/mixed",
    "MIME-Version:",
];

/// Why a bootstrap cannot be rendered.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum RenderError {
    /// A value holds a NUL byte, which no shell can take.
    #[error("`{field}` holds a NUL byte")]
    Nul {
        /// The place of the value, as a dotted path.
        field: String,
    },
    /// A file has a path that no file can have.
    #[error("`{path}` is not the path of a file: it must start with / and not end with it")]
    Path {
        /// The path.
        path: String,
    },
    /// A variable has a name that no shell takes.
    #[error("`{key}` is not the name of a variable of the shell")]
    Variable {
        /// The name.
        key: String,
    },
    /// A host has a name that no host can have.
    #[error("`{name}` is not the name of a host")]
    HostName {
        /// The name.
        name: String,
    },
    /// A template is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// cloud-init would take no notice of what the user's template makes.
    #[error(
        "the template makes user-data that starts with `{first_line}`, and cloud-init would ignore it; \
         start the template with `#cloud-config`"
    )]
    NoHeader {
        /// The first line of the user-data.
        first_line: String,
    },
}

/// Renders the user-data of a fleet.
///
/// The same request gives the same bytes.
///
/// # Errors
/// A value that the machine could not take, or a wrong template of the user's.
pub fn render(request: &Request<'_>) -> Result<Rendered, RenderError> {
    let values = Values::new(request);
    let mut context = json!(values);
    if let Some(path) = quote::find_nul(&context) {
        let field = path.join(".");
        return Err(RenderError::Nul { field });
    }
    request.istio.map_or(Ok(()), istio::check)?;
    for file in &values.files {
        if !file.path.starts_with('/') || file.path.ends_with('/') {
            let path = file.path.to_owned();
            return Err(RenderError::Path { path });
        }
    }
    let script = BOOTSTRAP.fill(&context)?;
    context["bootstrap"] = json!(script);
    context["bootstrapPath"] = json!(SCRIPT_PATH);
    context["writeFiles"] = json!(write_files(&values, &script));
    let user_data = match request.own_template {
        None => USER_DATA.fill(&context)?,
        Some(own) => user_data_of(own, &context)?,
    };
    Ok(Rendered {
        user_data,
        files: vec![("bootstrap.sh".to_owned(), script)],
    })
}

/// Leaves out the comments of the script, but for those at its top: a quarter of what it would
/// take of the little that clouds accept. No value is in it yet that could look like one.
fn without_comments(script: &str) -> String {
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let top = script.lines().take_while(|line| is_comment(line)).count();
    let lines = script.lines().enumerate();
    lines
        .filter(|(index, line)| *index < top || !is_comment(line))
        .map(|(_, line)| format!("{line}\n"))
        .collect()
}

fn user_data_of(own: &str, context: &Value) -> Result<String, RenderError> {
    let user_data = Checked::new(own, Author::User)?.fill(context)?;
    // cloud-init takes both line ends.
    let unix = user_data.replace("\r\n", "\n");
    if HEADERS.iter().any(|header| unix.starts_with(header)) {
        return Ok(user_data);
    }
    let first_line = unix.lines().next().unwrap_or_default();
    Err(RenderError::NoHeader {
        first_line: first_line.chars().take(60).collect(),
    })
}

/// What templates see of a request.
#[derive(Serialize)]
struct Values<'a> {
    stack: &'a str,
    fleet: &'a str,
    sidecar: Option<SidecarValues<'a>>,
    packages: &'a [String],
    files: Vec<FileValues<'a>>,
    run: Vec<Command<'a>>,
    istio: Option<IstioValues<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SidecarValues<'a> {
    version: &'a str,
    unit: &'a str,
    ready_url: &'a str,
    packages: Vec<PackageValues<'a>>,
}

#[derive(Serialize)]
struct PackageValues<'a> {
    /// The machines that it is for: their package manager and architecture.
    machine: String,
    name: String,
    /// Empty when the machine gets the package from its provider alone.
    url: &'a str,
    sha256: &'a str,
}

/// A file of a machine.
#[derive(Serialize)]
pub(super) struct FileValues<'a> {
    pub(super) path: &'a str,
    pub(super) mode: &'a str,
    pub(super) owner: &'a str,
    pub(super) content: Cow<'a, str>,
    /// Where the script finds it, in the folder of what is staged.
    pub(super) staged: String,
}

#[derive(Serialize)]
struct Command<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Values<'a> {
    fn new(request: &Request<'a>) -> Self {
        let bootstrap = request.bootstrap;
        let sidecar = request.sidecar.map(|sidecar| SidecarValues {
            version: &sidecar.version,
            unit: &sidecar.unit,
            ready_url: &sidecar.ready_url,
            packages: sidecar
                .packages
                .iter()
                .map(|package| PackageValues {
                    machine: format!(
                        "{} {}",
                        package.format.as_str(),
                        arch_name(package.format, package.arch)
                    ),
                    name: media_name(package),
                    url: package.url.as_deref().unwrap_or_default(),
                    sha256: &package.sha256,
                })
                .collect(),
        });
        let istio = request.sidecar.and(request.istio).map(IstioValues::new);
        Self {
            stack: request.stack,
            fleet: request.fleet,
            sidecar,
            packages: &bootstrap.packages,
            files: (1..)
                .zip(&bootstrap.files)
                .map(|(number, file): (usize, _)| FileValues {
                    path: &file.path,
                    mode: &file.mode.0,
                    owner: &file.owner,
                    content: Cow::from(&file.content),
                    staged: format!("files/{number}"),
                })
                .collect(),
            run: (1..)
                .zip(&bootstrap.run)
                .map(|(number, text)| Command { number, text })
                .collect(),
            istio,
        }
    }
}

/// An entry of cloud-init's `write_files`.
#[derive(Serialize)]
struct WriteFile {
    what: String,
    path: String,
    owner: &'static str,
    permissions: &'static str,
    encoding: &'static str,
    content: String,
}

impl WriteFile {
    fn new(what: String, path: String, content: &str) -> Self {
        let plain = STANDARD.encode(content);
        let packed = STANDARD.encode(gzip(content.as_bytes()));
        let (encoding, content) = match packed.len() < plain.len() {
            true => ("gz+b64", packed),
            false => ("b64", plain),
        };
        Self {
            what,
            path,
            owner: "root:root",
            permissions: "0600",
            encoding,
            content,
        }
    }
}

fn write_files(values: &Values<'_>, script: &str) -> Vec<WriteFile> {
    let istio = values.istio.iter().flat_map(|istio| &istio.files);
    let staged = values.files.iter().chain(istio).map(|file| {
        let path = format!("{STAGING_DIR}/{}", file.staged);
        WriteFile::new(format!("file {}", file.path), path, &file.content)
    });
    let what = "the bootstrap script".to_owned();
    let script = WriteFile::new(what, SCRIPT_PATH.to_owned(), script);
    staged.chain([script]).collect()
}
