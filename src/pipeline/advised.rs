//! The gate's rule about advisories: vulnerabilities that keep an image from being handed over.

use std::path::Path;

use super::whole::{self, Built};
use super::{Session, updates};
use crate::error::{Error, Result};
use crate::recipe::types::CheckAdvisories;
use crate::repository::state::Revision;
use crate::repository::views::packages;
use crate::sbom::Contents;
use crate::time::now;
use crate::units::age;
use crate::updates::advisories::Finding;
use crate::updates::{self as fixes, Packages, Place, Subject, Vulnerabilities};

/// Advisories that are older say nothing of today, in seconds, where a recipe sets no other limit: 30 days.
const MOST: u64 = 30 * 86_400;

/// Refuses an image whose packages have what its recipe's `check.advisories` does not accept.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) then, and when the advisories cannot be read or are too old: nobody knows.
pub(super) fn admit(session: &Session, offline: bool, built: &Built) -> Result<()> {
    let plan = &built.plan;
    let Some(rule) = &plan.resolved.recipe.check.advisories else {
        return Ok(());
    };
    let contents = Contents::read(built.results.sealed.entry().path());
    let arch = plan.resolved.recipe.machine.arch.as_str();
    let subject = subject(plan.name(), arch, contents.map(Packages::from));
    judge(session, offline, rule, &subject)
}

/// Refuses a revision of an image, of the repository at `root`, where the image's recipe is here, with these
/// variables, and has such a rule: advisories may have come since it was built.
///
/// # Errors
/// As the gate of a build, and when the recipe or the revision's SBOM cannot be read.
pub fn hand_out(
    session: &Session,
    offline: bool,
    vars: &[(String, String)],
    root: &Path,
    (name, revision): (&str, &Revision),
) -> Result<()> {
    // Where no recipes are, there is no rule.
    for id in session.repo.names().unwrap_or_default() {
        if whole::name(&id) != name {
            continue;
        }
        let recipe = match session.repo.load(&id, vars) {
            Ok(resolved) => resolved.recipe,
            // Where nobody names advisories, there is nothing to judge by.
            Err(_) if session.config.advisories.is_empty() => continue,
            Err(error) => {
                return Err(error.within(format!("cannot ask for `check.advisories` of {id}")));
            }
        };
        let arch = recipe.machine.arch.as_str();
        let Some(rule) = recipe.check.advisories.filter(|_| arch == revision.arch) else {
            continue;
        };
        let bill = packages::bill(root, revision)?;
        let subject = subject(name, arch, bill.map(Packages::from));
        judge(session, offline, &rule, &subject)?;
    }
    Ok(())
}

fn subject(name: &str, arch: &str, contents: Option<Packages>) -> Subject {
    Subject {
        at: Place {
            image: name.to_owned(),
            arch: arch.to_owned(),
            ..Place::default()
        },
        contents: contents.ok_or_else(|| "its packages are not known".to_owned()),
    }
}

fn judge(
    session: &Session,
    offline: bool,
    rule: &CheckAdvisories,
    subject: &Subject,
) -> Result<()> {
    let name = &subject.at.image;
    if session.config.advisories.is_empty() {
        let said = format!("`check.advisories` of {name} has nothing to look for");
        return Err(Error::usage(said).hint("name files of them in `advisories:` of imgforge.yaml"));
    }
    let at = now();
    let settings = updates::settings(session, offline)?;
    let subjects = std::slice::from_ref(subject);
    let Vulnerabilities {
        findings,
        problems,
        oldest,
    } = fixes::vulnerabilities(&settings, subjects, at)?;
    let findings = findings.concat();
    let unknown = subject.contents.as_ref().err().cloned();
    let unknown: Vec<String> = unknown.into_iter().chain(problems).collect();
    if !unknown.is_empty() {
        let said = format!("nobody knows which vulnerabilities {name} has");
        return Err(Error::gate(said).evidence(unknown));
    }
    if let Some(why) = oldest.and_then(|file| outdated(rule, &file, at)) {
        let said = format!("nobody knows which vulnerabilities {name} has today");
        return Err(Error::gate(said).cause(why).hint(
            "`imgforge updates` fetches advisories; renew those of a file; `check.advisories.max-age` of the recipe \
             says how old they may be",
        ));
    }
    let refused: Vec<String> = findings
        .iter()
        .filter(|finding| refuses(rule, finding, at))
        .map(|finding| line(finding, at))
        .collect();
    for id in unused(rule, &findings) {
        let said = format!("`check.advisories.allow` of {name} accepts what is not there: {id}");
        session.ui.warning(said);
    }
    match refused.len() {
        0 => Ok(()),
        count => Err(Error::gate(format!(
            "{name} has {count} vulnerabilities that its recipe refuses"
        ))
        .evidence(refused)
        .hint(format!(
            "`imgforge build {name} --from install` builds with what is fixed; accept one in \
                 `check.advisories.allow`, or say in an OpenVEX document why it does not apply"
        ))),
    }
}

