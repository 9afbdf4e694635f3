//! The scan beside another scanner, which knows nothing of ours.

use std::collections::BTreeMap;

use super::*;

/// The independent scanner from PyPI, as scripts/deps.sh has put it into a directory of its own:
/// kind, file and line of each of its findings, the first of a kind in a file.
fn detect_secrets(root: &Path) -> BTreeMap<(String, String), u64> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let tool = cache.join("imgforge-tests/detect-secrets-1.5.0");
    let output = Program::new("/usr/bin/python3")
        .env("PYTHONPATH", &tool)
        .args(["-m", "detect_secrets", "scan", "--all-files", "--no-verify"])
        .dir(root)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output).unwrap();
    let files = report["results"].as_object().unwrap().iter();
    let mut first = BTreeMap::new();
    for (file, all) in files {
        let file = format!("/{}", file.trim_start_matches("./"));
        for one in all.as_array().unwrap() {
            let kind = one["type"].as_str().unwrap().to_owned();
            let line = one["line_number"].as_u64().unwrap();
            let known = first.entry((kind, file.clone())).or_insert(line);
            *known = line.min(*known);
        }
    }
    first
}

/// Our findings: rule, file, and the line, where one is told; the others are about the whole file.
fn ours(root: &Path) -> Vec<(String, String, Option<u64>)> {
    let report = scan(&[path(root)]).json();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let line = |file: &str, detail: &str| {
        let number = |word: &str| {
            let (_, rest) = detail.split_once(word)?;
            let end = rest.find(|c: char| !c.is_ascii_digit());
            rest[..end.unwrap_or(rest.len())].parse::<u64>().ok()
        };
        number("line ").or_else(|| {
            let at = number("at byte ")? as usize;
            let content = std::fs::read(root.join(file.trim_start_matches('/'))).unwrap();
            // What is found may begin with the end of the line above.
            let blank = content[at..]
                .iter()
                .take_while(|byte| byte.is_ascii_whitespace());
            let before = &content[..at + blank.count()];
            Some(1 + before.iter().filter(|byte| **byte == b'\n').count() as u64)
        })
    };
    let all = report["findings"].as_array().unwrap().iter();
    all.map(|finding| {
        let file = text(finding, "path");
        let rule = text(finding, "rule");
        // What it finds begins lines above the secret in it.
        let whole = rule == "tsig-key";
        let line = line(&file, &text(finding, "detail")).filter(|_| !whole);
        (rule, file, line)
    })
    .collect()
}

/// Our rules for one of its kinds; any rule for what it only supposes.
fn rules_for(kind: &str) -> &'static [&'static str] {
    match kind {
        "Private Key" => &["private-key", "putty-key", "encoded-private-key"],
        "AWS Access Key" => &["aws-access-key", "aws-secret-key"],
        "Artifactory Credentials" => &["artifactory-token"],
        "Azure Storage Account access key" => &["azure-storage-key"],
        "Basic Auth Credentials" => &["url-credentials", "git-credentials"],
        "Discord Bot Token" | "Telegram Bot Token" => &["chat-bot-token"],
        "GitHub Token" => &["github-token"],
        "GitLab Token" => &["gitlab-token"],
        "JSON Web Token" => &["jwt"],
        "Mailchimp Access Key" | "SendGrid API Key" => &["mail-service-key"],
        "NPM tokens" => &["npm-token"],
        "OpenAI Token" => &["ai-service-key"],
        "PyPI Token" => &["pypi-token"],
        "Slack Token" => &["slack-token"],
        "Square OAuth Secret" => &["square-token"],
        "Stripe Access Key" => &["stripe-key"],
        "Twilio API Key" => &["twilio-key"],
        "Secret Keyword" | "Base64 High Entropy String" | "Hex High Entropy String" => &[],
        other => panic!("which rules find a {other}?"),
    }
}

#[test]
fn everything_that_an_independent_scanner_finds_is_found() {
    let phony = tree();
    // Where one secret is there is often another: a hit in the file is not enough.
    let (_, _, key) = planted().remove(0);
    for (kind, file, content) in planted() {
        if matches!(kind, "github-token" | "slack-token" | "jwt" | "stripe-key") {
            phony.file(
                &format!("{file}.both"),
                [&key[..], b"\n", &content].concat(),
            );
        }
    }
    let theirs = detect_secrets(phony.path());
    let kinds: BTreeSet<&str> = theirs.keys().map(|(kind, _)| kind.as_str()).collect();
    assert!(theirs.len() > 25 && kinds.len() > 12, "{theirs:?}");
    let ours = ours(phony.path());
    let missed = theirs.iter().filter(|((kind, file), line)| {
        let rules = rules_for(kind);
        !ours.iter().any(|(rule, at, there)| {
            at == file
                && there.is_none_or(|there| there == **line)
                && (rules.is_empty() || rules.contains(&rule.as_str()))
        })
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{missed:?} of {ours:?}");
    let lines = ours.iter().filter(|(.., line)| line.is_some());
    assert!(lines.count() > 30, "{ours:?}");
}
