//! Passwords of local accounts: hashed with Argon2id, compared at the same cost for names that are unknown.
//!
//! *Limits*: [`PASSWORD_CHARS_MIN`] to [`PASSWORD_BYTES_MAX`]; at most [`AT_ONCE`] comparisons at a time, so
//! that log-in attempts cannot take the machine's memory.

use std::sync::{Arc, LazyLock};

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Fewest characters of a new password.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Most bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Comparisons at a time; each takes 19 MiB.
const AT_ONCE: usize = 2;

/// A password that is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPassword {
    /// Fewer than [`PASSWORD_CHARS_MIN`] characters.
    #[error("the password has fewer than {PASSWORD_CHARS_MIN} characters")]
    TooShort,
    /// More than [`PASSWORD_BYTES_MAX`] bytes.
    #[error("the password has more than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
}

/// The hash to keep for `password`, as a PHC string with a fresh salt.
///
/// # Errors
/// When the password is too short or too long.
///
/// # Panics
/// When the system gives no random bytes.
pub fn hash(password: &str) -> Result<String, BadPassword> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(BadPassword::TooShort);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(BadPassword::TooLong);
    }
    Ok(hash_any(password))
}

fn hash_any(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the system has random bytes and the parameters are the default").to_string()
}

/// Compares passwords with hashes, a few at a time and away from the threads that serve pages. Clones share
/// the places.
#[derive(Clone)]
pub struct Comparer {
    places: Arc<Semaphore>,
}

impl Default for Comparer {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Comparer {
    /// Whether `password` belongs to `hash`. Without a hash the answer is no, at the same cost.
    pub async fn matches(&self, password: Zeroizing<String>, hash: Option<String>) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false; // Says nothing about the account: the length is the asker's own choice.
        }
        let place = Arc::clone(&self.places).acquire_owned().await.expect("never closed");
        let compared = tokio::task::spawn_blocking(move || {
            let _place = place;
            compare(&password, hash.as_deref())
        });
        compared.await.unwrap_or(false)
    }
}

fn compare(password: &str, hash: Option<&str>) -> bool {
    static NOBODY: LazyLock<String> = LazyLock::new(|| hash_any("a password that nobody has"));
    let same = Argon2::default().verify_password(password.as_bytes(), hash.unwrap_or(&NOBODY)).is_ok();
    same && hash.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_knows_its_password() {
        let hash = hash("korrekt hest batteri").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(compare("korrekt hest batteri", Some(&hash)));
        assert!(!compare("korrekt hest batteri ", Some(&hash)));
        assert!(!compare("", Some("no hash at all")));
    }

    #[test]
    fn nobody_has_no_password() {
        assert!(!compare("a password that nobody has", None));
    }

    #[test]
    fn short_and_long_passwords_are_refused() {
        assert_eq!(hash("ellevetegn!"), Err(BadPassword::TooShort));
        assert!(hash("tolvtegn-æøå").is_ok());
        assert_eq!(hash(&"x".repeat(PASSWORD_BYTES_MAX + 1)), Err(BadPassword::TooLong));
    }

    #[tokio::test]
    async fn the_comparer_compares() {
        let comparer = Comparer::default();
        let hash = hash("korrekt hest batteri").unwrap();
        let given = |text: &str| Zeroizing::new(text.to_owned());
        assert!(comparer.matches(given("korrekt hest batteri"), Some(hash.clone())).await);
        assert!(!comparer.matches(given("forkert"), Some(hash)).await);
        assert!(!comparer.matches(given("forkert"), None).await);
        assert!(!comparer.matches(given(&"x".repeat(PASSWORD_BYTES_MAX + 1)), None).await);
    }
}
