//! What is written down of a machine: its record, and what its bootstrap reports.
//!
//! The record is the machine: what has no record is no machine, and what has
//! one is listed, however little of it was made. It is written before anything
//! of the machine is started, and deleted after everything else of it is gone.

use std::net::Ipv4Addr;

use meshvm_provider_api::{Attributes, Batch, BatchKey, Hash, Labels, MachineId, Power, Readiness};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::settings::{BackendKind, LocalSettings};

/// The version of the record's form.
const FORMAT: u32 = 1;

/// How far a machine's life came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Phase {
    /// Its `create` is not finished; the same `create` finishes it.
    Making,
    /// It was started once; since then it runs or is stopped.
    Made,
    /// Its `delete` is not finished, and may have taken its disk already.
    Deleting,
}

/// What is known of a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Record {
    /// The version of this form.
    pub format: u32,
    /// Never used before or again: the name with a random ending.
    pub id: MachineId,
    /// The name of the machine and of its folder, derived from its batch.
    pub name: String,
    /// The zone that it was created in.
    pub zone: String,
    /// When it was made, for people.
    pub created: String,
    /// How far its life came.
    pub phase: Phase,
    /// What it is.
    pub backend: BackendKind,
    /// The base image that its disk stands on.
    pub image: String,
    /// What it was made from, or last updated to.
    pub settings: LocalSettings,
    /// The idempotency key that made it.
    pub key: BatchKey,
    /// The hash of the request that made it.
    pub request: Hash,
    /// Its labels.
    pub labels: Labels,
    /// Its address, which no other machine of this folder has.
    pub address: Option<Ipv4Addr>,
}

/// A record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// It was written by another version.
    #[error("the record has format {found}, and this version reads {FORMAT}")]
    Format {
        /// The format that it says it has.
        found: u32,
    },
    /// It is not what this crate writes.
    #[error("the record is damaged")]
    Damaged {
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// What all machines of one batch have in common.
pub(crate) struct Making<'a> {
    pub batch: &'a Batch,
    pub request: Hash,
    pub backend: BackendKind,
    pub image: String,
    pub settings: LocalSettings,
    pub created: String,
}

impl Record {
    /// Makes the record of a machine that is to be made; `random` makes its id unique.
    pub fn new(making: &Making<'_>, name: String, address: Option<Ipv4Addr>, random: Uuid) -> Self {
        let Making {
            batch,
            request,
            backend,
            image,
            settings,
            created,
        } = making;
        Self {
            format: FORMAT,
            id: id(&name, random),
            name,
            zone: batch.zone.clone(),
            created: created.clone(),
            phase: Phase::Making,
            backend: *backend,
            image: image.clone(),
            settings: settings.clone(),
            key: batch.key,
            request: request.clone(),
            labels: batch.all_labels(),
            address,
        }
    }

