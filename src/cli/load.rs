//! Reads everything that a command works from: files, variables, the stack's places.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use meshvm_provider_api::Progress;
use meshvm_provider_sim::{FaultPlan, SimCloud};
use sha2::{Digest, Sha256};

use super::lacking::{self, Lacking};
use super::mesh::{self, Ask};
use super::output::Output;
use super::{CliError, Globals};
use crate::bootstrap;
use crate::desired::{Desired, DesiredFleet, NamedFiles, expand};
use crate::diag::{Code, Diagnostic, Severity};
use crate::engine::Engine;
use crate::ledger::{Clock, Ledger};
use crate::mesh::Target;
use crate::mesh::kubernetes::MeshRead;
use crate::plan::Context;
use crate::preflight;
use crate::providers::{self, Connections, Kinds, Metrics};
use crate::spec::{self, FleetSpec, Inputs, Source};

/// The provider of the simulated cloud.
const SIM: &str = "sim";
/// What of the environment sets a variable.
const VAR_PREFIX: &str = "MESHVM_VAR_";

/// A fleet file, read and checked.
pub struct Loaded {
    /// What it says.
    pub spec: FleetSpec,
    /// What it asks for.
    pub desired: Desired,
    /// Where it is applied.
    pub context: Context,
    /// The files that it names.
    pub named: NamedFiles,
    /// What its mesh says of itself, where that was asked.
    pub mesh: Option<MeshRead>,
    /// What it does not say, and new machines would have to be told.
    pub lacking: Lacking,
    /// That it could not be asked, where that is no reason to stop; told already.
    pub unread: Option<Diagnostic>,
}

/// Reads and checks the fleet file, and reads the mesh that it names where `ask` says so.
pub async fn load(globals: &Globals, output: &Output, ask: Ask) -> Result<Loaded, CliError> {
    let names = globals.files();
    let files = read_sources(&names, output)?;
    let base_dir = base_dir(&names)?;
    let inputs = Inputs {
        var_files: read_sources(&globals.var_file, output)?,
        vars: vars(&globals.var)?,
        env: env_vars(),
        base_dir: base_dir.clone(),
        files,
    };
    let kinds = pure_kinds();
    let pure: Vec<&dyn meshvm_provider_api::Kind> = kinds.values().map(AsRef::as_ref).collect();
    let mut spec = spec::parse(&inputs, &pure).map_err(CliError::input)?;
    let named = named_files(&spec, &base_dir).map_err(CliError::input)?;
    let mut context = context(globals, &spec, &base_dir);
    let calls = &globals.calls;
    let read = match ask {
        Ask::Mesh | Ask::Plan | Ask::Status | Ask::Obstacles | Ask::Advice | Ask::Preflight => {
            mesh::read(&spec, &context, calls).await
        }
        Ask::Nobody => Ok(None),
    };
    let (mesh, mut unread) = match read {
        Err(error) if ask == Ask::Status => (None, Some(mesh::unread_warning(error))),
        read => (read?, None),
    };
    if let Some(read) = &mesh {
        context.mesh_read = mesh::reading(&spec, &read.facts);
    }
    let mut found = match (ask, &mesh) {
        (Ask::Obstacles, Some(read)) => {
            mesh::preflight(&spec, &context, read, false, calls).await?
        }
        (Ask::Preflight, Some(read)) => mesh::preflight(&spec, &context, read, true, calls).await?,
        (Ask::Advice, Some(read)) => {
            let found = mesh::preflight(&spec, &context, read, true, calls).await?;
            // Whoever validates may be another than who applies.
            let weaken = |found: Diagnostic| match found.code == Code::NotAllowed {
                true => found.as_warning(),
                false => found,
            };
            found.into_iter().map(weaken).collect()
        }
        (Ask::Mesh | Ask::Plan | Ask::Status, Some(read)) => preflight::at_a_glance(&spec, read),
        (_, None) | (Ask::Nobody, Some(_)) => Vec::new(),
    };
    let accounts = match &mesh {
        Some(read) => mesh::accounts(&spec, &context, read, calls).await,
        None => Ok(BTreeMap::new()),
    };
    let accounts = match ask {
        // Whoever may not list them is told so when the objects are listed.
        Ask::Status => accounts.unwrap_or_default(),
        Ask::Mesh | Ask::Plan | Ask::Obstacles | Ask::Advice | Ask::Preflight | Ask::Nobody => {
            accounts?
        }
    };
    found.extend(unread.clone());
    let expanded = expand(&spec, &named, mesh.as_ref());
    let (mut expanded, lacking) = lacking::split(expanded, accounts, ask, &mut found);
    if ask == Ask::Status {
        // Whoever looks at machines makes none: what would keep new ones out is in nobody's way.
        found = found.into_iter().map(Diagnostic::as_warning).collect();
        if let (Err(problems), Some(_), None) = (&mut expanded, &mesh, &unread) {
            problems.retain(|problem| !follows(problem, &found));
            found.extend(problems.drain(..).map(Diagnostic::as_warning));
            unread = found.first().cloned();
            expanded = expand(&spec, &named, None).map(|expanded| expanded.desired);
        }
    }
    if let (Ok(desired), Ask::Obstacles | Ask::Advice | Ask::Preflight) = (&expanded, ask) {
        found.extend(mesh::foreign(&spec, &context, desired, calls).await?);
    }
    if let Some(read) = &mesh {
        found.extend(mesh::overridden(&spec, read));
    }
    let desired = match expanded {
        Ok(mut desired) => {
            if globals.simulate {
                // There is nobody who would make them, and no machine that would use them.
                desired.tokens = None;
            }
            found.extend(check_sizes(&spec, &desired, &kinds));
            found.extend(check_tokens(&spec, &desired, &kinds));
            Some(desired)
        }
        Err(mut problems) => {
            problems.retain(|problem| !follows(problem, &found));
            found.extend(problems);
            None
        }
    };
    // All that is wrong is told at once, and what is only doubtful beside it.
    spec.warnings.extend(found);
    let is_sound = spec
        .warnings
        .iter()
        .all(|f| f.severity == Severity::Warning);
    let Some(desired) = desired.filter(|_| is_sound) else {
        return Err(CliError::input(spec.warnings));
    };
    output.warnings(&spec.warnings);
    Ok(Loaded {
        spec,
        desired,
        context,
        named,
        mesh,
        lacking,
        unread,
    })
}

