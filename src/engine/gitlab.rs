//! GitLab: the jobs as a child pipeline, see <https://docs.gitlab.com/ci/yaml/>.

use serde_json::{Value, json};

use super::{Job, Pipeline};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::EngineConfig;
use crate::units::Size;

pub(super) const PIPELINE: Pipeline = Pipeline {
    name: "gitlab",
    write,
};

/// GitLab takes no larger file of a child pipeline: the default of `max_artifact_content_include_size`.
const LARGEST: Size = Size::mib(5);

/// GitLab takes no job that needs more: the default of `ci_needs_size_limit`.
const MOST_NEEDS: usize = 50;

/// The logs of an image, which the job before keeps: a runner takes artifacts from its checkout only.
const LOGS: &str = "imgforge-logs";

fn write(jobs: &[Job], globals: &[String], config: &EngineConfig) -> Result<String> {
    let open: Vec<&Job> = jobs.iter().filter(|job| !job.done).collect();
    let mut pipeline = serde_json::Map::new();
    pipeline.insert("stages".into(), json!(["build"]));
    for job in &open {
        let needs = job
            .parents
            .iter()
            .filter(|parent| open.iter().any(|job| job.name == **parent));
        let needs: Vec<String> = needs.map(|parent| title(parent)).collect();
        if needs.len() > MOST_NEEDS {
            return Err(Error::usage(format!(
                "{} needs {} jobs, and GitLab takes {MOST_NEEDS}",
                job.name,
                needs.len()
            ))
            .hint("build some of them before, by a pipeline of their own"));
        }
        pipeline.insert(title(&job.name), one(job, &needs, globals, config));
    }
    if open.is_empty() {
        // A pipeline without a job is none.
        let nothing = json!({"stage": "build", "script": ["echo every image is in the store"]});
        pipeline.insert("nothing to build".into(), with_tags(nothing, config));
    }
    let text = serde_yaml::to_string(&Value::Object(pipeline));
    let text = text.map_err(|cause| Error::internal("a pipeline has no text").cause(cause))?;
    if text.len() as u64 > LARGEST.as_bytes() {
        return Err(Error::usage(format!(
            "the pipeline of {} jobs has {}, and GitLab takes {}",
            open.len(),
            Size::bytes(text.len() as u64).human(),
            LARGEST.human()
        ))
        .hint("write several: `imgforge plan NAME… --pipeline gitlab`, parents first"));
    }
    Ok(format!(
        "# Written by `imgforge plan --pipeline gitlab`.\n{text}"
    ))
}

/// Not the image's name alone: some words mean something else to GitLab, such as `pages`.
fn title(image: &str) -> String {
    format!("build {image}")
}

fn one(job: &Job, needs: &[String], globals: &[String], config: &EngineConfig) -> Value {
    let line: Vec<String> = job.command.iter().map(|word| quote(word)).collect();
    let needs = needs
        .iter()
        .map(|job| json!({"job": job, "artifacts": false}));
    let globals = globals.iter().map(|word| format!(" {}", quote(word)));
    let (globals, image) = (globals.collect::<String>(), quote(&job.name));
    let minutes = job.time.div_ceil(60);
    let folder = format!("{LOGS}/{}", job.name.replace(':', "-"));
    let job = json!({
        "stage": "build",
        "needs": needs.collect::<Vec<_>>(),
        "resource_group": format!("imgforge-{}", job.key),
        "timeout": format!("{minutes} minutes"),
        "retry": {"max": 2, "when": ["runner_system_failure", "stuck_or_timeout_failure"]},
        "script": [line.join(" ")],
        "after_script": [
            format!("mkdir -p {folder}"),
            format!("imgforge{globals} logs {image} | while read -r log; do cp \"$log\" {folder}/; done"),
        ],
        "artifacts": {"when": "always", "paths": [folder], "expire_in": "1 week"},
    });
    with_tags(job, config)
}

fn with_tags(mut job: Value, config: &EngineConfig) -> Value {
    if !config.gitlab.tags.is_empty() {
        job["tags"] = json!(config.gitlab.tags);
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Key;
    use crate::machine::Arch;

    fn job(name: &str, parents: &[String], done: bool) -> Job {
        Job {
            name: name.into(),
            image: name.into(),
            key: Key::of(name.as_bytes()),
            parents: parents.to_vec(),
            arch: Arch::default(),
            memory: 5120,
            processors: 2,
            time: 3601,
            until: None,
            done,
            command: ["imgforge", "build", name].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn a_child_waits_for_what_is_built_and_not_for_what_is_there() {
        let mut config = EngineConfig::default();
        config.gitlab.tags = vec!["kvm".into()];
        let parents = ["base".to_owned()];
        let jobs = [
            job("old", &[], true),
            job("base", &[], false),
            job("web:aarch64", &parents, false),
            job("on-old", &["old".into()], false),
        ];
        insta::assert_snapshot!(write(&jobs, &[], &config).unwrap());
        let all_done = write(&jobs[..1], &[], &config).unwrap();
        assert!(all_done.contains("nothing to build"), "{all_done}");
    }

    #[test]
    fn what_gitlab_would_refuse_is_told_before() {
        let config = EngineConfig::default();
        let parents: Vec<String> = (0..51).map(|n| format!("base-{n}")).collect();
        let mut jobs: Vec<Job> = parents.iter().map(|name| job(name, &[], false)).collect();
        jobs.push(job("child", &parents, false));
        let error = write(&jobs, &[], &config).err().unwrap();
        assert!(error.message().contains("needs 51 jobs"), "{error}");
        let many: Vec<Job> = (0..12_000)
            .map(|n| job(&format!("image-{n}"), &[], false))
            .collect();
        let error = write(&many, &[], &config).err().unwrap();
        assert!(error.message().contains("GitLab takes 5.0 MiB"), "{error}");
        assert!(error.hint_text().unwrap().contains("several"));
    }
}
