//! Private files in user-data: read as cloud-init reads it, and its boothook run.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};

use super::machine::{Machine, mode};
use super::user_data::check;
use super::{full, member, plain};
use crate::bootstrap::{PrivateError, with_private_files};

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.'$(x)`y`\\.c2lnbmF0dXJl";
const OWN: &str = "root/var/lib/meshvm/private/istio-token";

/// A part of a message.
struct Part {
    content_type: String,
    body: Vec<u8>,
}

/// Reads a multipart message (RFC 2046).
fn parts(message: &SecretString) -> Vec<Part> {
    let (headers, body) = message.expose_secret().split_once("\n\n").unwrap();
    let boundary = headers.split_once("boundary=\"").unwrap().1;
    let boundary = boundary.split_once('"').unwrap().0;
    assert!(
        headers.starts_with("Content-Type: multipart/mixed; ")
            && headers.ends_with("\nMIME-Version: 1.0")
    );
    let body = format!("\n{body}");
    let delimiter = format!("\n--{boundary}");
    let mut pieces = body.split(&delimiter);
    assert_eq!(pieces.next(), Some(""));
    let mut found: Vec<&str> = pieces.collect();
    assert_eq!(found.pop(), Some("--\n"));
    found
        .into_iter()
        .map(|piece| read(piece.strip_prefix('\n').unwrap()))
        .collect()
}

fn read(piece: &str) -> Part {
    let (headers, body) = piece.split_once("\n\n").unwrap();
    let body = match headers.contains("Content-Transfer-Encoding: base64") {
        true => STANDARD.decode(body).unwrap(),
        false => body.as_bytes().to_vec(),
    };
    let content_type = headers
        .lines()
        .find_map(|line| line.strip_prefix("Content-Type: "));
    let content_type = content_type.unwrap().split(';').next().unwrap();
    Part {
        content_type: content_type.to_owned(),
        body,
    }
}

fn with_token(user_data: &str, token: &str) -> SecretString {
    with_private_files(user_data, &[("istio-token", token.into())]).unwrap()
}

/// Does what cloud-init does at a boot with the boothook of a user-data.
fn boot_hook(machine: &Machine, message: &SecretString) {
    let hook = String::from_utf8(parts(message).remove(1).body).unwrap();
    let hook = hook.strip_prefix("#cloud-boothook").unwrap().trim_start();
    assert!(hook.starts_with("#!/bin/sh\n"));
    machine.write("root/hook", hook);
    assert!(machine.bash(&["root/hook"]).success());
}

#[test]
fn the_user_data_stays_as_it_is() {
    let cases = [
        (plain(), "text/cloud-config"),
        (plain().trim_end().to_owned(), "text/cloud-config"),
        ("#cloud-config\n# ü😀\n".to_owned(), "text/cloud-config"),
        (
            "#!/bin/sh\necho --meshvm-\n".to_owned(),
            "text/x-shellscript",
        ),
        (
            "#cloud-boothook\n#!/bin/sh\n".to_owned(),
            "text/cloud-boothook",
        ),
        (
            "#cloud-config-archive\n- x\n".to_owned(),
            "text/cloud-config-archive",
        ),
        (
            "#cloud-config-jsonp\n[]".to_owned(),
            "text/cloud-config-jsonp",
        ),
        (
            "#include\nhttps://example.com/\n".to_owned(),
            "text/x-include-url",
        ),
        (
            "#include-once\nhttps://example.com/\n".to_owned(),
            "text/x-include-once-url",
        ),
        ("#part-handler\n".to_owned(), "text/part-handler"),
        (
            "## template: jinja\n#cloud-config\n".to_owned(),
            "text/jinja2",
        ),
    ];
    for (user_data, content_type) in cases {
        let message = with_token(&user_data, TOKEN);
        let parts = parts(&message);
        assert_eq!(parts[0].content_type, content_type);
        assert_eq!(parts[0].body, user_data.as_bytes());
        assert_eq!(parts[1].content_type, "text/cloud-boothook");
        assert_eq!(parts.len(), 2);
        let again = with_token(&user_data, TOKEN);
        assert_eq!(
            message.expose_secret(),
            again.expose_secret(),
            "not the same bytes"
        );
    }
}