/// Why the oldest file of advisories is too old.
fn outdated(rule: &CheckAdvisories, (of, file): &(u64, String), at: u64) -> Option<String> {
    let most = rule.max_age.map_or(MOST, |span| span.as_seconds());
    let old = at.saturating_sub(*of);
    (old > most).then(|| {
        let (old, most) = (age(old), age(most));
        format!("the advisories of {file} are {old} old, and {most} is the most")
    })
}

fn refuses(rule: &CheckAdvisories, finding: &Finding, at: u64) -> bool {
    let grace = rule.grace.map_or(0, |span| span.as_seconds());
    let known = at.saturating_sub(finding.since) >= grace;
    let accepted = finding.is_accepted(&|id| rule.allow.contains_key(id));
    known && !accepted && finding.excuse.is_none() && finding.severity >= rule.fail
}

/// What is accepted, and no package has.
fn unused<'a>(
    rule: &'a CheckAdvisories,
    findings: &'a [Finding],
) -> impl Iterator<Item = &'a String> {
    let there = |id: &&String| {
        findings
            .iter()
            .any(|finding| names(finding).any(|name| name == *id))
    };
    rule.allow.keys().filter(move |id| !there(id))
}

fn names(finding: &Finding) -> impl Iterator<Item = &String> {
    std::iter::once(&finding.id).chain(&finding.aliases)
}

fn line(finding: &Finding, at: u64) -> String {
    let Finding {
        id,
        severity,
        source,
        installed,
        fixed,
        since,
        ..
    } = finding;
    let fixed = match fixed {
        Some(version) => format!("fixed in {version}"),
        None => "no fix yet".to_owned(),
    };
    let waits = age(at.saturating_sub(*since));
    format!(
        "{id}: {}, {source} {installed}, {fixed}, known for {waits}",
        severity.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::severity::Severity;
    use crate::updates::advisories::Excuse;

    #[test]
    fn severity_age_exceptions_and_excuses_decide() {
        let rule = |text: &str| -> CheckAdvisories { serde_json::from_str(text).unwrap() };
        let finding = Finding {
            id: "DSA-1".into(),
            aliases: vec!["CVE-1".into()],
            severity: Severity::High,
            source: "openssl".into(),
            installed: "1".into(),
            fixed: Some("2".into()),
            since: 1_000_000,
            excuse: None,
        };
        let day = 86_400;
        for (text, after, refused) in [
            (r#"{"fail": "high"}"#, 0, true),
            (r#"{"fail": "critical"}"#, 0, false),
            (r#"{"fail": "high", "grace": "7d"}"#, 7 * day - 1, false),
            (r#"{"fail": "high", "grace": "7d"}"#, 7 * day, true),
            (r#"{"fail": "low", "allow": {"CVE-1": "x"}}"#, 0, false),
            (r#"{"fail": "low", "allow": {"DSA-1": "x"}}"#, 0, false),
            (r#"{"fail": "low", "allow": {"CVE-2": "x"}}"#, 0, true),
        ] {
            let rule = rule(text);
            assert_eq!(
                refuses(&rule, &finding, 1_000_000 + after),
                refused,
                "{text}"
            );
            let unused: Vec<_> = unused(&rule, std::slice::from_ref(&finding)).collect();
            assert_eq!(unused.is_empty(), !text.contains("CVE-2"), "{text}");
        }
        let file = (1_000_000, "https://a.example/x".to_owned());
        for (text, after, old) in [
            (r#"{"fail": "high"}"#, 30 * day, None),
            (
                r#"{"fail": "high"}"#,
                30 * day + 1,
                Some("the advisories of https://a.example/x are 30 d old, and 30 d is the most"),
            ),
            (r#"{"fail": "high", "max-age": "3d"}"#, 3 * day, None),
            (
                r#"{"fail": "high", "max-age": "3d"}"#,
                4 * day,
                Some("the advisories of https://a.example/x are 4 d old, and 3 d is the most"),
            ),
        ] {
            let why = outdated(&rule(text), &file, 1_000_000 + after);
            assert_eq!(why.as_deref(), old, "{text}");
        }
        let excused = Finding {
            excuse: Some(Excuse {
                status: "fixed".into(),
                justification: String::new(),
                statement: String::new(),
            }),
            ..finding.clone()
        };
        assert!(!refuses(&rule(r#"{"fail": "low"}"#), &excused, 1_000_000));
        // Who accepts one of several has not accepted the others.
        let several = Finding {
            aliases: vec!["CVE-1".into(), "CVE-3".into()],
            ..finding.clone()
        };
        for (allow, refused) in [
            (r#"{"CVE-1": "x"}"#, true),
            (r#"{"CVE-1": "x", "CVE-3": "y"}"#, false),
            (r#"{"DSA-1": "x"}"#, false),
        ] {
            let rule = rule(&format!(r#"{{"fail": "low", "allow": {allow}}}"#));
            assert_eq!(refuses(&rule, &several, 1_000_000), refused, "{allow}");
        }
        assert_eq!(
            line(&finding, 1_000_000 + 3 * day),
            "DSA-1: high, openssl 1, fixed in 2, known for 3 d"
        );
    }
}