/// Returns whether a problem has its reason among those that were found: in a namespace that is not
/// there nobody could have left a certificate.
fn follows(problem: &Diagnostic, found: &[Diagnostic]) -> bool {
    let is_reason = |other: &Diagnostic| {
        matches!(other.code, Code::NoNamespace | Code::NamespaceEnds)
            && other.place == problem.place
    };
    problem.code == Code::NoRootCert && found.iter().any(is_reason)
}

/// Returns whose user-data is more than their cloud takes.
fn check_sizes(spec: &FleetSpec, desired: &Desired, kinds: &Kinds) -> Vec<Diagnostic> {
    let too_large = |(name, fleet): (&String, &DesiredFleet)| {
        let kind = kinds.get(fleet.template.scope.provider.as_str())?;
        let error = bootstrap::encode(&fleet.user_data, &kind.info().user_data).err()?;
        let mut diagnostic = Diagnostic::error(Code::Provider, format!("fleet `{name}`: {error}"))
            .about(name)
            .with_hint("let the machines fetch what is large: a package, an image, a download");
        diagnostic.place = spec.place(&["fleets", name, "bootstrap"]);
        Some(diagnostic)
    };
    desired.fleets.iter().filter_map(too_large).collect()
}

/// Returns where tokens go elsewhere than to their machines alone: errors, and warnings where the
/// file lets them.
fn check_tokens(spec: &FleetSpec, desired: &Desired, kinds: &Kinds) -> Vec<Diagnostic> {
    let Some(tokens) = desired.tokens else {
        return Vec::new();
    };
    let path = ["identity", "serviceAccountToken", "allowTokenInUserData"];
    let place = spec.place(&path);
    let mut found = Vec::new();
    for (name, fleet) in &desired.fleets {
        let provider = fleet.template.scope.provider.as_str();
        let is_private = kinds
            .get(provider)
            .is_some_and(|kind| kind.info().private_files);
        if fleet.membership.is_none() || is_private {
            continue;
        }
        if tokens.in_user_data {
            let text = format!("the tokens of fleet `{name}` are in its machines' user-data");
            let mut diagnostic = Diagnostic::warning(Code::OpenToken, text)
                .about(name)
                .with_hint("whoever may read user-data can use a token until it expires");
            diagnostic.place.clone_from(&place);
            found.push(diagnostic);
        } else {
            let text = format!(
                "the provider `{provider}` of fleet `{name}` cannot hand a token to its machine alone"
            );
            let mut diagnostic = Diagnostic::error(Code::OpenToken, text).about(name).with_hint(
                "write `identity: {serviceAccountToken: {allowTokenInUserData: true}}` to let it be \
                 in the user-data, or `identity: none`",
            );
            diagnostic.place.clone_from(&place);
            found.push(diagnostic);
        }
    }
    found
}

