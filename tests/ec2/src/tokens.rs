//! Client tokens, as EC2 honours them
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html>).

use std::collections::BTreeMap;

use bytes::Bytes;

/// The parameters of a call.
pub type Parameters = BTreeMap<String, String>;

/// The name of the token's parameter.
pub const TOKEN: &str = "ClientToken";

/// What was made under each token.
#[derive(Debug, Default)]
pub struct Tokens(BTreeMap<String, (Parameters, Bytes)>);

/// What a token means for a call.
#[derive(Debug, PartialEq, Eq)]
pub enum Known {
    /// It is new.
    No,
    /// The same call was answered so.
    Same(Bytes),
    /// It was used for another call.
    Other,
}

impl Tokens {
    /// Returns what a call's token means.
    pub fn look(&self, call: &Parameters) -> Known {
        match call.get(TOKEN).and_then(|token| self.0.get(token)) {
            None => Known::No,
            Some((before, answer)) if before == call => Known::Same(answer.clone()),
            Some(_) => Known::Other,
        }
    }

    /// Remembers what a call was answered.
    pub fn remember(&mut self, call: Parameters, answer: Bytes) {
        if let Some(token) = call.get(TOKEN).cloned() {
            self.0.insert(token, (call, answer));
        }
    }
}
