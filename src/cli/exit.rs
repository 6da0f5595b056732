//! Exit codes: a documented table, one exhaustive match.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed, or bad input.
    Failed,
    /// Changes or drift are pending; only with `--detailed-exitcode`.
    Pending,
    /// Refused by a budget or a protection.
    Refused,
    /// The saved plan no longer fits the world.
    OutOfDate,
    /// Somebody else works on the stack.
    Locked,
}

impl Exit {
    /// Returns the code, as documented in the README.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Pending => 2,
            Self::Refused => 3,
            Self::OutOfDate => 4,
            Self::Locked => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
