//! The arguments of QEMU. Pure.

use std::net::Ipv4Addr;
use std::path::Path;

use super::accelerator::Accelerator;
use super::address::Segment;
use super::iso;
use super::process::PIDFILE;
use super::qmp;
use super::report::RESULT;
use crate::settings::{AcceleratorChoice, LocalSettings, Protocol, Publish};

/// What the machine says on its first serial port.
pub(super) const CONSOLE: &str = "console.log";
/// The disk of a machine.
pub(super) const DISK: &str = "disk.qcow2";
/// The hardware address on the user network, of which each machine has one to itself.
pub(super) const USER_MAC: &str = "52:54:00:6d:76:01";
/// The port that bootstraps report through.
const PORT: &str = "meshvm.result";

/// What the kernel of our own images is told. Names of network cards are short, since the image
/// is set up for them; the rest saves time, or does without what no machine here has.
const KERNEL: &str =
    "console=ttyS0 net.ifnames=0 mitigations=off audit=0 apparmor=0 selinux=0 loglevel=4";

/// A machine that is about to be launched.
pub(super) struct Launch<'a> {
    pub name: &'a str,
    /// The machine's folder.
    pub folder: &'a Path,
    pub settings: &'a LocalSettings,
    pub accelerator: Accelerator,
    /// The folder of an image that has its kernel beside its disk, instead of a boot loader on it.
    pub kernel: Option<&'a Path>,
    /// The segment, and the machine's hardware address on it.
    pub segment: Option<(Segment, String)>,
    /// Whether it has media.
    pub media: bool,
}

impl Launch<'_> {
    /// Returns the arguments of QEMU, which is run in the machine's folder.
    ///
    /// Paths are absolute where QEMU uses them later on, when it has left the
    /// folder. That of the socket is not: it may be too long for one.
    pub fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let settings = self.settings;
        let mut list = List::default();
        list.option("-name", self.name);
        for flag in ["-nodefaults", "-no-user-config", "-daemonize"] {
            list.0.push(flag.to_owned());
        }
        list.option("-display", "none");
        list.option("-machine", "q35,usb=off,vmport=off");
        list.option("-accel", self.accelerator.option());
        // All that there is: sidecars are built for processors of this century.
        list.option("-cpu", "max");
        list.0.extend(sizes(settings));
        if let Some(image) = self.kernel {
            list.option("-kernel", image.join(super::images::VMLINUZ).display());
            list.option("-initrd", image.join(super::images::INITRD).display());
            list.option("-append", KERNEL);
        }
        let disk = format!("file={},format=qcow2,discard=unmap", path(DISK));
        // With a kernel beside it, that is what comes first.
        let boots = if self.kernel.is_none() {
            ",bootindex=0"
        } else {
            ""
        };
        list.drive("disk", &disk, boots);
        let read_only = |name| format!("file={},format=raw,readonly=on", path(name));
        list.drive("seed", &read_only(iso::SEED), "");
        if self.media {
            list.drive("media", &read_only(iso::MEDIA), "");
        }
        // First, as programs that look for "the" address take that of the first card.
        if let Some((Segment { group, port }, mac)) = &self.segment {
            let local = Ipv4Addr::LOCALHOST;
            let netdev = format!("socket,id=segment,mcast={group}:{port},localaddr={local}");
            list.option("-netdev", netdev);
            list.option("-device", card("segment", mac));
        }
        list.option("-netdev", user_network(settings));
        list.option("-device", card("user", USER_MAC));
        list.option("-device", "virtio-rng-pci");
        list.option("-device", "virtio-serial-pci");
        list.chardev("result", &path(RESULT));
        list.option(
            "-device",
            format!("virtserialport,chardev=result,name={PORT}"),
        );
        list.chardev("console", &path(CONSOLE));
        list.option("-serial", "chardev:console");
        list.option("-qmp", format!("unix:{},server=on,wait=off", qmp::SOCKET));
        list.option("-pidfile", path(PIDFILE));
        list.0
    }
}

