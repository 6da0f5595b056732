//! A certificate that is never let run out, as long as istiod answers.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use jiff::Timestamp;
use rand::RngExt as _;
use tokio::sync::watch;

use super::connect::ConnectError;
use super::{IssueError, Material, issue};
use crate::log;
use crate::settings::Settings;

/// The least time between two certificates, whatever the ratios are.
const SHORTEST: Duration = Duration::from_millis(500);

/// Gets a certificate, hands it on, and gets the next one in time; for ever.
///
/// # Errors
///
/// When there is no root to trust istiod by. Everything else is tried again.
pub async fn keep(
    settings: &Settings,
    current: &watch::Sender<Option<Material>>,
) -> Result<std::convert::Infallible, IssueError> {
    loop {
        let material = insist(settings).await?;
        let ttl = until(Timestamp::now(), material.end);
        log::info(format_args!(
            "generated new workload certificate\tresourceName=default ttl={}",
            in_hours(ttl)
        ));
        if let Some(folder) = &settings.output_certs
            && let Err(error) = material.write_to(folder)
        {
            log::error(format_args!(
                "error when output the key and certificate: {}",
                log::chain(&error)
            ));
        }
        let jitter = settings.grace_jitter * rand::rng().random_range(-1.0..=1.0);
        let pause = lifetime_until_renewal(
            until(material.made, material.end),
            settings.grace_ratio + jitter,
        );
        current.send_replace(Some(material));
        tokio::time::sleep(pause.max(SHORTEST)).await;
    }
}

/// Writes a duration as Go does, without what is less than a second.
fn in_hours(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Asks until there is a certificate.
async fn insist(settings: &Settings) -> Result<Material, IssueError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(15))
        .with_jitter()
        .without_max_times();
    for pause in pauses.build() {
        match issue(settings).await {
            Ok(material) => return Ok(material),
            Err(IssueError::Connect(error @ ConnectError::NoRoot { .. })) => {
                return Err(error.into());
            }
            Err(error) => log::error(format_args!("failed to sign CSR: {}", log::chain(&error))),
        }
        tokio::time::sleep(pause).await;
    }
    // The pauses never end; without one more there is one more attempt.
    issue(settings).await
}

fn until(now: Timestamp, end: Timestamp) -> Duration {
    Duration::try_from(end.duration_since(now)).unwrap_or_default()
}

/// Returns how long a certificate of a lifetime is used before the next is asked for, when a share
/// of its life is to be left.
pub fn lifetime_until_renewal(lifetime: Duration, share_left: f64) -> Duration {
    lifetime.mul_f64(1.0 - share_left.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        let written =
            [59, 60, 86_399, 604_800].map(|seconds| in_hours(Duration::from_secs(seconds)));
        assert_eq!(written, ["59s", "1m0s", "23h59m59s", "168h0m0s"]);
    }

    #[test]
    fn the_next_is_asked_for_when_the_share_is_left() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(lifetime_until_renewal(day, 0.5), day / 2);
        assert_eq!(lifetime_until_renewal(day, 1.2), Duration::ZERO);
        assert_eq!(lifetime_until_renewal(day, -0.2), day);
    }
}
