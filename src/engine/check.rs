//! Looks whether what a plan makes can be made, before the first change.

use std::collections::BTreeMap;

use futures::future::join_all;
use meshvm_provider_api::{ErrorClass, Growth, Need, ProviderError};

use super::{Engine, EngineError};
use crate::mesh::Object;
use crate::plan::{Action, FleetPlan, ObjectAction, Plan};

impl Engine {
    /// Looks whether the machines and objects that a plan makes can be made. Changes nothing.
    ///
    /// # Errors
    /// [`EngineError::Unjoinable`] where new machines could not be told how to join; all else that keeps
    /// machines from being made; or an object that exists and is not the stack's;
    /// or when clouds or the mesh cannot be asked.
    pub async fn check(&self, plan: &Plan) -> Result<(), EngineError> {
        let unjoinable = plan.unjoinable();
        if !unjoinable.is_empty() {
            return Err(EngineError::Unjoinable(unjoinable));
        }
        let checks = plan.fleets.iter().map(async |(fleet, changes)| {
            (fleet.as_str(), self.check_fleet(plan, fleet, changes).await)
        });
        let mut unready = Vec::new();
        let mut needs = Vec::new();
        for (fleet, checked) in join_all(checks).await {
            match checked {
                Ok(found) => {
                    let provider = plan.desired.fleets.get(fleet);
                    let provider = provider.map(|it| it.template.scope.provider.as_str());
                    let provider = provider.unwrap_or_default();
                    needs.extend(found.into_iter().map(|need| (fleet, provider, need)));
                }
                Err(error) => unready.push((fleet.to_owned(), error)),
            }
        }
        unready.extend(beyond(&needs));
        if !unready.is_empty() {
            return Err(EngineError::Unready(unready));
        }
        self.check_objects(plan).await
    }

    async fn check_fleet(
        &self,
        plan: &Plan,
        fleet: &str,
        changes: &FleetPlan,
    ) -> Result<Vec<Need>, ProviderError> {
        let Some(desired) = plan.desired.fleets.get(fleet) else {
            return Ok(Vec::new());
        };
        let mut growth = Growth::new();
        for change in &changes.changes {
            for (zone, count) in &change.zones {
                let more = match change.action {
                    // Machines that take others' places are not more than there are for long; they
                    // have to be possible all the same.
                    Action::Replace => 0,
                    Action::Create
                    | Action::Update
                    | Action::Delete
                    | Action::Adopt
                    | Action::Forget => *count,
                };
                *growth.entry(zone.clone()).or_default() += more;
            }
        }
        let template = &desired.template;
        let kind = self.connections.kind(&template.scope)?;
        if growth.is_empty() || !kind.info().resolves {
            return Ok(Vec::new());
        }
        let provider = self
            .connections
            .open(&template.scope, Some(template))
            .await?;
        provider.check(template, &growth).await
    }

    async fn check_objects(&self, plan: &Plan) -> Result<(), EngineError> {
        let made = plan
            .objects
            .iter()
            .filter_map(|change| match change.action {
                ObjectAction::Create => change.object.clone(),
                ObjectAction::Update | ObjectAction::Delete | ObjectAction::Release => None,
            });
        let made: Vec<Object> = made.collect();
        match &self.mesh {
            Some(mesh) if !made.is_empty() => mesh
                .check(&plan.desired.stack, &made)
                .await
                .map_err(EngineError::Check),
            Some(_) | None => Ok(()),
        }
    }
}

/// Returns what fleets together take more of than is left, though it would do for each; told of the
/// first of them.
fn beyond(needs: &[(&str, &str, Need)]) -> Vec<(String, ProviderError)> {
    let mut shared: BTreeMap<(&str, &str), Vec<(&str, &Need)>> = BTreeMap::new();
    for (fleet, provider, need) in needs {
        let all = shared.entry((*provider, need.of.as_str())).or_default();
        all.push((*fleet, need));
    }
    let told = shared.into_iter().filter_map(|((_, of), all)| {
        let needed: u64 = all.iter().map(|(_, need)| need.needed).sum();
        // They were asked one after another, and what is left may have become less.
        let left = all.iter().map(|(_, need)| need.left).min()?;
        let [(first, _), _, ..] = all[..] else {
            return None;
        };
        let fleets = all.iter().map(|(fleet, _)| format!("`{fleet}`"));
        let fleets = fleets.collect::<Vec<_>>().join(", ");
        (needed > left).then(|| {
            let message = format!(
                "the fleets {fleets} together would take {needed} of {of}, and {left} are left"
            );
            let error = ProviderError::new(ErrorClass::Quota, message);
            let hint = "ask for fewer machines, or for more room; `--target` makes one fleet alone";
            (first.to_owned(), error.with_hint(hint))
        })
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleets_that_each_would_fit_may_not_fit_together() {
        let need = |of: &str, needed| Need {
            of: of.to_owned(),
            needed,
            left: 10,
        };
        let needs = [
            ("api", "aws", need("vCPUs", 6)),
            ("web", "aws", need("vCPUs", 5)),
            // Others', and enough of it.
            ("web", "aws", need("addresses", 5)),
            ("db", "aws", need("addresses", 5)),
            ("db", "gcp", need("vCPUs", 10)),
        ];
        let told = beyond(&needs);
        assert_eq!(told.len(), 1);
        let (fleet, error) = &told[0];
        assert_eq!(fleet, "api");
        let said = "the fleets `api`, `web` together would take 11 of vCPUs, and 10 are left";
        assert_eq!(error.message, said);
        assert!(beyond(&needs[2..]).is_empty() && beyond(&needs[..1]).is_empty());
    }
}
