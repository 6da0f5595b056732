//! What the bootstrap of a machine reports through its port.
//!
//! A port is written to, not read back: what came through it since the machine
//! was started lies in `result`, a line for each report, and the last report of
//! the starts before in `result.before`. User-data runs on the first boot only,
//! so after a later one nothing new may come, and the word before counts, once
//! the machine has booted. Our own image says when that is; others get a while.
//! What a machine itself remembers is not asked for: its disk may have lost it
//! when its power failed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::files::{self, FileError, doing};

/// What came through the port since the machine was started.
pub(super) const RESULT: &str = "result";
/// The last that came through it before.
const BEFORE: &str = "result.before";
/// The most bytes of a report.
const LIMIT: u64 = 1 << 16;
/// How long a machine of an image that reports nothing at later boots may take for one.
const BOOT: Duration = Duration::from_secs(60);

/// Why a bootstrap of which nothing more will come has failed.
const CUT_OFF: &str = "the machine was stopped before its bootstrap had ended";
/// What our own image says at the end of each boot.
const BOOTED: &[u8] = b"booted";

/// Puts the reports so far aside, since the machine is about to start.
pub(super) fn begin(folder: &Path) -> Result<(), FileError> {
    let result = folder.join(RESULT);
    if let Some(line) = heard(&result)?.last {
        files::write(&folder.join(BEFORE), &line, 0o600)?;
    }
    files::remove(&result)
}

/// Returns what the bootstrap reports.
///
/// `age` is how long the machine has been running, if it does, and
/// `says_booted` whether its image says when it has booted.
pub(super) fn read(
    folder: &Path,
    age: Option<Duration>,
    says_booted: bool,
) -> Result<Option<Vec<u8>>, FileError> {
    let Heard { last, booted } = heard(&folder.join(RESULT))?;
    if last.is_some() {
        return Ok(last);
    }
    let booting = !booted && age.is_some_and(|age| says_booted || age < BOOT);
    if booting {
        return Ok(None);
    }
    let before = files::read(&folder.join(BEFORE))?;
    Ok(before.map(|report| if booted { cut_off(report) } else { report }))
}

/// Makes a failure of a report that says "working", since nobody works on it any more.
///
/// A machine has booted when cloud-init is done: a bootstrap that still had to
/// run, or ran again, would have reported by then.
fn cut_off(report: Vec<u8>) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(&report) else {
        return report;
    };
    if value.get("state").and_then(Value::as_str) != Some("working") {
        return report;
    }
    if let Some(members) = value.as_object_mut() {
        members.insert("state".to_owned(), "failed".into());
        members.insert("reason".to_owned(), CUT_OFF.into());
    }
    value.to_string().into_bytes()
}

/// What came through a port.
#[derive(Debug, Default)]
struct Heard {
    /// The last report, if there is one.
    last: Option<Vec<u8>>,
    /// Whether the machine said that it has booted.
    booted: bool,
}

/// Reads the end of what came through a port.
fn heard(path: &Path) -> Result<Heard, FileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Heard::default()),
        Err(error) => return Err(doing("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.seek(SeekFrom::End(0))
        .and_then(|end| file.seek(SeekFrom::Start(end.saturating_sub(LIMIT))))
        .and_then(|_| file.take(LIMIT).read_to_end(&mut bytes))
        .map_err(doing("read", path))?;
    // What follows the last end of a line is being written.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n');
    let lines = bytes.get(..whole.unwrap_or(0)).unwrap_or_default();
    let mut heard = Heard::default();
    for line in lines.split(|byte| *byte == b'\n') {
        match line.trim_ascii() {
            [] => {}
            BOOTED => heard.booted = true,
            report => heard.last = Some(report.to_vec()),
        }
    }
    Ok(heard)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const READY: &str = "{\"state\":\"ready\"}";

    #[test]
    fn the_last_whole_line_counts() {
        let folder = tempfile::tempdir().unwrap();
        let told = |text: &str| {
            fs::write(folder.path().join(RESULT), text).unwrap();
            let line = read(folder.path(), Some(Duration::ZERO), false).unwrap();
            line.map(|line| String::from_utf8(line).unwrap())
        };
        assert_eq!(read(folder.path(), None, true).unwrap(), None);
        assert_eq!(told(""), None);
        assert_eq!(told("{\"half"), None);
        assert_eq!(told("one\n{\"half").as_deref(), Some("one"));
        assert_eq!(told("one\r\ntwo\n\n").as_deref(), Some("two"));
        assert_eq!(told("one\nbooted\n").as_deref(), Some("one"));
        let long = format!("{}\nlast\n", "x".repeat(1 << 17));
        assert_eq!(told(&long).as_deref(), Some("last"));
    }

    #[test]
    fn a_machine_that_starts_again_is_not_ready_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::write(path.join(RESULT), format!("{READY}\n")).unwrap();
        // Before anything new came, a second start loses nothing.
        for _ in 0..2 {
            begin(path).unwrap();
            let now = Some(Duration::ZERO);
            assert_eq!(read(path, now, true).unwrap(), None);
            assert_eq!(read(path, now, false).unwrap(), None);
            // One that is stopped keeps what it said.
            assert_eq!(read(path, None, true).unwrap().unwrap(), READY.as_bytes());
        }
        assert_eq!(read(path, Some(BOOT * 100), true).unwrap(), None);
        let later = read(path, Some(BOOT), false).unwrap();
        assert_eq!(later.unwrap(), READY.as_bytes());
        fs::write(path.join(RESULT), [BOOTED, b"\n"].concat()).unwrap();
        let booted = read(path, Some(Duration::ZERO), true).unwrap();
        assert_eq!(booted.unwrap(), READY.as_bytes());
        fs::write(path.join(RESULT), "{\"state\":\"failed\"}\n").unwrap();
        let now = read(path, Some(Duration::ZERO), true).unwrap().unwrap();
        assert_eq!(now, b"{\"state\":\"failed\"}");
    }

    #[test]
    fn a_bootstrap_that_was_cut_off_has_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let now = Some(Duration::ZERO);
        fs::write(
            path.join(RESULT),
            "{\"state\":\"working\",\"step\":\"apt\"}\n",
        )
        .unwrap();
        let told = || {
            read(path, now, true)
                .unwrap()
                .map(|line| String::from_utf8(line).unwrap())
        };
        // While it may go on, it is at work.
        assert!(told().unwrap().contains("working"));
        begin(path).unwrap();
        assert_eq!(told(), None);
        fs::write(path.join(RESULT), "booted\n").unwrap();
        let failed = told().unwrap();
        for part in ["\"failed\"", "\"apt\"", CUT_OFF] {
            assert!(failed.contains(part), "{part} is not in {failed}");
        }
    }

    #[test]
    fn the_image_says_what_is_listened_for() {
        let said = String::from_utf8_lossy(BOOTED);
        assert!(crate::vm::recipe::CUSTOMIZE.contains(&format!("'echo {said} > ")));
    }
}
