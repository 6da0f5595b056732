//! What goes wrong with a ledger, in words for people.
//!
//! Invariant: no error shows a credential. URLs that carry one are refused when
//! they are read, and are shown without it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use thiserror::Error;

use super::holder::Holder;
use super::lock::Held;

/// A ledger that could not be used.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The URL names no ledger.
    #[error("`{url}` is not the URL of a ledger: {problem}")]
    BadUrl {
        /// The URL, without what may be a credential.
        url: String,
        /// What is wrong with it.
        problem: UrlProblem,
    },
    /// The name cannot be a part of an object's name.
    #[error("`{0}` is not the name of a stack")]
    BadStack(String),
    /// The folder that the ledger's folder lies in does not exist.
    #[error("the folder {} does not exist", path.display())]
    MissingFolder {
        /// The missing folder.
        path: PathBuf,
    },
    /// A file is where a folder is needed.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What is in the way.
        path: PathBuf,
    },
    /// The store knows the caller and refuses.
    #[error("permission denied: failed to {operation} {object} in {place}")]
    PermissionDenied {
        /// What was tried.
        operation: Operation,
        /// On which object or folder.
        object: String,
        /// In which ledger.
        place: String,
        /// What the store said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The store does not know the caller.
    #[error("credentials not accepted: failed to {operation} {object} in {place}")]
    Unauthenticated {
        /// What was tried.
        operation: Operation,
        /// On which object or folder.
        object: String,
        /// In which ledger.
        place: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// The store failed in a way that only its own words tell.
    #[error("failed to {operation} {object} in {place}")]
    Store {
        /// What was tried.
        operation: Operation,
        /// On which object or folder.
        object: String,
        /// In which ledger.
        place: String,
        /// What the store said.
        source: object_store::Error,
    },
    /// Another writer has the stack.
    #[error(transparent)]
    Locked(Box<Locked>),
    /// This writer had the stack, and has it no longer.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// Others took and gave back the lock over and over while this one tried.
    #[error("the lock of stack `{stack}` changed hands {attempts} times while waiting for it")]
    Contended {
        /// The stack.
        stack: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The lock to break is not the one that is held now.
    #[error("the lock to break has fence {expected}, and now {held} has it with fence {found}")]
    LockMoved {
        /// The fence that was to be broken.
        expected: u64,
        /// The fence of the lock now.
        found: u64,
        /// Who has it now.
        held: Box<Holder>,
    },
    /// An object is there and makes no sense.
    #[error("{object} in {place} is unreadable")]
    Unreadable {
        /// The object.
        object: String,
        /// In which ledger.
        place: String,
        /// Why.
        source: serde_json::Error,
    },
    /// An object was written by a newer meshvm.
    #[error("{object} in {place} has format {found}, and this meshvm reads up to {known}")]
    NewerFormat {
        /// The object.
        object: String,
        /// In which ledger.
        place: String,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// A journal lacks a part that must have been there.
    #[error("{object} is missing from {place}")]
    MissingEntry {
        /// The object that is missing.
        object: String,
        /// In which ledger.
        place: String,
    },
    /// What the caller gave cannot be written as JSON.
    #[error("failed to turn {object} into JSON")]
    Unwritable {
        /// The object that was to hold it.
        object: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The lease's one run was begun before, with another plan.
    #[error("run {fence} has begun before")]
    RunExists {
        /// The run.
        fence: u64,
    },
    /// An earlier append failed, so that what this journal holds is unknown.
    #[error("the journal of run {fence} takes no more entries since one could not be written")]
    WriterBroken {
        /// The run.
        fence: u64,
    },
}

impl LedgerError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::BadUrl { problem, .. } => Some(problem.hint()),
            Self::BadStack(_) => Some("use a-z, 0-9 and -, at most 63 characters".to_owned()),
            Self::MissingFolder { path } => Some(format!(
                "mount it, correct `ledger`, or run `mkdir -p {}`",
                path.display()
            )),
            Self::NotAFolder { .. } => {
                Some("move the file away, or let `ledger` name another folder".to_owned())
            }
            Self::PermissionDenied { .. } => Some(
                "give this user the right to list, read, create and delete there; \
                 a file system that has no hard links cannot hold a ledger"
                    .to_owned(),
            ),
            Self::Unauthenticated { .. } => Some(
                "set the store's credentials in the environment (AWS_*, GOOGLE_* or AZURE_*)"
                    .to_owned(),
            ),
            Self::Store { .. } | Self::WriterBroken { .. } => {
                Some("when the ledger can be reached again, run the command again".to_owned())
            }
            Self::Locked(locked) => Some(locked.hint()),
            Self::LeaseLost(_) => Some(
                "see who works on this stack with `meshvm status`, then run the command again"
                    .to_owned(),
            ),
            Self::Contended { .. } => Some("run the command again".to_owned()),
            Self::LockMoved { .. } => Some("look at the new holder before you break it".to_owned()),
            Self::Unreadable { object, .. } | Self::MissingEntry { object, .. } => {
                Some(if object.starts_with("lock/") {
                    "make sure that no other meshvm works on this stack, then run `meshvm unlock`"
                        .to_owned()
                } else if object.starts_with("scopes/") {
                    "restore it from a backup, or delete it and run `meshvm plan` with a fleet \
                     in each part of a cloud that the stack has used"
                        .to_owned()
                } else {
                    format!(
                        "move {} away; what is lost with it is the exactness of a resume only",
                        object
                            .rsplit_once('/')
                            .map_or(object.as_str(), |(dir, _)| dir)
                    )
                })
            }
            Self::NewerFormat { .. } => Some("upgrade meshvm on this computer".to_owned()),
            Self::RunExists { .. } => Some("release the lock and take it again".to_owned()),
            Self::Unwritable { .. } => None,
        }
    }
}

/// What is wrong with a ledger's URL.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlProblem {
    /// It has no `://`.
    #[error("it has no scheme")]
    NoScheme,
    /// Its scheme is none of ours.
    #[error("no store has the scheme `{0}`")]
    UnknownScheme(String),
    /// Its scheme is ours, and this program was built without it.
    #[error("this meshvm was built without the feature `{0}`")]
    NotBuilt(&'static str),
    /// It has no path, bucket or name.
    #[error("it names no {0}")]
    Nameless(&'static str),
    /// Its path has an empty, relative or unprintable part.
    #[error("its path has an empty, relative or unprintable part")]
    BadPath,
    /// It starts with `~`, which only shells expand.
    #[error("`~` stands for no folder here")]
    Tilde,
    /// It carries a user, a password or a query.
    #[error("it may hold a name and a path only, and no credentials")]
    Credentials,
    /// The store refuses its settings.
    #[error("{0}")]
    Settings(String),
}

impl UrlProblem {
    fn hint(&self) -> String {
        match self {
            Self::NoScheme | Self::UnknownScheme(_) => "use file://FOLDER, s3://BUCKET/PREFIX, \
                 gs://BUCKET/PREFIX or az://CONTAINER/PREFIX"
                .to_owned(),
            Self::NotBuilt(feature) => format!("build it with `--features {feature}`"),
            Self::Nameless(what) => format!("add the {what} after `://`"),
            Self::BadPath => "write the path as a/b/c".to_owned(),
            Self::Tilde => "write the whole path: file:///home/…".to_owned(),
            Self::Credentials => "give credentials, the account and the endpoint in the \
                 environment (AWS_*, GOOGLE_* or AZURE_*)"
                .to_owned(),
            Self::Settings(_) => {
                "see the store's variables in the environment (AWS_*, GOOGLE_* or AZURE_*)"
                    .to_owned()
            }
        }
    }
}

/// What was tried on a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Making an object that is not there.
    Create,
    /// Reading an object.
    Read,
    /// Listing objects.
    List,
    /// Deleting an object.
    Delete,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// A refusal: another writer has the stack.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "stack `{stack}` is locked by {}, since {:.0}, until {:.0} unless renewed",
    held.holder, held.holder.at, held.expires_at
)]
pub struct Locked {
    /// The stack.
    pub stack: String,
    /// Who has it, and for how long.
    pub held: Held,
}

