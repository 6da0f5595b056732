//! The read-only disks that a machine boots with: its seed, and its media.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::files::{self, doing};
use crate::network::BITS;
use crate::seed::Seed;
use crate::tools::{Tool, Tools};

use super::VmError;

/// The disk that cloud-init reads, by its label.
pub(super) const SEED: &str = "seed.iso";
/// The disk that a bootstrap looks for, by its label.
pub(super) const MEDIA: &str = "media.iso";

const SEED_LABEL: &str = "cidata";
const MEDIA_LABEL: &str = "MESHVM";

/// What keeps users of the machine from reading its seed while that is mounted; see genisoimage(1).
const SEED_MODES: [&str; 4] = ["-dir-mode", "0500", "-file-mode", "0400"];

/// Programs that write such disks, with the same options.
pub(super) const WRITERS: [Tool; 2] = [Tool::Genisoimage, Tool::Xorrisofs];

/// Writes a machine's seed.
pub(super) fn write_seed(
    tools: &Tools,
    folder: &Path,
    seed: &Seed,
    network: &str,
) -> Result<(), VmError> {
    let content = folder.join("seed");
    // A process that was killed may have left it.
    files::remove_tree(&content)?;
    files::folder(&content, 0o700)?;
    seed.write(&content)?;
    let config = content.join("network-config");
    files::write(&config, network.as_bytes(), 0o600)?;
    let disk = folder.join(SEED);
    write(tools, SEED_LABEL, &SEED_MODES, &content, &disk)?;
    Ok(files::remove_tree(&content)?)
}

/// Writes a machine's media, if it has any and they are not written yet; returns whether there are.
pub(super) fn write_media(tools: &Tools, folder: &Path) -> Result<bool, VmError> {
    let content = folder.join(crate::media::FOLDER);
    if !content.exists() {
        return Ok(false);
    }
    let disk = folder.join(MEDIA);
    if !disk.exists() {
        write(tools, MEDIA_LABEL, &[], &content, &disk)?;
    }
    Ok(true)
}

fn write(
    tools: &Tools,
    label: &str,
    modes: &[&str],
    content: &Path,
    disk: &Path,
) -> Result<(), VmError> {
    let [first, _] = WRITERS;
    let writer = WRITERS.into_iter().find(|tool| tool.find().is_some());
    let new = disk.with_added_extension("new");
    let (new_path, content_path) = (new.display().to_string(), content.display().to_string());
    // With the names as they are, and root's, whoever writes it.
    let args = ["-quiet", "-volid", label, "-rational-rock"];
    let args = args.into_iter().chain(modes.iter().copied()).chain([
        "-output",
        new_path.as_str(),
        content_path.as_str(),
    ]);
    tools.run(writer.unwrap_or(first), args)?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&new, private).map_err(doing("set the mode of", &new))?;
    fs::rename(&new, disk).map_err(doing("name", disk))?;
    Ok(())
}

/// Returns the network configuration of a machine, for cloud-init.
pub(super) fn network_config(user_mac: &str, segment: Option<(&str, Ipv4Addr)>) -> String {
    let mut text = format!(
        "version: 2\nethernets:\n  user:\n    match: {{macaddress: \"{user_mac}\"}}\n    dhcp4: true\n"
    );
    if let Some((mac, address)) = segment {
        text += &format!(
            "  segment:\n    match: {{macaddress: \"{mac}\"}}\n    addresses: [\"{address}/{BITS}\"]\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use meshvm_provider_api::PrivateFile;

    use super::*;

    #[test]
    fn a_disk_is_written_whole_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let tools = Tools::default();
        assert!(!write_media(&tools, path).unwrap());
        fs::create_dir(path.join("media")).unwrap();
        let name = format!("{}.deb", "long-name_".repeat(6));
        fs::write(path.join("media").join(&name), "content").unwrap();
        assert!(write_media(&tools, path).unwrap());
        let disk = fs::read(path.join(MEDIA)).unwrap();
        // The volume descriptor, with the label and its padding, is at 32 KiB.
        assert_eq!(&disk[0x8001..0x8006], b"CD001");
        assert_eq!(&disk[0x8028..0x8030], b"MESHVM  ");
        let has = |text: &str| disk.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("content") && has(&name));
        fs::write(path.join("media").join(&name), "other").unwrap();
        assert!(write_media(&tools, path).unwrap());
        assert_eq!(fs::read(path.join(MEDIA)).unwrap(), disk);
    }

    #[test]
    fn a_seed_has_the_three_files() {
        let folder = tempfile::tempdir().unwrap();
        let seed = Seed {
            user_data: "#cloud-config\nuser".to_owned(),
            meta_data: "instance-id: x".to_owned(),
            private: vec![PrivateFile {
                name: "istio-token".to_owned(),
                content: "for one alone".into(),
            }],
        };
        let network = network_config("52:54:00:00:00:01", None);
        write_seed(&Tools::default(), folder.path(), &seed, &network).unwrap();
        let disk = fs::read(folder.path().join(SEED)).unwrap();
        let has = |text: &str| disk.windows(text.len()).any(|part| part == text.as_bytes());
        for text in [
            "user-data",
            "meta-data",
            "network-config",
            "instance-id: x",
            "dhcp4",
            "istio-token",
            "for one alone",
        ] {
            assert!(has(text), "{text}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mode = fs::metadata(folder.path().join(SEED))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        // Two folders, each of which lists itself and its parent, and four files.
        let modes = modes_on(&disk);
        assert!(modes.len() >= 6, "{modes:?}");
        assert!(modes.iter().all(|mode| mode & 0o077 == 0), "{modes:?}");
    }

    /// Returns the modes on a disk: the entries `PX` of Rock Ridge (IEEE P1282, 4.1.1) begin with
    /// their length, their version, and the mode in both byte orders.
    fn modes_on(disk: &[u8]) -> Vec<u32> {
        let entries = disk.windows(12).filter_map(|entry| {
            let [b'P', b'X', 36 | 44, 1, mode @ ..] = entry else {
                return None;
            };
            let little = u32::from_le_bytes(mode[..4].try_into().ok()?);
            let big = u32::from_be_bytes(mode[4..].try_into().ok()?);
            (little == big).then_some(little)
        });
        entries.collect()
    }
}