/// Returns the providers of this build for questions that need no cloud.
pub fn pure_kinds() -> Kinds {
    providers::kinds(&SimCloud::memory(FaultPlan::default()))
}

/// Connects to where a plan is applied. Creates nothing but, where it is used, the simulated cloud.
pub fn engine(
    globals: &Globals,
    context: &Context,
    desired: &Desired,
    progress: Progress,
) -> Result<Engine, CliError> {
    let kinds = connected_kinds(context, desired)?;
    let connections = Connections::new(kinds, data_dir(globals)?, progress);
    let fleets = desired.fleets.values();
    let connections = connections.reaching(fleets.map(|fleet| &fleet.template.scope));
    Ok(Engine {
        ledger: Ledger::open(&context.ledger, Path::new("/"), &desired.stack)?,
        connections: Arc::new(connections),
        mesh: mesh::open(context, false, &globals.calls),
        context: context.clone(),
        clock: Clock::system(),
    })
}

/// Returns what clouds and cluster were asked so far.
pub fn metrics(globals: &Globals, engine: &Engine) -> Metrics {
    Metrics {
        cluster: globals.calls.snapshot(),
        ..engine.connections.metrics()
    }
}

fn connected_kinds(context: &Context, desired: &Desired) -> Result<Kinds, CliError> {
    let is_sim = |fleet: &DesiredFleet| fleet.template.scope.provider == SIM;
    let is_used =
        context.simulate || context.sim_cloud.exists() || desired.fleets.values().any(is_sim);
    if !is_used {
        return Ok(pure_kinds());
    }
    let cloud = SimCloud::folder(&context.sim_cloud).map_err(|error| CliError::of(&error))?;
    Ok(if context.simulate {
        providers::simulated(&cloud)
    } else {
        providers::kinds(&cloud)
    })
}

fn context(globals: &Globals, spec: &FleetSpec, base_dir: &Path) -> Context {
    let own = base_dir.join(".meshvm");
    let mesh = mesh::target(spec, base_dir);
    if globals.simulate {
        let simulated = own.join("simulated");
        return Context {
            ledger: file_url(&simulated.join("ledger")),
            mesh_identity: None,
            mesh_read: None,
            mesh_name: mesh.as_ref().map(|_| "the simulated mesh".to_owned()),
            mesh: mesh.map(|_| Target::Manifests(simulated.join("mesh"))),
            simulate: true,
            sim_cloud: simulated.join("cloud"),
        };
    }
    let ledger = match spec.ledger.strip_prefix("file://") {
        Some(path) => file_url(&base_dir.join(path).components().collect::<PathBuf>()),
        None => spec.ledger.clone(),
    };
    Context {
        ledger,
        mesh,
        mesh_identity: None,
        mesh_read: None,
        mesh_name: spec.mesh.as_ref().map(mesh::name),
        simulate: false,
        sim_cloud: own.join("cloud"),
    }
}

fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// Returns the folder of the first fleet file, absolute: relative paths in the file start there.
fn base_dir(files: &[PathBuf]) -> Result<PathBuf, CliError> {
    let first = files.iter().find(|file| file.as_os_str() != "-");
    let folder = first
        .and_then(|file| file.parent())
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::path::absolute(folder)
        .map(|folder| folder.components().collect())
        .map_err(|error| CliError::of(&error))
}

