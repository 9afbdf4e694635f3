//! What an architecture cannot have.

use super::{Context, at};
use crate::machine::{Arch, Firmware};
use crate::pack::Filter;
use crate::recipe::types::{Install, Recipe};
use crate::yaml::node::Node;

pub(super) fn check(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    let node = at(tree, "machine");
    let machine = &recipe.machine;
    let (arch, name) = (machine.arch, machine.arch.as_str());
    if !arch.has_bios() && machine.firmware() != Firmware::Uefi {
        cx.wrong(
            at(node, "firmware").loc,
            format!("machines of {name} have no BIOS"),
            "leave `firmware` out: it is `uefi` there",
        );
    }
    if let Some(below) = cx.below.filter(|below| arch != below.arch) {
        cx.wrong(
            at(node, "arch").loc,
            format!(
                "the parent image is for {}, and not for {name}",
                below.arch.as_str()
            ),
            "leave `arch` out, or build on an image of that architecture",
        );
    }
    if recipe.pack.filter == Filter::X86 && !arch.pc {
        let node = at(at(tree, "pack"), "filter");
        let text = format!("the filter `x86` does not fit the programs of {name}");
        cx.wrong(node.loc, text, "leave `filter` out");
    }
    packages(cx, recipe, tree);
}

/// Kernels and boot loaders for other machines, which apt would not find, or an image not start by.
fn packages(cx: &mut Context<'_>, recipe: &Recipe, tree: &Node) {
    let wanted = recipe.targets.wanted();
    let mut named: Vec<(&str, &Node)> = vec![];
    if let Some(Install::Bootstrap(options)) = &recipe.install {
        let node = at(at(tree, "install"), "bootstrap");
        let kernel = options
            .kernel
            .iter()
            .map(|name| (&**name, at(node, "kernel")));
        let items = at(node, "packages").items();
        named.extend(kernel.chain(options.packages.iter().map(|name| &**name).zip(items)));
    }
    let own = wanted.iter().map(|target| {
        let node = at(at(at(tree, "targets"), target.name), "configure");
        (target.options.own_steps(), node)
    });
    let all = std::iter::once((&*recipe.configure, at(tree, "configure"))).chain(own);
    for (step, node) in all.flat_map(|(steps, node)| steps.iter().zip(node.items())) {
        let names = step.action.kind().packages().into_iter();
        named.extend(names.flat_map(|names| names.all()).map(|name| (name, node)));
    }
    let arch = recipe.machine.arch;
    for (name, node) in named {
        if let Some(other) = of_machine(name).filter(|other| *other != arch && !node.damaged) {
            let text = format!(
                "`{name}` is for {}, and not for {}",
                other.as_str(),
                arch.as_str()
            );
            let help = match cx.listed {
                true => {
                    "`{{ debian_arch }}` stands for the name of each in a list of architectures"
                        .to_owned()
                }
                false => format!(
                    "of an architecture that dpkg adds it is `{name}:{}`",
                    other.debian
                ),
            };
            cx.wrong(node.loc, text, help);
        }
    }
}

/// The machines that a package of the Debian family with a kernel, its headers or a boot loader is
/// for; of one whose architecture is written behind it nothing is said.
fn of_machine(package: &str) -> Option<Arch> {
    let mut all = Arch::ALL.iter().copied();
    if ["linux-image-", "linux-headers-"]
        .iter()
        .any(|of| package.starts_with(of))
    {
        return all.find(|arch| package.split('-').any(|word| word == arch.debian));
    }
    let parts = ["-bin", "-dbg", "-signed", "-unsigned"];
    let whole = parts.iter().find_map(|part| package.strip_suffix(part));
    let whole = whole.unwrap_or(package);
    all.find(|arch| {
        let mut own = arch.boot_loader.iter();
        own.any(|own| own.strip_suffix("-bin") == Some(whole))
    })
}
