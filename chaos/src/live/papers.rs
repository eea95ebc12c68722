//! Certificates of a story, made while it runs: an authority, and what it signs for the bus and for everybody who talks to it.

use std::path::PathBuf;

use landfall_proto::bus::{ServerTls, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::place::Place;

/// The folder of the certificates that a mesh trusts.
const FOLDER: &str = "tls";

/// Whose certificate the bus shows.
const BUS: &str = "bus";

/// Somebody who signs certificates, and where they lie: `ca.pem`, `NAME.pem` and `NAME.key`.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: String,
}

/// How long a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Good,
    Expired,
}

impl Authority {
    /// The one that a mesh trusts.
    pub(super) fn of_mesh(place: &Place) -> Self {
        Self::new(place, FOLDER)
    }

    /// Another one, which nobody in the mesh knows. Its files lie in a folder of their own.
    pub fn foreign(place: &Place) -> Self {
        Self::new(place, "tls-foreign")
    }

    fn new(place: &Place, folder: &str) -> Self {
        let mut params = params(&[], folder, Validity::Good);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key can be drawn");
        let own = params.self_signed(&key).expect("an authority can sign itself");
        place.file(&format!("{folder}/ca.pem"), &own.pem());
        Self { issuer: Issuer::new(params, key), folder: folder.to_owned() }
    }

    /// Signs for somebody who connects, and puts certificate and key where they are read.
    pub fn client(&self, place: &Place, name: &str, validity: Validity) -> Tls {
        let (certificate, key) = self.sign(place, name, &[], ExtendedKeyUsagePurpose::ClientAuth, validity);
        Tls { ca: self.path(place, "ca.pem"), client: Some((certificate, key)) }
    }

    /// Signs for a bus on loopback, which asks its clients for certificates of this authority.
    pub fn server(&self, place: &Place) -> ServerTls {
        let names = ["127.0.0.1", "localhost"];
        let (certificate, key) = self.sign(place, BUS, &names, ExtendedKeyUsagePurpose::ServerAuth, Validity::Good);
        ServerTls { certificate, key, client_ca: Some(self.path(place, "ca.pem")) }
    }

    fn sign(
        &self,
        place: &Place,
        name: &str,
        addresses: &[&str],
        usage: ExtendedKeyUsagePurpose,
        validity: Validity,
    ) -> (PathBuf, PathBuf) {
        let mut params = params(addresses, name, validity);
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key can be drawn");
        let certificate = params.signed_by(&key, &self.issuer).expect("an authority can sign");
        let folder = &self.folder;
        (
            place.file(&format!("{folder}/{name}.pem"), &certificate.pem()),
            place.secret(&format!("{folder}/{name}.key"), &key.serialize_pem()),
        )
    }

    fn path(&self, place: &Place, name: &str) -> PathBuf {
        place.path(&self.folder).join(name)
    }
}

/// The lines of `[bus.tls]` or `[tls]` under this heading; nothing where no TLS is spoken.
pub(super) fn table(heading: &str, tls: Option<&Tls>) -> String {
    let Some(Tls { ca, client }) = tls else { return String::new() };
    let client = client.iter().map(|(certificate, key)| format!("certificate = {certificate:?}\nkey = {key:?}\n"));
    format!("[{heading}]\nca = {ca:?}\n{}", client.collect::<String>())
}

fn params(addresses: &[&str], name: &str, validity: Validity) -> CertificateParams {
    let addresses: Vec<String> = addresses.iter().map(|address| (*address).to_owned()).collect();
    let mut params = CertificateParams::new(addresses).expect("loopback is an address");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match validity {
        Validity::Good => date_time_ymd(2100, 1, 1),
        Validity::Expired => date_time_ymd(2021, 1, 1),
    };
    params
}
