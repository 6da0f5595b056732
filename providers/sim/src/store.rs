//! Keeps the cloud's history in a file that any number of processes share.
//!
//! The file is a header and then one record a line. A request appends its
//! record in one write under a lock; nothing is rewritten for it. When the
//! records have outgrown the world that they make, the world is written anew
//! beside the file and renamed over it.
//!
//! Invariants:
//! 1. A line counts once its line feed is there: a process killed in the middle
//!    of a write leaves a tail that the next one cuts off.
//! 2. The file is read and written only under the lock of the file beside it,
//!    which the system gives back when a process dies.
//! 3. What was read is what the world in memory is made of; after any failure
//!    the next request reads the file from its start.
//!
//! It survives the death of processes at any instruction. It does not promise
//! to survive the loss of power: it is a simulator's file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::SimError;
use crate::record::{FORMAT, Header, Record};
use crate::world::{Sink, World};

/// Below so many bytes of records, writing the world anew is not worth it.
const SMALLEST_GROWTH: u64 = 64 * 1024;

/// Where the history is kept.
pub(crate) enum Store {
    /// Nowhere: the world in memory is all there is.
    Memory,
    /// In a file.
    File(FileStore),
}

/// A file that holds the history, and how much of it is known.
pub(crate) struct FileStore {
    path: PathBuf,
    lock_path: PathBuf,
    lock: Arc<File>,
    known: Option<Known>,
}

/// How much of the file is in the world in memory.
#[derive(Clone, Copy)]
struct Known {
    generation: Uuid,
    /// The bytes that the world was when it was last written anew.
    base: u64,
    /// The bytes read so far.
    end: u64,
}

/// The lock, given back when dropped.
pub(crate) struct Held(Arc<File>);

impl Drop for Held {
    fn drop(&mut self) {
        // The system gives it back at the latest when the file is closed.
        let _given_back = self.0.unlock();
    }
}

impl Store {
    /// Waits for the lock and brings the world up to date with what others did.
    pub fn begin(&mut self, world: &mut World, sink: Sink<'_>) -> Result<Option<Held>, SimError> {
        match self {
            Self::Memory => Ok(None),
            Self::File(file) => file.begin(world, sink).map(Some),
        }
    }

    /// Makes a record durable.
    pub fn append(&mut self, record: &Record) -> Result<(), SimError> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.append(record),
        }
    }

    /// Writes the world anew if its history has outgrown it.
    pub fn compact(&mut self, world: &mut World) -> Result<(), SimError> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => file.compact(world),
        }
    }
}

