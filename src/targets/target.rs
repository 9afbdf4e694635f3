//! What a target is: what is known of it, and what its options answer.

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::kernel::Groups;
use super::{About, Command, MadeFile, Offered, TargetContext};
use crate::error::Result;
use crate::host::tools::Tool;
use crate::machine::Arch;
use crate::steps::Step;
use crate::units::Size;
use crate::yaml::checker::Checker;
use crate::yaml::node::Node;

/// What is known of a target before a recipe asks for it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name in recipes.
    pub name: &'static str,
    /// Changes when the same disk and options would give other files; a part of the stage's key.
    pub version: u32,
    /// Its files, for the documentation.
    pub files: &'static str,
    /// What proves them, for the documentation.
    pub proven_by: &'static str,
    /// Whether `publish: {streams: true}` makes the same files.
    pub streams: bool,
    /// The architectures that the place has machines of, each with the place's word for it; empty for all.
    pub architectures: &'static [(Arch, &'static str)],
    /// Why there is none for others, as the end of a sentence.
    pub elsewhere: &'static str,
    /// What a repository's page tells its readers to type.
    pub command: Option<fn(&Offered<'_>) -> Command>,
    /// Programs that making it needs.
    pub tools: &'static [Tool],
    /// Whether a program of the image runs to prove it.
    pub runs: bool,
    /// Modules that a kernel of the image must have: one of each group.
    pub modules: Groups,
    /// Whether it reads the files of the image.
    pub reads: bool,
    /// An account that its machines have, whose `authorized_keys` stays as it is.
    pub account: Option<&'static str>,
    /// Whether its machines keep what they write to their root, as one that labels itself has to.
    pub writable: bool,
    /// Memory that making it needs, beside that of guests.
    pub memory: Size,
}

impl Target {
    /// A target that converts a disk and looks into it.
    pub(super) const fn new(name: &'static str, version: u32) -> Self {
        Target {
            name,
            version,
            files: "",
            proven_by: "",
            streams: false,
            architectures: &[],
            elsewhere: "",
            command: None,
            tools: &[Tool::QemuImg, Tool::Sfdisk],
            runs: false,
            modules: &[],
            reads: true,
            account: None,
            writable: true,
            memory: Size::mib(256),
        }
    }

    /// The place's word for an architecture, where it has machines of it.
    pub(super) fn word(&self, arch: Arch) -> Option<&'static str> {
        let mut all = self.architectures.iter();
        all.find(|(known, _)| *known == arch).map(|(_, word)| *word)
    }
}

/// What the options of a target answer.
pub trait Options: Debug + Send + Sync {
    /// The recipe's own steps.
    fn own_steps(&self) -> &[Step] {
        &[]
    }

    /// Steps that run in the guest before: what the target always needs, and the recipe's own.
    fn steps(&self) -> Vec<Step> {
        self.own_steps().to_vec()
    }

    /// Checks the options, which are written at `node`.
    fn check(&self, _cx: &mut Checker<'_>, _node: &Node) {}

    /// What the container of an image is called, with its registry, where this makes one.
    fn container(&self, _image: &str) -> Option<String> {
        None
    }

    /// Why these options give no such thing for an architecture, as the end of a sentence.
    fn refuses(&self, _arch: Arch) -> Option<&'static str> {
        None
    }

    /// Modules that these options ask for beside the target's, and what needs them.
    fn modules(&self) -> Option<(&'static str, Groups)> {
        None
    }

    /// How the first artifact, a disk, is booted to test it; `None` where making it proves it.
    fn boot_test(&self, _about: &About) -> Option<BootTest> {
        None
    }

    /// Makes the files in [`TargetContext::dir`].
    ///
    /// # Errors
    /// When the disk lacks what the target needs, a program fails, or a file is not what it should be.
    fn make(&self, site: &TargetContext<'_>) -> Result<Vec<MadeFile>>;
}

/// A target with its options.
#[derive(Debug, Clone)]
pub struct Wanted {
    target: &'static Target,
    pub(crate) options: Arc<dyn Options>,
    /// The options as recipes write them; a part of the stage's key.
    pub written: Value,
}

impl Deref for Wanted {
    type Target = Target;

    fn deref(&self) -> &Target {
        self.target
    }
}

impl Wanted {
    pub(super) fn new<O: Options + Serialize + Clone + 'static>(
        target: &'static Target,
        options: &O,
    ) -> Self {
        Wanted {
            target,
            options: Arc::new(options.clone()),
            written: json!(options),
        }
    }

    /// Why there is no such thing for an architecture, as the end of a sentence.
    pub fn refuses(&self, arch: Arch) -> Option<&'static str> {
        match self.architectures.is_empty() || self.word(arch).is_some() {
            true => self.options.refuses(arch),
            false => Some(self.elsewhere),
        }
    }

    /// How many guests run at once while it is made.
    pub fn guests(&self) -> u64 {
        match self.options.boot_test(&About::default()) {
            // Its gate boots two machines.
            Some(_) => 2,
            None => u64::from(!self.options.steps().is_empty()),
        }
    }
}

/// A boot as the target boots, and what must be so then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootTest {
    /// Files of a disk with the label `CIDATA`.
    pub seed: Vec<(String, String)>,
    /// Commands that succeed in the guest.
    pub commands: Vec<String>,
    /// How much larger the machine's disk is, with which the root grows.
    pub grow: Size,
}
