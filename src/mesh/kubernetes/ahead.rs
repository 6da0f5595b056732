//! What must be known of objects before they are written or deleted: looked up for all steps of a run
//! together, as a listing tells of many objects and a question of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{FEW, Foreign, Known, Kubernetes};
use crate::mesh::{MeshError, ObjectRef, SECRET};

/// How old what was looked up may be: steps that begin together share it. What changed meanwhile is
/// told by its version where it is deleted, and by its id where it is written.
const FRESH: Duration = Duration::from_secs(2);

/// What a run is going to do with objects, each of them once.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Looked>);

#[derive(Default)]
struct Looked {
    /// The objects that nobody has asked about yet.
    left: BTreeSet<ObjectRef>,
    /// What was found of them, and when.
    found: Option<(Instant, BTreeMap<ObjectRef, Known>, Vec<Foreign>)>,
}

impl Ahead {
    /// Says what is going to be asked about. Secrets are never looked for.
    pub(super) async fn announce(&self, objects: impl Iterator<Item = &ObjectRef>) {
        let objects = objects.filter(|object| object.kind != SECRET);
        *self.0.lock().await = Looked {
            left: objects.cloned().collect(),
            found: None,
        };
    }
}

impl Kubernetes {
    /// Finds out what is known of objects, refusing those of others; with all that were announced,
    /// where these are among them.
    pub(super) async fn own_of_all(
        &self,
        ahead: &Ahead,
        stack: &str,
        references: Vec<&ObjectRef>,
        may: fn(&Known, &str) -> bool,
    ) -> Result<BTreeMap<ObjectRef, Known>, MeshError> {
        // Whoever comes meanwhile waits for the answer, and does not ask again.
        let mut looked = ahead.0.lock().await;
        let Looked { left, found } = &mut *looked;
        if !references.iter().all(|reference| left.contains(*reference)) {
            drop(looked);
            return self.own(stack, references.into_iter(), may, FEW).await;
        }
        let is_fresh = |at: &Instant| at.elapsed() < FRESH;
        if !found.as_ref().is_some_and(|(at, ..)| is_fresh(at)) {
            let at = Instant::now();
            match self.sort_out(stack, left.iter(), may, FEW).await {
                Ok((own, foreign)) => *found = Some((at, own, foreign)),
                // What cannot be asked of one object must not keep the others.
                Err(_) => {
                    left.clear();
                    drop(looked);
                    return self.own(stack, references.into_iter(), may, FEW).await;
                }
            }
        }
        let mut own = BTreeMap::new();
        let mut others = Vec::new();
        if let Some((_, known, foreign)) = found {
            for reference in references {
                left.remove(reference);
                own.extend(known.remove_entry(reference));
                let is_it = |(object, _): &&Foreign| object == reference;
                others.extend(foreign.iter().find(is_it).cloned());
            }
        }
        self.refuse(stack, others).map(|()| own)
    }
}
