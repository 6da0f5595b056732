//! What machines are made from: the fleet's block, and what only the cloud could say of it.

use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};
use serde::{Deserialize, Serialize};

use crate::attributes;
use crate::settings::{GcpSettings, NAME};

/// The settings of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Recipe {
    /// What the file asks for.
    pub asked: GcpSettings,
    /// What the cloud made of it; absent until it was asked, and frozen in a plan from then on.
    pub found: Option<Found>,
}

/// What the cloud says of names in a fleet's block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Found {
    /// The image, as `projects/PROJECT/global/images/NAME`.
    pub image: String,
    /// Its architecture, such as `ARM64`; absent when the cloud does not say.
    pub architecture: Option<String>,
    /// The zones to spread over.
    pub zones: Vec<String>,
}

impl Recipe {
    /// Makes the template; its region stands for its zones until they are known.
    ///
    /// # Errors
    /// A finding when the block cannot be written as JSON.
    pub fn template(&self) -> Result<Template, Vec<Finding>> {
        let settings =
            serde_json::to_value(self).map_err(|error| vec![Finding::at("", error.to_string())])?;
        let Self { asked, found } = self;
        let zones = match found {
            Some(found) => found.zones.clone(),
            None if asked.zones.is_empty() => vec![asked.region.clone()],
            None => asked.zones.clone(),
        };
        Ok(Template {
            scope: asked.scope(),
            zones,
            attributes: attributes::wanted(self),
            settings,
        })
    }

    /// Reads the recipe of a template.
    ///
    /// # Errors
    /// `Invalid` when the template is not this provider's.
    pub fn of(template: &Template) -> Result<Self, ProviderError> {
        Self::deserialize(&template.settings).map_err(|error| {
            let message = format!("the plan does not hold a template of `{NAME}`");
            ProviderError::new(ErrorClass::Invalid, message).with_source(error)
        })
    }

    /// Returns what the cloud said.
    ///
    /// # Errors
    /// `Invalid` when it was not asked: a plan would have frozen the answer.
    pub fn found(&self) -> Result<&Found, ProviderError> {
        self.found.as_ref().ok_or_else(|| {
            let message = format!("image `{}` was not looked up", self.asked.image);
            ProviderError::new(ErrorClass::Invalid, message).with_hint("make the plan again")
        })
    }
}
