//! What the bootstrap of a machine reports through its port.
//!
//! A port is written to, not read back: what came through it since the machine
//! was started lies in `result`, a line for each report, and the last one of
//! the starts before in `result.before`. User-data runs on the first boot only.
//! So after a later one nothing new may come: our own image repeats what the
//! bootstrap ended with once it has booted, and of other images the word before
//! counts, after a while.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::files::{self, FileError, doing};

/// What came through the port since the machine was started.
pub(super) const RESULT: &str = "result";
/// The last that came through it before.
const BEFORE: &str = "result.before";
/// The most bytes of a report.
const LIMIT: u64 = 1 << 16;
/// How long a machine of an image that reports nothing at later boots may take for one.
const BOOT: Duration = Duration::from_secs(60);

/// Puts the reports so far aside, since the machine is about to start.
pub(super) fn begin(folder: &Path) -> Result<(), FileError> {
    let result = folder.join(RESULT);
    if let Some(line) = last_line(&result)? {
        files::write(&folder.join(BEFORE), &line, 0o600)?;
    }
    files::remove(&result)
}

/// Returns what the bootstrap reports.
///
/// `age` is how long the machine has been running, if it does, and
/// `repeats` whether its image reports again at each boot.
pub(super) fn read(
    folder: &Path,
    age: Option<Duration>,
    repeats: bool,
) -> Result<Option<Vec<u8>>, FileError> {
    if let Some(line) = last_line(&folder.join(RESULT))? {
        return Ok(Some(line));
    }
    let booting = age.is_some_and(|age| repeats || age < BOOT);
    if booting {
        return Ok(None);
    }
    files::read(&folder.join(BEFORE))
}

/// Returns the last whole line of a file; `None` when there is none.
fn last_line(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
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
    let last = lines
        .rsplit(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    Ok(last.map(<[u8]>::to_vec))
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
        fs::write(path.join(RESULT), "{\"state\":\"failed\"}\n").unwrap();
        let now = read(path, Some(Duration::ZERO), true).unwrap().unwrap();
        assert_eq!(now, b"{\"state\":\"failed\"}");
    }
}
