//! The calls that are made, and the least policy that allows them.

use serde_json::{Value, json};

use meshvm_provider_api::labels;

/// A call to an API of Amazon's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Lists machines.
    DescribeInstances,
    /// Lists machines whose checks fail.
    DescribeInstanceStatus,
    /// Lists volumes.
    DescribeVolumes,
    /// Finds an image.
    DescribeImages,
    /// Finds the zones of subnets, and the addresses that they have left.
    DescribeSubnets,
    /// Tells the architectures of types.
    DescribeInstanceTypes,
    /// Tells the networks of groups.
    DescribeSecurityGroups,
    /// Tells whether an instance profile exists.
    GetInstanceProfile,
    /// Tells how many vCPUs the account may have.
    GetServiceQuota,
    /// Makes a fleet's own security group.
    CreateSecurityGroup,
    /// Lets in by a fleet's own group.
    AuthorizeSecurityGroupIngress,
    /// Lets in no longer.
    RevokeSecurityGroupIngress,
    /// Ends a fleet's own group.
    DeleteSecurityGroup,
    /// Makes machines.
    RunInstances,
    /// Starts machines.
    StartInstances,
    /// Stops machines whose type changes.
    StopInstances,
    /// Ends machines.
    TerminateInstances,
    /// Sets tags.
    CreateTags,
    /// Removes tags.
    DeleteTags,
    /// Changes type, groups and protection.
    ModifyInstanceAttribute,
    /// Changes how metadata may be asked for.
    ModifyInstanceMetadataOptions,
    /// Reads a public parameter.
    GetParameter,
    /// Tells whose credentials these are.
    GetCallerIdentity,
    /// Reads why a call was refused.
    DecodeAuthorizationMessage,
}

/// Every call that is made.
pub const ACTIONS: [Action; 24] = [
    Action::DescribeInstances,
    Action::DescribeInstanceStatus,
    Action::DescribeVolumes,
    Action::DescribeImages,
    Action::DescribeSubnets,
    Action::DescribeInstanceTypes,
    Action::DescribeSecurityGroups,
    Action::GetInstanceProfile,
    Action::GetServiceQuota,
    Action::CreateSecurityGroup,
    Action::AuthorizeSecurityGroupIngress,
    Action::RevokeSecurityGroupIngress,
    Action::DeleteSecurityGroup,
    Action::RunInstances,
    Action::StartInstances,
    Action::StopInstances,
    Action::TerminateInstances,
    Action::CreateTags,
    Action::DeleteTags,
    Action::ModifyInstanceAttribute,
    Action::ModifyInstanceMetadataOptions,
    Action::GetParameter,
    Action::GetCallerIdentity,
    Action::DecodeAuthorizationMessage,
];

