//! The names of the mesh's services, in the file of host names.
//!
//! A stand-in: a real agent answers DNS questions for these names, captured on their way to the
//! machine's name servers. The double keeps a marked block in `/etc/hosts` and touches nothing
//! outside it. The file is written in place, since the agent may not put another one there.

use std::io::Write as _;
use std::path::Path;

use crate::wire::Service;

const BEGIN: &str = "# services of the mesh, kept by pilot-agent: begin";
const END: &str = "# services of the mesh, kept by pilot-agent: end";

/// Returns a text with the block replaced by one of these services.
pub fn merged(text: &str, services: &[Service]) -> String {
    let mut kept = String::new();
    let mut is_inside = false;
    for line in text.lines() {
        match line {
            BEGIN => is_inside = true,
            END if is_inside => is_inside = false,
            _ if is_inside => {}
            _ => {
                kept.push_str(line);
                kept.push('\n');
            }
        }
    }
    let lines: Vec<String> = services
        .iter()
        .filter(|service| !service.hosts.is_empty())
        .flat_map(|service| {
            let names = service.hosts.join(" ");
            let addresses = service.addresses.iter();
            addresses.map(move |address| format!("{address} {names}\n"))
        })
        .collect();
    if lines.is_empty() {
        return kept;
    }
    format!("{kept}{BEGIN}\n{}{END}\n", lines.concat())
}

/// Puts the names of services into a file.
///
/// # Errors
///
/// When the file cannot be read or written.
pub fn keep(path: &Path, services: &[Service]) -> std::io::Result<()> {
    let old = std::fs::read_to_string(path)?;
    let new = merged(&old, services);
    if new == old {
        return Ok(());
    }
    // Not emptied first: at no time is the file without the lines of others.
    let mut file = std::fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(new.as_bytes())?;
    file.set_len(u64::try_from(new.len()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, address: &str) -> Service {
        Service {
            hosts: vec![
                format!("{name}.vm.svc.cluster.local"),
                format!("{name}.vm.svc"),
            ],
            addresses: vec![address.to_owned()],
            ports: Vec::new(),
        }
    }

    #[test]
    fn the_block_is_replaced_and_nothing_else() {
        let before = "127.0.0.1 localhost\n10.0.0.1 istiod.istio-system.svc\n";
        let once = merged(
            before,
            &[service("a", "10.96.0.1"), service("b", "10.96.0.2")],
        );
        assert!(once.starts_with(before));
        assert!(once.contains("\n10.96.0.2 b.vm.svc.cluster.local b.vm.svc\n"));
        let twice = merged(
            &format!("{once}10.0.0.9 other\n"),
            &[service("c", "10.96.0.3")],
        );
        assert!(!twice.contains("10.96.0.1"));
        assert!(twice.contains("10.0.0.9 other\n"));
        assert_eq!(twice.matches(BEGIN).count(), 1);
        assert_eq!(merged(&once, &[]), before);
    }

    #[test]
    fn a_file_that_gets_shorter_has_no_tail() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        keep(&path, &[service("a", "10.96.0.1")]).unwrap();
        keep(&path, &[]).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "127.0.0.1 localhost\n"
        );
    }
}
