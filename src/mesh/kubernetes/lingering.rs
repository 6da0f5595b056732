//! Objects that were deleted and that finalizers keep: they are waited for, as kubectl does, and not
//! for ever.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{FEW, Known, Kubernetes};
use crate::mesh::{Lingering, MeshError, ObjectRef};

/// How long all of them may take together. Whoever cleans up by itself takes seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long is waited before each look, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));

impl Kubernetes {
    /// Waits until objects are gone that were asked to go; each is the one with its id.
    ///
    /// # Errors
    /// [`MeshError::Lingering`] when some are still there, and those of the cluster.
    pub(super) async fn until_gone(
        &self,
        stack: &str,
        mut left: BTreeMap<ObjectRef, Known>,
    ) -> Result<(), MeshError> {
        let until = Instant::now() + PATIENCE;
        let (mut pause, longest) = PAUSES;
        while !left.is_empty() {
            if Instant::now() >= until {
                let left = left.into_iter().map(|(object, known)| Lingering {
                    object,
                    kept_by: known.ending.unwrap_or_default(),
                });
                return Err(MeshError::Lingering(left.collect()));
            }
            tokio::time::sleep(pause).await;
            pause = longest.min(pause * 2);
            let any = |_: &Known, _: &str| true;
            let (mut found, _) = self.sort_out(stack, left.keys(), any, FEW).await?;
            left.retain(|object, known| {
                let same = found.remove(object).filter(|now| now.uid == known.uid);
                // What is not on its way out any more was made anew under the same name.
                match same.filter(|now| now.ending.is_some()) {
                    Some(now) => {
                        known.ending = now.ending;
                        true
                    }
                    None => false,
                }
            });
        }
        Ok(())
    }
}
