//! Firewall rules of fleets' own: made before the first machine, and deleted with the last.
//!
//! A rule has no labels: its description says whose it is. It reaches machines by a network tag,
//! which is the rule's own name. It is the whole project's, and so are the machines that it is
//! judged by: those of the fleet may be in several regions.

use std::collections::BTreeSet;
use std::time::Duration;

use google_cloud_compute_v1::model::{
    Firewall, FirewallList, Instance, Operation, firewall::Allowed, firewall::Direction,
    operation::Status,
};
use meshvm_provider_api::{ErrorClass, Hash, Machine, MachineId, ProviderError, labels};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::attributes::{FIREWALL, last, rules};
use crate::client::Client;
use crate::error;
use crate::observe::{self, Which};
use crate::policy::Action;
use crate::settings::{GcpSettings, OwnedRule};

/// The longest name of a rule, and of a tag.
const LONGEST: usize = 63;
/// How many names one listing asks for: they share one address line.
const NAMES: usize = 50;
/// The most rules of a page.
const PAGE: u32 = 500;
/// The wait between two looks at an operation, and how many looks it may take: some minutes.
const POLL: Duration = Duration::from_millis(500);
const POLLS: u32 = 600;
/// The protocol of all rules.
const TCP: &str = "tcp";

/// Whose rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Owner<'a> {
    pub stack: &'a str,
    pub fleet: &'a str,
}

impl<'a> Owner<'a> {
    /// Returns the owner of a machine, by its labels.
    pub fn of<L: AsRef<str> + 'a>(
        get: impl Fn(&'static str) -> Option<&'a L>,
    ) -> Option<Owner<'a>> {
        Some(Self {
            stack: get(labels::STACK)?.as_ref(),
            fleet: get(labels::FLEET)?.as_ref(),
        })
    }

    /// Returns the name of the rule, which is the tag of its machines.
    pub fn rule(self) -> String {
        let plain = format!("meshvm-{}-{}", self.stack, self.fleet);
        if plain.len() <= LONGEST {
            return plain;
        }
        let hash = Hash::of(&plain).to_string();
        let room = LONGEST.saturating_sub(hash.len() + 1);
        let begin: String = plain.chars().take(room).collect();
        format!("{}-{hash}", begin.trim_end_matches('-'))
    }

    /// Returns the owner of a rule of a stack's, by its description and its name.
    fn of_rule(stack: &'a str, rule: &'a Firewall) -> Option<Owner<'a>> {
        let described = rule.description.as_deref()?;
        let fleet = described
            .strip_prefix(&of_stack(stack))?
            .split(' ')
            .next()?;
        let owner = Self { stack, fleet };
        // A copy under another name belongs to whoever made it.
        (rule.name.as_deref() == Some(&owner.rule())).then_some(owner)
    }

    /// Returns how the fleet's rule is described.
    fn description(self) -> String {
        format!("{}{}", of_stack(self.stack), self.fleet)
    }

    /// Returns whether a rule is the fleet's own.
    fn has(self, rule: &Firewall) -> bool {
        Owner::of_rule(self.stack, rule) == Some(self)
    }
}

/// Returns what the descriptions of a stack's rules begin with. The fleet follows; what follows
/// that after a blank, as the region that older runs wrote there, says nothing of whose it is.
fn of_stack(stack: &str) -> String {
    format!("{}={stack} {}=", labels::STACK, labels::FLEET)
}

/// The rules of one project, as far as this process has to do with them, in whatever region.
///
/// A rule is deleted when no machine of its fleet is left. That is known by a listing, which may
/// not show what was just made: so the rule of a fleet that this process makes machines for stays.
#[derive(Default)]
pub(crate) struct Rules(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The names of rules that stay.
    kept: BTreeSet<String>,
    /// The machines that have ended, whatever a listing still shows.
    ended: BTreeSet<String>,
}

