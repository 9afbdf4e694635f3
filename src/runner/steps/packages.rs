//! `packages`: names, for all distributions or each.

use crate::recipe::types::PackageNames;
use crate::runner::payload::Entry;

pub(super) fn translate(names: &PackageNames) -> Vec<Entry> {
    let text = |names: &[String]| {
        names
            .iter()
            .fold(String::new(), |text, name| text + name + "\n")
    };
    match names {
        PackageNames::All(all) => vec![Entry::bytes("names", text(all))],
        PackageNames::ByDistro(map) => map
            .iter()
            .map(|(distro, names)| Entry::bytes(format!("names.{distro}"), text(names)))
            .collect(),
    }
}
