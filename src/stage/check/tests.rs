//! Tests of what the gate decides.

use std::path::PathBuf;

use super::boot::{command, modules};
use super::judge::{between, of_clone};
use super::plan::{CloneMachine, plan};
use super::*;
use crate::hypervisor::Nic;
use crate::hypervisor::Outcome;
use crate::machine::Firmware;
use crate::runner::End;
use crate::runner::drive::Finished;
use crate::runner::{Job, Journal, Mode, Request};
use crate::steps::Step;

fn journal(facts: &[(&str, &str)]) -> Journal {
    let facts = facts
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    Journal {
        boots: 1,
        facts,
        done: Some(0),
        ..Journal::default()
    }
}

fn problems(journal: Journal, check: &Check) -> Vec<String> {
    let steps: Vec<Step> = check.commands.iter().map(|line| command(line)).collect();
    let job = Job::prepare(&Request {
        mode: Mode::Check,
        steps: &steps,
        instance: &[],
        vars: &BTreeMap::new(),
        secrets: &[],
        root: Path::new("/"),
        accel: Accel::Kvm,
    })
    .unwrap();
    let finished = Finished {
        boots: 1,
        end: End::Ended(Outcome::ShutDown),
        journal,
        output: vec![],
        console: vec![],
        log: PathBuf::new(),
        screenshot: None,
    };
    let plan = CloneMachine {
        name: "a".into(),
        firmware: Firmware::Bios,
        nic: Nic::default(),
        idle: None,
    };
    of_clone(&plan, &finished, &job, check)
}

const ID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_end_of_a_printed_line_is_no_part_of_a_fact() {
    let printed = hex::encode("6.12.48+deb13-cloud-amd64\n");
    let text = super::judge::text(&printed);
    assert_eq!(text.as_deref(), Some("6.12.48+deb13-cloud-amd64"));
}

#[test]
fn a_healthy_clone_has_no_problems() {
    let good = journal(&[("state", "running"), ("machine-id", ID)]);
    assert_eq!(problems(good, &Check::default()), [""; 0]);
}

#[test]
fn states_units_commands_and_ids_are_judged() {
    let unit = hex::encode("nova-compute.service");
    let degraded = journal(&[
        ("state", "degraded"),
        ("failed-unit", &unit),
        ("machine-id", ID),
    ]);
    assert_eq!(
        problems(degraded.clone(), &Check::default()),
        ["clone a: the unit nova-compute.service failed"]
    );
    let mut check = Check::default();
    check.failed_units.insert(
        "nova-compute.service".into(),
        "needs the control plane".into(),
    );
    assert_eq!(problems(degraded, &check), [""; 0]);
    assert_eq!(
        problems(journal(&[("state", "starting")]), &Check::default()),
        [
            "clone a did not come up: its state is `starting`",
            "clone a has no valid machine id"
        ]
    );
    let check = Check {
        commands: vec!["true".into(), "false".into()],
        ..Check::default()
    };
    let mut ran = journal(&[("state", "running"), ("machine-id", ID)]);
    ran.steps.insert(1, Some(0));
    assert_eq!(
        problems(ran.clone(), &check),
        ["clone a: `false` was not run"]
    );
    ran.steps.insert(2, Some(1));
    assert_eq!(
        problems(ran, &check),
        ["clone a: `false` failed with exit code 1"]
    );
}

#[test]
fn what_is_not_there_cannot_be_compared() {
    let says = |facts: &[(&str, &str)]| {
        let base = [("state", "running"), ("machine-id", ID)];
        problems(journal(&[&base[..], facts].concat()), &Check::default())
    };
    assert_eq!(
        says(&[("sshd", "yes"), ("seeded", "yes"), ("nic", "e1000")]),
        [
            "clone a has an SSH server and made no host key",
            "clone a did not save a random seed",
            "clone a does not drive its network card (virtio)"
        ]
    );
    let whole = [
        ("sshd", "yes"),
        ("host-key", "x"),
        ("seeded", "yes"),
        ("random-seed", "y"),
        ("nic", "virtio_net"),
    ];
    assert_eq!(says(&whole), [""; 0]);
}

#[test]
fn a_clone_without_final_report_is_one_problem() {
    let mut cut = journal(&[("state", "running")]);
    cut.done = None;
    assert_eq!(
        problems(cut, &Check::default()),
        ["clone a: the guest switched itself off without the runner's final report"]
    );
}

#[test]
fn clones_must_not_share_identities() {
    let a = journal(&[("machine-id", "a"), ("host-key", "x"), ("host-key", "y")]);
    let b = journal(&[("machine-id", "b"), ("host-key", "y")]);
    assert_eq!(between(&a, &b), ["both clones have the same ssh host key"]);
    assert_eq!(
        between(&a, &journal(&[("machine-id", "a")])),
        ["both clones have the same machine id"]
    );
}

#[test]
fn the_second_clone_is_another_machine() {
    let models = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
    let [a, b] = plan(Firmware::Both, &models(&["vmxnet3", "e1000"]));
    assert_eq!((a.firmware, b.firmware), (Firmware::Bios, Firmware::Uefi));
    assert_eq!(
        (a.nic.model.as_str(), b.nic.model.as_str()),
        ("virtio", "e1000")
    );
    assert!(a.nic.mac != b.nic.mac && a.nic.slot != b.nic.slot);
    let idle = b.idle.unwrap();
    assert_eq!((a.idle, &idle.network), (None, &None));
    assert!(idle.mac != a.nic.mac && idle.mac != b.nic.mac);
    let [_, b] = plan(Firmware::Bios, &models(&[]));
    assert_eq!(
        (b.firmware, b.nic.model.as_str()),
        (Firmware::Bios, "virtio")
    );
    let list = "kernel/drivers/net/vmxnet3/vmxnet3.ko.xz: kernel/a/b.ko\nkernel/x/virtio-net.ko\n";
    assert_eq!(modules(list).collect::<Vec<_>>(), ["vmxnet3", "virtio_net"]);
}