fn read_sources(paths: &[PathBuf], output: &Output) -> Result<Vec<Source>, CliError> {
    let sources: Vec<Source> = paths
        .iter()
        .map(|path| read_source(path))
        .collect::<Result<_, _>>()?;
    for source in &sources {
        output.remember_source(&source.name, &source.text);
    }
    Ok(sources)
}

fn read_source(path: &Path) -> Result<Source, CliError> {
    let name = path.display().to_string();
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    match text {
        Ok(text) => Ok(Source { name, text }),
        Err(error) => {
            let mut failure = CliError::new(format!("cannot read {name}"));
            failure.causes.push(error.to_string());
            Err(if error.kind() == std::io::ErrorKind::NotFound {
                failure.with_hint(
                    "`meshvm init` writes a fleet file to start from; -f names another one",
                )
            } else {
                failure
            })
        }
    }
}

fn vars(set: &[String]) -> Result<BTreeMap<String, String>, CliError> {
    set.iter()
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(CliError::new(format!("--var {pair} has no value"))
                .with_hint("write --var NAME=VALUE")),
        })
        .collect()
}

fn env_vars() -> BTreeMap<String, String> {
    std::env::vars()
        .filter_map(|(key, value)| Some((key.strip_prefix(VAR_PREFIX)?.to_owned(), value)))
        .collect()
}

/// Reads the templates and checks the packages that the fleet file names.
fn named_files(spec: &FleetSpec, base_dir: &Path) -> Result<NamedFiles, Vec<Diagnostic>> {
    let mut named = NamedFiles::default();
    let mut problems = Vec::new();
    let mut report = |field: &[&str], summary: String, hint: Option<&str>| {
        let mut diagnostic = Diagnostic::error(Code::NamedFile, summary);
        diagnostic.place = spec.place(field);
        diagnostic.hint = hint.map(str::to_owned);
        problems.push(diagnostic);
    };
    for (name, fleet) in &spec.fleets {
        if let Some(template) = &fleet.body.bootstrap.template {
            match std::fs::read_to_string(base_dir.join(template)) {
                Ok(text) => {
                    named.templates.insert(template.clone(), text);
                }
                Err(error) => report(
                    &["fleets", name.as_str(), "bootstrap", "template"],
                    format!("cannot read the template `{template}`: {error}"),
                    Some("a relative path starts at the folder of the fleet file"),
                ),
            }
        }
    }
    let packages = spec.sidecar.iter().flat_map(|sidecar| &sidecar.packages);
    for (index, package) in packages.enumerate() {
        let Some(written) = &package.path else {
            continue;
        };
        let path = base_dir.join(written);
        let index = index.to_string();
        match sha256_of(&path) {
            Ok(found) if found == package.sha256 => {
                named.packages.insert(written.clone(), path);
            }
            Ok(found) => report(
                &["sidecar", "packages", &index, "sha256"],
                format!("the package `{written}` has the SHA-256 {found}"),
                Some("if the package is the right one, write that"),
            ),
            Err(error) => report(
                &["sidecar", "packages", &index, "path"],
                format!("cannot read the package `{written}`: {error}"),
                Some("a relative path starts at the folder of the fleet file"),
            ),
        }
    }
    if problems.is_empty() {
        Ok(named)
    } else {
        Err(problems)
    }
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(hasher
                .finalize()
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Returns where the local provider keeps its machines.
///
/// Root's are the computer's, in /var/lib; anybody else's are their own, where
/// the XDG base directories put data (<https://specifications.freedesktop.org/basedir-spec/>).
pub fn data_dir(globals: &Globals) -> Result<PathBuf, CliError> {
    if let Some(folder) = &globals.data_dir {
        return std::path::absolute(folder).map_err(|error| CliError::of(&error));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/meshvm"));
    }
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let data = set("XDG_DATA_HOME").or_else(|| Some(set("HOME")?.join(".local/share")));
    data.map(|data| data.join("meshvm"))
        .ok_or_else(|| CliError::new("HOME is not set").with_hint("name a folder with --data-dir"))
}
