//! What a step did, to be counted and remembered.

use meshvm_provider_api::Machine;

use super::MeshOutcome;

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The machines that it made.
    pub made: Vec<Machine>,
    /// The objects of the mesh that it wrote or deleted.
    pub mesh: MeshOutcome,
}

impl Done {
    pub(super) fn written(objects: usize) -> Self {
        let written = u32::try_from(objects).unwrap_or(u32::MAX);
        let mesh = MeshOutcome {
            written,
            deleted: 0,
        };
        Self {
            mesh,
            ..Self::default()
        }
    }

    pub(super) fn deleted(objects: usize) -> Self {
        let deleted = u32::try_from(objects).unwrap_or(u32::MAX);
        let mesh = MeshOutcome {
            written: 0,
            deleted,
        };
        Self {
            mesh,
            ..Self::default()
        }
    }
}
