//! A write and what it does to ownership.

use serde_json::{Value, json};
use thiserror::Error;

use super::compare::{Difference, compare};
use super::managers::{Manager, Managers, Owned, server_fields};
use super::merge::{merge, prune, without_nulls};
use super::value::fields_of;
use super::{BadFields, FieldSet};
use crate::kube::schema::Schema;

/// Why a write of fields is refused.
#[derive(Debug, Error)]
pub enum Refused {
    /// Others own fields with other values.
    #[error("{}", conflict_text(.0))]
    Conflict(Vec<(Manager, String)>),
    /// The ownership in an object cannot be read.
    #[error(transparent)]
    Fields(#[from] BadFields),
}

/// Who writes, when, and what is not his to write.
#[derive(Debug)]
pub struct Writer {
    /// Who.
    pub manager: Manager,
    /// In which version.
    pub version: String,
    /// When.
    pub time: String,
    /// The fields that a write here never changes, such as `status`.
    pub reset: FieldSet,
}

/// Applies an object to a live one. Returns the merged object, without `managedFields`, and who
/// owns what then.
///
/// # Errors
///
/// When others own what is applied, and it is not forced.
pub fn apply(
    schema: &Schema,
    live: &Value,
    applied: &Value,
    writer: &Writer,
    force: bool,
) -> Result<(Value, Managers), Refused> {
    let mut managers = Managers::of(live)?;
    let live = bare(live);
    let applied = bare(applied);
    let merged = merge(schema, &live, &applied);
    let last = managers.0.get(&writer.manager).map(|o| o.fields.clone());
    let fields = fields_of(schema, &applied);
    let fields = fields
        .difference(&server_fields())
        .recursive_difference(&writer.reset);
    managers
        .0
        .insert(writer.manager.clone(), writer.owning(fields));
    let pruned = prune(
        schema,
        merged,
        &last.unwrap_or_default(),
        &managers.owned().union(&kept()),
    );
    let pruned = without_nulls(pruned);
    let difference = compare(schema, &live, &pruned);
    settle(&mut managers, &difference, &writer.manager, force)?;
    managers.strip(&server_fields());
    Ok((pruned, managers))
}

/// Returns who owns what after an object became another by a write of any other kind.
///
/// # Errors
///
/// When the ownership in the object cannot be read.
pub fn update(
    schema: &Schema,
    live: &Value,
    new: &Value,
    mut managers: Managers,
    writer: &Writer,
) -> Result<Managers, Refused> {
    let difference = compare(schema, &bare(live), &bare(new));
    settle(&mut managers, &difference, &writer.manager, true)?;
    let own = managers.0.get(&writer.manager).map(|o| o.fields.clone());
    let fields = own
        .unwrap_or_default()
        .difference(&difference.removed)
        .union(&difference.modified)
        .union(&difference.added)
        .recursive_difference(&writer.reset)
        .difference(&server_fields());
    managers
        .0
        .insert(writer.manager.clone(), writer.owning(fields));
    managers.strip(&server_fields());
    Ok(managers)
}

impl Writer {
    fn owning(&self, fields: FieldSet) -> Owned {
        Owned {
            version: self.version.clone(),
            time: self.time.clone(),
            fields,
        }
    }
}

/// Takes from the other managers what the writer changed.
fn settle(
    managers: &mut Managers,
    difference: &Difference,
    writer: &Manager,
    force: bool,
) -> Result<(), Refused> {
    let changed = difference.modified.union(&difference.added);
    let mut conflicts = Vec::new();
    for (manager, owned) in managers.0.iter_mut().filter(|(m, _)| *m != writer) {
        let taken = owned.fields.intersection(&changed);
        let paths = taken.paths().into_iter();
        conflicts.extend(paths.map(|path| (manager.clone(), path)));
        owned.fields = owned
            .fields
            .difference(&taken)
            .difference(&difference.removed);
    }
    if conflicts.is_empty() || force {
        Ok(())
    } else {
        Err(Refused::Conflict(conflicts))
    }
}

/// Returns an object without its ownership.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// The server's fields are never pruned, though nobody owns them.
fn kept() -> FieldSet {
    server_fields()
}

/// Returns the text of a conflict, as the server writes it.
pub fn conflict_text(conflicts: &[(Manager, String)]) -> String {
    if let [(manager, path)] = conflicts {
        let who = manager.said();
        return format!("Apply failed with 1 conflict: conflict with {who}: {path}");
    }
    let mut by_manager: std::collections::BTreeMap<String, Vec<String>> = Default::default();
    for (manager, path) in conflicts {
        let paths = by_manager.entry(manager.said()).or_default();
        paths.push(format!("- {path}"));
    }
    let said: Vec<String> = by_manager
        .iter()
        .map(|(who, paths)| format!("conflicts with {who}:\n{}", paths.join("\n")))
        .collect();
    let count = conflicts.len();
    format!("Apply failed with {count} conflicts: {}", said.join("\n"))
}

/// Returns the causes of a conflict, as the `Status` has them.
pub fn conflict_causes(conflicts: &[(Manager, String)]) -> Vec<Value> {
    let causes = conflicts.iter().map(|(manager, path)| {
        json!({
            "reason": "FieldManagerConflict",
            "message": format!("conflict with {}", manager.said()),
            "field": path,
        })
    });
    causes.collect()
}
