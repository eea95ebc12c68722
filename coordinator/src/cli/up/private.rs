//! Files that only their owner may read: secrets, drawn once, and configuration, written whole or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use landfall_proto::bus::Seed;

use super::place::make_folder;

/// Random bytes in a repository's password.
const PASSWORD_BYTES: usize = 24;

/// Writes a file in one step, with mode 0600, and its folder where there is none.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folder(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The seed in this file; a fresh one is drawn where there is no file.
pub(super) fn seed(path: &Path) -> io::Result<Seed> {
    match std::fs::read_to_string(path) {
        Ok(text) => text.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let seed = Seed::generate();
            write(path, &format!("{}\n", seed.expose()))?;
            Ok(seed)
        }
        Err(error) => Err(error),
    }
}

/// Draws a password into this file unless it is there: another one could not open the repository.
pub(super) fn password(path: &Path) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut bytes = [0; PASSWORD_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    write(path, &format!("{text}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn secrets_are_drawn_once_and_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let (seed_file, password_file) = (folder.path().join("keys/a.seed"), folder.path().join("keys/password"));
        let first = seed(&seed_file).unwrap();
        assert_eq!(seed(&seed_file).unwrap().public_key(), first.public_key());
        password(&password_file).unwrap();
        let drawn = std::fs::read_to_string(&password_file).unwrap();
        assert_eq!(drawn.trim_end().len(), 2 * PASSWORD_BYTES);
        password(&password_file).unwrap();
        assert_eq!(std::fs::read_to_string(&password_file).unwrap(), drawn);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&seed_file), mode(&password_file), mode(&folder.path().join("keys"))), (0o600, 0o600, 0o700));
    }

    #[test]
    fn a_damaged_seed_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.seed");
        std::fs::write(&path, "rubbish").unwrap();
        assert!(seed(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "rubbish");
    }
}
