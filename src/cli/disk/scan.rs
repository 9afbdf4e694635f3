//! `imgforge disk scan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::{App, disk, out};
use crate::error::{Context as _, Error, Result};
use crate::host::temporary;
use crate::scan::{
    self, Accepted, Allow, Finding, Form, Host, Known, SHORTEST, ScanReport, Subject,
};

/// Why an entry of `--allow` accepts something: somebody wrote it there.
const ASKED: &str = "accepted on the command line";

#[derive(Debug, clap::Args)]
pub(crate) struct Scan {
    /// Disk of any format, also compressed or in an OVA or a box; tar archive or directory of files
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Format of the file, if it is not what it looks like
    #[arg(long, value_name = "FORMAT")]
    format: Option<Form>,
    /// File below the disk, where that is an overlay; can be given often
    #[arg(long, value_name = "FILE")]
    backing: Vec<PathBuf>,
    /// Prints the report as JSON
    #[arg(long)]
    json: bool,
    /// Looks for the content of FILE everywhere, free space included; may be repeated
    #[arg(long, value_name = "NAME=FILE", value_parser = named)]
    secret_file: Vec<(String, String)>,
    /// Looks for the value of this environment variable; may be repeated
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Accepts findings of a rule, everywhere or at paths that match PATH; may be repeated
    #[arg(long, value_name = "RULE[=PATH]")]
    allow: Vec<String>,
    /// File with a passphrase of an encrypted (LUKS) volume; can be given often
    #[arg(long, value_name = "FILE")]
    luks_key: Vec<PathBuf>,
    /// Lists the rules instead
    #[arg(long, conflicts_with = "file")]
    list: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Printed<'a> {
    findings: &'a [Finding],
    accepted: &'a [Accepted],
    files: u64,
    bytes: u64,
}

impl Scan {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| !self.list) else {
            return self.rules();
        };
        let allow = self.allowed()?;
        let subject = Subject {
            known: self.known()?,
            luks_keys: disk::luks_keys(&self.luks_key)?,
            ..Subject::default()
        };
        let report = self.scan(app, file, &subject)?;
        let verdict = scan::judge(report.findings, &allow);
        if self.json {
            out::json(&Printed {
                findings: &verdict.refused,
                accepted: &verdict.accepted,
                files: report.files,
                bytes: report.bytes,
            })?;
        } else {
            out::print(&text(&verdict.refused))?;
        }
        for unused in &verdict.unused {
            app.ui.notice(format!(
                "nothing was found that `--allow {unused}` would accept"
            ));
        }
        match verdict.refused.len() {
            0 => Ok(()),
            found => Err(Error::gate(format!(
                "{} in {}",
                match found {
                    1 => "one leftover was found".into(),
                    many => format!("{many} leftovers were found"),
                },
                file.display()
            ))
            .hint("each finding says what removes it; `--allow RULE=PATH` accepts one")),
        }
    }

    fn scan(&self, app: &App, file: &Path, subject: &Subject) -> Result<ScanReport> {
        std::fs::metadata(file).map_err(|cause| {
            Error::usage(format!("{} cannot be read", file.display())).cause(cause)
        })?;
        let scratch = tempfile::tempdir_in(temporary::roomy())
            .doing(|| "making a scratch directory".into())?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let ui = app.ui.stage(name, "scan");
        let host = Host {
            scratch: scratch.path(),
            accel: app.globals.accel.choose().accel,
            ui: &ui,
        };
        scan::file(file, self.format, &self.backing, subject, &host)
    }

    fn allowed(&self) -> Result<Vec<Allow>> {
        let parse = |text: &String| {
            let (rule, path) = match text.split_once('=') {
                Some((rule, path)) => (rule, Some(path.to_owned())),
                None => (text.as_str(), None),
            };
            if !scan::rule_names().any(|name| name == rule) {
                return Err(Error::usage(format!("there is no rule `{rule}`"))
                    .hint("`imgforge disk scan --list` lists the rules"));
            }
            Ok(Allow {
                rule: rule.to_owned(),
                path,
                reason: ASKED.into(),
            })
        };
        self.allow.iter().map(parse).collect()
    }

    fn known(&self) -> Result<Known> {
        let mut secrets = BTreeMap::new();
        for (name, file) in &self.secret_file {
            let value = std::fs::read(file).map_err(|cause| {
                Error::usage(format!("the secret `{name}` cannot be read from {file}")).cause(cause)
            })?;
            secrets.insert(name.clone(), value);
        }
        for name in &self.secret_env {
            let value = std::env::var_os(name).ok_or_else(|| {
                Error::usage(format!("the environment variable {name} is not set"))
            })?;
            let bytes = std::os::unix::ffi::OsStringExt::into_vec(value);
            secrets.insert(name.clone(), bytes);
        }
        for (name, value) in &secrets {
            if value.trim_ascii().len() < SHORTEST {
                return Err(
                    Error::usage(format!("the secret `{name}` is too short")).cause(format!(
                        "so short a text is in every disk by chance; take one of {SHORTEST} bytes \
                         or more"
                    )),
                );
            }
        }
        Ok(Known::new(&secrets))
    }

    fn rules(&self) -> Result<()> {
        if self.json {
            return out::json(&scan::rules());
        }
        let mut text = String::new();
        for rule in scan::rules() {
            let _ = writeln!(text, "{:<24} {}", rule.name, rule.why);
        }
        out::print(&text)
    }
}

fn named(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.into(), file.into()))
        }
        _ => Err(format!("`{text}` is not NAME=FILE")),
    }
}

/// Findings as a person reads them: the rule and the place, then why and what to do.
fn text(findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        let detail = match finding.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({})", crate::ui::printable(detail)),
        };
        let _ = writeln!(
            out,
            "{}: {}{detail}\n    {}; {}",
            finding.rule,
            crate::ui::printable(&finding.path),
            finding.why,
            finding.fix
        );
    }
    out
}
