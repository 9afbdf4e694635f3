//! `imgforge plan`.

mod tree;

use std::fmt::Write as _;

use clap::builder::PossibleValuesParser;

use super::globals::Jobs;
use super::{App, out, recipes, session};
use crate::address::OciAddress;
use crate::engine::jobs::List;
use crate::engine::{self, PIPELINES};
use crate::error::{Error, Result};
use crate::host::accel::Accel;
use crate::pipeline::{self, Options};
use crate::pull::Pin;
use crate::recipe::types::{Base, Install};
use crate::stage::StageId;
use crate::stage::plan::{Plan as Planned, Planned as Stage};
use crate::store::epoch::Mode;
use crate::units::{self, Span};

#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    /// Images to plan
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Plans every image, and draws what builds on what
    #[arg(long)]
    all: bool,
    /// Says why each stage would run
    #[arg(long)]
    explain: bool,
    /// Also asks the shared store, that of imgforge.yaml or the one at ADDRESS
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1)]
    remote: Option<Option<OciAddress>>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Writes the pipeline of a service that runs the build; see docs/many-machines.md
    #[arg(long, value_name = "SERVICE", value_parser = services(), conflicts_with = "json")]
    pipeline: Option<String>,
    /// As if built with --from STAGE
    #[arg(long, value_name = "STAGE")]
    from: Option<StageId>,
    /// As if built with --until STAGE
    #[arg(long, value_name = "STAGE")]
    until: Option<StageId>,
    /// As if built with --locked
    #[arg(long, conflicts_with = "from")]
    locked: bool,
    /// Sets a variable (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
}

fn services() -> PossibleValuesParser {
    PIPELINES
        .iter()
        .map(|service| service.name)
        .collect::<Vec<_>>()
        .into()
}

impl Plan {
    /// Runs the verb. Nothing is written.
    ///
    /// # Errors
    /// When a recipe is wrong.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let mut session = session::open(app)?;
        if let Some(asked) = &self.remote {
            session::share(&mut session, asked.as_ref())?;
        }
        let (from, until, vars) = (self.from, self.until, self.vars.clone());
        let options = Options {
            from,
            until,
            vars,
            locked: self.locked,
            ..Options::default()
        };
        let names = session::names(&session, &self.names, self.all)?;
        let service = PIPELINES
            .iter()
            .find(|it| Some(it.name) == self.pipeline.as_deref());
        let globals = app.globals.elsewhere();
        let jobs = || {
            let mut jobs = engine::list(&session, &options, &names, Mode::Look)?;
            for job in &mut jobs {
                // Behind the program.
                job.command.splice(1..1, globals.iter().cloned());
            }
            Ok::<_, Error>(jobs)
        };
        if let Some(service) = service {
            return out::print(&(service.write)(
                &jobs()?,
                &globals,
                &session.config.engine,
            )?);
        }
        if app.globals.jobs == Some(Jobs::Json) {
            return out::json(&List::new(&jobs()?));
        }
        let plans = names
            .iter()
            .map(|name| pipeline::plan(&session, &options, name, Mode::Look))
            .collect::<Result<Vec<_>>>()?;
        if self.json {
            let value = |plan: &Planned| {
                let (image, version) = (plan.image(), plan.version());
                serde_json::json!({
                    "image": image,
                    "version": version,
                    "from": plan.pinned().map(Pin::record),
                    "stages": plan.all(),
                })
            };
            return out::json(&plans.iter().map(value).collect::<Vec<_>>());
        }
        if plans.len() > 1 && !self.explain {
            return out::print(&tree::draw(&plans));
        }
        out::print(
            &plans
                .iter()
                .map(|plan| text(plan, self.explain))
                .collect::<Vec<_>>()
                .join("\n"),
        )
    }
}

fn text(plan: &Planned, explain: bool) -> String {
    let mut text = format!("{} {}\n", plan.image(), plan.version());
    for stage in plan.all() {
        let state = match (stage.cached, stage.remote) {
            (_, true) => "fetch",
            (true, _) => "cached",
            (false, _) => "run",
        };
        let name = name(plan, stage);
        let _ = writeln!(text, "  {name:<24} {} {state}", stage.key.short());
        if explain && let Some(limits) = limits(plan, stage) {
            let _ = writeln!(text, "      {limits}");
        }
        if explain
            && stage.stage == StageId::Install
            && let Some(pin) = plan.pinned()
        {
            let _ = writeln!(text, "      builds on {}", pin.describe());
        }
        for reason in stage.why.iter().filter(|_| explain) {
            let _ = writeln!(text, "      because {reason}");
        }
    }
    text
}

/// How long an installer may take. Whether there is acceleration is measured when it runs.
fn limits(plan: &Planned, stage: &Stage) -> Option<String> {
    let Base::Install(Install::VirtInstall(method)) = &plan.base else {
        return plan.below().and_then(|below| limits(below, stage));
    };
    let slower = Accel::Tcg.time_factor();
    let times = |span: Span| units::elapsed(span.duration() * slower);
    (stage.stage == StageId::Install && stage.image == plan.image()).then(|| {
        format!(
            "ends after {}, or {} without activity (without hardware acceleration: {}, {})",
            method.timeout,
            method.stall,
            times(method.timeout),
            times(method.stall)
        )
    })
}

/// A stage of an image below is named with its image.
fn name(plan: &Planned, stage: &Stage) -> String {
    if stage.image == plan.image() {
        stage.label.clone()
    } else {
        format!("{} {}", stage.image, stage.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::plan::Part;
    use crate::store::inputs::Inputs;

    #[test]
    fn a_stage_of_the_image_below_carries_its_name() {
        let inputs = Inputs::new("install", 1);
        let stage = Stage {
            image: "base".into(),
            stage: StageId::Install,
            label: "install".into(),
            key: inputs.key().unwrap(),
            cached: true,
            remote: false,
            why: vec![],
            input: None,
            part: Part::Whole,
            inputs,
            unreadable: None,
            asked: None,
        };
        let value = serde_json::to_value(&stage).unwrap();
        assert_eq!(
            (value["image"].as_str(), value["cached"].as_bool()),
            (Some("base"), Some(true))
        );
    }
}
