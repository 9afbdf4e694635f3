//! What else readers find in a repository, judged by the programs that read it.

mod boxes;
mod causes;
mod page;
mod query;
mod sbom;
mod streams;

use std::collections::BTreeMap;

use imgforge::sbom::cyclonedx::{self, Subject};
use imgforge::sbom::{Contents, Kind, Package};

use crate::repository::world::*;

/// Python with the ecosystem's own validators; `scripts/deps.sh test` makes it.
pub(crate) fn python(script: &str) -> Program {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(target).join("reader-validators/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run `make deps-test`",
        python.display()
    );
    Program::at(&python).args(["-c", script])
}

/// A program of that Python.
pub(crate) fn tool(name: &str) -> Program {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(target)
        .join("reader-validators/bin")
        .join(name);
    Program::at(&path)
}

pub(crate) fn package(name: &str, version: &str, source: &str) -> Package {
    Package {
        name: name.into(),
        version: version.into(),
        arch: "amd64".into(),
        source: source.into(),
        ..Package::default()
    }
}

pub(crate) fn contents(kind: Kind, packages: &[Package]) -> Contents {
    let (distro, release) = match kind {
        Kind::Rpm => ("rocky", "9.5"),
        _ => ("debian", "12.11"),
    };
    Contents {
        kind,
        distro: distro.into(),
        release: release.into(),
        product: format!("{distro} {release}"),
        packages: packages.to_vec(),
        config: BTreeMap::from([("/etc/hostname".into(), "ab".repeat(32))]),
        sources: vec![],
    }
}

/// The SBOM and the lists of an image with these packages.
pub(crate) fn companions(disk: &Disk, contents: &Contents) -> Vec<Companion> {
    let subject = Subject {
        name: "web-node",
        version: "0123456789ab",
        arch: "x86_64",
        sha512: &disk.sha512,
        created: 1_767_225_600,
    };
    let bill = cyclonedx::write(&subject, contents);
    let name = |end: &str| format!("web-node-0123456789ab{end}");
    vec![
        Companion::bytes(name(".cdx.json"), format!("{bill:#}\n")),
        Companion::bytes(name(".packages"), contents.package_list()),
        Companion::bytes(name(".config.sha256"), contents.config_list()),
    ]
}

pub(crate) fn read(root: &Path, path: &str) -> Value {
    let bytes = std::fs::read(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_kernel_and_its_initrd_are_booted_by_a_script_at_one_address() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    let path = repository.path().join("channels/stable/web-node/boot.ipxe");
    publish_with(&repository, &one, |p| {
        let about = |format: &'static str| [("target", "ramdisk"), ("format", format)];
        p.companions = vec![
            Companion::bytes("vmlinuz", "a kernel")
                .about(about("kernel"))
                .about([("cmdline", "console=ttyS1 ro")]),
            Companion::bytes("initrd.img", "an initrd").about(about("initrd")),
        ];
    })
    .unwrap();
    let url = address(repository.path());
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!(
            "#!ipxe\n# web-node revision 1 of stable\nimgfree\n\
             kernel {url}/images/web-node/1/vmlinuz initrd=initrd.img console=ttyS1 ro\n\
             initrd {url}/images/web-node/1/initrd.img\nboot\n"
        )
    );
    // Only half of it boots nothing.
    publish(&repository, &two);
    assert!(!path.exists());
}

/// One address for all: iPXE knows for what it was built.
#[test]
fn two_architectures_share_one_script_one_pointer_and_one_page() {
    let world = World::new();
    let (repository, one, two) = (world.repository(), world.disk("one"), world.disk("two"));
    for (disk, arch, serial) in [(&one, "x86_64", "ttyS0"), (&two, "aarch64", "ttyAMA0")] {
        publish_with(&repository, disk, |p| {
            let about = |format: &'static str| [("target", "ramdisk"), ("format", format)];
            p.arch = arch;
            p.companions = vec![
                Companion::bytes("vmlinuz", arch)
                    .about(about("kernel"))
                    .about([("cmdline", format!("console={serial}"))]),
                Companion::bytes("initrd.img", arch).about(about("initrd")),
                Companion::bytes("web-node.openstack.qcow2", arch)
                    .about([("target", "openstack"), ("format", "qcow2")])
                    .about([("hw_architecture", arch), ("hw_firmware_type", "uefi")]),
            ];
        })
        .unwrap();
    }
    let (root, url) = (repository.path(), address(repository.path()));
    let script = |number: u64, serial: &str| {
        format!(
            "# web-node revision {number} of stable\nimgfree\n\
             kernel {url}/images/web-node/{number}/vmlinuz initrd=initrd.img console={serial}\n\
             initrd {url}/images/web-node/{number}/initrd.img\nboot\n"
        )
    };
    let path = root.join("channels/stable/web-node/boot.ipxe");
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        format!(
            "#!ipxe\ngoto ${{buildarch}}\n:arm64\n{}:i386\n:x86_64\n{}",
            script(2, "ttyAMA0"),
            script(1, "ttyS0")
        )
    );
    let pointer = read(root, "channels/stable/web-node/latest.json");
    let revision = |arch: &str| pointer["architectures"][arch]["revision"].as_u64();
    assert_eq!(
        (revision("x86_64"), revision("aarch64")),
        (Some(1), Some(2))
    );
    let page = std::fs::read_to_string(root.join("images/web-node/index.html")).unwrap();
    for text in [
        "virt-builder web-node -o web-node.img",
        "virt-builder web-node --arch aarch64 -o web-node.img",
        "#web-node' --arch aarch64",
        "--property hw_architecture=aarch64 --property hw_firmware_type=uefi",
        "--property hw_architecture=x86_64",
    ] {
        let escaped = text.replace('\'', "&#x27;");
        assert!(
            page.contains(text) || page.contains(&escaped),
            "{text}: {page}"
        );
    }
    let all = std::fs::read_to_string(root.join("index.html")).unwrap();
    assert!(
        all.contains("stable 2 aarch64") && all.contains("stable 1<"),
        "{all}"
    );
}

#[test]
fn a_pointer_is_signed_names_every_file_and_goes_with_the_image() {
    let world = World::new();
    let (repository, disk) = (world.repository(), world.disk("one"));
    let contents = contents(Kind::Deb, &[package("openssl", "3.0.11-1", "")]);
    publish_with(&repository, &disk, |p| {
        p.channel = "nightly";
        p.companions = companions(&disk, &contents);
    })
    .unwrap();
    let root = repository.path();
    let pointer = read(root, "channels/nightly/web-node/latest.json");
    let here = &pointer["architectures"]["x86_64"];
    assert_eq!(
        (here["revision"].as_u64(), here["sha512"].as_str()),
        (Some(1), Some(&*disk.sha512))
    );
    for url in here["files"]
        .as_object()
        .unwrap()
        .values()
        .map(|file| &file["url"])
        .chain([&here["url"]])
    {
        let url: imgforge::http::Url = imgforge::http::Url::parse(url.as_str().unwrap()).unwrap();
        assert!(url.local().unwrap().exists(), "{url}");
    }
    let signed = std::fs::read(root.join("channels/nightly/web-node/latest.sjson")).unwrap();
    let verified = verify(&signed, &repository.keyring()).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&verified.text).unwrap(),
        pointer
    );

    repository
        .yank(
            "web-node",
            1,
            false,
            &Stamp::now().why(Some("a test")),
            &Ui::silent(),
        )
        .unwrap();
    assert!(!root.join("channels/nightly/web-node/latest.json").exists());
    assert!(!root.join("channels/nightly/web-node/latest.sjson").exists());
}