impl Rules {
    /// Makes sure that a fleet's rule is there and lets in what is asked for; safe to repeat.
    ///
    /// # Errors
    /// `Conflict` when the rule of that name is somebody else's, or in another network.
    pub async fn ensure(
        &self,
        client: &Client,
        owner: Owner<'_>,
        asked: &GcpSettings,
        wanted: &OwnedRule,
    ) -> Result<(), ProviderError> {
        // Nobody takes it away between this look and what is made.
        let mut known = self.0.lock().await;
        let name = owner.rule();
        known.kept.insert(name.clone());
        let network = network(client, asked).await?;
        let body = rule(owner, &network, wanted);
        let named = [name.clone()].into();
        let Some(found) = by_name(client, &named).await?.pop() else {
            return make(client, body).await;
        };
        if !owner.has(&found) {
            let message = format!("firewall rule {name} is not the fleet's");
            return Err(ProviderError::new(ErrorClass::Conflict, message)
                .with_hint("give that rule another name, or the stack"));
        }
        let of = found.network.as_deref().map(last).unwrap_or_default();
        if of != last(&network) {
            let message = format!("firewall rule {name} is in network {of}");
            return Err(ProviderError::new(ErrorClass::Conflict, message)
                .with_hint("delete the fleet's machines there first, or name the fleet anew"));
        }
        match seen(&found, owner) == rules(wanted) {
            true => Ok(()),
            false => replace(client, &name, body).await,
        }
    }

    /// Remembers that machines have ended.
    pub async fn remember_ended(&self, ids: &[MachineId]) {
        let mut known = self.0.lock().await;
        known.ended.extend(ids.iter().map(|id| id.0.clone()));
    }

    /// Deletes the rules of fleets of a stack that have no machine left in any region; safe to
    /// repeat.
    ///
    /// # Errors
    /// Those of the calls: what remains is to be done again. `Unavailable` when a rule seems to
    /// have no machine left, and those of some zone are not told.
    pub async fn remove_unused(&self, client: &Client, stack: &str) -> Result<(), ProviderError> {
        let known = self.0.lock().await;
        let rules = by_stack(client, stack).await?;
        let names = rules.iter().filter_map(|rule| {
            let name = Owner::of_rule(stack, rule)?.rule();
            (!known.kept.contains(&name)).then_some(name)
        });
        let mut unused: BTreeSet<String> = names.collect();
        if unused.is_empty() {
            return Ok(());
        }
        let machines = observe::of_project(client, &Which::stack(stack)).await?;
        let living = machines.instances.iter().filter(|machine| {
            let id = machine.id.unwrap_or_default().to_string();
            !known.ended.contains(&id)
        });
        for owner in living.filter_map(|it| Owner::of(|key| it.labels.get(key))) {
            unused.remove(&owner.rule());
        }
        if unused.is_empty() {
            return Ok(());
        }
        machines.whole()?;
        for name in unused {
            remove(client, &name).await?;
        }
        Ok(())
    }
}

/// Returns whether a machine is one that its fleet's own rule reaches.
pub(crate) fn reaches(instance: &Instance) -> bool {
    let own = Owner::of(|key| instance.labels.get(key)).map(Owner::rule);
    let mut tags = instance.tags.iter().flat_map(|tags| &tags.items);
    own.is_some_and(|own| tags.any(|tag| *tag == own))
}

/// Says of machines what their fleets' own rules let in, where those reach them.
pub(crate) async fn add_owned(
    client: &Client,
    machines: &mut [Machine],
) -> Result<(), ProviderError> {
    let is_reached = |machine: &&mut Machine| machine.attributes.contains_key(FIREWALL);
    let names: BTreeSet<String> = machines
        .iter_mut()
        .filter(is_reached)
        .filter_map(|it| Some(Owner::of(|key| it.labels.get(key))?.rule()))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let found = by_name(client, &names).await?;
    for machine in machines.iter_mut().filter(is_reached) {
        let Some(owner) = Owner::of(|key| machine.labels.get(key)) else {
            continue;
        };
        let own = found.iter().find(|rule| owner.has(rule));
        let value = own.map_or(Value::Null, |rule| seen(rule, owner));
        machine.attributes.insert(FIREWALL.to_owned(), value);
    }
    Ok(())
}

