//! The `aws` block of a fleet file.

mod check;
mod group;
mod image;
mod types;

use std::collections::BTreeMap;

use meshvm_provider_api::{Finding, Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use group::{OwnedGroup, SecurityGroup};
pub use image::{Image, ImagePolicy};
pub use meshvm_provider_api::Gib;
pub use types::InstanceTypes;

/// The provider's name, and the key of its block.
pub(crate) const NAME: &str = "aws";

/// Machines on EC2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AwsSettings {
    /// The region, such as `eu-west-1`; machines of another region are listed on their own.
    #[schemars(length(min = 1))]
    pub region: String,
    /// The zones to spread over; those of the subnets when absent, and all of the region when there are no subnets either.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(length(min = 1)), extend("uniqueItems" = true))]
    pub zones: Vec<String>,
    /// The subnets to spread over, at least one in each zone; the region's default ones when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = "^subnet-")), extend("uniqueItems" = true))]
    pub subnets: Vec<String>,
    /// The instance type; of several, the next one is taken when there is no room for one.
    pub instance_type: InstanceTypes,
    /// What the root volume begins as.
    pub image: Image,
    /// The name of the key pair that may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_pair: Option<String>,
    /// The security groups, by id; the network's default one when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(regex(pattern = "^sg-")), extend("uniqueItems" = true))]
    pub security_groups: Vec<String>,
    /// A security group of the fleet's own, beside those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_group: Option<SecurityGroup>,
    /// The instance profile, by name or ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// The volume that the machine boots from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_volume: Option<Volume>,
    /// Further volumes, which end with the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<ExtraVolume>,
    /// How a machine may ask for its own metadata; changes in place.
    #[serde(default)]
    pub metadata: Metadata,
    /// Tags of the machines and their volumes; those of machines change in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Where in the zone the machines stand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// Makes spot machines, which cost less and may be taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<Spot>,
    /// Whether EC2 refuses to terminate the machines; changes in place.
    #[serde(default)]
    pub termination_protection: bool,
    /// Whether the machines get public addresses; the subnet decides when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_address: Option<bool>,
    /// Whether each machine gets an IPv6 address as well.
    #[serde(default)]
    pub ipv6: bool,
    /// The address of a service that speaks EC2's API, in place of Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^https?://"))]
    pub endpoint: Option<String>,
    /// The profile of the AWS configuration to take credentials from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub profile: Option<String>,
    /// The role to act as, from whatever credentials there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assume_role: Option<AssumeRole>,
}

/// A volume; what is absent is EC2's choice, or the image's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Volume {
    /// The size, such as `40GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Gib>,
    /// The type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<VolumeType>,
    /// Operations a second, of `gp3`, `io1` and `io2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100))]
    pub iops: Option<u32>,
    /// MiB a second, of `gp3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 125))]
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// The ARN of the key that encrypts it; the account's own when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A volume beside the root volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtraVolume {
    /// The name that EC2 attaches it by, such as `/dev/sdf`.
    #[schemars(regex(pattern = "^/dev/|^xvd"))]
    pub device: String,
    /// What it is like; its size is needed.
    pub volume: Volume,
}

/// A type of EBS volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// General purpose, of the second generation.
    Gp2,
    /// General purpose.
    Gp3,
    /// With a number of operations a second.
    Io1,
    /// With a number of operations a second, of the second generation.
    Io2,
    /// Cold disk.
    Sc1,
    /// Disk for throughput.
    St1,
    /// The old kind.
    Standard,
}

impl VolumeType {
    /// Returns EC2's name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gp2 => "gp2",
            Self::Gp3 => "gp3",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::Sc1 => "sc1",
            Self::St1 => "st1",
            Self::Standard => "standard",
        }
    }
}

/// How a machine may ask for its own metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Metadata {
    /// Whether a session token is required, as in the second version of the service.
    pub tokens: Tokens,
    /// How many hops an answer may travel; containers on the machine need 2.
    #[schemars(range(min = 1, max = 64))]
    pub hop_limit: u8,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            tokens: Tokens::Required,
            hop_limit: 1,
        }
    }
}

/// Whether the metadata service wants a session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Tokens {
    /// Requests without one are refused.
    Required,
    /// Requests without one are answered: any program that can be made to fetch an address can
    /// read the machine's credentials.
    Optional,
}

impl Tokens {
    /// Returns EC2's name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

/// Where in the zone machines stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Placement {
    /// The name of a placement group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whose hardware it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<Tenancy>,
}

/// Whose hardware machines stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Tenancy {
    /// Shared with others.
    Default,
    /// Of this account alone.
    Dedicated,
}

