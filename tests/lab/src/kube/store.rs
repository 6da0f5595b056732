//! The objects, their history, and the indexes that keep writes cheap.
//!
//! Pure: it knows no rule of the API but two. Every write gets the next number of one counter
//! as `resourceVersion`, and is told to watchers in that order. What an object may be is
//! decided before it comes here.
//!
//! Invariants: each index holds exactly what is derived from the objects; the events of a kind
//! are in the order of their numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::KindId;

/// How many events of a kind are kept for watchers that come late.
const HISTORY: usize = 20_000;

/// Where an object is: its namespace, empty for none, and its name.
pub type Key = (String, String);

/// An object's kind and place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The kind.
    pub kind: KindId,
    /// The place.
    pub key: Key,
}

/// A change of one object.
#[derive(Debug, Clone)]
pub struct Event {
    /// The number of the write.
    pub version: u64,
    /// The object before; `None` when it is new.
    pub old: Option<Arc<Value>>,
    /// The object after; `None` when it is gone.
    pub new: Option<Arc<Value>>,
}

/// The objects of one kind.
#[derive(Debug, Default)]
struct Table {
    objects: BTreeMap<Key, Arc<Value>>,
    events: VecDeque<Event>,
    /// The number of the last event that was dropped.
    forgotten: u64,
}

/// All objects.
#[derive(Debug)]
pub struct Store {
    version: u64,
    tables: Vec<Table>,
    by_uid: HashMap<String, Place>,
    by_owner: HashMap<String, BTreeSet<Place>>,
    cluster_ips: BTreeSet<String>,
}

impl Store {
    /// Makes a store for so many kinds.
    pub fn new(kinds: usize) -> Self {
        Self {
            // A real server has written much before anybody can ask it.
            version: 100,
            tables: (0..kinds).map(|_| Table::default()).collect(),
            by_uid: HashMap::new(),
            by_owner: HashMap::new(),
            cluster_ips: BTreeSet::new(),
        }
    }

    /// Returns the number of the last write.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns an object.
    pub fn get(&self, kind: KindId, key: &Key) -> Option<&Arc<Value>> {
        self.tables[kind.0].objects.get(key)
    }

    /// Returns the objects of a kind, of one namespace or of all, after a place.
    pub fn list<'a>(
        &'a self,
        kind: KindId,
        namespace: Option<&'a str>,
        after: Option<&Key>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        use std::ops::Bound::{Excluded, Included, Unbounded};

        let first = namespace.map(|namespace| (namespace.to_owned(), String::new()));
        let from = match (after, first) {
            (Some(after), _) => Excluded(after.clone()),
            (None, Some(first)) => Included(first),
            (None, None) => Unbounded,
        };
        let objects = self.tables[kind.0].objects.range((from, Unbounded));
        objects.take_while(move |((of, _), _)| namespace.is_none_or(|namespace| of == namespace))
    }

    /// Returns where the object of a uid is.
    pub fn place_of(&self, uid: &str) -> Option<&Place> {
        self.by_uid.get(uid)
    }

    /// Returns the objects that say they are owned by a uid.
    pub fn owned_by(&self, uid: &str) -> Vec<Place> {
        let owned = self.by_owner.get(uid).into_iter().flatten();
        owned.cloned().collect()
    }

    /// Returns whether an address is a Service's.
    pub fn has_cluster_ip(&self, address: &str) -> bool {
        self.cluster_ips.contains(address)
    }

    /// Writes an object, and returns it as it is kept.
    pub fn put(&mut self, kind: KindId, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        let table = &mut self.tables[kind.0];
        let old = table.objects.insert(key.clone(), Arc::clone(&object));
        let place = Place { kind, key };
        if let Some(old) = &old {
            self.unindex(&place, old);
        }
        self.index(place, &object);
        self.tell(kind, old, Some(Arc::clone(&object)));
        object
    }

    /// Takes an object away, and returns it as watchers see it last.
    pub fn remove(&mut self, kind: KindId, key: &Key) -> Option<Arc<Value>> {
        let old = self.tables[kind.0].objects.remove(key)?;
        self.version += 1;
        let place = Place {
            kind,
            key: key.clone(),
        };
        self.unindex(&place, &old);
        self.tell(kind, Some(Arc::clone(&old)), None);
        Some(old)
    }

    /// Returns the events of a kind after a write; `None` when some of them are forgotten.
    pub fn events_after(&self, kind: KindId, version: u64) -> Option<impl Iterator<Item = &Event>> {
        let table = &self.tables[kind.0];
        if version < table.forgotten {
            return None;
        }
        let from = table.events.partition_point(|e| e.version <= version);
        Some(table.events.range(from..))
    }

    /// Forgets all events until now: who watches from an older write is told that it is gone.
    pub fn forget(&mut self) {
        for table in &mut self.tables {
            table.events.clear();
            table.forgotten = self.version;
        }
    }

    fn tell(&mut self, kind: KindId, old: Option<Arc<Value>>, new: Option<Arc<Value>>) {
        let version = self.version;
        let table = &mut self.tables[kind.0];
        table.events.push_back(Event { version, old, new });
        if table.events.len() > HISTORY
            && let Some(dropped) = table.events.pop_front()
        {
            table.forgotten = dropped.version;
        }
    }

    fn index(&mut self, place: Place, object: &Value) {
        for owner in owners(object) {
            let owned = self.by_owner.entry(owner.to_owned()).or_default();
            owned.insert(place.clone());
        }
        if let Some(address) = cluster_ip(object) {
            self.cluster_ips.insert(address.to_owned());
        }
        if let Some(uid) = uid(object) {
            self.by_uid.insert(uid.to_owned(), place);
        }
    }

    fn unindex(&mut self, place: &Place, object: &Value) {
        if let Some(uid) = uid(object) {
            self.by_uid.remove(uid);
        }
        for owner in owners(object) {
            if let Some(owned) = self.by_owner.get_mut(owner) {
                owned.remove(place);
                if owned.is_empty() {
                    self.by_owner.remove(owner);
                }
            }
        }
        if let Some(address) = cluster_ip(object) {
            self.cluster_ips.remove(address);
        }
    }
}

/// Returns the uid of an object.
pub fn uid(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid")?.as_str()
}

/// Returns the uids of the owners that an object has.
pub fn owners(object: &Value) -> impl Iterator<Item = &str> {
    let owners = object.pointer("/metadata/ownerReferences");
    let owners = owners.and_then(Value::as_array).into_iter().flatten();
    owners.filter_map(|owner| owner["uid"].as_str())
}

fn cluster_ip(object: &Value) -> Option<&str> {
    let service = object["kind"] == "Service";
    let address = object.pointer("/spec/clusterIP")?.as_str()?;
    (service && address != "None" && !address.is_empty()).then_some(address)
}
