//! From texts to a [`FleetSpec`]: the order of the stages, and what each needs of the last.
//!
//! read → merge files → variables → defaults → shape → types → checks → templates.
//!
//! Invariant: a stage that finds problems does not keep the next from looking at what is
//! sound; only texts that are no YAML end the work early, since nothing is known of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use meshvm_provider_api::Kind;

use crate::diag::{Code, Diagnostic};

use super::interpolate::interpolate;
use super::place::{Files, Mark};
use super::problems::Problems;
use super::shape;
use super::tree::{Allowance, Entry, Map, Node, Value};
use super::typed::Work;
use super::vars::{self, Given};
use super::{Document, FleetSpec, Inputs, Source};
use super::{merge, schema, yaml};

/// Providers that are features of meshvm: a build may lack them.
const FEATURES: [&str; 4] = ["aws", "azure", "gcp", "local"];

/// Turns fleet files into what they ask for.
///
/// Pure: the same inputs give the same answer.
///
/// # Errors
/// All problems of all files, sorted by file and position, with the warnings.
pub fn parse(inputs: &Inputs, kinds: &[&dyn Kind]) -> Result<FleetSpec, Vec<Diagnostic>> {
    let files = Arc::new(Files::new(inputs.files.iter().chain(&inputs.var_files)));
    let mut problems = Problems::new(Arc::clone(&files));
    let Some(root) = read(inputs, &mut problems) else {
        return Err(problems.into_sorted());
    };
    let root = finish(root, kinds, &mut problems);
    let missing: Vec<&str> = FEATURES
        .into_iter()
        .filter(|name| kinds.iter().all(|kind| kind.info().name != *name))
        .collect();
    let broken = shape::check(&root, &schema::strict(kinds), &missing, &mut problems);
    let work = Work {
        root: &root,
        json: root.json(),
        kinds,
        missing,
        broken,
        base_dir: &inputs.base_dir,
    };
    let read = work.types(&mut problems);
    let warnings = match problems.has_errors() {
        true => return Err(problems.into_sorted()),
        false => problems.into_sorted(),
    };
    match read {
        Some(parts) => Ok(parts.spec(Document { root, files }, warnings)),
        // Unreachable as long as everything that fails is reported; never a panic for it.
        None => Err(vec![Diagnostic::error(
            Code::Syntax,
            "the fleet file could not be read, and no reason was found",
        )]),
    }
}

/// Reads and merges the files, and puts the variables in.
fn read(inputs: &Inputs, problems: &mut Problems) -> Option<Node> {
    if inputs.files.is_empty() {
        let hint = "name one with -f";
        problems.add(
            None,
            Diagnostic::error(Code::Syntax, "there is no fleet file").with_hint(hint),
        );
        return None;
    }
    let root = read_merged(0, &inputs.files, "a fleet file", problems);
    let first_var_file = inputs.files.len();
    let var_root = read_merged(
        first_var_file,
        &inputs.var_files,
        "a file of variables",
        problems,
    );
    let (mut root, var_root) = (root?, var_root?);
    let given = Given {
        vars: &inputs.vars,
        files: var_root.map(),
        env: &inputs.env,
    };
    let variables = vars::resolve(&root, given, problems);
    interpolate(&mut root, &variables, problems);
    Some(root)
}

/// Reads files and lays each over those before it; `None` when one of them is no map.
fn read_merged(
    first: usize,
    sources: &[Source],
    what: &str,
    problems: &mut Problems,
) -> Option<Node> {
    let file = first;
    let mut merged = Some(Node::new(
        Value::Map(Map::new()),
        Mark {
            file,
            ..Mark::default()
        },
    ));
    for (index, source) in sources.iter().enumerate() {
        let Some(node) = yaml::read(first + index, &source.text, problems) else {
            merged = None;
            continue;
        };
        match &node.value {
            Value::Map(_) => {}
            Value::Null if !node.broken => continue,
            Value::Null | Value::Bool(_) | Value::Number(..) | Value::Text(_) | Value::List(_) => {
                let at = node.locate::<&str>(&[]);
                let summary = format!("{what} must be a map, and this is {}", node.described());
                problems.error(
                    Code::Syntax,
                    &at,
                    summary,
                    "begin with lines such as `name: value`",
                );
                merged = None;
                continue;
            }
        }
        match merged.as_mut() {
            Some(base) if base.map().is_some_and(Map::is_empty) => *base = node,
            Some(base) => merge::overlay(base, node),
            None => {}
        }
    }
    merged
}

/// Lays the defaults under every fleet and drops what is null.
fn finish(mut root: Node, kinds: &[&dyn Kind], problems: &mut Problems) -> Node {
    let is_provider =
        |name: &str| FEATURES.contains(&name) || kinds.iter().any(|kind| kind.info().name == name);
    let defaults = root
        .get("defaults")
        .and_then(|entry| entry.node.map())
        .cloned()
        .unwrap_or_default();
    let mut copies = Allowance::new();
    let fleets = root
        .map_mut()
        .and_then(|map| map.get_mut("fleets"))
        .and_then(|entry| entry.node.map_mut());
    for entry in fleets.into_iter().flat_map(BTreeMap::values_mut) {
        // `web:` with nothing behind it is a fleet without fields, and `local:` a block
        // without fields: both are there.
        be_there(&mut entry.node);
        let Some(fleet) = entry.node.map_mut() else {
            continue;
        };
        for (name, block) in fleet.iter_mut() {
            if is_provider(name) {
                be_there(&mut block.node);
            }
        }
        let wanted = |name: &String| !is_provider(name) || fleet.contains_key(name);
        let defaults: Map = defaults
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(name, entry)| (name.clone(), Entry::clone(entry)))
            .collect();
        if !merge::underlay(fleet, &defaults, &mut copies) {
            let at = root.locate_key(&["defaults"]);
            let summary = format!(
                "the defaults of all fleets together are more than {} MiB",
                Allowance::BYTES >> 20
            );
            problems.error(
                Code::Syntax,
                &at,
                summary,
                "move large values into the fleets that need them",
            );
            break;
        }
    }
    root.drop_nulls();
    root
}

fn be_there(node: &mut Node) {
    if node.value == Value::Null {
        node.value = Value::Map(Map::new());
    }
}
