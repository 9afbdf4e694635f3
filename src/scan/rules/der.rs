//! Keys in DER.

/// The object identifier of PBES2, by which a key is encrypted.
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 0x0d];

/// PKCS#1, PKCS#8 and SEC1 in DER: a sequence that begins with a small version number.
pub(super) fn is_der_key(content: &[u8]) -> bool {
    let Some(body) = sequence(content) else {
        return false;
    };
    match body {
        // RSA: version 0, then the modulus, a long number.
        [2, 1, 0, 2, 0x81 | 0x82, ..] => content.len() > 250,
        // PKCS#8: version 0 or 1, then the algorithm.
        [2, 1, 0 | 1, 0x30, ..] => true,
        // An elliptic curve's: version 1, then the key.
        [2, 1, 1, 4, 0x10..=0x42, ..] => true,
        // PKCS#8, encrypted: the algorithm PBES2.
        _ => memchr::memmem::find(&body[..body.len().min(32)], PBES2).is_some(),
    }
}

/// The content of a sequence that is the whole file.
fn sequence(content: &[u8]) -> Option<&[u8]> {
    let (length, body) = match content {
        [0x30, 0x82, a, b, body @ ..] => (usize::from(*a) << 8 | usize::from(*b), body),
        [0x30, 0x81, a, body @ ..] => (usize::from(*a), body),
        [0x30, a @ 0..=0x7f, body @ ..] => (usize::from(*a), body),
        _ => return None,
    };
    (body.len() == length && length > 16).then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_keys_are_told_from_certificates() {
        let der = |body: &[u8]| [&[0x30, body.len() as u8], body].concat();
        assert!(is_der_key(&der(
            &[&[2, 1, 0, 0x30, 13][..], &[7; 30]].concat()
        )));
        assert!(is_der_key(&der(
            &[&[2, 1, 1, 4, 0x20][..], &[7; 32]].concat()
        )));
        assert!(!is_der_key(&der(&[&[0x30, 5][..], &[7; 30]].concat())));
        assert!(!is_der_key(b"plain text"));
    }
}
