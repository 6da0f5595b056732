//! Security groups of fleets' own: made for the first machine, found by their labels, and deleted
//! with the last machine.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::{
    Filter, InstanceStateName, IpPermission, IpRange, Ipv6Range, ResourceType, SecurityGroup,
    TagSpecification, UserIdGroupPair,
};
use meshvm_provider_api::{ErrorClass, Machine, ProviderError, labels};
use serde_json::{Value, json};

use crate::attributes::{OWNED_GROUP, SECURITY_GROUPS, rules};
use crate::client::Client;
use crate::error::{self, DEPENDENCY, DUPLICATE_GROUP, DUPLICATE_RULE};
use crate::launch::tag;
use crate::machine;
use crate::observe;
use crate::policy::Action;
use crate::settings::OwnedGroup;

/// The wait between two looks at machines that end.
const POLL: Duration = Duration::from_secs(2);
/// How many looks they may take: five minutes, where most take one.
const POLLS: u32 = 150;
/// How many tries a group may take that no machine of the stack is in any more.
const TRIES: u32 = 30;
/// The protocol of all rules.
const TCP: &str = "tcp";

/// What lets in: a port, and a network or a group.
type Rule = (i32, String);

/// Whose group it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    pub stack: &'a str,
    pub fleet: &'a str,
}

impl Owner<'_> {
    /// Returns the name of the group, of which a network has one.
    fn group(self) -> String {
        format!("meshvm-{}-{}", self.stack, self.fleet)
    }

    fn has(self, group: &SecurityGroup) -> bool {
        let tags = machine::labels(group.tags());
        let is = |key: &str, value: &str| tags.get(key).is_some_and(|has| has == value);
        is(labels::STACK, self.stack) && is(labels::FLEET, self.fleet)
    }
}

/// Makes sure that a fleet's group is there and lets in what is asked for; returns its id.
///
/// Safe to repeat, and by several at once: its name is the fleet's alone.
///
/// # Errors
/// `Conflict` when somebody else has a group of that name.
pub(crate) async fn ensure(
    client: &Client,
    owner: Owner<'_>,
    vpc: &str,
    asked: &OwnedGroup,
) -> Result<String, ProviderError> {
    let by_name = || {
        let filters = [("group-name", owner.group()), ("vpc-id", vpc.to_owned())];
        list(client, filters.map(|(name, value)| filter(name, value)))
    };
    let mut found = by_name().await?;
    if found.is_empty() {
        match make(client, owner, vpc).await {
            Ok(id) => {
                let group = SecurityGroup::builder().group_id(id);
                let tags = [(labels::STACK, owner.stack), (labels::FLEET, owner.fleet)];
                let tags = tags.map(|(key, value)| tag(key, value)).to_vec();
                found = vec![group.set_tags(Some(tags)).build()];
            }
            // Another batch of the fleet was faster, or a repeated call did it before.
            Err(error) if error::is(&error, DUPLICATE_GROUP) => found = by_name().await?,
            Err(error) => return Err(error),
        }
    }
    let Some(group) = found.first() else {
        let message = format!("security group {} is not listed yet", owner.group());
        return Err(ProviderError::new(ErrorClass::Unavailable, message));
    };
    let id = group.group_id().unwrap_or_default();
    if !owner.has(group) {
        let message = format!("security group {id}, {}, is not the fleet's", owner.group());
        return Err(ProviderError::new(ErrorClass::Conflict, message)
            .with_hint("give that group another name, or the stack"));
    }
    let (wanted, has) = (wanted(asked), present(group));
    let lacking: Vec<&Rule> = wanted.difference(&has).collect();
    if !lacking.is_empty() {
        let permissions: Vec<IpPermission> = lacking.into_iter().map(permission).collect();
        let call = || {
            let call = client.ec2.authorize_security_group_ingress();
            call.group_id(id)
                .set_ip_permissions(Some(permissions.clone()))
                .send()
        };
        let added = client.send(Action::AuthorizeSecurityGroupIngress, call);
        match added.await {
            Err(error) if error::is(&error, DUPLICATE_RULE) => {}
            answer => drop(answer?),
        }
    }
    let surplus: Vec<&Rule> = has.difference(&wanted).collect();
    if !surplus.is_empty() {
        let permissions: Vec<IpPermission> = surplus.into_iter().map(permission).collect();
        let call = || {
            let call = client.ec2.revoke_security_group_ingress();
            call.group_id(id)
                .set_ip_permissions(Some(permissions.clone()))
                .send()
        };
        let removed = client.send(Action::RevokeSecurityGroupIngress, call);
        match removed.await {
            Err(error) if error.class == ErrorClass::NotFound => {}
            answer => drop(answer?),
        }
    }
    Ok(id.to_owned())
}

