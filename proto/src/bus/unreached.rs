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
        let Some(error) = servers.iter().find_map(|server| server.last_error.as_deref()) else { return };
        // A file that is missing explains every failure, and the library does not name it.
        let (why, fix) = self.tls.as_ref().and_then(missing_file).unwrap_or_else(|| plain(error));
        let why: String = why.chars().take(REASON_MAX).collect();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() == Some(&why) {
            return;
        }
        let urls: Vec<&str> = servers.iter().map(|server| server.addr.as_url_str()).collect();
        tracing::warn!(why, fix, "the bus at {} cannot be reached; it is tried again until it can", urls.join(", "));
        *told = Some(why);
    }
}

/// A file for TLS that cannot be read, and what to do.
fn missing_file(tls: &Tls) -> Option<(String, &'static str)> {
    tls.files().find_map(|path| {
        let error = std::fs::File::open(path).err()?;
        Some((format!("{} cannot be read: {error}", path.display()), FILE_FIX))
    })
}

/// What a failed try means for a person, and what to do. What is not known here is shown as the library says it.
pub(super) fn plain(error: &str) -> (String, &'static str) {
    let known = MEANINGS.iter().find(|(words, ..)| words.iter().any(|word| error.contains(word)));
    match known {
        Some((_, meaning, fix)) => (format!("{meaning} ({error})"), fix),
        None => (error.to_owned(), PLACE_FIX),
    }
}

/// Parts of what rustls and the library say, what they mean on a bus, and what to do.
const MEANINGS: [(&[&str], &str, &str); 6] = [
    (
        &["invalid peer certificate: UnknownIssuer", "invalid peer certificate: BadSignature"],
        "the server's certificate is not of the authority that this client trusts, so it may be somebody else's server and is not talked to",
        TLS_FIX,
    ),
    (
        &["invalid peer certificate: certificate expired", "invalid peer certificate: Expired"],
        "the server's certificate has expired",
        TLS_FIX,
    ),
    (
        &["invalid peer certificate: certificate not valid for name", "invalid peer certificate: NotValidForName"],
        "the server's certificate is for another address",
        TLS_FIX,
    ),
    (
        &[
            "alert: BadCertificate",
            "alert: UnsupportedCertificate",
            "alert: CertificateRevoked",
            "alert: CertificateExpired",
            "alert: CertificateUnknown",
            "alert: CertificateRequired",
            "alert: UnknownCA",
            "alert: AccessDenied",
        ],
        "the server does not take this client's certificate",
        TLS_FIX,
    ),
    (&["invalid peer certificate", "received fatal alert", "TLS error"], "both ends cannot agree on TLS", TLS_FIX),
    (
        &["authorization violation", "Authorization Violation"],
        "the server does not know this client's key",
        "enter this client's public key in the bus's configuration and reload the bus",
    ),
];

const PLACE_FIX: &str = "see that nats-server runs there, and that address, port and firewall are right";

const FILE_FIX: &str = "put the file back, readable for this program's user; it is read again at every try";

/// What to do where both ends do not agree on TLS.
const TLS_FIX: &str = "compare the authority, the server's name and this client's certificate with what the bus has and asks for; files are read again at every try";

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
            (Error::AlertReceived(AlertDescription::UnknownCA), "does not take this client's certificate"),
            (Error::AlertReceived(AlertDescription::CertificateRequired), "does not take this client's certificate"),
            (Error::AlertReceived(AlertDescription::ProtocolVersion), "cannot agree on TLS"),
        ] {
            let (said, fix) = plain(&format!("IO error: {error}"));
            assert!(said.contains(words) && said.contains(&error.to_string()), "{said}");
            assert_eq!(fix, TLS_FIX, "{said}");
        }
        let refused = "IO error: Connection refused (os error 111)";
        assert_eq!(plain(refused), (refused.to_owned(), PLACE_FIX));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let tls = Tls { ca: "/nowhere/ca.pem".into(), client: None };
        let (said, fix) = missing_file(&tls).unwrap();
        assert!(said.starts_with("/nowhere/ca.pem cannot be read"), "{said}");
        assert_eq!(fix, FILE_FIX);
    }
}
