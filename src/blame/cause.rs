//! Why a file is as it is: the layer, and what ran in it at that time.

use serde::Serialize;

use super::index::{File, How, Index, Layer, Since, Step};
use crate::sbom::Package;

/// How far the time of a file may lie before what changed it, in nanoseconds: a kernel takes the time of
/// its last tick, of which it has at least a hundred a second.
const TICK: i64 = 20_000_000;

/// Where else something may be from, where the layer below has no index.
const BELOW: &str = "or a layer below it that has no index";

/// What of a layer's work it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'i> {
    /// The stage's own work: it has no steps, or wrote to the disk offline.
    Stage,
    /// A step.
    Step(&'i Step),
    /// One of these, which the time does not tell apart.
    OneOf(&'i Step, &'i Step),
    /// The guest's boot, before the first step.
    Before,
    /// Between two steps, or as one restarted the guest.
    Between(&'i Step),
    /// After the last step: what the runner removes, the guest's shutdown.
    After,
    /// Nobody knows: the file system keeps no times.
    Unknown,
}

/// Why something is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause<'i> {
    /// In which layer.
    pub layer: &'i Layer,
    /// What of its work.
    pub part: Part<'i>,
}

impl Index {
    /// What made something as it is since then.
    pub fn cause(&self, since: Since) -> Cause<'_> {
        let layer = &self.layers[since.layer];
        Cause {
            layer,
            part: layer.at(since.at),
        }
    }
}

impl Index {
    /// What gave a file its content, in one line, with its package.
    pub fn origin(&self, file: &File) -> String {
        let cause = self.cause(file.changed).line();
        match self.package(file) {
            Some((package, _)) => format!("{}, by {cause}", named(package)),
            None => cause,
        }
    }
}

impl Layer {
    /// What ran at that time.
    fn at(&self, at: Option<i64>) -> Part<'_> {
        let (Some(first), Some(last)) = (self.steps.first(), self.steps.last()) else {
            return Part::Stage;
        };
        let Some(at) = at else {
            return Part::Unknown;
        };
        let mut within = self
            .steps
            .iter()
            .filter(|step| step.began <= at && at <= step.ended);
        match (within.next(), within.next()) {
            (Some(one), Some(other)) => return Part::OneOf(one, other),
            (Some(step), None) => return Part::Step(step),
            _ => {}
        }
        let mut soon = self.steps.iter();
        if let Some(step) = soon.find(|step| step.began - TICK <= at && at < step.began) {
            return Part::Step(step);
        }
        let begins = self.steps.iter().map(|step| step.began).min();
        let ends = self.steps.iter().map(|step| step.ended).max();
        if at < begins.unwrap_or(first.began) {
            return Part::Before;
        }
        if at > ends.unwrap_or(last.ended) {
            return Part::After;
        }
        let before = self.steps.iter().rfind(|step| step.ended < at);
        before.map_or(Part::Unknown, Part::Between)
    }
}

/// A cause for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// The image whose build made the layer.
    pub image: String,
    /// The stage.
    pub stage: String,
    /// The key of the layer.
    pub key: String,
    /// The step, or what else ran, in words; nothing of a stage without steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Where the step, or the stage, is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The commit of the recipe repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

impl Cause<'_> {
    /// For people and programs.
    pub fn told(&self) -> Told {
        let Layer {
            key,
            image,
            stage,
            commit,
            ..
        } = self.layer.clone();
        Told {
            image,
            stage,
            key,
            step: self.step(),
            place: self.place(),
            commit,
        }
    }

    /// The step, or what else ran, in words.
    pub fn step(&self) -> Option<String> {
        let named = |step: &Step| format!("step {} ({})", step.number, step.title);
        let said = Some(match self.part {
            Part::Step(step) => return Some(named(step)),
            Part::OneOf(one, other) => return Some(format!("{} or {}", named(one), named(other))),
            Part::Stage if self.layer.blind => return Some(BELOW.into()),
            Part::Stage => return None,
            Part::Before => "before the first step (the guest's boot)".into(),
            Part::Between(step) => format!("after {}", named(step)),
            Part::After => "after the last step (clean-up and shutdown)".into(),
            Part::Unknown => "an unknown step".into(),
        });
        said.map(|said: String| match self.layer.blind {
            true => format!("{said}, {BELOW}"),
            false => said,
        })
    }

    fn place(&self) -> Option<String> {
        match self.part {
            Part::Step(step) => step.place.clone(),
            Part::Stage => self.layer.place.clone(),
            _ => None,
        }
    }

    /// One line: the stage, the step and its place.
    pub fn line(&self) -> String {
        let mut line = format!("{} of {}", self.layer.stage, self.layer.image);
        for more in self.step().into_iter().chain(self.place()) {
            line += ", ";
            line += &more;
        }
        line
    }
}

