//! Why the bus cannot be reached, in plain words, and told once for each reason as long as an outage lasts.

use std::sync::{Mutex, PoisonError};

use async_nats::Server;

use super::connect::Tls;

/// Longest reason that is told, in characters.
const REASON_MAX: usize = 400;

/// What a daemon has said about the outage that goes on. The library itself only tells that a try has failed.
#[derive(Debug)]
pub(super) struct Unreached {
    tls: Option<Tls>,
    told: Mutex<Option<String>>,
}

impl Unreached {
    pub(super) const fn new(tls: Option<Tls>) -> Self {
        Self { tls, told: Mutex::new(None) }
    }

    /// The link stands: whatever comes next is another outage.
    pub(super) fn is_over(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Before each try, with what came of the last one; says it where it was not said yet.
    pub(super) fn look(&self, servers: &[Server]) {
        // As long as one of several is untried, the bus may still answer there.
        if servers.iter().any(|server| server.failed_attempts == 0) {
            return;
        }
        let Some((urls, reason)) = self.reason(servers) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&reason) {
            return;
        }
        let fix = fix_of(&reason);
        tracing::warn!(why = reason, fix, "the bus at {urls} cannot be reached; it is tried again until it can");
        *told = Some(reason);
    }

    /// Addresses, and one reason: of several servers that of the first. A file that is missing explains every failure.
    fn reason(&self, failed: &[Server]) -> Option<(String, String)> {
        let error = failed.iter().find_map(|server| server.last_error.as_deref())?;
        let urls: Vec<&str> = failed.iter().map(|server| server.addr.as_url_str()).collect();
        let reason = self.tls.as_ref().and_then(missing_file).unwrap_or_else(|| plain(error));
        Some((urls.join(", "), reason.chars().take(REASON_MAX).collect()))
    }
}

/// A file for TLS that cannot be read; the library does not name it.
fn missing_file(tls: &Tls) -> Option<String> {
    tls.files().find_map(|path| {
        let error = std::fs::File::open(path).err()?;
        Some(format!("{} cannot be read: {error}", path.display()))
    })
}

/// What a failed try means for a person. Everything else is shown as the library says it.
pub(super) fn plain(error: &str) -> String {
    let meaning = MEANINGS.iter().find(|(words, _)| words.iter().any(|word| error.contains(word)));
    meaning.map_or_else(|| error.to_owned(), |(_, meaning)| format!("{meaning} ({error})"))
}

/// Parts of what rustls and the library say, and what they mean on a bus.
const MEANINGS: [(&[&str], &str); 5] = [
    (
        &["invalid peer certificate: UnknownIssuer", "invalid peer certificate: BadSignature"],
        "the server's certificate is not of the authority that this client trusts, so it may be somebody else's server and is not talked to",
    ),
    (
        &["invalid peer certificate: certificate expired", "invalid peer certificate: Expired"],
        "the server's certificate has expired",
    ),
    (
        &["invalid peer certificate: certificate not valid for name", "invalid peer certificate: NotValidForName"],
        "the server's certificate is for another address",
    ),
    (&["received fatal alert:"], "the server does not take this client's certificate"),
    (&["authorization violation", "Authorization Violation"], "the server does not know this client's key"),
];

fn fix_of(reason: &str) -> &'static str {
    if reason.contains("certificate") {
        TLS_FIX
    } else if reason.contains("cannot be read") {
        "put the file back, readable for this program's user; it is read again at every try"
    } else if reason.contains("does not know") {
        "enter this client's public key in the bus's configuration and reload the bus"
    } else {
        "see that nats-server runs there, and that address, port and firewall are right"
    }
}

/// What to do where both ends do not agree on TLS.
pub(super) const TLS_FIX: &str = "compare the authority, the server's name and this client's certificate with what the bus has and asks for; files are read again at every try";

#[cfg(test)]
mod tests {
    use async_nats::rustls::{AlertDescription, CertificateError, Error};

    use super::*;

    #[test]
    fn what_the_library_says_about_certificates_is_said_plainly() {
        for (error, words) in [
            (Error::InvalidCertificate(CertificateError::UnknownIssuer), "not of the authority"),
            (Error::InvalidCertificate(CertificateError::Expired), "server's certificate has expired"),
            (Error::InvalidCertificate(CertificateError::NotValidForName), "for another address"),
            (Error::AlertReceived(AlertDescription::BadCertificate), "does not take this client's certificate"),
            (Error::AlertReceived(AlertDescription::CertificateExpired), "does not take this client's certificate"),
        ] {
            let said = plain(&format!("IO error: {error}"));
            assert!(said.contains(words) && said.contains(&error.to_string()), "{said}");
            assert_eq!(fix_of(&said), TLS_FIX, "{said}");
        }
        assert_eq!(plain("IO error: Connection refused (os error 111)"), "IO error: Connection refused (os error 111)");
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let tls = Tls { ca: "/nowhere/ca.pem".into(), client: None };
        let said = missing_file(&tls).unwrap();
        assert!(said.starts_with("/nowhere/ca.pem cannot be read"), "{said}");
        assert!(fix_of(&said).contains("put the file back"));
    }
}