impl Tenancy {
    /// Returns EC2's name of it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Dedicated => "dedicated",
        }
    }
}

/// How spot machines are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Spot {
    /// The most to pay for an hour, in US dollars such as `"0.05"`; the on-demand price when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]+(\\.[0-9]+)?$"))]
    pub max_price: Option<String>,
    /// What happens to a machine that is taken away.
    pub interruption: Interruption,
}

/// What happens to a spot machine that is taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Interruption {
    /// It is terminated, and the next run makes another.
    #[default]
    Terminate,
    /// It is stopped, and EC2 starts it when there is room again.
    Stop,
    /// It is hibernated, and EC2 wakes it when there is room again.
    Hibernate,
}

/// A role to act as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssumeRole {
    /// The role's ARN.
    #[schemars(regex(pattern = "^arn:"))]
    pub arn: String,
    /// The id that the role's owner asks strangers for; not a secret, by Amazon's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl AwsSettings {
    /// Reads a block.
    ///
    /// # Errors
    /// Returns every problem; one that the schema would have refused comes alone.
    pub fn read(settings: &Value) -> Result<Self, Vec<Finding>> {
        let settings = Self::deserialize(settings)
            .map_err(|error| vec![Finding::at("", error.to_string())])?;
        let findings = check::findings(&settings);
        if findings.is_empty() {
            Ok(settings)
        } else {
            Err(findings)
        }
    }

    /// Returns the scope that the machines are listed in: all that a connection needs, so that
    /// machines of a fleet that left the file are still found.
    pub fn scope(&self) -> Scope {
        let role = self.assume_role.as_ref();
        let arn = role.map(|role| role.arn.clone());
        // A role says which account it is of; a profile may be of any, and names it by itself.
        let account = arn.as_deref().and_then(|arn| arn.split(':').nth(4));
        let (account, profile) = match account {
            Some(account) => (Some(account.to_owned()), None),
            None => (None, self.profile.clone()),
        };
        let key = [
            (REGION, Some(self.region.clone())),
            (ENDPOINT, self.endpoint.clone()),
            (ACCOUNT, account),
            (PROFILE, profile),
        ];
        let external_id = role.and_then(|role| role.external_id.clone());
        let access = [
            (PROFILE, self.profile.clone()),
            (ROLE, arn),
            (EXTERNAL_ID, external_id),
        ];
        Scope::new(NAME, key, access)
    }

    /// Returns whether anything is asked of volumes, so that they have to be looked at.
    pub(crate) fn has_volumes(&self) -> bool {
        self.root_volume.is_some() || !self.volumes.is_empty()
    }
}

/// The keys of a scope.
pub(crate) const REGION: &str = Scope::REGION;
/// The address of the service.
pub(crate) const ENDPOINT: &str = "endpoint";
/// The account of the role.
pub(crate) const ACCOUNT: &str = "account";
/// The profile of the AWS configuration.
pub(crate) const PROFILE: &str = "profile";
/// The role to act as.
pub(crate) const ROLE: &str = "role";
/// What the role's owner asks for.
pub(crate) const EXTERNAL_ID: &str = "externalId";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_least_block_requires_metadata_tokens() {
        let block = json!({"region": "eu-west-1", "instanceType": "m7g.large", "image": "ami-1"});
        let settings = AwsSettings::read(&block).unwrap();
        assert_eq!(settings.metadata.tokens, Tokens::Required);
        assert_eq!(settings.metadata.hop_limit, 1);
        assert_eq!(settings.scope().to_string(), "aws:eu-west-1");
    }

    #[test]
    fn what_a_connection_needs_is_in_the_scope() {
        let block = json!({
            "region": "eu-west-1", "instanceType": ["a", "b"], "image": "ami-1",
            "endpoint": "http://127.0.0.1:1", "profile": "p",
            "assumeRole": {"arn": "arn:aws:iam::123456789012:role/r", "externalId": "x"},
        });
        let scope = AwsSettings::read(&block).unwrap().scope();
        let names = |of: &BTreeMap<String, String>| Vec::from_iter(of.keys().cloned());
        assert_eq!(names(&scope.key), [ACCOUNT, ENDPOINT, REGION]);
        assert_eq!(names(&scope.access), [EXTERNAL_ID, PROFILE, ROLE]);
        assert_eq!(scope.key[ACCOUNT], "123456789012");
        let block = json!({
            "region": "eu-west-1", "instanceType": "a", "image": "ami-1", "profile": "p",
        });
        let scope = AwsSettings::read(&block).unwrap().scope();
        assert_eq!(
            names(&scope.key),
            [PROFILE, REGION],
            "it may be any account's"
        );
    }
}
