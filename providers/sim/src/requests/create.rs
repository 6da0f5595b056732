//! The creation of a batch, once for each key.
//!
//! As on EC2, a key keeps what its first success made: asking again creates
//! nothing, not even what was missing or has been deleted since.

use std::net::{IpAddr, Ipv4Addr};

use meshvm_provider_api::{
    Batch, Created, ErrorClass, Hash, MachineId, Power, ProviderError, Readiness, Shortfall,
};

use super::{Request, check_size};
use crate::faults::{Call, FaultPlan};
use crate::machine::{Shape, Stored, Version};
use crate::record::{Effect, Reservation};
use crate::world::World;

/// Asks for a batch.
pub(crate) struct Create {
    pub batch: Batch,
    pub max_batch: u32,
}

impl Request for Create {
    type Decided = ();
    type Answer = Created;
    const CALL: Call = Call::Create;

    fn decide(&self, world: &World, plan: &FaultPlan) -> Result<(Vec<Effect>, ()), ProviderError> {
        let Batch {
            key,
            ownership,
            labels: _,
            zone,
            count,
            template,
            user_data,
            media: _,
        } = &self.batch;
        let request = self.check()?;
        let scope = &template.scope;
        if let Some(made) = world.reservations.get(&(scope.clone(), *key)) {
            if made.request == request {
                return Ok((Vec::new(), ()));
            }
            let message = format!("key {key} was used for another request");
            return Err(ProviderError::new(ErrorClass::Conflict, message));
        }

        let (room, limit) = self.room(world, plan);
        let made = room.min(*count);
        let shortfall = (made < *count).then_some(limit);
        if let Some(Shortfall { class, message }) = shortfall.clone().filter(|_| made == 0) {
            return Err(ProviderError::new(class, message));
        }

        let mut effects = vec![Effect::Shape(Shape {
            scope: scope.clone(),
            zone: zone.clone(),
            labels: self.batch.all_labels(),
            attributes: template.attributes.clone(),
        })];
        let mut machines = Vec::new();
        let bootstraps = !user_data.is_empty();
        for index in 0..made {
            let id = MachineId(format!(
                "sim-{}",
                Hash::of(format!("{scope}/{key}/{index}"))
            ));
            let name = key.machine_name(&ownership.fleet, index);
            let number = world.addresses.saturating_add(index);
            let machine = Stored {
                address: Some(address(number)?),
                born: world.clock,
                now: Version {
                    since: world.clock,
                    shape: world.shapes.len(),
                    power: Power::Starting,
                    readiness: if bootstraps {
                        Readiness::Waiting
                    } else {
                        Readiness::Unknown
                    },
                },
                past: Vec::new(),
                life: plan.life(world.clock, &id.0, &name, bootstraps),
                gone: None,
                name,
            };
            machines.push(id.clone());
            effects.push(Effect::Birth { id, machine });
        }
        effects.push(Effect::Addresses(world.addresses.saturating_add(made)));
        effects.push(Effect::Reserve {
            scope: scope.clone(),
            key: *key,
            reservation: Reservation {
                request,
                machines,
                shortfall,
            },
        });
        Ok((effects, ()))
    }

    fn answer(&self, world: &World, _: &FaultPlan, (): ()) -> Result<Created, ProviderError> {
        let key = (self.batch.template.scope.clone(), self.batch.key);
        let Some(made) = world.reservations.get(&key) else {
            let message = format!("key {} made nothing", self.batch.key);
            return Err(ProviderError::new(ErrorClass::Unrecognized, message));
        };
        let machines: Vec<_> = made
            .machines
            .iter()
            .filter_map(|id| world.machine(id))
            .collect();
        let deleted = made.machines.len() - machines.len();
        let shortfall = made.shortfall.clone().or_else(|| {
            (deleted > 0).then(|| Shortfall {
                class: ErrorClass::NotFound,
                message: format!("{deleted} machines of key {} were deleted since", key.1),
            })
        });
        Ok(Created {
            machines,
            shortfall,
        })
    }
}

impl Create {
    /// Checks the request by itself, and returns its hash.
    fn check(&self) -> Result<Hash, ProviderError> {
        let invalid = |message: String| ProviderError::new(ErrorClass::Invalid, message);
        let Batch {
            count,
            zone,
            template,
            ..
        } = &self.batch;
        if *count == 0 {
            return Err(invalid("a batch of no machines".to_owned()));
        }
        check_size(
            usize::try_from(*count).unwrap_or(usize::MAX),
            self.max_batch,
        )?;
        if !template.zones.contains(zone) {
            return Err(invalid(format!("no zone `{zone}` in the template")));
        }
        let text = serde_json::to_vec(&self.batch)
            .map_err(|error| invalid("the batch cannot be sent".to_owned()).with_source(error))?;
        Ok(Hash::of(text))
    }

    /// Returns how many machines fit, and what stops more.
    fn room(&self, world: &World, plan: &FaultPlan) -> (u32, Shortfall) {
        let Batch { zone, template, .. } = &self.batch;
        let scope = &template.scope;
        let capacity = plan.capacity.get(zone).copied();
        let (mut in_scope, mut in_zone) = (0_u32, 0_u32);
        // Counting is skipped when nothing limits, which is what large worlds have.
        if plan.quota.is_some() || capacity.is_some() {
            for (_, _, shape) in world
                .existing()
                .filter(|(_, _, shape)| shape.scope == *scope)
            {
                in_scope += 1;
                in_zone += u32::from(shape.zone == *zone);
            }
        }
        let quota = plan
            .quota
            .map_or(u32::MAX, |most| most.saturating_sub(in_scope));
        let capacity = capacity.map_or(u32::MAX, |most| most.saturating_sub(in_zone));
        if quota <= capacity {
            let message = format!("the quota of {scope} has room for {quota} more machines");
            let class = ErrorClass::Quota;
            (quota, Shortfall { class, message })
        } else {
            let message = format!("zone {zone} has room for {capacity} more such machines");
            let class = ErrorClass::Capacity;
            (capacity, Shortfall { class, message })
        }
    }
}

/// Returns the address with a number: those of 10.0.0.0/8 that end neither in 0 nor in 255.
fn address(number: u32) -> Result<IpAddr, ProviderError> {
    let (net, host) = (number / 254, number % 254 + 1);
    if net >= 1 << 16 {
        let message = "no address of 10.0.0.0/8 is left";
        return Err(ProviderError::new(ErrorClass::Quota, message));
    }
    Ok(Ipv4Addr::from_bits(10 << 24 | net << 8 | host).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_usable_and_end() {
        let text = |number| address(number).map(|a| a.to_string()).ok();
        assert_eq!(text(0).as_deref(), Some("10.0.0.1"));
        assert_eq!(text(253).as_deref(), Some("10.0.0.254"));
        assert_eq!(text(254).as_deref(), Some("10.0.1.1"));
        assert_eq!(text(254 * 65_536 - 1).as_deref(), Some("10.255.255.254"));
        assert_eq!(text(254 * 65_536), None);
        assert_eq!(text(u32::MAX), None);
    }
}
