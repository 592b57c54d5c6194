//! Files that people name: read up to a limit, written for their owner alone. I/O.
//!
//! Left to others: the state folder's own files. Invariant: an endless file ends as an error, nobody is
//! waited for at a pipe, and what is written is never written through a link.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// More than any plan, configuration or estate that is one.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Opens a file to read.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true), OFlags::empty())
}

/// Opens a file to read, unless it is a link.
pub fn open_no_link(path: &Path) -> io::Result<File> {
    opened(path, OpenOptions::new().read(true), OFlags::NOFOLLOW)
}

/// A pipe that nobody writes to would hold a command up for ever, so only a regular file will do. What a
/// shell hands over (`/dev/stdin`, `<(...)`) is meant to be waited for. What is wrong with a folder, its reader
/// says.
fn opened(path: &Path, options: &mut OpenOptions, flags: OFlags) -> io::Result<File> {
    let handed_over = ["/dev/stdin", "/dev/null", "/dev/fd", "/proc/self/fd"];
    if handed_over.iter().any(|own| path.starts_with(own)) {
        return options.custom_flags(flags.bits() as i32).open(path);
    }
    let irregular = || io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file");
    let opened = options.custom_flags((flags | OFlags::NONBLOCK).bits() as i32).open(path);
    let file = opened.map_err(|e| match e.raw_os_error() {
        // a pipe that nobody reads, or a socket
        Some(n) if n == Errno::NXIO.raw_os_error() => irregular(),
        _ => e,
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() || kind.is_dir() { Ok(file) } else { Err(irregular()) }
}

/// Whether there is something of this name: also a link to what is not there, as to a share that is not mounted. Such
/// a file is not one that nobody made.
pub fn is_listed(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads a file whole.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    whole(open(path)?)
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
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    opened(path, &mut options, OFlags::NOFOLLOW)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_at_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let told = [
            read(&pipe).unwrap_err(),
            bytes(Path::new("/dev/zero")).unwrap_err(),
            open_no_link(&pipe).unwrap_err(),
            write(&pipe, "text").unwrap_err(),
        ];
        for e in told {
            assert_eq!(e.to_string(), "it is no regular file");
        }
        // also where somebody reads it
        let _reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        assert_eq!(write(&pipe, "text").unwrap_err().to_string(), "it is no regular file");
        let file = folder.path().join("file");
        write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), "text");
        assert_eq!(read(Path::new("/dev/null")).unwrap(), "");
        assert!(read(folder.path()).unwrap_err().to_string().contains("directory"));
    }
}
