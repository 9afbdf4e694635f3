//! Whom `https:` trusts.

use std::path::Path;

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
