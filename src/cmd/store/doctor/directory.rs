//! A directory as a store: hard links, fsync, room, and what kind of file system it lies on.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::bucket::judge::Finding;
use crate::bucket::observe::Writes;
use crate::store_args::bytes_text;

/// Less room than this is soon none.
const ROOM_LOW: u64 = 1 << 30;

/// Less than this is none for a busy gateway.
const ROOM_NONE: u64 = 64 << 20;

/// What the kernel calls file systems that are not a disk of this machine.
const KINDS: [(u64, &str, &str); 8] = [
    (0x0102_1994, "tmpfs", "it is memory: gone when the machine restarts"),
    (0x8584_58f6, "ramfs", "it is memory: gone when the machine restarts"),
    (
        0x794c_7630,
        "overlayfs",
        "it is a container's own layer: gone with the container. Mount a volume there",
    ),
    (
        0x6969,
        "NFS",
        "network file systems are not tested: links and fsync may not be what they are on a disk",
    ),
    (
        0xff53_4d42,
        "CIFS",
        "network file systems are not tested: links and fsync may not be what they are on a disk",
    ),
    (
        0xfe53_4d42,
        "SMB",
        "network file systems are not tested: links and fsync may not be what they are on a disk",
    ),
    (0x6573_5546, "FUSE", "what is behind it decides: links and fsync may not be what they are on a disk"),
    (
        0x0102_1997,
        "9p",
        "a shared folder of a virtual machine: links and fsync may not be what they are on a disk",
    ),
];

/// What was seen of a directory.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Bytes that may still be written.
    free: u64,
    /// All bytes.
    total: u64,
    /// The file system's magic number.
    kind: u64,
}

/// Looks at a directory. It is not made.
pub(super) fn examine(path: &Path, writes: Writes) -> Vec<Finding> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let says = format!("{shown} is not there yet; the first start makes it");
            return vec![Finding::warn(
                "directory",
                says,
                "is the path right? A relative one begins where the process starts",
            )];
        }
        Err(error) => {
            let says = format!("{shown} cannot be looked at: {error}");
            return vec![Finding::fail(
                "directory",
                says,
                "let the process's user read and enter each directory of the path",
            )];
        }
        Ok(found) if !found.is_dir() => {
            return vec![Finding::fail(
                "directory",
                format!("{shown} is not a directory"),
                "name a directory",
            )];
        }
        Ok(_) => {}
    }
    let mut findings = vec![Finding::ok("directory", format!("{shown} is there"))];
    if writes == Writes::Allowed {
        findings.push(judge_writing(path, try_writing(path)));
    }
    match room(path) {
        Ok(room) => findings.extend(judge_room(&room)),
        Err(error) => findings.push(Finding::warn("room", format!("not known: {error}"), "look with `df`")),
    }
    findings
}

/// Writes, syncs, links and removes, in a directory of its own.
fn try_writing(path: &Path) -> Result<(), (&'static str, io::Error)> {
    let directory = path.join("frazil-probe").join(format!("doctor-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| ("making a directory", error))?;
    let tried = write_and_link(&directory);
    let removed = fs::remove_dir_all(&directory).map_err(|error| ("removing", error));
    // Left alone if another probe is under way.
    drop(fs::remove_dir(path.join("frazil-probe")));
    tried.and(removed)
}

fn write_and_link(directory: &Path) -> Result<(), (&'static str, io::Error)> {
    let (first, second) = (directory.join("a"), directory.join("b"));
    let mut file = File::create_new(&first).map_err(|error| ("writing", error))?;
    file.write_all(b"frazil doctor").map_err(|error| ("writing", error))?;
    file.sync_all().map_err(|error| ("fsync of a file", error))?;
    fs::hard_link(&first, &second).map_err(|error| ("a hard link", error))?;
    match fs::hard_link(&first, &second) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(("a second hard link of one name", error)),
        Ok(()) => {
            let error = io::Error::other("it was made although the name was taken");
            return Err(("a second hard link of one name", error));
        }
    }
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| ("fsync of a directory", error))
}

/// What to think of it. PURE.
fn judge_writing(path: &Path, tried: Result<(), (&'static str, io::Error)>) -> Finding {
    let Err((what, error)) = tried else {
        return Finding::ok("writing", "files, fsync and hard links do what they should");
    };
    let says = format!("{what} failed: {error}");
    let todo = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("let the process's user write there: chown -R <user> {}", path.display())
        }
        io::ErrorKind::ReadOnlyFilesystem => "mount it for writing".to_owned(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room, outside this directory".to_owned()
        }
        _ => "use a local file system with hard links and fsync (ext4, xfs, btrfs, zfs)".to_owned(),
    };
    Finding::fail("writing", says, todo)
}

fn room(path: &Path) -> io::Result<Room> {
    let space = rustix::fs::statvfs(path)?;
    let kind = rustix::fs::statfs(path)?.f_type;
    let kind = u64::try_from(kind).unwrap_or_default();
    Ok(Room {
        free: space.f_bavail.saturating_mul(space.f_frsize),
        total: space.f_blocks.saturating_mul(space.f_frsize),
        kind,
    })
}

/// What to think of the room and of the file system. PURE.
fn judge_room(room: &Room) -> Vec<Finding> {
    let says = format!("{} of {} free", bytes_text(room.free), bytes_text(room.total));
    const TODO: &str = "make room outside this directory, or grow the disk; when it is full, nothing is written, and reads go on";
    let mut findings = vec![match room.free {
        0..ROOM_NONE => Finding::fail("room", says, TODO),
        ROOM_NONE..ROOM_LOW => Finding::warn("room", says, TODO),
        _ => Finding::ok("room", says),
    }];
    let known = KINDS.iter().find(|(magic, ..)| *magic == room.kind);
    findings.extend(known.map(|(_, name, why)| Finding::warn("file-system", *name, *why)));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::judge::Level;

    #[test]
    fn a_good_directory_is_found_good_and_left_as_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let findings = examine(directory.path(), Writes::Allowed);
        let writing = findings.iter().find(|finding| finding.check == "writing").unwrap();
        assert_eq!(writing.level, Level::Ok, "{findings:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_there_is_not_made_and_a_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later");
        assert_eq!(examine(&path, Writes::Allowed)[0].level, Level::Warn);
        assert!(!path.exists());
        fs::write(&path, "x").unwrap();
        assert_eq!(examine(&path, Writes::Allowed)[0].level, Level::Fail);
    }

    #[test]
    fn little_room_warns_and_none_fails() {
        let level = |free| judge_room(&Room { free, total: 1 << 40, kind: 0xef53 })[0].level;
        assert_eq!((level(2 << 30), level(ROOM_LOW - 1), level(1)), (Level::Ok, Level::Warn, Level::Fail));
        let memory = judge_room(&Room { free: 2 << 30, total: 1 << 40, kind: 0x0102_1994 });
        assert_eq!((memory.len(), memory[1].level), (2, Level::Warn));
    }

    #[test]
    fn each_reason_not_to_be_written_says_what_to_do() {
        let todo = |kind: io::ErrorKind| {
            judge_writing(Path::new("/data"), Err(("writing", kind.into()))).todo.unwrap_or_default()
        };
        assert!(todo(io::ErrorKind::PermissionDenied).contains("chown"));
        assert!(todo(io::ErrorKind::StorageFull).contains("make room"));
        assert!(todo(io::ErrorKind::Unsupported).contains("hard links"));
    }
}
