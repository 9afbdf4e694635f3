//! Vagrant boxes: the disk with the account that Vagrant logs in to, for each provider.

mod account;
mod steps;
mod words;

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::convert;
use super::qcow2::{Clusters, form};
use super::tree::Tree;
use super::vmdk;
use super::{
    About, BootTest, CheckKind, Command, DISK, Format, MadeFile, Offered, Options, Target,
    TargetContext, kernel, proven,
};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::{Program, quote};
use crate::host::qemu_img;
use crate::host::space::Frugal;
use crate::host::tools::Tool;
use crate::machine::Arch;
use crate::steps::Step;
use crate::sysprep::OVERLAY_CLUSTER;
use crate::units::Size;
use crate::yaml::checker::{Checker, at};
use crate::yaml::node::Node;
use words::Machine;

pub(super) const TARGET: Target = Target {
    files: "`.libvirt.box`, `.virtualbox.box`",
    proven_by: "`qemu-img check`, `compare`; `tar`; in a recipe the leftover scan and two boots with a login",
    tools: &[Tool::QemuImg, Tool::Sfdisk, Tool::Supermin],
    modules: LIBVIRT,
    account: Some(account::NAME),
    memory: Size::mib(1536),
    command: Some(command),
    ..Target::new("vagrant", 5)
};

/// `targets: {vagrant: …}`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Vagrant {
    /// Providers: `libvirt`, `virtualbox`.
    pub providers: Vec<VagrantProvider>,
    /// Steps of this target.
    pub configure: Vec<Step>,
}

/// A Vagrant provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VagrantProvider {
    /// vagrant-libvirt.
    Libvirt,
    /// VirtualBox.
    Virtualbox,
}

impl Options for Vagrant {
    fn own_steps(&self) -> &[Step] {
        &self.configure
    }

    fn steps(&self) -> Vec<Step> {
        steps::steps(self)
    }

    fn refuses(&self, arch: Arch) -> Option<&'static str> {
        let asked = self.providers.contains(&VagrantProvider::Virtualbox);
        (asked && !arch.pc).then_some("VirtualBox's boxes and guest additions are for x86_64")
    }

    /// What the box for VirtualBox needs, if a recipe asks for it by name.
    fn modules(&self) -> Option<(&'static str, kernel::Groups)> {
        let asked = self.providers.contains(&VagrantProvider::Virtualbox);
        asked.then_some(("vagrant (virtualbox)", VIRTUALBOX))
    }

    fn check(&self, cx: &mut Checker<'_>, node: &Node) {
        let nodes = at(node, "providers").items();
        for (index, (provider, node)) in self.providers.iter().zip(nodes).enumerate() {
            if self.providers[..index].contains(provider) {
                cx.problem(node.loc, "this provider is listed twice");
            }
        }
    }

    /// The parts of a login as Vagrant's, with a key of the boot test's own: nobody else's login works in
    /// a machine that has no address.
    fn boot_test(&self, _: &About) -> Option<BootTest> {
        let key = "/run/imgforge-trial.key";
        let has = |key: &&str| format!("grep -qxF '{key}' ~vagrant/.ssh/authorized_keys");
        let mut commands: Vec<String> = account::KEYS.iter().map(has).collect();
        commands.extend([
            "[ \"$(stat -c %a ~vagrant/.ssh/authorized_keys)\" = 600 ]".to_owned(),
            "PATH=$PATH:/usr/sbin sshd -T | grep -qix 'usedns no'".to_owned(),
            "su -s /bin/sh vagrant -c 'sudo -n true'".to_owned(),
            format!(
                "if command -v ssh; then ssh-keygen -q -t ed25519 -N '' -f {key} && \
                 cat {key}.pub >>~vagrant/.ssh/authorized_keys && \
                 [ \"$(ssh -i {key} -o BatchMode=yes -o StrictHostKeyChecking=no \
                 -o UserKnownHostsFile=/dev/null vagrant@127.0.0.1 sudo -n id -u)\" = 0 ]; fi"
            ),
        ]);
        Some(BootTest {
            seed: vec![],
            commands,
            grow: Size::bytes(0),
        })
    }

    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>> {
        let tree = site.source.tree(site.ui)?;
        for (programs, package) in NEEDED {
            if !programs.iter().any(|path| tree.get(path).is_some()) {
                return Err(Error::usage(format!(
                    "the image has no {package}, without which Vagrant cannot use it"
                ))
                .hint(format!("add {package} to `packages`")));
            }
        }
        let providers = providers(self, site.machine.arch, &tree)?;
        let disk = edited(site)?;
        let shared = site.scratch.join("edited");
        std::fs::create_dir(&shared).doing(|| format!("making {}", shared.display()))?;
        let source = site.source.derived(disk, shared);
        let site = TargetContext {
            source: &source,
            ..*site
        };
        let additions = ADDITIONS.iter().any(|path| tree.get(path).is_some());
        providers
            .into_iter()
            .map(|provider| one(&site, provider, additions))
            .collect()
    }
}

/// The machines of vagrant-libvirt.
const LIBVIRT: &[&[&str]] = &[&["virtio_blk"], &["virtio_net"]];

/// The machines of VirtualBox.
const VIRTUALBOX: &[&[&str]] = &[&["ahci"], &["e1000"]];

/// Programs that a box cannot do without, each with the package that has it.
const NEEDED: &[(&[&str], &str)] = &[
    (&["usr/bin/sudo", "bin/sudo"], "sudo"),
    (
        &["usr/sbin/sshd", "usr/bin/sshd", "sbin/sshd"],
        "openssh-server",
    ),
];

