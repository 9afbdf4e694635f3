//! The scan beside another scanner, which knows nothing of ours.

use super::*;

/// The independent scanner from PyPI, as scripts/deps.sh has put it into a directory of its own:
/// kind and file of each of its findings.
fn detect_secrets(root: &Path) -> BTreeSet<(String, String)> {
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
    let kinds = files.flat_map(|(file, all)| {
        let file = format!("/{}", file.trim_start_matches("./"));
        let all = all.as_array().unwrap().iter();
        all.map(move |one| (one["type"].as_str().unwrap().to_owned(), file.clone()))
    });
    kinds.collect()
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
    let kinds: BTreeSet<&str> = theirs.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(theirs.len() > 25 && kinds.len() > 12, "{theirs:?}");
    let ours = findings(&scan(&[path(phony.path())]));
    let missed = theirs.iter().filter(|(kind, file)| {
        let rules = rules_for(kind);
        !ours
            .iter()
            .any(|(rule, at)| at == file && (rules.is_empty() || rules.contains(&rule.as_str())))
    });
    let missed: Vec<_> = missed.collect();
    assert!(missed.is_empty(), "{missed:?}");
    assert!(
        ours.len() > 2 * theirs.len(),
        "{} {}",
        ours.len(),
        theirs.len()
    );
}
