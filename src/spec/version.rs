//! Versions of Istio, as far as they tell what fits together. Pure.

/// The minor versions of Istio 1 whose sidecars read what meshvm writes for them: nothing of it
/// changed between these.
pub const KNOWN: std::ops::RangeInclusive<u32> = 24..=32;

/// Returns the major and minor number of a version; `None` when it does not begin with both.
pub fn minor(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.split_once('.')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit());
    let minor = &rest[..digits.unwrap_or(rest.len())];
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Returns whether meshvm is known to write what a sidecar of a version reads. Of versions that are
/// not of the form MAJOR.MINOR nothing is known, and a package may be anybody's own.
pub fn is_known(version: &str) -> bool {
    match minor(version) {
        Some((major, minor)) => major == 1 && KNOWN.contains(&minor),
        None => true,
    }
}
