//! A disk of a given size: a file system in memory that is unmounted when the story ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How often an unmount is tried: a process that was just killed may still hold a file for a moment.
const UNMOUNT_TRIES: u32 = 50;
const UNMOUNT_PAUSE: Duration = Duration::from_millis(100);

/// A mounted file system.
#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts a file system of so many bytes on a folder, which is made if it is not there.
    pub fn mount(at: &Path, bytes: u64) -> Self {
        std::fs::create_dir_all(at).unwrap_or_else(|error| panic!("{} can be made: {error}", at.display()));
        let options = format!("size={bytes},mode=0755");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &options, "landfall-chaos", &at.display().to_string()]);
        assert!(mounted, "expected that a file system can be mounted on {}", at.display());
        Self { at: at.to_owned() }
    }

    /// Takes all the space that is left, except so many bytes.
    pub fn fill(&self, except: u64) {
        let ballast = self.ballast();
        let _ = std::fs::remove_file(&ballast);
        let free = self.free_bytes().saturating_sub(except);
        // Written and not reserved: this file system counts what is there.
        let chunk = vec![0x5a; 1 << 16];
        let mut file = std::fs::File::create(&ballast).expect("a file system that was just mounted can be written");
        let mut left = free;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            if std::io::Write::write_all(&mut file, &chunk[..piece]).is_err() {
                return;
            }
            left -= piece as u64;
        }
    }

    /// Gives the space back.
    pub fn empty(&self) {
        let _ = std::fs::remove_file(self.ballast());
    }

    pub fn free_bytes(&self) -> u64 {
        rustix::fs::statvfs(&self.at).map_or(0, |space| space.f_bavail * space.f_frsize)
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let at = self.at.display().to_string();
        for _ in 0..UNMOUNT_TRIES {
            if run("umount", &[&at]) {
                return remove_empty(&self.at);
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
        eprintln!("{at} could not be unmounted; do: umount -l {at}");
    }
}

/// A story's folder cannot be removed while a disk hangs in it: what is empty then is removed here, from the inside out. A
/// folder that is kept is not empty.
fn remove_empty(at: &Path) {
    let temporary = std::env::temp_dir();
    let mut next = Some(at);
    while let Some(folder) = next.filter(|folder| **folder != *temporary) {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
        next = folder.parent();
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Place;
    use crate::weather::need::Need;

    #[test]
    fn a_filled_disk_takes_nothing_more_and_is_gone_afterwards() {
        if let Some(why) = Need::Mounts.missing() {
            eprintln!("not shown on this machine: {why}");
            return;
        }
        let place = Place::new("disk");
        let at = place.path("small");
        let disk = Disk::mount(&at, 4 << 20);
        disk.fill(8192);
        assert!(disk.free_bytes() <= 8192, "{}", disk.free_bytes());
        assert!(std::fs::write(at.join("file"), vec![1; 1 << 20]).is_err());
        disk.empty();
        std::fs::write(at.join("file"), vec![1; 1 << 20]).unwrap();
        drop(disk);
        assert!(!at.exists(), "the file system is gone, and the empty folder with it");
    }
}