#[test]
fn a_message_becomes_a_part_with_its_own_headers() {
    let own = "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"x\"\n\n--x\nContent-Type: text/cloud-config\n\na: 1\n--x--\n";
    let message = with_token(own, TOKEN);
    let parts = parts(&message);
    assert_eq!(parts[0].content_type, "multipart/mixed");
    assert!(own.ends_with(std::str::from_utf8(&parts[0].body).unwrap()));
}

#[test]
fn the_boothook_writes_the_files_for_root_alone() {
    let machine = Machine::new();
    let tokens = [
        ("istio-token", TOKEN.into()),
        ("other.pem", "a\nb\n\n".into()),
    ];
    let message = with_private_files(&plain(), &tokens).unwrap();
    boot_hook(&machine, &message);
    assert_eq!(machine.read(OWN), TOKEN.as_bytes());
    assert_eq!(
        machine.read("root/var/lib/meshvm/private/other.pem"),
        b"a\nb\n\n"
    );
    assert_eq!(mode(&machine.path(OWN)), 0o600);
    assert_eq!(mode(&machine.path("root/var/lib/meshvm/private")), 0o700);
    assert_eq!(mode(&machine.path("root/var/lib/meshvm")), 0o755);
    let left = fs::read_dir(machine.path("root/var/lib/meshvm/private")).unwrap();
    assert_eq!(left.count(), 2);
    assert!(
        !String::from_utf8(machine.read("fake/calls"))
            .unwrap()
            .contains(TOKEN)
    );
    let hook = String::from_utf8(machine.read("root/hook")).unwrap();
    assert!(!hook.contains(TOKEN));
    check(&["dash", "-n"], &hook);
    check(&["shellcheck", "--norc"], &hook);
}

#[test]
fn what_the_bootstrap_used_up_does_not_come_back() {
    let machine = Machine::new();
    machine.write("root/var/lib/cloud/data/instance-id", "i-1\n");
    machine.write("fake/addresses", "192.0.2.10\n");
    let user_data = member(&full());
    let message = with_token(&user_data, TOKEN);
    boot_hook(&machine, &message);
    assert!(machine.boot(&user_data).success(), "{}", machine.log());
    assert_eq!(machine.read("fake/token-seen"), TOKEN.as_bytes());
    assert!(!machine.has(OWN));
    // The next boot.
    boot_hook(&machine, &message);
    assert!(!machine.has(OWN) && !machine.has(&format!("{OWN}.new")));
    // Another token, and the same one on another machine.
    boot_hook(&machine, &with_token(&user_data, "another"));
    assert_eq!(machine.read(OWN), b"another");
    fs::remove_file(machine.path(OWN)).unwrap();
    machine.write("root/var/lib/cloud/data/instance-id", "i-2\n");
    boot_hook(&machine, &message);
    assert_eq!(machine.read(OWN), TOKEN.as_bytes());
}

#[test]
fn names_that_lead_elsewhere_are_refused_and_nothing_is_shown() {
    for bad in [
        "", ".", "..", "a/b", "../x", ".hidden", "A", "a b", "-x", "a\nb",
    ] {
        let error = with_private_files("#!", &[(bad, TOKEN.into())]).unwrap_err();
        let name = bad.to_owned();
        assert_eq!(error, PrivateError::Name { name });
    }
    let error = with_private_files("#!", &[("a", "secret\0".into())]).unwrap_err();
    assert_eq!(error.to_string(), "the private file `a` holds a NUL byte");
    let message = with_token(&plain(), TOKEN);
    assert!(!format!("{message:?}").contains(TOKEN));
}