impl Locked {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> String {
        format!(
            "wait for it to end; should process {} on {} be gone, the lock ends by itself at {:.0}, \
             or break it with `meshvm unlock`",
            self.held.holder.pid, self.held.holder.host, self.held.expires_at
        )
    }
}

/// Why a lease is no longer good.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeaseLost {
    /// It was not renewed in time; a later renewal may bring it back.
    #[error("the lock ran out at {at}{}", because(cause.as_deref()))]
    Expired {
        /// The end, with the safety margin taken off.
        at: Timestamp,
        /// Why the last renewal failed.
        cause: Option<String>,
    },
    /// Another writer found it expired and took it.
    #[error("the lock was taken over by {by}")]
    TakenOver {
        /// The other writer.
        by: Box<Holder>,
    },
    /// A person broke it.
    #[error("the lock was broken by {by}")]
    Broken {
        /// The person.
        by: Box<Holder>,
    },
    /// It was given back.
    #[error("the lock was given back")]
    Released,
    /// A later run took over this run's journal.
    #[error("run {by} has taken over")]
    Superseded {
        /// The later run.
        by: u64,
    },
}

fn because(cause: Option<&str>) -> String {
    cause.map_or_else(String::new, |cause| format!(": {cause}"))
}

/// Returns the first I/O error in a chain of causes.
pub(super) fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// Joins a chain of causes into one line, for places that keep no error.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
