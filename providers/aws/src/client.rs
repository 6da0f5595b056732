//! Sends single calls: counted, paced, and their errors put in classes.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use meshvm_provider_api::layers::{Layer, Operation, Pace};
use meshvm_provider_api::{ErrorClass, ProviderError, Requests};

use crate::error;
use crate::policy::Action;

/// How many calls may start in a second: what EC2 refills for most reading calls
/// (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>).
const RATE: u32 = 20;
/// How often a call that is throttled is sent; the pace halves each time.
const ATTEMPTS: u32 = 8;
/// How often a change is sent whose reply is lost. Each is safe to repeat, and starting over with
/// an operation of many would lose another of them.
const LOST_ATTEMPTS: u32 = 3;

/// The clients of one scope.
pub(crate) struct Client {
    pub ec2: aws_sdk_ec2::Client,
    pub iam: aws_sdk_iam::Client,
    pub quotas: aws_sdk_servicequotas::Client,
    pub ssm: aws_sdk_ssm::Client,
    pub sts: aws_sdk_sts::Client,
    requests: Requests,
    pace: Pace,
    /// The machines that were told to end: listings may show them running for a while.
    ended: Mutex<BTreeSet<String>>,
}

impl Client {
    /// Makes the clients; sends nothing.
    pub fn new(config: &SdkConfig, requests: Requests) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            iam: aws_sdk_iam::Client::new(config),
            quotas: aws_sdk_servicequotas::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
            requests,
            pace: Pace::per_second(RATE),
            ended: Mutex::default(),
        }
    }

    /// Remembers that machines were told to end.
    pub fn remember_ended(&self, ids: impl IntoIterator<Item = String>) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.extend(ids);
    }

    /// Returns whether a machine was told to end by this client.
    pub fn has_ended(&self, id: &str) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.contains(id)
    }

    /// Sends a call; again when the cloud asks to slow down, which had no effect and slows down
    /// everyone on this scope, and a few times when its reply is lost.
    ///
    /// # Errors
    /// That of the last call.
    pub async fn send<T, E, F, Fut>(&self, action: Action, call: F) -> Result<T, ProviderError>
    where
        T: Send,
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        F: Fn() -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let operation = match action.is_reading() {
            true => Operation::Observe,
            false => Operation::Update,
        };
        let once = || async {
            self.requests.count(action.as_str());
            call().await.map_err(|error| error::of(action, error))
        };
        let (mut throttled, mut lost) = (1, 1);
        let answer = loop {
            match self.pace.around(operation, once).await {
                Err(error) if error.class == ErrorClass::Throttled && throttled < ATTEMPTS => {
                    throttled += 1;
                }
                Err(error) if error.class == ErrorClass::ReplyLost && lost < LOST_ATTEMPTS => {
                    lost += 1;
                }
                answer => break answer,
            }
        };
        match answer {
            Err(error) if error.class == ErrorClass::PermissionDenied => {
                Err(self.decoded(error).await)
            }
            answer => answer,
        }
    }

    /// Adds what was missing to a refusal, where the refusal says so in code and the credentials
    /// may have it read.
    async fn decoded(&self, mut refused: ProviderError) -> ProviderError {
        let Some((message, code)) = error::encoded(&refused.message) else {
            return refused;
        };
        let (message, code) = (message.to_owned(), code.to_owned());
        self.requests
            .count(Action::DecodeAuthorizationMessage.as_str());
        let call = self
            .sts
            .decode_authorization_message()
            .encoded_message(code);
        refused.message = match call.send().await {
            Ok(answer) => match error::denied(answer.decoded_message().unwrap_or_default()) {
                Some(denied) => format!("{message}: {denied}"),
                None => message,
            },
            // Few may read it: the refusal itself is what counts.
            Err(_) => message,
        };
        refused
    }
}