/// Returns the address of the network that machines are put in.
async fn network(client: &Client, asked: &GcpSettings) -> Result<String, ProviderError> {
    let (network, subnetwork) = (asked.network.as_deref(), asked.subnetwork.as_deref());
    let (Some(subnetwork), None) = (subnetwork, network) else {
        return Ok(format!("global/networks/{}", network.unwrap_or("default")));
    };
    let apis = &client.apis;
    let call = || {
        let call = apis.subnetworks.get().set_region(&apis.region);
        call.set_project(&apis.project)
            .set_subnetwork(subnetwork)
            .send()
    };
    let found = client.send(Action::GetSubnetwork, call).await?;
    let network = found.network.as_deref().map(last).unwrap_or_default();
    Ok(format!("global/networks/{network}"))
}

fn rule(owner: Owner<'_>, network: &str, wanted: &OwnedRule) -> Firewall {
    let is_network = |from: &&String| from.contains('/');
    let ports = wanted.ports.iter().map(u16::to_string);
    let networks = wanted.from.iter().filter(is_network);
    let tags = wanted.from.iter().filter(|from| !is_network(from));
    Firewall::new()
        .set_name(owner.rule())
        .set_description(owner.description())
        .set_network(network)
        .set_direction(Direction::Ingress)
        .set_allowed([Allowed::new().set_ip_protocol(TCP).set_ports(ports)])
        .set_source_ranges(networks.cloned())
        .set_source_tags(tags.cloned())
        .set_target_tags([owner.rule()])
}

/// Returns what a rule lets in as it is compared: what no file could ask for is told as it is.
fn seen(rule: &Firewall, owner: Owner<'_>) -> Value {
    let is_own = rule.direction == Some(Direction::Ingress)
        && rule.disabled != Some(true)
        && rule.denied.is_empty()
        && rule.destination_ranges.is_empty()
        && rule.source_service_accounts.is_empty()
        && rule.target_service_accounts.is_empty()
        && rule.target_tags == [owner.rule()];
    let allowed = match rule.allowed.as_slice() {
        [only] if only.ip_protocol.as_deref() == Some(TCP) => only.ports.as_slice(),
        _ => &[],
    };
    let ports: Vec<u16> = allowed.iter().filter_map(|it| it.parse().ok()).collect();
    if !is_own || ports.is_empty() || ports.len() != allowed.len() {
        return json!("not as meshvm makes them");
    }
    let from = rule.source_ranges.iter().chain(&rule.source_tags);
    rules(&OwnedRule {
        ports,
        from: from.cloned().collect(),
    })
}

async fn make(client: &Client, body: Firewall) -> Result<(), ProviderError> {
    let apis = &client.apis;
    // A call whose reply was lost is sent again, and answered with what the first began.
    let request = uuid::Uuid::new_v4().to_string();
    let call = || {
        let call = apis.firewalls.insert().set_project(&apis.project);
        call.set_request_id(&request).set_body(body.clone()).send()
    };
    match client.send(Action::InsertFirewall, call).await {
        // An earlier run's call was slower than its listing: what there is, is looked at again.
        Err(error) if error::is(&error, &error::EXISTS) => {
            let message = "the firewall rule is not listed yet";
            Err(ProviderError::new(ErrorClass::Unavailable, message).with_source(error))
        }
        answer => done(client, answer?).await,
    }
}

async fn replace(client: &Client, name: &str, body: Firewall) -> Result<(), ProviderError> {
    let apis = &client.apis;
    let call = || {
        let call = apis.firewalls.update().set_project(&apis.project);
        call.set_firewall(name).set_body(body.clone()).send()
    };
    let operation = client.send(Action::UpdateFirewall, call).await?;
    done(client, operation).await
}

async fn remove(client: &Client, name: &str) -> Result<(), ProviderError> {
    let apis = &client.apis;
    let request = uuid::Uuid::new_v4().to_string();
    let call = || {
        let call = apis.firewalls.delete().set_project(&apis.project);
        call.set_firewall(name).set_request_id(&request).send()
    };
    match client.send(Action::DeleteFirewall, call).await {
        Err(error) if error.class == ErrorClass::NotFound => Ok(()),
        answer => done(client, answer?).await,
    }
}