async fn make(client: &Client, owner: Owner<'_>, vpc: &str) -> Result<String, ProviderError> {
    let tags = TagSpecification::builder()
        .resource_type(ResourceType::SecurityGroup)
        .tags(tag(labels::STACK, owner.stack))
        .tags(tag(labels::FLEET, owner.fleet))
        .build();
    let call = || {
        let call = client.ec2.create_security_group();
        call.group_name(owner.group())
            .description(owner.fleet)
            .vpc_id(vpc)
            .tag_specifications(tags.clone())
            .send()
    };
    let made = client.send(Action::CreateSecurityGroup, call).await?;
    Ok(made.group_id.unwrap_or_default())
}

/// Says of machines what their fleets' own groups let in, where they are in them.
pub(crate) async fn add_owned(
    client: &Client,
    machines: &mut [Machine],
) -> Result<(), ProviderError> {
    let stacks: BTreeSet<String> = machines
        .iter()
        .filter_map(|machine| machine.labels.get(labels::STACK).cloned())
        .collect();
    let stacks = Filter::builder()
        .name(format!("tag:{}", labels::STACK))
        .set_values(Some(stacks.into_iter().collect()));
    let groups = list(client, [stacks.build()]).await?;
    for machine in machines {
        let (Some(stack), Some(fleet)) = (
            machine.labels.get(labels::STACK),
            machine.labels.get(labels::FLEET),
        ) else {
            continue;
        };
        let owner = Owner { stack, fleet };
        let own = groups.iter().find(|group| owner.has(group));
        let Some(Value::Array(of_machine)) = machine.attributes.get_mut(SECURITY_GROUPS) else {
            continue;
        };
        let Some((group, at)) = own.and_then(|group| {
            let id = group.group_id();
            let at = of_machine.iter().position(|it| it.as_str() == id);
            Some((group, at?))
        }) else {
            continue;
        };
        // It is told by itself: what the file names are the others.
        of_machine.remove(at);
        machine
            .attributes
            .insert(OWNED_GROUP.to_owned(), seen(group));
    }
    Ok(())
}

/// Deletes the groups of fleets that have no machine left, once the last is all gone.
///
/// Safe to repeat.
///
/// # Errors
/// `Unavailable` when machines do not end for minutes: what remains is to be done again;
/// `Conflict` when something else is in a group.
pub(crate) async fn delete_unused(client: &Client, stack: &str) -> Result<(), ProviderError> {
    let mut groups = of_stack(client, stack).await?;
    let (mut looks, mut tries) = (0, 0);
    while !groups.is_empty() {
        let instances = observe::instances(client, &observe::of_stack(stack)).await?;
        use InstanceStateName::{ShuttingDown, Terminated};
        let (mut living, mut ending) = (BTreeSet::new(), BTreeSet::new());
        for instance in &instances {
            let Some(fleet) = machine::labels(instance.tags()).remove(labels::FLEET) else {
                continue;
            };
            let was_told = client.has_ended(instance.instance_id().unwrap_or_default());
            match instance.state().and_then(|state| state.name()) {
                None | Some(Terminated) => continue,
                Some(ShuttingDown) => ending.insert(fleet),
                Some(_) if was_told => ending.insert(fleet),
                Some(_) => living.insert(fleet),
            };
        }
        let is_in = |fleets: &BTreeSet<String>, group: &SecurityGroup| {
            let fleet = machine::labels(group.tags()).remove(labels::FLEET);
            fleet.is_none_or(|fleet| fleets.contains(&fleet))
        };
        groups.retain(|group| !is_in(&living, group));
        let mut left = Vec::new();
        let mut refused = None;
        for group in groups {
            if is_in(&ending, &group) {
                left.push(group);
            } else if !is_deleted(client, &group).await? {
                refused = group.group_id().map(str::to_owned);
                left.push(group);
            }
        }
        groups = left;
        looks += 1;
        tries += u32::from(refused.is_some());
        match refused {
            Some(id) if tries >= TRIES => {
                let message =
                    format!("something that is not the stack's is in security group {id}");
                return Err(ProviderError::new(ErrorClass::Conflict, message)
                    .with_hint("take it out, and delete the group"));
            }
            Some(_) | None if groups.is_empty() => {}
            Some(_) | None if looks >= POLLS => {
                let message = "machines do not end, and their security group stays";
                return Err(ProviderError::new(ErrorClass::Unavailable, message));
            }
            Some(_) | None => tokio::time::sleep(POLL).await,
        }
    }
    Ok(())
}

