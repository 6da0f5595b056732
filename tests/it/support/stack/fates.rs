//! Fates: where the runs of tests die.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use meshvm::apply::{CrashPoint, Fate, Stop};
use meshvm::steps::{Op, Step};

/// A place in a run: a step, and how far it came.
pub type Place = (CrashPoint, String);

/// Never dies, and remembers every place where it could have.
#[derive(Default)]
pub struct Recorder {
    places: Mutex<Vec<(Place, &'static str)>>,
}

impl Recorder {
    /// Returns every place, with the kind of its step.
    pub fn places(&self) -> Vec<(Place, &'static str)> {
        self.places.lock().unwrap().clone()
    }
}

impl Fate for Recorder {
    fn dies(&self, point: CrashPoint, step: &Step) -> bool {
        let place = (point, step.id.clone());
        self.places.lock().unwrap().push((place, kind(step)));
        false
    }
}

/// Dies at one place.
pub struct DiesAt(pub Place);

impl Fate for DiesAt {
    fn dies(&self, point: CrashPoint, step: &Step) -> bool {
        (point, step.id.as_str()) == (self.0.0, self.0.1.as_str())
    }
}

/// Dies at the so-manieth place, counted from 0; never, when the run has fewer.
pub struct DiesAfter {
    left: AtomicUsize,
}

impl DiesAfter {
    pub fn places(places: usize) -> Self {
        Self {
            left: AtomicUsize::new(places),
        }
    }
}

impl Fate for DiesAfter {
    fn dies(&self, _: CrashPoint, _: &Step) -> bool {
        let passed = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, passed)
            .is_err()
    }
}

/// Asks a run to stop once it has passed so many places.
pub struct AsksToStop<'a> {
    at: DiesAfter,
    times: usize,
    asked: AtomicUsize,
    stop: &'a Stop,
}

impl<'a> AsksToStop<'a> {
    pub fn after(places: usize, times: usize, stop: &'a Stop) -> Self {
        Self {
            at: DiesAfter::places(places),
            times,
            asked: AtomicUsize::new(0),
            stop,
        }
    }
}

impl Fate for AsksToStop<'_> {
    fn dies(&self, point: CrashPoint, step: &Step) -> bool {
        if self.at.dies(point, step) && self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            (0..self.times).for_each(|_| self.stop.ask());
        }
        false
    }
}

/// All that [`kind`] can return.
pub const KINDS: [&str; 12] = [
    "prepare",
    "create",
    "await",
    "enter",
    "adopt",
    "forget",
    "start",
    "restart",
    "change in place",
    "delete",
    "write",
    "prune",
];

/// Names what a step does, as finely as recovering from it differs.
pub fn kind(step: &Step) -> &'static str {
    match &step.op {
        Op::Prepare { .. } => "prepare",
        Op::Create(_) => "create",
        Op::Await { .. } => "await",
        Op::Enter { .. } => "enter",
        Op::Change { update, .. } => {
            if step.id.starts_with("adopt/") {
                "adopt"
            } else if update.template.is_none() {
                "forget"
            } else if update.start {
                "start"
            } else if update.attributes.iter().any(|name| name == "size") {
                "restart"
            } else {
                "change in place"
            }
        }
        Op::Delete { .. } => "delete",
        Op::Write { .. } => "write",
        Op::Prune { .. } => "prune",
    }
}
