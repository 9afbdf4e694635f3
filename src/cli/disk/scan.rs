//! `imgforge disk scan`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cli::{App, disk, out};
use crate::error::{Context as _, Error, Result};

use crate::recipe::types::Allow;
use crate::scan::{self, Accepted, Finding, Host, Known, Report, SHORTEST, Subject, Unsearched};

/// Why an entry of `--allow` accepts something: somebody wrote it there.
const ASKED: &str = "accepted on the command line";

/// The arguments of `imgforge disk scan`.
#[derive(Debug, clap::Args)]
pub struct Scan {
    /// Disk (raw or qcow2), tar archive, or directory with an image's files
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Format of the disk, where the file's name does not say it
    #[arg(long, value_name = "FORMAT")]
    format: Option<Form>,
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

/// How the bytes of the file are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Plain bytes of a disk
    Raw,
    /// QEMU's format
    Qcow2,
    /// An archive of files
    Tar,
    /// Files
    Directory,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Printed<'a> {
    findings: &'a [Finding],
    accepted: &'a [Accepted],
    unsearched: &'a [Unsearched],
    files: u64,
    bytes: u64,
}

impl Scan {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) when something was found; else when the file
    /// cannot be read.
    pub fn run(&self, app: &App) -> Result<()> {
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
                unsearched: &report.unsearched,
                files: report.files,
                bytes: report.bytes,
            })?;
        } else {
            out::print(&text(&verdict.refused, &report.unsearched))?;
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

    fn scan(&self, app: &App, file: &Path, subject: &Subject) -> Result<Report> {
        let form = self.form(file)?;
        let opened = || File::open(file).doing(|| format!("reading {}", file.display()));
        let format = match form {
            Form::Directory => return scan::tree(file, subject),
            Form::Tar => return scan::tar(opened()?, subject),
            Form::Raw => "raw",
            Form::Qcow2 => "qcow2",
        };
        drop(opened()?);
        // A flattened disk is large, and /tmp may be memory.
        let place = std::env::var_os("TMPDIR").map_or("/var/tmp".into(), PathBuf::from);
        let scratch = tempfile::tempdir_in(place).doing(|| "making a scratch directory".into())?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let ui = app.ui.stage(name, "scan");
        let host = Host {
            scratch: scratch.path(),
            accel: app.globals.accel.setting().choose().accel,
            ui: &ui,
        };
        scan::disk(file, format, subject, &host)
    }

    /// A user's own file may be looked at; an image of a build is never guessed.
    fn form(&self, file: &Path) -> Result<Form> {
        if let Some(form) = self.format {
            return Ok(form);
        }
        if file.is_dir() {
            return Ok(Form::Directory);
        }
        let mut head = Vec::new();
        File::open(file)
            .and_then(|file| file.take(512).read_to_end(&mut head))
            .map_err(|cause| {
                Error::usage(format!("{} cannot be read", file.display())).cause(cause)
            })?;
        let ends = |ends: &[&str]| ends.iter().any(|end| file.to_string_lossy().ends_with(end));
        if head.get(257..262) == Some(b"ustar") {
            return Ok(Form::Tar);
        }
        if head.starts_with(b"QFI\xfb") {
            return Ok(Form::Qcow2);
        }
        if ends(&[".xz", ".gz", ".zst", ".bz2"]) {
            return Err(Error::usage(format!("{} is compressed", file.display()))
                .hint("unpack it first; `imgforge disk unpack FILE` does that for a .xz"));
        }
        Ok(Form::Raw)
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
                        "it is in every disk by chance; {SHORTEST} bytes are the least"
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
fn text(findings: &[Finding], unsearched: &[Unsearched]) -> String {
    let mut out = String::new();
    for finding in findings {
        let detail = match finding.detail.as_str() {
            "" => String::new(),
            detail => format!(" ({detail})"),
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
    for each in unsearched {
        let path = crate::ui::printable(&each.path);
        let _ = writeln!(out, "not searched: {path}: {}", each.why);
    }
    out
}