impl FileStore {
    /// Opens the store, making its folder and lock file.
    pub fn open(path: PathBuf) -> Result<Self, SimError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed("create the folder of", &path))?;
        }
        let lock_path = beside(&path, ".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        Ok(Self {
            path,
            lock_path,
            lock: Arc::new(lock),
            known: None,
        })
    }

    fn begin(&mut self, world: &mut World, sink: Sink<'_>) -> Result<Held, SimError> {
        self.lock.lock().map_err(failed("lock", &self.lock_path))?;
        let held = Held(Arc::clone(&self.lock));
        let known = self.known.take();
        self.known = match self.read(known, world, sink)? {
            Some(known) => Some(known),
            None => {
                world.reset();
                Some(self.write_anew(world)?)
            }
        };
        Ok(held)
    }

    /// Reads what is new in the file; `None` when there is no file.
    fn read(
        &self,
        known: Option<Known>,
        world: &mut World,
        sink: Sink<'_>,
    ) -> Result<Option<Known>, SimError> {
        let file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", &self.path)(source)),
        };
        let size = file.metadata().map_err(failed("read", &self.path))?.len();
        let mut lines = Lines {
            path: &self.path,
            input: BufReader::new(&file),
            end: 0,
            line: Vec::new(),
        };
        let Some(header) = lines.next::<Header>()? else {
            return Ok(None);
        };
        if header.format != FORMAT {
            return Err(SimError::Format {
                path: self.path.clone(),
                found: header.format,
                known: FORMAT,
            });
        }
        let (generation, world_lines) = (header.generation, header.lines);
        let same = known.filter(|known| known.generation == generation && known.end <= size);
        let mut base = 0;
        if let Some(known) = same {
            base = known.base;
            lines.skip_to(known.end)?;
            while let Some(record) = lines.next::<Record>()? {
                world.apply(record, sink);
            }
        } else {
            world.reset();
            world.begin(header);
            // What happened before this process looked is no event of it.
            let silent: Sink<'_> = &mut |_, _| {};
            for line in 0.. {
                if line == world_lines {
                    base = lines.end;
                }
                let Some(record) = lines.next::<Record>()? else {
                    break;
                };
                world.apply(record, silent);
            }
        }
        let end = lines.end;
        if end < size {
            file.set_len(end).map_err(failed("mend", &self.path))?;
        }
        Ok(Some(Known {
            generation,
            base,
            end,
        }))
    }

    fn append(&mut self, record: &Record) -> Result<(), SimError> {
        // Forgotten until the write is known to be whole: a failure makes the next request read anew.
        let Some(known) = self.known.take() else {
            return Err(failed("append to", &self.path)(io::Error::other(
                "the file was not read before",
            )));
        };
        let line = line_of(record).map_err(failed("append to", &self.path))?;
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(&line))
            .map_err(failed("append to", &self.path))?;
        let end = known.end + line.len() as u64;
        self.known = Some(Known { end, ..known });
        Ok(())
    }

    fn compact(&mut self, world: &mut World) -> Result<(), SimError> {
        let outgrown = self.known.is_some_and(|known| {
            known.end - known.base > SMALLEST_GROWTH.max(known.base.saturating_mul(2))
        });
        if outgrown {
            self.known = None;
            self.known = Some(self.write_anew(world)?);
        }
        Ok(())
    }

    fn write_anew(&self, world: &mut World) -> Result<Known, SimError> {
        world.compact();
        // Only tells one file from the next; nothing that the cloud does depends on it.
        let generation = Uuid::new_v4();
        let new = beside(&self.path, ".new");
        let end = write_world(&new, world, generation).map_err(failed("write", &new))?;
        fs::rename(&new, &self.path).map_err(failed("replace", &self.path))?;
        Ok(Known {
            generation,
            base: end,
            end,
        })
    }
}

fn write_world(path: &Path, world: &World, generation: Uuid) -> io::Result<u64> {
    let (header, records) = world.snapshot(generation);
    let mut out = BufWriter::new(File::create(path)?);
    let mut end = 0;
    let mut put = |line: Vec<u8>| {
        end += line.len() as u64;
        out.write_all(&line)
    };
    put(line_of(&header)?)?;
    for record in records {
        put(line_of(&record)?)?;
    }
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    Ok(end)
}

fn line_of(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Reads whole lines, and knows where the last of them ended.
struct Lines<'a> {
    path: &'a Path,
    input: BufReader<&'a File>,
    end: u64,
    line: Vec<u8>,
}

impl Lines<'_> {
    fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, SimError> {
        self.line.clear();
        self.input
            .read_until(b'\n', &mut self.line)
            .map_err(failed("read", self.path))?;
        if self.line.last() != Some(&b'\n') {
            return Ok(None);
        }
        let value = serde_json::from_slice(&self.line).map_err(|source| SimError::Damaged {
            path: self.path.to_owned(),
            offset: self.end,
            source,
        })?;
        self.end += self.line.len() as u64;
        Ok(Some(value))
    }

    fn skip_to(&mut self, end: u64) -> Result<(), SimError> {
        self.input
            .seek(SeekFrom::Start(end))
            .map_err(failed("read", self.path))?;
        self.end = end;
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SimError + use<> {
    let path = path.to_owned();
    move |source| SimError::File {
        action,
        path,
        source,
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
