//! What machines are made from: the fleet's block, and what only the cloud could say of it.

use meshvm_provider_api::{ErrorClass, Finding, ProviderError, Template};
use serde::{Deserialize, Serialize};

use crate::attributes;
use crate::settings::{AzureSettings, NAME};

/// The settings of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Recipe {
    /// What the file asks for.
    pub asked: AzureSettings,
    /// What the cloud made of it; absent until it was asked, and frozen in a plan from then on.
    pub found: Option<Found>,
}

/// What the cloud says of the image in a fleet's block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Found {
    /// The version of the image; that of a gallery is in its id.
    pub version: String,
    /// Its architecture, `x64` or `Arm64`.
    pub architecture: Option<String>,
    /// The generation of machines that it boots on, `V1` or `V2`.
    pub generation: Option<String>,
    /// The terms that the marketplace has for it.
    pub plan: Option<Plan>,
}

/// The terms of an image in the marketplace, which its machines repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Plan {
    /// Their name.
    pub name: String,
    /// Whose they are.
    pub publisher: String,
    /// What they are of.
    pub product: String,
}

impl Recipe {
    /// Makes the template.
    ///
    /// # Errors
    /// A finding when the block cannot be written as JSON.
    pub fn template(&self) -> Result<Template, Vec<Finding>> {
        let settings =
            serde_json::to_value(self).map_err(|error| vec![Finding::at("", error.to_string())])?;
        Ok(Template {
            scope: self.asked.scope(),
            zones: self.asked.zone_names(),
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
