//! Acceleration: what runs the instructions of guests. One file a backend, with everything about it.
//!
//! One more is its file and an entry in [`backends`].

mod kvm;
mod tcg;

use std::ffi::CStr;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::machine::Arch;

pub use kvm::{PROBE_COMMAND, probe_child, probe_with};

/// A backend, in the words of each program that runs guests by it.
struct Backend {
    /// Its name in options and settings.
    name: &'static str,
    /// Whether a program plays the processor.
    emulated: bool,
    /// By how much limits written for hardware acceleration grow.
    time_factor: u32,
    /// The type of libvirt's domain, and virt-install's `--virt-type`.
    libvirt_type: &'static str,
    /// The attributes of libvirt's `<cpu>` and its `model`, as virt-install's `--cpu` takes them.
    libvirt_cpu: fn(Arch) -> Vec<(&'static str, &'static str)>,
    /// The value of QEMU's `-accel`.
    qemu: &'static str,
    /// The value of QEMU's `-cpu`.
    qemu_cpu: fn(Arch) -> &'static str,
    /// The setting of libguestfs' backend that asks for it, where that is not its own choice.
    guestfs: Option<&'static CStr>,
    /// The device below `/dev` that a guest opens for it.
    device: Option<&'static str>,
    /// What makes it usable on this host, or why it is not; `None` where it always is.
    probe: Option<fn() -> Result<String, Unusable>>,
}

/// Why a backend is not usable on this host.
#[derive(Debug)]
struct Unusable {
    why: String,
    /// What makes it usable.
    fix: &'static str,
}

/// Makes [`Accel`] and [`Setting`] of the backends, the best first.
macro_rules! backends {
    ($($(#[$meta:meta])* $name:ident = $backend:expr;)+) => {
        /// What runs a guest's instructions.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Accel {
            $($(#[$meta])* $name,)+
        }

        impl Accel {
            const ALL: &[Accel] = &[$(Accel::$name),+];

            fn backend(self) -> &'static Backend {
                match self {
                    $(Accel::$name => &$backend,)+
                }
            }
        }

        /// What runs the guests' instructions.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, ValueEnum,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Setting {
            /// Measures once and chooses.
            #[default]
            Auto,
            $($(#[$meta])* $name,)+
        }

        impl Setting {
            /// What it asks for; `None` where that is for a measurement to say.
            fn accel(self) -> Option<Accel> {
                match self {
                    Setting::Auto => None,
                    $(Setting::$name => Some(Accel::$name),)+
                }
            }
        }
    };
}

backends! {
    /// The processor, through /dev/kvm.
    Kvm = kvm::BACKEND;
    /// QEMU's translator.
    Tcg = tcg::BACKEND;
}

impl Accel {
    /// By how much limits written for hardware acceleration grow.
    pub fn time_factor(self) -> u32 {
        self.backend().time_factor
    }

    /// Whether a program plays the processor, and keeps one of the host's busy.
    pub fn is_emulated(self) -> bool {
        self.backend().emulated
    }

    /// What runs the instructions of a guest of this architecture, where this is what runs those of
    /// the host's own: only a translator plays the processor of another one.
    #[must_use]
    pub fn on(self, arch: Arch) -> Accel {
        if arch.is_foreign() { Accel::Tcg } else { self }
    }

    /// Its name in options.
    pub fn as_str(self) -> &'static str {
        self.backend().name
    }

    /// The type of libvirt's domain.
    pub fn libvirt_type(self) -> &'static str {
        self.backend().libvirt_type
    }

    /// The attributes of libvirt's `<cpu>` and its `model`; empty where libvirt is told nothing.
    pub fn libvirt_cpu(self, arch: Arch) -> Vec<(&'static str, &'static str)> {
        match arch.names_cpu {
            true => (self.backend().libvirt_cpu)(arch),
            false => vec![],
        }
    }

    /// `-accel` and `-cpu` with their values.
    pub fn qemu_arguments(self, arch: Arch) -> [&'static str; 4] {
        let Backend { qemu, qemu_cpu, .. } = self.backend();
        ["-accel", qemu, "-cpu", qemu_cpu(arch)]
    }

    /// The setting of libguestfs' backend that asks for it.
    pub fn guestfs_setting(self) -> Option<&'static CStr> {
        self.backend().guestfs
    }
}

/// The devices below `/dev` that guests open for the backends.
pub fn devices() -> impl Iterator<Item = &'static str> {
    Accel::ALL.iter().filter_map(|accel| accel.backend().device)
}

impl Setting {
    /// Decides; only [`Setting::Auto`] measures.
    pub fn choose(self) -> Choice {
        match self.accel() {
            None => probe(),
            Some(accel) => Choice {
                accel,
                reason: format!("{} was asked for", accel.as_str()),
                fix: "with `--accel auto` the best that this host has is used",
            },
        }
    }
}

/// The acceleration to use, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What to use.
    pub accel: Accel,
    /// A sentence for `doctor`, without a full stop.
    pub reason: String,
    /// What gives this host a better one.
    pub fix: &'static str,
}

/// Takes the best backend that this host has.
pub fn probe() -> Choice {
    let all = Accel::ALL.iter();
    best(all.map(|accel| (*accel, accel.backend().probe.map(|probe| probe()))))
}

/// The first that is found usable; the last if none is.
fn best(found: impl IntoIterator<Item = (Accel, Option<Result<String, Unusable>>)>) -> Choice {
    let (mut accel, mut reasons, mut fixes) = (Accel::Tcg, vec![], vec![]);
    for (next, found) in found {
        accel = next;
        match found {
            None => break,
            Some(Ok(why)) => {
                reasons = vec![why];
                break;
            }
            Some(Err(Unusable { why, fix })) => {
                reasons.push(why);
                fixes.push(fix);
            }
        }
    }
    let reason = format!("{}, using {}", reasons.join("; "), accel.as_str());
    Choice {
        accel,
        reason,
        fix: fixes.first().copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_auto_is_obeyed_unmeasured() {
        assert_eq!(Setting::Kvm.choose().accel, Accel::Kvm);
        assert_eq!(Setting::Tcg.choose().reason, "tcg was asked for");
    }

    #[test]
    fn the_processor_of_another_architecture_is_never_the_hosts() {
        for arch in Arch::ALL {
            let own = arch.as_str() == std::env::consts::ARCH;
            let (kvm, tcg) = (Accel::Kvm.on(*arch), Accel::Tcg.on(*arch));
            assert_eq!(kvm, if own { Accel::Kvm } else { Accel::Tcg });
            assert_eq!(tcg, Accel::Tcg);
        }
    }

    #[test]
    fn every_backend_can_be_asked_for_by_its_name() {
        for accel in Accel::ALL {
            let setting = Setting::from_str(accel.as_str(), false).unwrap();
            assert_eq!(setting.accel(), Some(*accel));
            assert_eq!(serde_json::to_value(setting).unwrap(), accel.as_str());
        }
        assert!(Setting::from_str("KVM", false).is_err());
    }
}