    /// Reads a record.
    pub fn read(bytes: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |source| RecordError::Damaged { source };
        // The format first: another version's fields would only look damaged.
        let Head { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format != FORMAT {
            return Err(RecordError::Format { found: format });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Returns what the machine is compared by.
    pub fn attributes(&self) -> Attributes {
        let mut attributes = self.settings.attributes();
        attributes.insert("backend".to_owned(), self.backend.to_string().into());
        attributes
    }

    /// Returns the label of a stack.
    pub fn stack(&self) -> Option<&str> {
        self.labels
            .get(meshvm_provider_api::labels::STACK)
            .map(String::as_str)
    }
}

/// How many random digits end an id.
const RANDOM: usize = 8;

fn id(name: &str, random: Uuid) -> MachineId {
    let mut digits = random.simple().to_string();
    digits.truncate(RANDOM);
    MachineId(format!("{name}-{digits}"))
}

/// Returns the name of the machine that an id belongs to; `None` when it is no id of this provider.
pub(crate) fn name_of(id: &MachineId) -> Option<&str> {
    let (name, random) = id.0.rsplit_once('-')?;
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let valid = random.len() == RANDOM && name.chars().all(inner) && !name.is_empty();
    valid.then_some(name)
}

/// Returns what tells one request from another under the same key.
///
/// Where media lie on this computer is not part of it.
pub(crate) fn request_hash(batch: &Batch) -> Result<Hash, serde_json::Error> {
    let mut batch = batch.clone();
    for media in &mut batch.media {
        media.path.clear();
    }
    serde_json::to_vec(&batch).map(Hash::of)
}

/// Returns whether a machine runs; `None` for one that is on its way out.
///
/// `busy` says that a process is at work on it right now.
pub(crate) fn power(phase: Phase, running: bool, busy: bool) -> Option<Power> {
    match (phase, running, busy) {
        (Phase::Deleting, _, true) => None,
        // Whoever deleted it was killed: what is left can only be deleted.
        (Phase::Deleting, _, false) => Some(Power::Broken),
        (Phase::Making | Phase::Made, true, _) => Some(Power::Running),
        (Phase::Making, false, true) => Some(Power::Starting),
        (Phase::Making, false, false) | (Phase::Made, false, _) => Some(Power::Stopped),
    }
}

/// Returns how far a bootstrap came, from the text that it reports.
pub(crate) fn readiness(report: Option<&[u8]>) -> Readiness {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum State {
        Working,
        Ready,
        Failed,
    }
    #[derive(Deserialize)]
    struct Report {
        state: State,
        #[serde(default)]
        step: Option<String>,
        #[serde(default)]
        reason: Option<String>,
    }
    let Some(report) = report else {
        return Readiness::Waiting;
    };
    match serde_json::from_slice::<Report>(report) {
        Ok(Report {
            state,
            step,
            reason,
        }) => match state {
            State::Working => Readiness::Waiting,
            State::Ready => Readiness::Ready,
            State::Failed => {
                let reason = reason.unwrap_or_else(|| "no reason given".to_owned());
                let reason = match step {
                    Some(step) => format!("{step}: {reason}"),
                    None => reason,
                };
                Readiness::Failed { reason }
            }
        },
        Err(error) => Readiness::Failed {
            reason: format!("what the bootstrap reports cannot be read: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use meshvm_provider_api::{Media, Ownership};

    use super::*;

    fn batch() -> Batch {
        let key = BatchKey(Uuid::from_u128(7));
        Batch {
            key,
            ownership: Ownership {
                stack: "s".into(),
                fleet: "f".into(),
                batch: Some(key),
                spec: Hash::of("spec"),
                user_data: None,
            },
            labels: Labels::new(),
            zone: "local".into(),
            count: 1,
            template: LocalSettings::default().template().unwrap(),
            user_data: "#cloud-config\n".into(),
            media: vec![Media {
                name: "a".into(),
                path: "/here/a".into(),
                sha256: "0".into(),
            }],
        }
    }

    fn record() -> Record {
        let batch = batch();
        let making = Making {
            request: request_hash(&batch).unwrap(),
            batch: &batch,
            backend: BackendKind::Container,
            image: "i".into(),
            settings: LocalSettings::default(),
            created: "now".into(),
        };
        let name = batch.key.machine_name("f", 0);
        Record::new(&making, name, None, Uuid::from_u128(9 << 96))
    }

    #[test]
    fn a_record_survives_its_file() {
        let record = record();
        let bytes = serde_json::to_vec(&record).unwrap();
        assert_eq!(Record::read(&bytes).unwrap(), record);
        assert_eq!(record.id.0, "f-00000000-0-00000009");
        assert_eq!(name_of(&record.id), Some("f-00000000-0"));
        assert_eq!(record.attributes()["backend"], "container");
        assert_eq!(record.stack(), Some("s"));

        let newer = br#"{"format": 2, "what": "ever"}"#;
        let error = Record::read(newer).unwrap_err();
        assert!(matches!(error, RecordError::Format { found: 2 }), "{error}");
        assert!(Record::read(b"{}").is_err());
    }

    #[test]
    fn other_ids_are_nobodys() {
        for id in [
            "",
            "i-0123",
            "..-00000000",
            "../x-00000000",
            "-00000000",
            "x",
        ] {
            assert_eq!(name_of(&id.into()), None, "{id}");
        }
    }

    #[test]
    fn a_request_is_all_but_where_media_lie() {
        let hash = |batch: &Batch| request_hash(batch).unwrap();
        let one = batch();
        let mut other = one.clone();
        other.media[0].path = "/there/a".into();
        assert_eq!(hash(&one), hash(&other));
        other.media[0].sha256 = "1".into();
        assert_ne!(hash(&one), hash(&other));
        let mut other = one.clone();
        other.user_data.push('\n');
        assert_ne!(hash(&one), hash(&other));
    }

    #[test]
    fn what_a_bootstrap_says_is_understood() {
        let told = |text: &str| readiness(Some(text.as_bytes()));
        assert_eq!(readiness(None), Readiness::Waiting);
        assert_eq!(
            told(r#"{"state":"working","step":"x"}"#),
            Readiness::Waiting
        );
        assert_eq!(told(r#"{"state":"ready","more":1}"#), Readiness::Ready);
        let failed = |text: &str| match told(text) {
            Readiness::Failed { reason } => reason,
            other => panic!("{other:?}"),
        };
        let text = r#"{"state":"failed","step":"apt","reason":"no network"}"#;
        assert_eq!(failed(text), "apt: no network");
        assert_eq!(failed(r#"{"state":"failed"}"#), "no reason given");
        assert!(failed("{").starts_with("what the bootstrap reports"));
    }

    #[test]
    fn power_is_what_is_true() {
        use Phase::{Deleting, Made, Making};
        for (phase, running, busy, expected) in [
            (Making, false, true, Some(Power::Starting)),
            (Making, false, false, Some(Power::Stopped)),
            (Made, true, false, Some(Power::Running)),
            (Made, false, true, Some(Power::Stopped)),
            (Deleting, true, true, None),
            (Deleting, false, false, Some(Power::Broken)),
        ] {
            assert_eq!(power(phase, running, busy), expected, "{phase:?}");
        }
    }
}
