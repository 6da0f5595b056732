//! Chance without randomness: every draw is a hash of the seed, the clock and what is drawn.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A number of calls, drawn anew for each machine. `max` below `min` counts as `min`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Span {
    /// The fewest calls.
    pub min: u64,
    /// The most calls.
    pub max: u64,
}

impl Span {
    /// Returns a span that is always `calls`.
    pub const fn exactly(calls: u64) -> Self {
        Self {
            min: calls,
            max: calls,
        }
    }

    /// Returns the most calls that the span can give.
    pub fn longest(self) -> u64 {
        self.max.max(self.min)
    }

    pub(crate) fn pick(self, draw: impl FnOnce() -> u64) -> u64 {
        if self.max <= self.min {
            return self.min;
        }
        let choices = u128::from(self.max - self.min) + 1;
        let step = (u128::from(draw()) * choices) >> 64;
        self.min + u64::try_from(step).unwrap_or(u64::MAX)
    }
}

/// A probability, from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// What never happens.
    pub const NEVER: Self = Self(0.0);
    /// What always happens.
    pub const ALWAYS: Self = Self(1.0);

    /// Returns how likely something is that happens so many times in a hundred, at most always.
    pub fn percent(percent: u8) -> Self {
        Self(f64::from(percent.min(100)) / 100.0)
    }

    pub(crate) fn happens(self, draw: impl FnOnce() -> u64) -> bool {
        self.0 > 0.0 && unit(draw()) < self.0
    }

    /// Draws how many tries it takes until it happens; `None` for never.
    pub(crate) fn tries(self, draw: impl FnOnce() -> u64) -> Option<u64> {
        if self.0 <= 0.0 {
            return None;
        }
        let tries = ((1.0 - unit(draw())).ln() / (1.0 - self.0).ln()).ceil();
        // The conversion saturates, which is what a very unlikely death asks for.
        Some((tries as u64).max(1))
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(format!("{value} is not a probability from 0 to 1"))
        }
    }
}

impl From<Probability> for f64 {
    fn from(probability: Probability) -> Self {
        probability.0
    }
}

/// Draws 64 bits that depend on nothing but the arguments.
pub(crate) fn draw(seed: u64, clock: u64, what: &str, which: &str) -> u64 {
    let digest = Sha256::new()
        .chain_update(seed.to_le_bytes())
        .chain_update(clock.to_le_bytes())
        .chain_update(what)
        .chain_update([0])
        .chain_update(which)
        .finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// Maps 64 bits to a number from 0 up to, not including, 1.
fn unit(draw: u64) -> f64 {
    // 53 bits are what a double holds exactly.
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_fixed_for_ever() {
        // A change here breaks every seed that a user noted.
        assert_eq!(draw(1, 2, "death", "sim-a"), draw(1, 2, "death", "sim-a"));
        assert_ne!(draw(1, 2, "death", "sim-a"), draw(1, 3, "death", "sim-a"));
        assert_ne!(draw(1, 2, "death", "sim-a"), draw(2, 2, "death", "sim-a"));
        assert_eq!(
            format!("{:016x}", draw(7, 1, "throttle", "list")),
            "fd4f2d85a6844b39"
        );
    }

    #[test]
    fn spans_reach_both_ends_and_nothing_else() {
        let span = Span { min: 2, max: 4 };
        let picks: std::collections::BTreeSet<u64> =
            (0..100).map(|n| span.pick(|| draw(n, 0, "", ""))).collect();
        assert_eq!(picks.into_iter().collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(Span { min: 3, max: 0 }.pick(|| u64::MAX), 3);
        let widest = Span {
            min: 0,
            max: u64::MAX,
        };
        assert_eq!(widest.pick(|| u64::MAX), u64::MAX);
    }

    #[test]
    fn probabilities_are_met_about_as_often_as_they_say() {
        let often = |p: Probability| {
            (0..10_000)
                .filter(|n| p.happens(|| draw(*n, 1, "x", "y")))
                .count()
        };
        assert_eq!(often(Probability::NEVER), 0);
        assert_eq!(often(Probability::ALWAYS), 10_000);
        assert!((800..1200).contains(&often(Probability::percent(10))));
        let tries = |p: Probability| -> u64 {
            (0..1000)
                .filter_map(|n| p.tries(|| draw(n, 1, "x", "y")))
                .sum()
        };
        assert_eq!(tries(Probability::ALWAYS), 1000);
        assert_eq!(tries(Probability::NEVER), 0);
        assert!((9_000..11_000).contains(&tries(Probability::percent(10))));
    }
}
