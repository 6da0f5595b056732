//! EC2's token buckets: each call takes a token, and tokens come back over time
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>).

use std::time::Instant;

/// The tokens of one kind of call.
#[derive(Clone, Debug)]
pub struct Bucket {
    most: f64,
    refill: f64,
    tokens: f64,
    since: Instant,
}

impl Bucket {
    /// Makes a full bucket of `most` tokens, of which `refill` come back in a second.
    pub fn new(most: u32, refill: u32) -> Self {
        Self {
            most: most.into(),
            refill: refill.into(),
            tokens: most.into(),
            since: Instant::now(),
        }
    }

    /// Takes a token; says whether there was one.
    pub(crate) fn take(&mut self) -> bool {
        let now = Instant::now();
        let come = now.duration_since(self.since).as_secs_f64() * self.refill;
        self.since = now;
        self.tokens = (self.tokens + come).min(self.most);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}
