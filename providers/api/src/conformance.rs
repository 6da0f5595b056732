//! The rules that every provider keeps, as tests that any provider can be run through.
//!
//! A provider's tests implement [`Harness`] and call [`suite`]; each rule is
//! also a function of its own, so that a slow provider can run them one by one.
//! A rule that is broken panics and says what was seen.
//!
//! Every rule works in stacks of its own and deletes them at its end, so the
//! rules need no order and no empty cloud. What a cloud cannot do from outside,
//! such as stopping a machine, the harness says by `None`; the rule is then
//! kept as far as it can be.

mod create;
mod delete;
mod ground;
mod observe;
mod private;
mod update;

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use crate::contract::{Kind, Media, OpenContext, Provider};
use crate::error::ProviderError;
use crate::labels::BatchKey;
use crate::machine::{Machine, MachineId};
use crate::template::Template;

pub use create::{
    a_key_makes_no_more_than_asked, a_key_makes_one_set, a_key_means_one_request,
    a_machine_is_what_its_template_asks_for, machines_are_told_apart,
};
pub use delete::{deleting_is_repeatable, deleting_spares_other_stacks, ids_are_never_used_again};
pub use observe::{
    a_stack_sees_only_its_own, labels_are_complete_from_the_first, machines_are_found_by_id,
    machines_are_found_by_label, observing_costs_pages,
};
pub use private::{machines_wait_for_their_files, private_files_are_asked_for_once};
pub use update::{
    attributes_change_in_place, labels_are_set_and_removed, stopped_machines_start,
    updating_what_is_gone_is_not_found,
};

/// What the suite needs of a provider's tests.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Returns the provider.
    fn kind(&self) -> Arc<dyn Kind>;

    /// Returns a template of small machines.
    fn template(&self) -> Template;

    /// Returns the same template with attributes that change without a new machine, and their names.
    fn changed_template(&self) -> Option<(Template, Vec<String>)> {
        None
    }

    /// Returns what the provider is opened with; always the same counter of requests.
    fn context(&self) -> OpenContext;

    /// Connects to the scope of the template.
    ///
    /// # Errors
    /// Those of [`Kind::open`].
    async fn open(&self) -> Result<Arc<dyn Provider>, ProviderError> {
        let template = self.template();
        self.kind()
            .open(Some(&template), &template.scope, &self.context())
            .await
    }

    /// Returns how many machines a rule makes where several are needed; at least 2.
    fn several(&self) -> u32 {
        3
    }

    /// Returns the user-data of the machines.
    fn user_data(&self) -> String {
        "#cloud-config\n{}\n".to_owned()
    }

    /// Returns the media of the machines.
    fn media(&self) -> Vec<Media> {
        Vec::new()
    }

    /// Returns a key that was never used.
    fn key(&self) -> BatchKey {
        BatchKey(Uuid::new_v4())
    }

    /// Waits until listings show all that was done.
    async fn settle(&self) {}

    /// Stops a machine from outside; `None` when the provider's tests cannot.
    async fn stop(&self, _machine: &MachineId) -> Option<()> {
        None
    }

    /// Returns a private file as root of its machine reads it; `None` when the provider's tests
    /// cannot, or the provider hands none over. One that is missing is empty.
    async fn private_file(&self, _machine: &Machine, _name: &str) -> Option<String> {
        None
    }

    /// Returns everything that is written down of a machine outside of it, as far as the
    /// provider's tests can see.
    async fn records(&self, _machine: &Machine) -> String {
        String::new()
    }

    /// Makes a machine that meshvm knows nothing of; `None` when the provider's tests cannot.
    async fn add_foreign(&self) -> Option<MachineId> {
        None
    }

    /// Removes what [`Harness::add_foreign`] made.
    async fn remove_foreign(&self, _machine: &MachineId) {}
}

/// Checks every rule.
///
/// # Panics
/// When a rule is broken, or a call fails that should not.
pub async fn suite(harness: &dyn Harness) {
    a_key_makes_one_set(harness).await;
    a_key_means_one_request(harness).await;
    a_key_makes_no_more_than_asked(harness).await;
    a_machine_is_what_its_template_asks_for(harness).await;
    machines_are_told_apart(harness).await;
    private_files_are_asked_for_once(harness).await;
    machines_wait_for_their_files(harness).await;
    labels_are_complete_from_the_first(harness).await;
    a_stack_sees_only_its_own(harness).await;
    machines_are_found_by_id(harness).await;
    machines_are_found_by_label(harness).await;
    observing_costs_pages(harness).await;
    labels_are_set_and_removed(harness).await;
    attributes_change_in_place(harness).await;
    stopped_machines_start(harness).await;
    updating_what_is_gone_is_not_found(harness).await;
    deleting_is_repeatable(harness).await;
    deleting_spares_other_stacks(harness).await;
    ids_are_never_used_again(harness).await;
}
