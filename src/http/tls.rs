//! Whom `https:` trusts.

use std::path::Path;

use rustls::{CertificateError as Bad, Error as Tls};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use crate::error::{Error, Result};

/// Where distributions keep their bundle of authorities, a site's own ones included.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// `SSL_CERT_FILE`, else the system's bundle, else the one that is built in.
pub(super) fn roots() -> Result<RootCerts> {
    if let Some(file) = std::env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()) {
        let file = Path::new(&file);
        return read(file).ok_or_else(|| {
            Error::host(format!(
                "SSL_CERT_FILE names {}, which has no certificates",
                file.display()
            ))
            .hint("unset SSL_CERT_FILE, or name a file of PEM certificates")
        });
    }
    let system = BUNDLES.iter().find_map(|bundle| read(Path::new(bundle)));
    Ok(system.unwrap_or(RootCerts::WebPki))
}

fn read(bundle: &Path) -> Option<RootCerts> {
    let pem = std::fs::read(bundle).ok()?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| RootCerts::new_with_certs(&certificates))
}

/// What TLS has against a server, if that is what an exchange failed of. Trying again is no help.
pub(super) fn refusal(error: &ureq::Error) -> Option<Error> {
    let found = match error {
        ureq::Error::Rustls(found) => found,
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref::<Tls>()?,
        _ => return None,
    };
    let certificate = |why: &str, hint: &str| Error::stage(why).hint(hint);
    Some(match found {
        // Another authority may have the name of a trusted one.
        Tls::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => certificate(
            "the server's certificate is not signed by an authority that this host trusts",
            "if it is your site's own authority, name the file of its certificate: \
             SSL_CERT_FILE=FILE, or add it to the host's",
        ),
        Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => certificate(
            "the server's certificate has expired",
            "tell the server's administrator, and see that the clock of this host is right",
        ),
        Tls::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => certificate(
            "the server's certificate is not valid yet",
            "see that the clock of this host is right",
        ),
        Tls::InvalidCertificate(Bad::NotValidForName) => other_name(&[]),
        Tls::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) => {
            other_name(presented)
        }
        // What `openssl req -x509` makes is an authority, and serves as nothing else.
        Tls::InvalidCertificate(Bad::Other(other)) if other.to_string() == AUTHORITY => {
            certificate(
                "the server's certificate is one of an authority (CA:TRUE)",
                "sign one for the server with it, or make it with basicConstraints=CA:FALSE",
            )
        }
        Tls::InvalidMessage(_) => certificate(
            "the server does not speak TLS",
            "check the port, and whether the address begins with http: instead of https:",
        ),
        other => Error::stage(other.to_string()),
    })
}

/// How the verifier names an authority's certificate that a server shows as its own.
const AUTHORITY: &str = "CaUsedAsEndEntity";

fn other_name(presented: &[String]) -> Error {
    let names = match presented {
        [] => String::new(),
        names => format!(": {}", names.join(", ")),
    };
    Error::stage(format!(
        "the server's certificate is for other names{names}"
    ))
    .hint("write the address with a name of the certificate, or tell the server's administrator")
}
