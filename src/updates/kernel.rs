//! Kernels whose packages are named by their interface: a fix that changes that has another name
//! (`linux-image-6.1.0-39-amd64`, `linux-image-6.1.0-40-amd64`), and is known by its source package.

/// What such names begin with.
const PREFIX: &str = "linux-image-";

/// Whether a package is a kernel, or what depends on one.
pub(super) fn is_image(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// What a kernel is for, such as `cloud-amd64` of `linux-image-6.1.0-39-cloud-amd64`; none of what is no kernel, or
/// has the same name in each version.
pub(super) fn flavour(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?;
    // Ubuntu's of architectures without signatures.
    let rest = rest.strip_prefix("unsigned-").unwrap_or(rest);
    let is_number = |part: &&str| part.starts_with(|c: char| c.is_ascii_digit());
    let numbers = rest.split('-').take_while(is_number).count();
    let flavour: Vec<&str> = rest.split('-').skip(numbers).collect();
    (numbers > 0 && !flavour.is_empty()).then(|| flavour.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_have_a_flavour_whatever_their_interface() {
        for (name, expected) in [
            ("linux-image-6.1.0-39-amd64", Some("amd64")),
            ("linux-image-6.1.0-39-cloud-amd64", Some("cloud-amd64")),
            ("linux-image-6.12.48+deb13-amd64", Some("amd64")),
            ("linux-image-6.1.0-0.deb11.39-amd64", Some("amd64")),
            ("linux-image-6.8.0-45-generic", Some("generic")),
            (
                "linux-image-unsigned-6.8.0-45-generic-64k",
                Some("generic-64k"),
            ),
            ("linux-image-amd64", None),
            ("linux-image-cloud-amd64", None),
            ("linux-headers-6.1.0-39-amd64", None),
        ] {
            assert_eq!(flavour(name).as_deref(), expected, "{name}");
        }
    }
}
