//! Reasons in words. Pure.

use std::fmt;

use meshvm_provider_api::labels;

use super::Reason;
use crate::mesh::kept;

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewFleet => f.write_str("new fleet"),
            Self::ScaledUp => f.write_str("more replicas"),
            Self::ScaledDown => f.write_str("fewer replicas"),
            Self::FileChanged => f.write_str("changed in the file"),
            Self::FleetRemoved => f.write_str("not in the file any more"),
            Self::Missing => f.write_str("gone"),
            Self::Unlabelled => write!(
                f,
                "is there without the label {}; an apply takes it back",
                labels::STACK
            ),
            Self::Surplus => f.write_str("more than asked for"),
            Self::Interrupted => f.write_str("left by an interrupted run"),
            Self::Drifted => f.write_str("changed outside meshvm"),
            Self::Stopped => f.write_str("stopped"),
            Self::Failed { detail } => f.write_str(detail),
            Self::Unhealthy { detail } => write!(f, "takes no traffic: {detail}"),
            Self::Moved => f.write_str("moves to another zone"),
            Self::Requested => f.write_str("asked for"),
            Self::Destroyed => f.write_str("destroy"),
            Self::NotMade => f.write_str("used with `create: false`"),
            Self::Stale => f.write_str("no such machine"),
            Self::MachineGoes => f.write_str("its machine goes"),
            Self::Absent => f.write_str("new"),
            Self::Ending { kept_by } => f.write_str(&kept(kept_by)),
            Self::Extended { by } => write!(f, "has fields that {by} added; an apply leaves them"),
            Self::Registered => f.write_str(
                "was registered otherwise, and stays so until its machine is replaced (--replace)",
            ),
            Self::Left => f.write_str(
                "was registered by a machine that is gone; the control plane deletes it",
            ),
        }
    }
}
