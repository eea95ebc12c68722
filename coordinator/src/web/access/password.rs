//! Passwords: hashed by argon2, a few at once, so that a flood of them cannot eat the machine.

use std::sync::{Arc, OnceLock};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use super::error::AccessError;

/// Characters of a password at least, and its bytes at most.
const CHARACTERS_MIN: usize = 10;
const BYTES_MAX: usize = 1024;

/// Passwords that are hashed at the same time; each takes 19 MiB and some tens of milliseconds.
const AT_ONCE: usize = 2;

/// Passwords that wait for that; the next one is refused.
const WAITING_MAX: usize = 32;

/// Hashes passwords beside the loop and the pages.
#[derive(Debug)]
pub(crate) struct Hasher {
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }
}

impl Hasher {
    /// Whether `given` is the password of which `kept` was kept. Takes equally long where nothing was, so that nobody learns
    /// who exists.
    pub(crate) async fn is_right(&self, kept: Option<String>, given: String) -> Result<bool, AccessError> {
        if given.len() > BYTES_MAX {
            return Ok(false);
        }
        self.run(move || {
            let nobody = nobodys()?;
            let hash = kept.as_deref().unwrap_or(nobody);
            let hash = PasswordHash::new(hash).map_err(|error| AccessError::Hash(error.to_string()))?;
            let is_right = Argon2::default().verify_password(given.as_bytes(), &hash).is_ok();
            Ok(is_right && kept.is_some())
        })
        .await
    }

    pub(crate) async fn hash(&self, password: String) -> Result<String, AccessError> {
        self.run(move || hash(&password)).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, AccessError> + Send + 'static,
    ) -> Result<T, AccessError> {
        let _waits = self.waiting.try_acquire().map_err(|_| AccessError::Busy)?;
        let place = Arc::clone(&self.at_once).acquire_owned().await.map_err(|_| AccessError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(place);
            done
        });
        done.await.map_err(|error| AccessError::Hash(error.to_string()))?
    }
}

/// Hashes a password that is long enough.
pub(crate) fn hash(password: &str) -> Result<String, AccessError> {
    if password.chars().count() < CHARACTERS_MIN {
        return Err(AccessError::Password("it has fewer than 10 characters"));
    }
    if password.len() > BYTES_MAX {
        return Err(AccessError::Password("it has more than 1024 bytes"));
    }
    if password.contains(['\n', '\r', '\0']) {
        return Err(AccessError::Password("it has more than one line"));
    }
    raw(password)
}

fn raw(password: &str) -> Result<String, AccessError> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| AccessError::Hash(error.to_string()))?;
    Ok(hash.to_string())
}

/// A hash of the same cost that no password has.
fn nobodys() -> Result<&'static str, AccessError> {
    static NOBODYS: OnceLock<String> = OnceLock::new();
    if NOBODYS.get().is_none() {
        let made = raw(super::secret::Secret::draw()?.expose())?;
        // Whoever was faster has made one as good.
        let _ = NOBODYS.set(made);
    }
    NOBODYS.get().map(String::as_str).ok_or(AccessError::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_itself_is_right() {
        let hasher = Hasher::default();
        let kept = hasher.hash("correct horse battery".to_owned()).await.unwrap();
        assert!(kept.starts_with("$argon2id$"), "{kept}");
        let is_right = |kept: &Option<String>, given: &str| hasher.is_right(kept.clone(), given.to_owned());
        let kept = Some(kept);
        assert!(is_right(&kept, "correct horse battery").await.unwrap());
        assert!(!is_right(&kept, "correct horse batterz").await.unwrap());
        assert!(!is_right(&None, "correct horse battery").await.unwrap());
        assert!(!is_right(&kept, &"a".repeat(BYTES_MAX + 1)).await.unwrap());
    }

    #[test]
    fn weak_or_endless_passwords_are_refused() {
        for bad in ["", "short", "ten\nletters and more", &"a".repeat(BYTES_MAX + 1)] {
            assert!(matches!(hash(bad), Err(AccessError::Password(_))), "{bad:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_flood_is_refused_and_not_queued_for_ever() {
        let hasher = Arc::new(Hasher::default());
        let tries = (0..WAITING_MAX * 2).map(|_| {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move { hasher.is_right(None, "a password of somebody".to_owned()).await })
        });
        let told = futures::future::join_all(tries).await;
        let busy = told.iter().filter(|told| matches!(told.as_ref().unwrap(), Err(AccessError::Busy))).count();
        assert!(busy > 0 && busy < WAITING_MAX * 2, "{busy} of {} were refused", WAITING_MAX * 2);
    }
}