/// What mounts VirtualBox's own folders.
const ADDITIONS: &[&str] = &[
    "usr/sbin/mount.vboxsf",
    "usr/bin/mount.vboxsf",
    "sbin/mount.vboxsf",
];

/// The providers that the recipe names, or those whose machines the kernel drives.
fn providers(options: &Vagrant, arch: Arch, tree: &Tree) -> Result<Vec<VagrantProvider>> {
    let virtualbox = || kernel::has(tree, "vagrant (virtualbox)", arch, VIRTUALBOX);
    if options.providers.is_empty() && !arch.pc {
        return Ok(vec![VagrantProvider::Libvirt]);
    }
    if options.providers.contains(&VagrantProvider::Virtualbox) {
        virtualbox()?;
    }
    Ok(match (options.providers.is_empty(), virtualbox().is_ok()) {
        (false, _) => options.providers.clone(),
        (true, true) => vec![VagrantProvider::Libvirt, VagrantProvider::Virtualbox],
        (true, false) => vec![VagrantProvider::Libvirt],
    })
}

/// An overlay of the source with the account.
fn edited(site: &TargetContext<'_>) -> Result<std::path::PathBuf> {
    let absolute = |path: &Path| std::path::absolute(path).doing(|| "finding the disk".into());
    let (below, scratch) = (absolute(site.source.disk())?, absolute(site.scratch)?);
    let disk = scratch.join(DISK);
    let below = (&*below, site.source.format());
    qemu_img::create(&disk, Some(below), Some(OVERLAY_CLUSTER), None)?;
    account::add(&disk, site.source.accel(), site.ui)?;
    Ok(disk)
}

/// The box of one provider.
fn one(site: &TargetContext<'_>, provider: VagrantProvider, additions: bool) -> Result<MadeFile> {
    let (word, disk, format) = match provider {
        VagrantProvider::Libvirt => ("libvirt", "box.img", "qcow2"),
        VagrantProvider::Virtualbox => ("virtualbox", "box-disk001.vmdk", vmdk::FORMAT),
    };
    let dir = site.scratch.join(word);
    std::fs::create_dir(&dir).doing(|| format!("making {}", dir.display()))?;
    let inside = TargetContext { dir: &dir, ..*site };
    let mut proof = match provider {
        VagrantProvider::Libvirt => convert(&inside, None, form(Clusters::Zlib), disk)?,
        VagrantProvider::Virtualbox => vmdk::write(&inside, disk)?,
    };
    // What was compared is the disk with the account, which has to be tried itself.
    for each in &mut proof {
        each.part = CheckKind::Validated;
    }
    let path = dir.join(disk);
    let machine = Machine {
        about: site.about,
        provider,
        size: qemu_img::info(&path, format)?.virtual_size,
        cpus: site.machine.cpus,
        memory: site.machine.memory.as_bytes() >> 20,
        arch: site.machine.arch,
        uefi: site.uefi(),
        additions: additions && provider == VagrantProvider::Virtualbox,
    };
    let size = path.metadata().doing(|| format!("reading {disk}"))?.len();
    let mut texts = vec![
        (
            "metadata.json",
            format!("{:#}\n", words::metadata(&machine)),
        ),
        ("info.json", format!("{:#}\n", words::info(&machine))),
        ("Vagrantfile", words::vagrantfile(&machine)),
    ];
    if provider == VagrantProvider::Virtualbox {
        texts.push(("box.ovf", words::description(&machine, disk, size)));
    }
    let file = site.file(&format!("{word}.box"));
    site.ui.step(format!("writing {file}"));
    let archive = site.dir.join(&file);
    pack(&archive, site.about.created, &texts, (disk, &path))?;
    std::fs::remove_dir_all(&dir).doing(|| format!("removing {}", dir.display()))?;
    let listed = Program::new("tar").arg("-tf").arg(&archive).text()?;
    let names = texts.iter().map(|(name, _)| *name).chain([disk]);
    if listed.lines().ne(names) {
        return Err(Error::gate(format!("{file} does not hold what a box has")));
    }
    proof.push(proven(CheckKind::Validated, "tar"));
    Ok(MadeFile::new(file, Format::VagrantBox, proof).about([("provider", word)]))
}

/// A plain archive: the disk in it is compressed.
fn pack(to: &Path, time: u64, texts: &[(&str, String)], disk: (&str, &Path)) -> Result<()> {
    let doing = || format!("writing {}", to.display());
    let packed = || -> io::Result<()> {
        let mut archive = tar::Builder::new(BufWriter::with_capacity(1 << 20, Frugal::create(to)?));
        let header = |size: u64| {
            // Sizes over 8 GiB are a number of GNU's.
            let mut header = tar::Header::new_gnu();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(time);
            header
        };
        for (name, text) in texts {
            archive.append_data(&mut header(text.len() as u64), name, text.as_bytes())?;
        }
        let from = File::open(disk.1)?;
        let size = from.metadata()?.len();
        archive.append_data(&mut header(size), disk.0, from)?;
        let file = archive.into_inner()?.into_inner();
        file.map_err(io::IntoInnerError::into_error)?.sync_all()
    };
    packed().doing(doing)
}

/// Adds the box by its catalogue.
fn command(offered: &Offered<'_>) -> Command {
    let Offered { entry, boxes, .. } = offered;
    let boxed = offered.files.iter().any(|file| file.is(Format::VagrantBox));
    let text = boxed.then(|| {
        format!(
            "vagrant box add {}\nvagrant init {entry}\nvagrant up",
            quote(boxes)
        )
    });
    let missing =
        "Its recipe does not ask for a box: `targets: {vagrant: {providers: [libvirt]}}`.";
    Command {
        client: "Vagrant",
        note: text.is_none().then(|| missing.into()),
        text,
    }
}