/// Returns whether a process with these arguments is what the settings ask for.
pub(super) fn agree(arguments: &[String], settings: &LocalSettings) -> bool {
    let has = |wanted: &[String]| arguments.windows(wanted.len()).any(|some| some == wanted);
    let option = |name: &str, value: &str| has(&[name.to_owned(), value.to_owned()]);
    let accelerated = match settings.accel {
        AcceleratorChoice::Auto => true,
        AcceleratorChoice::Kvm => option("-accel", Accelerator::Kvm.option()),
        AcceleratorChoice::Tcg => option("-accel", Accelerator::Tcg.option()),
    };
    has(&sizes(settings)) && option("-netdev", &user_network(settings)) && accelerated
}

/// Returns the arguments that say how large a machine is.
fn sizes(settings: &LocalSettings) -> [String; 4] {
    let mebibytes = settings.memory.bytes().div_ceil(1 << 20);
    [
        "-m".to_owned(),
        format!("{mebibytes}M"),
        "-smp".to_owned(),
        settings.cpus.to_string(),
    ]
}

fn user_network(settings: &LocalSettings) -> String {
    let mut text = "user,id=user,ipv6=off".to_owned();
    for Publish {
        host,
        guest,
        protocol,
    } in &settings.publish
    {
        let protocol = protocol_name(*protocol);
        text += &format!(",hostfwd={protocol}:127.0.0.1:{host}-:{guest}");
    }
    text
}

/// Returns the name of a protocol.
pub(super) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

fn card(network: &str, mac: &str) -> String {
    // Nothing is booted from it, so it needs no code of its own.
    format!("virtio-net-pci,netdev={network},mac={mac},romfile=")
}

#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn option(&mut self, option: &str, value: impl ToString) {
        self.0.push(option.to_owned());
        self.0.push(value.to_string());
    }

    fn drive(&mut self, id: &str, file: &str, device: &str) {
        self.option("-drive", format!("if=none,id={id},{file}"));
        self.option("-device", format!("virtio-blk-pci,drive={id}{device}"));
    }

    fn chardev(&mut self, id: &str, path: &str) {
        self.option("-chardev", format!("file,id={id},path={path},append=on"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::size::Size;

    fn arguments(settings: &LocalSettings) -> Vec<String> {
        let segment = Segment {
            group: Ipv4Addr::new(239, 193, 1, 2),
            port: 20_000,
        };
        Launch {
            name: "f-0",
            folder: Path::new("/data/machines/f-0"),
            settings,
            accelerator: Accelerator::Tcg,
            kernel: Some(Path::new("/data/images/i")),
            segment: Some((segment, "02:00:00:00:00:02".to_owned())),
            media: false,
        }
        .arguments()
    }

    #[test]
    fn arguments_are_what_the_settings_say() {
        let publish = |host, guest, protocol| Publish {
            host,
            guest,
            protocol,
        };
        let settings = LocalSettings {
            memory: Size::mib(768),
            cpus: 2,
            publish: vec![
                publish(8080, 80, Protocol::Tcp),
                publish(5353, 53, Protocol::Udp),
            ],
            ..LocalSettings::default()
        };
        let line = arguments(&settings).join(" ");
        for part in [
            "-m 768M -smp 2 ",
            "user,id=user,ipv6=off,hostfwd=tcp:127.0.0.1:8080-:80,hostfwd=udp:127.0.0.1:5353-:53 ",
            "-kernel /data/images/i/vmlinuz -initrd ",
            "mcast=239.193.1.2:20000,",
            "-pidfile /data/machines/f-0/qemu.pid",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        assert!(!line.contains("media"));
    }

    #[test]
    fn only_what_changed_takes_a_restart() {
        let settings = LocalSettings::default();
        let arguments = arguments(&settings);
        assert!(agree(&arguments, &settings));
        let changes: [fn(&mut LocalSettings); 4] = [
            |settings| settings.memory = Size::mib(1024),
            |settings| settings.cpus = 2,
            |settings| settings.accel = AcceleratorChoice::Kvm,
            |settings| {
                settings.publish = vec![Publish {
                    host: 1,
                    guest: 1,
                    protocol: Protocol::Tcp,
                }];
            },
        ];
        for change in changes {
            let mut other = settings.clone();
            change(&mut other);
            assert!(!agree(&arguments, &other));
        }
        let mut other = settings.clone();
        other.zones.push("elsewhere".to_owned());
        other.accel = AcceleratorChoice::Tcg;
        assert!(agree(&arguments, &other));
    }
}