impl How {
    /// What a package has to do with a file, in words.
    pub fn words(self) -> &'static str {
        match self {
            How::Listed => "",
            How::Conffile => "configuration file",
            How::Diverted => "diverted",
            How::Alternative => "alternative",
            How::Compiled => "compiled from its file",
            How::Record => "the package manager's record",
        }
    }
}

/// A package with its version, as people type it.
pub(crate) fn named(package: &Package) -> String {
    let Package {
        name,
        version,
        arch,
        ..
    } = package;
    match arch.as_str() {
        "" => format!("{name} {version}"),
        arch => format!("{name} {version} ({arch})"),
    }
}

impl File {
    /// Whether it was changed after it was made.
    pub fn was_changed(&self) -> bool {
        self.changed.layer != self.born.layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn layer(steps: &[(i64, i64)]) -> Layer {
        let steps = steps.iter().zip(1..).map(|((began, ended), number)| Step {
            number,
            title: format!("run {number}"),
            place: Some(format!("recipes/x.yaml:{number}")),
            began: *began,
            ended: *ended,
        });
        Layer {
            stage: "configure".into(),
            image: "x".into(),
            steps: steps.collect(),
            ..Layer::default()
        }
    }

    fn told(layer: &Layer, at: Option<i64>) -> String {
        let part = layer.at(at);
        Cause { layer, part }.line()
    }

    #[test]
    fn a_step_is_found_by_the_time() {
        let two = layer(&[(10 * SECOND, 20 * SECOND), (21 * SECOND, 30 * SECOND)]);
        let said = |at: i64| told(&two, Some(at));
        for (at, expected) in [
            (5 * SECOND, "before the first step (the guest's boot)"),
            (10 * SECOND - TICK, "step 1 (run 1), recipes/x.yaml:1"),
            (20 * SECOND, "step 1 (run 1), recipes/x.yaml:1"),
            (20 * SECOND + 1, "after step 1 (run 1)"),
            (21 * SECOND - TICK / 2, "step 2 (run 2), recipes/x.yaml:2"),
            (30 * SECOND, "step 2 (run 2), recipes/x.yaml:2"),
            (31 * SECOND, "after the last step (clean-up and shutdown)"),
        ] {
            assert_eq!(said(at), format!("configure of x, {expected}"), "{at}");
        }
        assert_eq!(told(&two, None), "configure of x, an unknown step");
        assert_eq!(told(&layer(&[]), Some(1)), "configure of x");
        let blind = |layer: Layer| Layer {
            blind: true,
            ..layer
        };
        let below = "or a layer below it that has no index";
        let alone = told(&blind(layer(&[])), Some(1));
        assert_eq!(alone, format!("configure of x, {below}"));
        let before = told(&blind(two.clone()), Some(1));
        assert!(
            before.ends_with(&format!("(the guest's boot), {below}")),
            "{before}"
        );
        let within = told(&blind(two), Some(20 * SECOND));
        assert_eq!(within, "configure of x, step 1 (run 1), recipes/x.yaml:1");
    }

    #[test]
    fn what_the_time_does_not_tell_is_not_guessed() {
        // The clock was set back within the first step.
        let set = layer(&[(100 * SECOND, 20 * SECOND), (21 * SECOND, 30 * SECOND)]);
        assert_eq!(
            told(&set, Some(25 * SECOND)),
            "configure of x, step 2 (run 2), recipes/x.yaml:2"
        );
        assert_eq!(
            told(&set, Some(110 * SECOND)),
            "configure of x, after the last step (clean-up and shutdown)"
        );
        // Whole seconds only: a busybox without fractions.
        let coarse = layer(&[(10 * SECOND, 12 * SECOND - 1), (11 * SECOND, 13 * SECOND)]);
        assert_eq!(
            told(&coarse, Some(11 * SECOND + 5)),
            "configure of x, step 1 (run 1) or step 2 (run 2)"
        );
    }
}
