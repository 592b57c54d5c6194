//! Files that people name: read up to a limit, written for their owner alone. I/O.
//!
//! Left to others: the state folder's own files. Invariant: an endless file ends as an error, and what is
//! written is never written through a link.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// More than any plan, configuration or estate that is one.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads a file whole.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    whole(File::open(path)?)
}

/// Reads what is open already to its end.
pub fn whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        let why = format!("it is larger than {} MiB", LARGEST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    Ok(bytes)
}

/// Reads a text whole.
pub fn read(path: &Path) -> io::Result<String> {
    text(bytes(path)?)
}

/// Bytes that are a text.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.utf8_error()))
}

/// Writes a file that only its owner can read.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow);
    options.open(path)?.write_all(text.as_bytes())
}