impl Action {
    /// Returns the call's name in its API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DescribeInstances => "DescribeInstances",
            Self::DescribeInstanceStatus => "DescribeInstanceStatus",
            Self::DescribeVolumes => "DescribeVolumes",
            Self::DescribeImages => "DescribeImages",
            Self::DescribeSubnets => "DescribeSubnets",
            Self::DescribeInstanceTypes => "DescribeInstanceTypes",
            Self::DescribeSecurityGroups => "DescribeSecurityGroups",
            Self::GetInstanceProfile => "GetInstanceProfile",
            Self::GetServiceQuota => "GetServiceQuota",
            Self::CreateSecurityGroup => "CreateSecurityGroup",
            Self::AuthorizeSecurityGroupIngress => "AuthorizeSecurityGroupIngress",
            Self::RevokeSecurityGroupIngress => "RevokeSecurityGroupIngress",
            Self::DeleteSecurityGroup => "DeleteSecurityGroup",
            Self::RunInstances => "RunInstances",
            Self::StartInstances => "StartInstances",
            Self::StopInstances => "StopInstances",
            Self::TerminateInstances => "TerminateInstances",
            Self::CreateTags => "CreateTags",
            Self::DeleteTags => "DeleteTags",
            Self::ModifyInstanceAttribute => "ModifyInstanceAttribute",
            Self::ModifyInstanceMetadataOptions => "ModifyInstanceMetadataOptions",
            Self::GetParameter => "GetParameter",
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::DecodeAuthorizationMessage => "DecodeAuthorizationMessage",
        }
    }

    /// Returns the right that the call needs.
    pub fn right(self) -> String {
        let service = match self {
            Self::GetParameter => "ssm",
            Self::GetInstanceProfile => "iam",
            Self::GetServiceQuota => "servicequotas",
            Self::GetCallerIdentity | Self::DecodeAuthorizationMessage => "sts",
            Self::DescribeInstances
            | Self::DescribeInstanceStatus
            | Self::DescribeVolumes
            | Self::DescribeImages
            | Self::DescribeSubnets
            | Self::DescribeInstanceTypes
            | Self::DescribeSecurityGroups
            | Self::CreateSecurityGroup
            | Self::AuthorizeSecurityGroupIngress
            | Self::RevokeSecurityGroupIngress
            | Self::DeleteSecurityGroup
            | Self::RunInstances
            | Self::StartInstances
            | Self::StopInstances
            | Self::TerminateInstances
            | Self::CreateTags
            | Self::DeleteTags
            | Self::ModifyInstanceAttribute
            | Self::ModifyInstanceMetadataOptions => "ec2",
        };
        format!("{service}:{}", self.as_str())
    }

    /// Returns whether the call changes nothing, so that a lost reply lost nothing.
    pub(crate) fn is_reading(self) -> bool {
        match self.reach() {
            Reach::Reading => true,
            Reach::Making | Reach::Owned => false,
        }
    }

    fn reach(self) -> Reach {
        match self {
            Self::DescribeInstances
            | Self::DescribeInstanceStatus
            | Self::DescribeVolumes
            | Self::DescribeImages
            | Self::DescribeSubnets
            | Self::DescribeInstanceTypes
            | Self::DescribeSecurityGroups
            | Self::GetInstanceProfile
            | Self::GetServiceQuota
            | Self::GetParameter
            | Self::GetCallerIdentity
            | Self::DecodeAuthorizationMessage => Reach::Reading,
            // Tags are set on what is being made, and on what is adopted: neither is owned yet.
            Self::RunInstances | Self::CreateSecurityGroup | Self::CreateTags => Reach::Making,
            Self::StartInstances
            | Self::StopInstances
            | Self::TerminateInstances
            | Self::AuthorizeSecurityGroupIngress
            | Self::RevokeSecurityGroupIngress
            | Self::DeleteSecurityGroup
            | Self::DeleteTags
            | Self::ModifyInstanceAttribute
            | Self::ModifyInstanceMetadataOptions => Reach::Owned,
        }
    }
}

/// What a call may reach.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It changes nothing.
    Reading,
    /// It makes things, which carry no tag before.
    Making,
    /// It changes what carries the label of a stack.
    Owned,
}

/// Returns the least policy that works, as IAM takes it
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html>).
///
/// What changes machines is bound to those that carry meshvm's label. Machines with an instance
/// profile need `iam:PassRole` on its role besides, which is the user's to name.
pub fn least() -> Value {
    let of = |reach: Reach| -> Vec<String> {
        let actions = ACTIONS.into_iter().filter(|action| action.reach() == reach);
        actions.map(Action::right).collect()
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Read",
                "Effect": "Allow",
                "Action": of(Reach::Reading),
                "Resource": "*",
            },
            {
                "Sid": "Make",
                "Effect": "Allow",
                "Action": of(Reach::Making),
                "Resource": "*",
            },
            {
                "Sid": "ChangeOwn",
                "Effect": "Allow",
                "Action": of(Reach::Owned),
                "Resource": "*",
                "Condition": {"Null": {format!("aws:ResourceTag/{}", labels::STACK): "false"}},
            },
            {
                // Groups that machines move to are no stack's.
                "Sid": "UseGroups",
                "Effect": "Allow",
                "Action": [Action::ModifyInstanceAttribute.right()],
                "Resource": "arn:*:ec2:*:*:security-group/*",
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_policy_allows_each_call_and_no_other() {
        let policy = least();
        let statements = policy["Statement"].as_array().unwrap();
        let allowed: BTreeSet<String> = statements
            .iter()
            .flat_map(|statement| statement["Action"].as_array().unwrap())
            .map(|action| action.as_str().unwrap().to_owned())
            .collect();
        let rights: BTreeSet<String> = ACTIONS.into_iter().map(Action::right).collect();
        assert_eq!(allowed, rights);
        let ends = statements.iter().find(|statement| {
            statement["Action"]
                .as_array()
                .unwrap()
                .contains(&json!("ec2:TerminateInstances"))
        });
        assert!(
            ends.unwrap()["Condition"].is_object(),
            "bound to meshvm's machines"
        );
    }
}