/// Waits for an operation of the whole project, and asks for its result.
async fn done(client: &Client, mut operation: Operation) -> Result<(), ProviderError> {
    let apis = &client.apis;
    let name = operation.name.clone().unwrap_or_default();
    for _ in 0..POLLS {
        if operation.status == Some(Status::Done) {
            return error::result(operation).map(drop);
        }
        tokio::time::sleep(POLL).await;
        let call = || {
            let call = apis.firewalls.get_operation().set_project(&apis.project);
            call.set_operation(&name).send()
        };
        operation = client.send(Action::GetGlobalOperation, call).await?;
    }
    let message = format!("operation {name} does not end");
    Err(ProviderError::new(ErrorClass::Unavailable, message))
}

async fn by_name(
    client: &Client,
    names: &BTreeSet<String>,
) -> Result<Vec<Firewall>, ProviderError> {
    let names: Vec<&String> = names.iter().collect();
    let mut found = Vec::new();
    for some in names.chunks(NAMES) {
        let each = some.iter().map(|name| format!("(name = \"{name}\")"));
        found.extend(list(client, each.collect::<Vec<_>>().join(" OR ")).await?);
    }
    Ok(found)
}

/// Lists the rules of a stack's fleets.
async fn by_stack(client: &Client, stack: &str) -> Result<Vec<Firewall>, ProviderError> {
    // A regular expression, of which names and labels are plain letters.
    list(client, format!("description eq \"{}.*\"", of_stack(stack))).await
}

async fn list(client: &Client, filter: String) -> Result<Vec<Firewall>, ProviderError> {
    let apis = &client.apis;
    let call = |next| {
        let call = apis.firewalls.list().set_project(&apis.project);
        call.set_filter(&filter)
            .set_max_results(PAGE)
            .set_page_token::<String>(next)
            .send()
    };
    let take = |page: FirewallList| Ok((page.items, page.next_page_token));
    client.pages(Action::ListFirewalls, call, take).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner<'_> = Owner {
        stack: "shop",
        fleet: "web",
    };

    #[test]
    fn what_a_rule_lets_in_is_read_as_it_is_written() {
        let asked = OwnedRule {
            ports: vec![8080, 15021],
            from: vec!["10.0.0.0/16".into(), "gateway".into()],
        };
        let written = rule(OWNER, "global/networks/default", &asked);
        assert_eq!(seen(&written, OWNER), rules(&asked));
        for changed in [
            written.clone().set_disabled(true),
            written.clone().set_source_ranges(["0.0.0.0/0"]),
            written.clone().set_target_tags(["other"]),
            written
                .clone()
                .set_allowed([Allowed::new().set_ip_protocol("all")]),
        ] {
            assert_ne!(seen(&changed, OWNER), rules(&asked), "{changed:?}");
        }
    }

    #[test]
    fn whose_a_rule_is_its_name_and_description_say() {
        let named = |name: &str, described: &str| {
            let described = format!("meshvm-stack=shop meshvm-fleet={described}");
            let rule = Firewall::new().set_name(name);
            OWNER.has(&rule.set_description(described))
        };
        assert!(named("meshvm-shop-web", "web"));
        // An older run wrote where its machines were.
        assert!(named("meshvm-shop-web", "web region=europe-west1"));
        assert!(!named("meshvm-shop-web", "web-2"));
        assert!(!named("meshvm-shop-web-2", "web-2"));
        assert!(!named("copy", "web"));
        let wanted = OwnedRule {
            ports: vec![8080],
            from: vec!["gw".into()],
        };
        assert!(OWNER.has(&rule(OWNER, "global/networks/default", &wanted)));
    }

    #[test]
    fn long_names_are_told_apart() {
        assert_eq!(OWNER.rule(), "meshvm-shop-web");
        let stack = "a".repeat(40);
        let rules = ["b", "c"].map(|letter| {
            let fleet = letter.repeat(40);
            let owner = Owner {
                stack: &stack,
                fleet: &fleet,
            };
            owner.rule()
        });
        assert!(rules.iter().all(|rule| rule.len() <= LONGEST), "{rules:?}");
        assert_ne!(rules[0], rules[1]);
    }
}