/// Deletes a group; says whether it is gone, and no longer in use.
async fn is_deleted(client: &Client, group: &SecurityGroup) -> Result<bool, ProviderError> {
    let id = group.group_id().unwrap_or_default();
    let call = || client.ec2.delete_security_group().group_id(id).send();
    match client.send(Action::DeleteSecurityGroup, call).await {
        Ok(_) => Ok(true),
        Err(error) if error.class == ErrorClass::NotFound => Ok(true),
        Err(error) if error::is(&error, DEPENDENCY) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Lists the groups of a stack.
///
/// # Errors
/// Those of the call.
pub(crate) async fn of_stack(
    client: &Client,
    stack: &str,
) -> Result<Vec<SecurityGroup>, ProviderError> {
    let of_stack = filter(&format!("tag:{}", labels::STACK), stack.to_owned());
    list(client, [of_stack]).await
}

fn filter(name: &str, value: String) -> Filter {
    Filter::builder().name(name).values(value).build()
}

async fn list(
    client: &Client,
    filters: impl Into<Vec<Filter>>,
) -> Result<Vec<SecurityGroup>, ProviderError> {
    let filters = filters.into();
    let mut found = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let page = client
            .send(Action::DescribeSecurityGroups, || {
                let call = client.ec2.describe_security_groups();
                call.set_filters(Some(filters.clone()))
                    .set_next_token(next.clone())
                    .send()
            })
            .await?;
        found.extend(page.security_groups.unwrap_or_default());
        next = page.next_token.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
    }
}

fn wanted(asked: &OwnedGroup) -> BTreeSet<Rule> {
    let ports = asked.ports.iter();
    ports
        .flat_map(|port| {
            let from = asked.from.iter();
            from.map(|from| (i32::from(*port), from.clone()))
        })
        .collect()
}

/// Returns the rules that a group has; those of other kinds are nobody's here, and stay.
fn present(group: &SecurityGroup) -> BTreeSet<Rule> {
    let single = group.ip_permissions().iter().filter(|permission| {
        permission.ip_protocol() == Some(TCP) && permission.from_port() == permission.to_port()
    });
    let rules = single.flat_map(|permission| {
        let networks = permission.ip_ranges().iter();
        let wide = permission.ipv6_ranges().iter();
        let groups = permission.user_id_group_pairs().iter();
        let all = networks
            .map(|range| range.cidr_ip())
            .chain(wide.map(|range| range.cidr_ipv6()))
            .chain(groups.map(|pair| pair.group_id()));
        let port = permission.from_port();
        all.flatten()
            .filter_map(move |from| Some((port?, from.to_owned())))
    });
    rules.collect()
}

/// Returns what a group lets in as it is compared: what no file could ask for is told as it is.
fn seen(group: &SecurityGroup) -> Value {
    let has = present(group);
    let ports = has.iter().map(|(port, _)| u16::try_from(*port));
    let asked = OwnedGroup {
        ports: ports.filter_map(Result::ok).collect(),
        from: has.iter().map(|(_, from)| from.clone()).collect(),
    };
    // Each port from everywhere, or it is not what one list of each says.
    match wanted(&asked) == has {
        true => rules(&asked),
        false => json!(has),
    }
}

/// Returns a rule as it is sent.
pub(crate) fn permission((port, from): &Rule) -> IpPermission {
    let permission = IpPermission::builder()
        .ip_protocol(TCP)
        .from_port(*port)
        .to_port(*port);
    let permission = match (from.starts_with("sg-"), from.contains(':')) {
        (true, _) => {
            permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(from).build())
        }
        (false, true) => permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(from).build()),
        (false, false) => permission.ip_ranges(IpRange::builder().cidr_ip(from).build()),
    };
    permission.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_lets_in_is_read_as_it_is_written() {
        let asked = OwnedGroup {
            ports: vec![8080, 15021],
            from: vec!["10.0.0.0/16".into(), "fd00::/8".into(), "sg-1".into()],
        };
        let permissions: Vec<IpPermission> = wanted(&asked).iter().map(permission).collect();
        let group = |permissions: &[IpPermission]| {
            let group = SecurityGroup::builder();
            group.set_ip_permissions(Some(permissions.to_vec())).build()
        };
        assert_eq!(present(&group(&permissions)), wanted(&asked));
        assert_eq!(seen(&group(&permissions)), rules(&asked));
        // One that was taken away by hand is no list of ports and networks any more.
        let lacking = seen(&group(&permissions[1..]));
        assert_ne!(lacking, rules(&asked));
        assert_eq!(lacking.as_array().map(Vec::len), Some(5));
    }
}
