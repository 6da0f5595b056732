//! Changing machines that exist.
//!
//! A machine that a killed `create` left is started with the private files that it was
//! given then: only `create` asks for others.

use meshvm_provider_api::{MachineId, Update};

use super::{Host, read_settings};
use crate::error::LocalError;
use crate::record::Phase;
use crate::settings::LocalSettings;
use crate::store::{self, Entry};

impl Host {
    /// Changes machines, and goes on past one that is gone.
    pub fn update(&self, update: &Update) -> Result<(), LocalError> {
        let wanted = match &update.template {
            Some(template) => Some(read_settings(template)?),
            None => None,
        };
        let mut gone = None;
        for id in &update.machines {
            match self.change(id, update, wanted.as_ref()) {
                Err(error @ LocalError::Gone { .. }) => gone = gone.or(Some(error)),
                other => other?,
            }
        }
        gone.map_or(Ok(()), Err)
    }

    fn change(
        &self,
        id: &MachineId,
        update: &Update,
        wanted: Option<&LocalSettings>,
    ) -> Result<(), LocalError> {
        let gone = || LocalError::Gone { id: id.clone() };
        let mut locked = self.store.locked(id)?.ok_or_else(gone)?;
        let entry = &mut locked.entry;
        if entry.record.phase == Phase::Deleting {
            return Err(gone());
        }
        let backend = self.backend(entry.record.backend)?;
        let before = entry.record.clone();
        if let Some(wanted) = wanted {
            take(&mut entry.record.settings, wanted, &update.attributes)?;
        }
        for label in &update.remove_labels {
            entry.record.labels.remove(label);
        }
        entry.record.labels.extend(update.set_labels.clone());
        let running = backend.is_running(entry)?;
        // Before it is written down: what the record says has come into effect.
        if running && wanted.is_some() {
            backend.adjust(entry)?;
        }
        if update.start && !running {
            self.start(entry)?;
        }
        if entry.record != before {
            store::save(entry)?;
        }
        Ok(())
    }

    fn start(&self, entry: &mut Entry) -> Result<(), LocalError> {
        self.backend(entry.record.backend)?.start(entry)?;
        entry.record.phase = Phase::Made;
        Ok(())
    }
}

/// Takes the named attributes of one block over into another.
fn take(
    settings: &mut LocalSettings,
    wanted: &LocalSettings,
    attributes: &[String],
) -> Result<(), LocalError> {
    for attribute in attributes {
        match attribute.as_str() {
            "memory" => settings.memory = wanted.memory,
            "cpus" => settings.cpus = wanted.cpus,
            "accel" => settings.accel = wanted.accel,
            "publish" => settings.publish.clone_from(&wanted.publish),
            other => {
                return Err(LocalError::Fixed {
                    attribute: other.to_owned(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Size;

    #[test]
    fn only_what_is_named_is_taken() {
        let wanted = LocalSettings {
            memory: Size::mib(1024),
            cpus: 2,
            ..LocalSettings::default()
        };
        let mut settings = LocalSettings::default();
        take(&mut settings, &wanted, &["cpus".to_owned()]).unwrap();
        assert_eq!((settings.cpus, settings.memory), (2, Size::mib(512)));
        let error = take(&mut settings, &wanted, &["image".to_owned()]).unwrap_err();
        assert!(matches!(error, LocalError::Fixed { .. }), "{error}");
    }
}
