//! Whether the account may have so many more vCPUs.
//!
//! Each quota is of some families of types, on demand or as spot machines
//! (<https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html>).

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Instance, InstanceLifecycleType, InstanceTypeInfo};
use aws_sdk_servicequotas::types::ServiceQuota;
use meshvm_provider_api::{ErrorClass, Growth, Need, ProviderError, Scope};

use crate::client::Client;
use crate::observe;
use crate::policy::Action;
use crate::settings::AwsSettings;

/// What the quotas are of.
const SERVICE: &str = "ec2";

/// Families that share a quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Families {
    Standard,
    F,
    GAndVt,
    Inf,
    P,
    X,
}

impl Families {
    /// Returns the families of a type; `None` for those that are counted in another way.
    fn of(kind: &str) -> Option<Self> {
        let family = kind.split('.').next()?;
        // High memory, and machines that belong to a quota of their own.
        if family.starts_with("u-") || family.starts_with("hpc") || family.starts_with("mac") {
            return None;
        }
        let letters: String = family
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        match letters.as_str() {
            "a" | "c" | "d" | "h" | "i" | "im" | "is" | "m" | "r" | "t" | "z" => {
                Some(Self::Standard)
            }
            "f" => Some(Self::F),
            "g" | "gr" | "vt" => Some(Self::GAndVt),
            "inf" => Some(Self::Inf),
            "p" => Some(Self::P),
            "x" => Some(Self::X),
            _ => None,
        }
    }

    /// Returns the code of the quota.
    fn code(self, is_spot: bool) -> &'static str {
        match (self, is_spot) {
            (Self::Standard, false) => "L-1216C47A",
            (Self::Standard, true) => "L-34B43A08",
            (Self::F, false) => "L-74FC7D96",
            (Self::F, true) => "L-88CF9481",
            (Self::GAndVt, false) => "L-DB2E81BA",
            (Self::GAndVt, true) => "L-3819A6DF",
            (Self::Inf, false) => "L-1945791B",
            (Self::Inf, true) => "L-B5D1601B",
            (Self::P, false) => "L-417A185B",
            (Self::P, true) => "L-7212CCBC",
            (Self::X, false) => "L-7295265B",
            (Self::X, true) => "L-E3A00192",
        }
    }
}

/// Returns what is needed of a quota; nothing of one that is not told, or may not be read.
///
/// # Errors
/// `Quota` when it is exceeded.
pub(super) async fn need(
    client: &Client,
    asked: &AwsSettings,
    infos: &[InstanceTypeInfo],
    growth: &Growth,
    place: &Scope,
) -> Result<Option<Need>, ProviderError> {
    let types = asked.instance_type.0.iter();
    let families: BTreeSet<Option<Families>> = types.map(|kind| Families::of(kind)).collect();
    // Where a fallback counts elsewhere, it is no obstacle that one quota is used up.
    let [Some(families)] = families.into_iter().collect::<Vec<_>>()[..] else {
        return Ok(None);
    };
    let count: u64 = growth.values().copied().map(u64::from).sum();
    let vcpus = infos.iter().filter_map(|info| {
        let vcpus = info.v_cpu_info()?.default_v_cpus()?;
        u64::try_from(vcpus).ok()
    });
    let Some(each) = vcpus.min() else {
        return Ok(None);
    };
    let needed = count * each;
    let is_spot = asked.spot.is_some();
    let code = families.code(is_spot);
    use ErrorClass::{NotFound, PermissionDenied};
    let quota = match quota(client, code).await {
        Err(error) if matches!(error.class, NotFound | PermissionDenied) => None,
        answer => answer?,
    };
    let Some((quota, value)) = quota.and_then(|it| Some((it.quota_name.clone(), it.value?))) else {
        return Ok(None);
    };
    // Quotas are whole numbers, written as others.
    let most = value as u64;
    let used = used(&observe::alive(client).await?, infos, families, is_spot);
    let left = most.saturating_sub(used);
    let name = quota.as_deref().unwrap_or("a quota of EC2");
    if needed <= left {
        let of = format!("{most} vCPUs of {code}, {name}, in {place}");
        return Ok(Some(Need { of, needed, left }));
    }
    let message =
        format!("{needed} more vCPUs are needed, and {left} of {most} are left: {code}, {name}");
    let hint = "ask for a higher quota in the console of Service Quotas, or for fewer machines";
    Err(ProviderError::new(ErrorClass::Quota, message).with_hint(hint))
}

/// Asks whether the standard families have a quota: whether it may be read.
///
/// # Errors
/// Those of the call.
pub(crate) async fn of_standard(client: &Client) -> Result<(), ProviderError> {
    quota(client, Families::Standard.code(false))
        .await
        .map(drop)
}

async fn quota(client: &Client, code: &str) -> Result<Option<ServiceQuota>, ProviderError> {
    let call = || {
        let call = client.quotas.get_service_quota();
        call.service_code(SERVICE).quota_code(code).send()
    };
    let answer = client.send(Action::GetServiceQuota, call).await?;
    Ok(answer.quota)
}

/// Returns how many vCPUs count for a quota: those that a machine says it has, or its type's
/// where that is known.
fn used(
    instances: &[Instance],
    infos: &[InstanceTypeInfo],
    families: Families,
    is_spot: bool,
) -> u64 {
    let counted = instances.iter().filter(|instance| {
        let kind = instance.instance_type().map_or("", |kind| kind.as_str());
        let spot = instance.instance_lifecycle() == Some(&InstanceLifecycleType::Spot);
        Families::of(kind) == Some(families) && spot == is_spot
    });
    let vcpus = counted.filter_map(|instance| {
        let own = instance.cpu_options().and_then(|options| {
            let (cores, threads) = (options.core_count()?, options.threads_per_core()?);
            Some(cores * threads)
        });
        let of_type = || {
            let kind = instance.instance_type();
            let info = infos.iter().find(|info| info.instance_type() == kind)?;
            info.v_cpu_info()?.default_v_cpus()
        };
        u64::try_from(own.or_else(of_type)?).ok()
    });
    vcpus.sum()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{CpuOptions, InstanceType};

    use super::*;

    #[test]
    fn types_count_for_the_quota_of_their_family() {
        for (kind, families) in [
            ("m7g.large", Some(Families::Standard)),
            ("im4gn.large", Some(Families::Standard)),
            ("t3.micro", Some(Families::Standard)),
            ("g5.xlarge", Some(Families::GAndVt)),
            ("p4d.24xlarge", Some(Families::P)),
            ("x2gd.large", Some(Families::X)),
            ("inf2.xlarge", Some(Families::Inf)),
            ("u-6tb1.metal", None),
            ("hpc7g.4xlarge", None),
            ("trn1.2xlarge", None),
        ] {
            assert_eq!(Families::of(kind), families, "{kind}");
        }
    }

    #[test]
    fn machines_of_the_same_families_and_market_count() {
        let instance = |kind: &str, cores, market: Option<InstanceLifecycleType>| {
            let options = CpuOptions::builder().core_count(cores).threads_per_core(2);
            Instance::builder()
                .instance_type(InstanceType::from(kind))
                .cpu_options(options.build())
                .set_instance_lifecycle(market)
                .build()
        };
        let instances = [
            instance("m5.large", 1, None),
            instance("c5.xlarge", 2, None),
            instance("g5.xlarge", 2, None),
            instance("m5.large", 1, Some(InstanceLifecycleType::Spot)),
        ];
        assert_eq!(used(&instances, &[], Families::Standard, false), 6);
        assert_eq!(used(&instances, &[], Families::Standard, true), 2);
    }
}
