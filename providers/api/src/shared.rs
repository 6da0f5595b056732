//! What the connections of one run have in common.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

type Thing = Arc<dyn Any + Send + Sync>;

/// Things that several scopes of a provider use together, by type and name: a group that holds
/// machines of two regions, for instance. Copies share what they hold.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<BTreeMap<(TypeId, String), Thing>>>);

impl Shared {
    /// Returns the thing of a name; makes it when it is the first to ask.
    pub fn of<T: Default + Send + Sync + 'static>(&self, name: &str) -> Arc<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = all.entry((TypeId::of::<T>(), name.to_owned()));
        let thing = Arc::clone(made.or_insert_with(|| Arc::new(T::default())));
        drop(all);
        // The type is a part of the key.
        thing.downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};

    use super::*;

    #[test]
    fn one_name_of_one_type_is_one_thing() {
        let shared = Shared::default();
        shared.of::<AtomicU8>("a").store(7, Ordering::Relaxed);
        let seen = |name: &str| shared.clone().of::<AtomicU8>(name).load(Ordering::Relaxed);
        assert_eq!((seen("a"), seen("b")), (7, 0));
        assert_eq!(shared.of::<AtomicU16>("a").load(Ordering::Relaxed), 0);
    }
}
