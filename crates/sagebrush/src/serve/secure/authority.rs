//! The local certificate authority: made once, it signs a certificate for each name as clients ask for it.
//!
//! Its certificate is limited (RFC 5280, section 4.2.1.10) to the names that this server may answer for,
//! so that a client that trusts it trusts it for nothing else, even if its key were stolen.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use sagebrush_env::durable::{self, Readers};
use sagebrush_env::{Clock, random_hex};
use sagebrush_wire::is_spoken_here;
use time::Duration;

/// The authority's certificate, which clients are told to trust.
pub const CA_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";

/// How long the authority's certificate is good for.
const CA_LIFE: Duration = Duration::days(3650);
/// How long a signed certificate is good for; it is signed anew at half of it.
const LEAF_LIFE: Duration = Duration::days(14);
/// Certificates kept: one per name, and names are hosts of services and of buckets.
const KEPT: usize = 1024;

/// The names that certificates are signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// This machine's: localhost and below, 127.0.0.1, ::1.
    Local,
    /// Those, and the AWS services that are spoken here.
    LocalAndAws,
}

/// The authority and the certificates that it has signed lately.
pub struct Authority {
    names: Names,
    issuer: Issuer<'static, KeyPair>,
    /// One key for all certificates of this process.
    leaf: KeyPair,
    signing: Arc<dyn SigningKey>,
    kept: Mutex<HashMap<String, (i64, Arc<CertifiedKey>)>>,
    clock: Clock,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in a folder, or makes one: key and certificate, the key for its owner only.
    ///
    /// # Errors
    /// Any error of the file system, or a key that cannot be read.
    pub fn open(folder: &Path, names: Names, clock: Clock) -> anyhow::Result<Self> {
        let (key_path, ca_path) = (folder.join(KEY_FILE), folder.join(CA_FILE));
        let params = ca_params(&clock);
        // The certificate is written last: what was interrupted before is made anew.
        let key = if ca_path.exists() {
            let text = fs::read_to_string(&key_path)
                .with_context(|| format!("the authority's key {} cannot be read", key_path.display()))?;
            KeyPair::from_pem(&text).with_context(|| {
                format!("{} is no key; delete the folder to make a new one", key_path.display())
            })?
        } else {
            durable::create_folder(folder)?;
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?;
            durable::write(&key_path, key.serialize_pem().as_bytes(), Readers::Owner)?;
            durable::write(&ca_path, certificate.pem().as_bytes(), Readers::Default)?;
            key
        };
        let leaf = KeyPair::generate()?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.serialize_der()));
        let signing = ring::sign::any_supported_type(&der)?;
        let kept = Mutex::default();
        Ok(Self { names, issuer: Issuer::new(params, key), leaf, signing, kept, clock })
    }

    /// How TLS is spoken: versions 1.2 and 1.3, HTTP/1.1, certificates by name.
    ///
    /// # Errors
    /// Never in practice: the provider has both versions.
    pub fn server_config(self) -> anyhow::Result<ServerConfig> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificate of a name (of this machine's addresses when there is none), signed when there is
    /// no fresh one.
    fn certificate(&self, name: &str) -> anyhow::Result<Arc<CertifiedKey>> {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let young = now.unix_timestamp() - LEAF_LIFE.whole_seconds() / 2;
        if let Some((_, certificate)) = kept.get(name).filter(|(made, _)| *made > young) {
            return Ok(Arc::clone(certificate));
        }
        let mut params = CertificateParams::default();
        params.subject_alt_names = match name {
            "" | "localhost" => vec![
                SanType::DnsName("localhost".try_into()?),
                SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            ],
            name => vec![SanType::DnsName(name.try_into()?)],
        };
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, "sagebrush");
        params.not_before = now - Duration::days(1);
        params.not_after = now + LEAF_LIFE;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&self.leaf, &self.issuer)?;
        let certificate = Arc::new(CertifiedKey::new(vec![signed.der().clone()], Arc::clone(&self.signing)));
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(name.to_owned(), (now.unix_timestamp(), Arc::clone(&certificate)));
        Ok(certificate)
    }
}

impl ResolvesServerCert for Authority {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Clients send no name when they address a machine by number.
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let local = name.is_empty() || name == "localhost" || name.ends_with(".localhost");
        let of_aws = self.names == Names::LocalAndAws && is_spoken_here(&name);
        if !(local || of_aws) {
            tracing::debug!(name, "no certificate is signed for this name");
            return None;
        }
        match self.certificate(&name) {
            Ok(certificate) => Some(certificate),
            Err(error) => {
                tracing::warn!(name, %error, "a certificate could not be signed");
                None
            }
        }
    }
}

fn ca_params(clock: &Clock) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, "sagebrush local certificate authority");
    params.distinguished_name.push(DnType::OrganizationName, "sagebrush");
    params.not_before = clock.now() - Duration::days(1);
    params.not_after = clock.now() + CA_LIFE;
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            GeneralSubtree::DnsName("amazonaws.com".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128)),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

/// A password of 128 random bits.
pub fn new_password() -> String {
    random_hex(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_is_made_once_and_its_key_is_its_owners() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tls");
        let first = Authority::open(&path, Names::Local, Clock::system())?;
        let certificate = fs::read(path.join(CA_FILE))?;
        let again = Authority::open(&path, Names::Local, Clock::system())?;
        assert_eq!(fs::read(path.join(CA_FILE))?, certificate);
        assert_eq!(first.issuer.key().serialize_pem(), again.issuer.key().serialize_pem());
        assert_eq!(fs::metadata(path.join(KEY_FILE))?.permissions().mode() & 0o777, 0o600);
        Ok(())
    }

    #[test]
    fn certificates_are_signed_once_per_name_until_they_age() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let hand = sagebrush_env::SimulatedClock::at(1_800_000_000_000);
        let authority = Authority::open(folder.path(), Names::LocalAndAws, hand.clock())?;
        let der = |name: &str| authority.certificate(name).map(|key| key.cert[0].as_ref().to_vec());
        let first = der("sts.us-east-1.amazonaws.com")?;
        assert_eq!(der("sts.us-east-1.amazonaws.com")?, first);
        assert_ne!(der("")?, first);
        hand.advance(8 * 86_400_000);
        assert_ne!(der("sts.us-east-1.amazonaws.com")?, first);
        Ok(())
    }
}
