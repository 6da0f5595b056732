//! Which nodes are connected, and what happens when they no longer are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::entries::{CONNECTED_AT, DISCONNECTED_AT, Entries, GROUP, Own};
use super::model;
use super::world::World;

/// After this long a node that istiod never saw leave is gone: one and a half times as long as
/// istiod lets a connection live.
const FORGOTTEN: Duration = Duration::from_secs(45 * 60);

/// The connected nodes.
pub struct Connections {
    live: Mutex<HashMap<Own, usize>>,
    ended: mpsc::UnboundedSender<Own>,
}

/// A node's connection, which ends when it is dropped.
pub struct Connection {
    own: Own,
    connections: Arc<Connections>,
}

impl Connections {
    /// Starts with none; the other end is for [`look_after`].
    pub fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Own>) {
        let (ended, ends) = mpsc::unbounded_channel();
        let connections = Self {
            live: Mutex::default(),
            ended,
        };
        (Arc::new(connections), ends)
    }

    /// Counts a connection.
    pub fn connect(self: &Arc<Self>, own: Own) -> Connection {
        *self.counts().entry(own.clone()).or_insert(0) += 1;
        Connection {
            own,
            connections: Arc::clone(self),
        }
    }

    fn is_live(&self, own: &Own) -> bool {
        self.counts().contains_key(own)
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, HashMap<Own, usize>> {
        // A panic elsewhere leaves the counts as they were.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut counts = self.connections.counts();
        let left = counts
            .get(&self.own)
            .map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.own);
            // When istiod itself ends, nobody is left to hear it, and entries stay as they are.
            let _ = self.connections.ended.send(self.own.clone());
        } else {
            counts.insert(self.own.clone(), left);
        }
    }
}

/// Notes of each node that it is gone, and forgets it when it stays away for a while; for ever.
pub async fn look_after(
    connections: Arc<Connections>,
    mut ends: mpsc::UnboundedReceiver<Own>,
    entries: Entries,
    world: World,
    grace: Duration,
) {
    let mut waiting = JoinSet::new();
    // Never without a pause, whatever the grace is.
    let mut sweep = tokio::time::interval((grace * 10).max(Duration::from_secs(1)));
    loop {
        tokio::select! {
            Some(own) = ends.recv() => {
                waiting.spawn(gone(Arc::clone(&connections), entries.clone(), own, grace));
            }
            Some(_) = waiting.join_next() => {}
            _ = sweep.tick() => {
                for own in stale(&world, &connections, Timestamp::now(), grace) {
                    forget(&entries, &own).await;
                }
            }
        }
    }
}

async fn gone(connections: Arc<Connections>, entries: Entries, own: Own, grace: Duration) {
    if connections.is_live(&own) {
        return;
    }
    if let Err(error) = entries.disconnected(&own).await {
        say(&own, &error);
    }
    tokio::time::sleep(grace).await;
    if !connections.is_live(&own) {
        forget(&entries, &own).await;
    }
}

async fn forget(entries: &Entries, own: &Own) {
    if let Err(error) = entries.forget(own).await {
        say(own, &error);
    }
}

fn say(own: &Own, error: &kube::Error) {
    eprintln!(
        "istiod: WorkloadEntry {}/{}: {error}",
        own.namespace, own.name
    );
}

/// Returns the entries whose nodes left while no control plane was there to see it.
fn stale(world: &World, connections: &Connections, now: Timestamp, grace: Duration) -> Vec<Own> {
    let entries = world.entries().into_iter();
    entries
        .filter(|entry| is_stale(entry, now, grace))
        .filter_map(|entry| {
            Some(Own {
                namespace: entry.namespace()?,
                name: entry.name_any(),
            })
        })
        .filter(|own| !connections.is_live(own))
        .collect()
}

fn is_stale(entry: &DynamicObject, now: Timestamp, grace: Duration) -> bool {
    if !entry.annotations().contains_key(GROUP) && !model::is_health_checked(entry) {
        return false;
    }
    let is_older = |annotation: &str, age: Duration| {
        let at = entry.annotations().get(annotation);
        let at = at.and_then(|at| at.parse::<Timestamp>().ok());
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        at.is_some_and(|at| now.duration_since(at).as_secs() > age)
    };
    is_older(DISCONNECTED_AT, grace) || is_older(CONNECTED_AT, FORGOTTEN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::istiod::world::entries_kind;

    fn entry(annotations: &[(&str, &str)]) -> DynamicObject {
        let mut entry = DynamicObject::new("a", &entries_kind());
        for (name, value) in annotations {
            entry
                .annotations_mut()
                .insert((*name).to_owned(), (*value).to_owned());
        }
        entry
    }

    #[test]
    fn only_what_is_looked_after_and_left_long_ago_is_stale() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let grace = Duration::from_secs(10);
        let left = (DISCONNECTED_AT, "2026-01-01T00:59:00Z");
        let just_left = (DISCONNECTED_AT, "2026-01-01T00:59:55Z");
        let came = (CONNECTED_AT, "2026-01-01T00:59:00Z");
        let came_long_ago = (CONNECTED_AT, "2026-01-01T00:01:00Z");
        let group = (GROUP, "web");
        assert!(is_stale(&entry(&[group, left]), now, grace));
        assert!(is_stale(&entry(&[group, came_long_ago]), now, grace));
        assert!(is_stale(
            &entry(&[(model::HEALTH_CHECKED, "true"), left]),
            now,
            grace
        ));
        assert!(!is_stale(&entry(&[group, just_left]), now, grace));
        assert!(!is_stale(&entry(&[group, came]), now, grace));
        assert!(!is_stale(&entry(&[left]), now, grace));
    }

    #[tokio::test]
    async fn the_last_connection_of_a_node_counts() {
        let (connections, mut ends) = Connections::new();
        let own = Own {
            namespace: "vm".to_owned(),
            name: "a".to_owned(),
        };
        let one = connections.connect(own.clone());
        let two = connections.connect(own.clone());
        drop(one);
        assert!(connections.is_live(&own));
        assert!(ends.try_recv().is_err());
        drop(two);
        assert!(!connections.is_live(&own));
        assert_eq!(ends.try_recv().unwrap(), own);
    }
}
