//! Telling a running QEMU to do something.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::files::{FileError, doing};

/// The socket, in the machine's folder.
pub(super) const SOCKET: &str = "qmp.sock";
/// How long QEMU may take for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The most lines of events before an answer.
const EVENTS: usize = 1000;

/// What a machine can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Its power button is pressed: it shuts down by itself.
    PowerDown,
    /// QEMU writes its disks out and ends.
    Quit,
}

impl Order {
    fn as_str(self) -> &'static str {
        match self {
            Self::PowerDown => "system_powerdown",
            Self::Quit => "quit",
        }
    }
}

/// Gives an order to the machine in a folder, and returns once QEMU has taken it.
pub(super) fn give(folder: &Path, order: Order) -> Result<(), FileError> {
    let opened = File::open(folder).map_err(doing("open", folder))?;
    // The path of a socket has at most 107 bytes, and that of a folder may be longer.
    let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_raw_fd());
    UnixStream::connect(short)
        .and_then(|stream| tell(&stream, order))
        .map_err(doing("talk to QEMU through", &folder.join(SOCKET)))
}

fn tell(mut stream: &UnixStream, order: Order) -> io::Result<()> {
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let mut lines = BufReader::new(stream).lines();
    // It greets first.
    lines.next().transpose()?;
    for command in ["qmp_capabilities", order.as_str()] {
        stream.write_all(format!("{}\n", json!({"execute": command})).as_bytes())?;
        let mut answer = None;
        for line in lines.by_ref().take(EVENTS) {
            let value: Value = serde_json::from_str(&line?)?;
            if value.get("event").is_none() {
                answer = Some(value);
                break;
            }
        }
        match answer {
            Some(value) if value.get("return").is_some() => {}
            Some(value) => return Err(io::Error::other(format!("it answered {value}"))),
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Answers a client with these lines, one for each that it sends.
    fn answering(
        answers: &'static [&'static str],
    ) -> (tempfile::TempDir, thread::JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut heard = Vec::new();
            stream.write_all(b"{\"QMP\": {}}\n").unwrap();
            for answer in answers {
                heard.push(lines.next().unwrap().unwrap());
                stream.write_all(answer.as_bytes()).unwrap();
            }
            heard
        });
        (folder, server)
    }

    #[test]
    fn events_are_no_answers() {
        let (folder, server) = answering(&[
            "{\"return\": {}}\n",
            "{\"event\": \"POWERDOWN\"}\n{\"return\": {}}\n",
        ]);
        give(folder.path(), Order::PowerDown).unwrap();
        assert!(server.join().unwrap()[1].contains("system_powerdown"));
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (folder, _server) =
            answering(&["{\"return\": {}}\n", "{\"error\": {\"desc\": \"no\"}}\n"]);
        assert!(give(folder.path(), Order::Quit).is_err());
        let nobody = tempfile::tempdir().unwrap();
        assert!(give(nobody.path(), Order::Quit).is_err());
    }
}
