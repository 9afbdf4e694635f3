use sha2::Digest as _;

use super::super::gate::{CloneReport, GateProof, GateReport};
use super::super::manifest::Origin;
use super::super::{Settings, Stamp};
use super::*;
use crate::channels::ChannelRules;
use crate::error::Kind;
use crate::gpg::Signer;
use crate::units::Size;

#[test]
fn a_rule_is_asked_about_the_number_of_each_architecture_before_anything_is_bound() {
    let dir = tempfile::tempdir().unwrap();
    let signer = Signer::own(&dir.path().join("state"), &Ui::silent()).unwrap();
    let repository = |refused| {
        let rules = ChannelRules {
            refused,
            ..ChannelRules::default()
        };
        let settings = Settings {
            channels: [("stable".to_owned(), rules)].into(),
            ..Settings::new(dir.path().join("repo"), signer.clone())
        };
        Repository::open(settings).unwrap()
    };
    let report = GateReport {
        passed: true,
        clones: vec![CloneReport {
            boots: 2,
            ..CloneReport::default()
        }],
        ..GateReport::default()
    };
    let gate = GateProof::new("sealed", report).unwrap();
    let stamp = Stamp::now();
    let publish = |repository: &Repository, texts: [&str; 2]| {
        let disks = texts.map(|text| {
            let xz = dir.path().join(format!("{text}.xz"));
            std::fs::write(&xz, text).unwrap();
            (xz, hex::encode(sha2::Sha512::digest(text)), text.len())
        });
        let parts = ["x86_64", "aarch64"].into_iter().zip(&disks);
        let parts = parts.map(|(arch, (xz, sha512, size))| Publication {
            name: "web",
            channel: "stable",
            arch,
            version: "0123456789ab",
            xz: xz.clone(),
            size: Size::bytes(*size as u64),
            sha512,
            virtual_size: Size::mib(1),
            sealed: "sealed",
            gate: &gate,
            title: "Web",
            osinfo: None,
            expand: None,
            notes: None,
            origin: Origin::default(),
            companions: vec![],
            built_on: vec![],
            keep: None,
            stamp: stamp.clone(),
        });
        let published = repository.publish(&parts.collect::<Vec<_>>(), &Ui::silent());
        published.map(|all| all.iter().map(|one| one.revision).collect::<Vec<_>>())
    };
    let refused = |number, texts| {
        let repository = repository(Some(number));
        let before = repository.saved("web").unwrap();
        let error = publish(&repository, texts).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        assert_eq!(
            repository.saved("web").unwrap(),
            before,
            "{number} {texts:?}"
        );
    };
    refused(2, ["intel one", "arm one"]);
    let free = repository(None);
    assert_eq!(publish(&free, ["intel one", "arm one"]).unwrap(), [1, 2]);
    // One that the channel has already gets no number.
    refused(3, ["intel one", "arm two"]);
    refused(4, ["intel two", "arm two"]);
    assert_eq!(publish(&free, ["intel two", "arm two"]).unwrap(), [3, 4]);
}
