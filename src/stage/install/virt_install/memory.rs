//! Whether the installer has the memory that it needs, told before anything is fetched.

use crate::distro::Distro;
use crate::error::{Error, Result};
use crate::units::Size;

/// Compares the guest's memory with what the distribution's installer needs, and with what this
/// host has left.
///
/// # Errors
/// Of kind usage when the recipe gives too little, of kind host when the host has too little.
pub fn check(wanted: Size, distro: Option<&Distro>, free: Option<Size>) -> Result<()> {
    if let Some(distro) = distro.filter(|distro| wanted < distro.installer_memory) {
        let least = distro.installer_memory;
        return Err(Error::usage(format!(
            "{}'s installer needs at least {least} of memory, and the recipe gives it {wanted}",
            distro.name
        ))
        .hint(format!(
            "write `machine: {{memory: {least}}}` or more into the recipe"
        )));
    }
    match free {
        Some(free) if free < wanted => Err(Error::host(
            "this host has not enough free memory for the installer's guest",
        )
        .cause(format!("the recipe gives it {wanted}, and {}MiB are free", free.as_bytes() >> 20))
        .hint(match distro {
            Some(distro) => format!(
                "lower `machine: {{memory: …}}` of the recipe ({} is the least for {}), or end other programs",
                distro.installer_memory, distro.name
            ),
            None => "lower `machine: {memory: …}` of the recipe, or end other programs".into(),
        })),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::by_osinfo;

    #[test]
    fn too_little_memory_is_told_with_what_would_do() {
        let debian = by_osinfo("debian13");
        let free = Some(Size::mib(1536));
        assert!(check(Size::gib(1), debian, free).is_ok());
        assert!(
            check(Size::mib(64), None, free).is_ok() && check(Size::gib(9), debian, None).is_ok()
        );
        let errors = [
            check(Size::mib(256), debian, free),
            check(Size::gib(1), by_osinfo("fedora43"), free),
            check(Size::gib(2), debian, free),
            check(Size::gib(2), None, free),
        ];
        let texts = errors.map(|error| error.unwrap_err().render());
        insta::assert_snapshot!(texts.join("\n"), @r"
        error: Debian's installer needs at least 512MiB of memory, and the recipe gives it 256MiB
        hint: write `machine: {memory: 512MiB}` or more into the recipe

        error: Fedora's installer needs at least 1536MiB of memory, and the recipe gives it 1GiB
        hint: write `machine: {memory: 1536MiB}` or more into the recipe

        error: this host has not enough free memory for the installer's guest
        caused by: the recipe gives it 2GiB, and 1536MiB are free
        hint: lower `machine: {memory: …}` of the recipe (512MiB is the least for Debian), or end other programs

        error: this host has not enough free memory for the installer's guest
        caused by: the recipe gives it 2GiB, and 1536MiB are free
        hint: lower `machine: {memory: …}` of the recipe, or end other programs
        ");
    }
}
