//! Sends single calls: counted, paced, and their errors put in classes.

use std::time::Duration;

use google_cloud_compute_v1::Error;
use meshvm_provider_api::layers::{Layer, Operation, Pace};
use meshvm_provider_api::{ErrorClass, ProviderError, Requests};

use crate::connect::Apis;
use crate::error;
use crate::policy::Action;

/// How many calls may start in a second: three quarters of what a project may send in a minute
/// and region by default (<https://cloud.google.com/compute/api-quota>).
const RATE: u32 = 20;
/// How often a call that is throttled is sent; the pace halves each time.
const ATTEMPTS: u32 = 8;
/// How often a change is sent whose reply is lost. Each is safe to repeat, and starting over with
/// an operation of many would lose another of them.
const LOST_ATTEMPTS: u32 = 3;
/// How long one call may take; `wait` alone takes up to two minutes.
const CALL: Duration = Duration::from_secs(150);

/// The clients of one scope.
pub(crate) struct Client {
    pub apis: Apis,
    requests: Requests,
    pace: Pace,
}

impl Client {
    /// Makes the client; sends nothing.
    pub fn new(apis: Apis, requests: Requests) -> Self {
        Self {
            apis,
            requests,
            pace: Pace::per_second(RATE),
        }
    }

    /// Sends a call; again when the cloud asks to slow down, which had no effect and slows down
    /// everyone on this scope, and a few times when its reply is lost.
    ///
    /// # Errors
    /// That of the last call.
    pub async fn send<T, F, Fut>(&self, action: Action, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let operation = match action.is_reading() {
            true => Operation::Observe,
            false => Operation::Update,
        };
        let once = || async {
            self.requests.count(action.as_str());
            match tokio::time::timeout(CALL, call()).await {
                Ok(answer) => answer.map_err(|error| error::of(action, error)),
                Err(late) => {
                    let message = format!("{}: no answer", action.as_str());
                    Err(ProviderError::new(error::lost(action), message).with_source(late))
                }
            }
        };
        let (mut throttled, mut lost) = (1, 1);
        loop {
            match self.pace.around(operation, once).await {
                Err(error) if error.class == ErrorClass::Throttled && throttled < ATTEMPTS => {
                    throttled += 1;
                }
                Err(error) if error.class == ErrorClass::ReplyLost && lost < LOST_ATTEMPTS => {
                    lost += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Reads all pages of a listing. `call` asks for a page by its token; `take` takes from it what
    /// is listed, and the token of the next.
    ///
    /// # Errors
    /// That of the last call, or of `take`.
    pub async fn pages<P, T, F, Fut>(
        &self,
        action: Action,
        call: F,
        take: impl Fn(P) -> Result<(Vec<T>, Option<String>), ProviderError> + Send + Sync,
    ) -> Result<Vec<T>, ProviderError>
    where
        P: Send,
        T: Send,
        F: Fn(String) -> Fut + Send + Sync,
        Fut: Future<Output = Result<P, Error>> + Send,
    {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = self.send(action, || call(next.clone())).await?;
            let (items, token) = take(page)?;
            found.extend(items);
            next = token.unwrap_or_default();
            if next.is_empty() {
                return Ok(found);
            }
        }
    }
}
