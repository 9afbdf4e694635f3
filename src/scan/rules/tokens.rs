//! Credentials of services.

mod assigned;
pub(super) mod logins;

use std::sync::LazyLock;

use regex::Regex;

use super::text::line_with;
use crate::scan::rule::{Bytes, Case, Fix, Group, Matcher, Rule};

const FIX: Fix = Fix::Setting(
    "pass it as one of the recipe's `secrets`, and do not let the step write it to the disk",
);
const WHY: &str = "whoever has the image can use the service as its owner";

const fn rule(name: &'static str, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Tokens,
        why: WHY,
        fix: FIX,
        matcher,
    }
}

const fn token(name: &'static str, bytes: &'static Bytes) -> Rule {
    rule(name, Matcher::Bytes(bytes))
}

const fn bytes(anchors: &'static [&'static str], pattern: &'static str) -> Bytes {
    Bytes {
        anchors,
        pattern,
        judge: bounded,
        not_in: &[],
    }
}

/// A token ends where its characters end.
fn bounded(_: &[u8], after: &[u8]) -> bool {
    after
        .first()
        .is_none_or(|byte| !byte.is_ascii_alphanumeric())
}

/// Random characters have more than one kind; a name in a program has not.
fn random(found: &[u8], after: &[u8]) -> bool {
    let text = String::from_utf8_lossy(found);
    bounded(found, after)
        && found.iter().any(u8::is_ascii_digit)
        && super::text::entropy(&text) > 3.0
}

const fn random_bytes(anchors: &'static [&'static str], pattern: &'static str) -> Bytes {
    Bytes {
        anchors,
        pattern,
        judge: random,
        not_in: &[],
    }
}

pub(super) const RULES: &[Rule] = &[
    token(
        "aws-access-key",
        &random_bytes(
            &["AKIA", "ASIA", "ABIA", "ACCA", "A3T"],
            r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
        ),
    ),
    token(
        "aws-secret-key",
        &bytes(
            &[
                "secret_access_key",
                "SECRET_ACCESS_KEY",
                "SecretAccessKey",
                "aws_secret",
                "secretAccessKey",
            ],
            r#"(?i:secret_?access_?key|aws_secret(?:_key)?)["']?\s*[=:]\s*["']?[A-Za-z0-9/+]{40}\b"#,
        ),
    ),
    token(
        "gcp-service-account",
        &Bytes {
            anchors: &["\"service_account\""],
            pattern: r#""type"\s*:\s*"service_account""#,
            judge: |_, _| true,
            not_in: &[],
        },
    ),
    token(
        "gcp-api-key",
        &random_bytes(&["AIza"], r"\bAIza[0-9A-Za-z_-]{35}"),
    ),
    token(
        "gcp-token",
        &random_bytes(
            &["ya29.", "GOCSPX-"],
            r"\b(?:ya29\.[0-9A-Za-z_-]{30,}|GOCSPX-[0-9A-Za-z_-]{28})",
        ),
    ),
    rule(
        "gcloud-login",
        Matcher::Present(&[
            "/**/.config/gcloud/{credentials.db,access_tokens.db,application_default_credentials.json}",
            "/**/.config/gcloud/legacy_credentials/**",
            "/**/.boto",
        ]),
    ),
    token(
        "azure-storage-key",
        &bytes(
            &["AccountKey=", "SharedAccessKey="],
            r"\b(?:AccountKey=[A-Za-z0-9+/]{86}==|SharedAccessKey=[A-Za-z0-9+/]{43}=)",
        ),
    ),
    token(
        "azure-client-secret",
        &random_bytes(
            &["8Q~", "7Q~"],
            r"\b[A-Za-z0-9_~.-]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",
        ),
    ),
    rule(
        "azure-login",
        Matcher::Present(&[
            "/**/.azure/{accessTokens.json,msal_token_cache.json,msal_token_cache.bin,service_principal_entries.json,service_principal_entries.bin}",
        ]),
    ),
    token(
        "github-token",
        &random_bytes(
            &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
            r"\b(?:gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})",
        ),
    ),
    token(
        "gitlab-token",
        &random_bytes(
            &[
                "glpat-",
                "gldt-",
                "glft-",
                "glsoat-",
                "glrt-",
                "glptt-",
                "glagent-",
                "glimt-",
                "glcbt-",
                "GR1348941",
                "gloas-",
                "glffct-",
            ],
            r"\b(?:gl(?:pat|dt|ft|soat|rt|ptt|agent|imt|oas|ffct)-[A-Za-z0-9_.-]{20,}|glcbt-[0-9a-zA-Z]{1,5}_[A-Za-z0-9_-]{20}|GR1348941[A-Za-z0-9_-]{20})",
        ),
    ),
    rule(
        "docker-auth",
        Matcher::Judged(
            &[
                "/**/.docker/config.json",
                "/**/.dockercfg",
                "/**/.dockerconfigjson",
                "/**/containers/auth.json",
                "/var/lib/kubelet/config.json",
            ],
            |case| {
                static AUTH: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r#""(auth|identitytoken|registrytoken|password)"\s*:\s*"[^"]{4,}"#)
                        .expect("fixed")
                });
                AUTH.is_match(&case.text()).then(String::new)
            },
        ),
    ),
    token(
        "npm-token",
        &bytes(
            &["_authToken", "npm_", "_password"],
            r#"(?:\bnpm_[A-Za-z0-9]{36}|_authToken\s*=\s*[^\s$"]{10,}|:_password\s*=\s*["A-Za-z0-9+/]{4,}={0,2})"#,
        ),
    ),
    token(
        "pypi-token",
        &bytes(&["pypi-AgE"], r"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    ),
    rule(
        "pypi-login",
        Matcher::Judged(&["/**/.pypirc"], password_line),
    ),
    token(
        "rubygems-token",
        &bytes(&["rubygems_"], r"\brubygems_[0-9a-f]{48}"),
    ),
    rule(
        "package-registry-login",
        Matcher::Present(&[
            "/**/.gem/credentials",
            "/**/.local/share/gem/credentials",
            "/**/.cargo/credentials",
            "/**/.cargo/credentials.toml",
            "/**/.config/composer/auth.json",
            "/**/.composer/auth.json",
        ]),
    ),
    rule(
        "kubeconfig",
        Matcher::Judged(
            &[
                "/**/.kube/config",
                "/**/kubeconfig",
                "/**/*.kubeconfig",
                "/etc/kubernetes/*.conf",
                "/etc/rancher/*/*.yaml",
            ],
            |case| {
                static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r"^\s*-?\s*(client-key-data|token|password|id-token|refresh-token|access-token):\s*\S{4,}").expect("fixed")
                });
                line_with(&case.text(), &LOGIN)
            },
        ),
    ),
    rule(
        "cluster-token",
        Matcher::Present(&[
            "/var/lib/rancher/*/server/{token,node-token,agent-token}",
            "/var/lib/kubelet/pki/*",
            "/**/secrets/kubernetes.io/serviceaccount/token",
        ]),
    ),
    token(
        "vault-token",
        &random_bytes(&["hvs.", "hvb.", "hvr."], r"\bhv[sbr]\.[A-Za-z0-9_-]{24,}"),
    ),
    rule(
        "vault-login",
        Matcher::Present(&[
            "/**/.vault-token",
            "/**/.vault_pass",
            "/**/.vault_pass.txt",
            "/**/.vault-password",
        ]),
    ),
    token(
        "jwt",
        &random_bytes(
            &["eyJ"],
            r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
        ),
    ),
    token(
        "slack-token",
        &bytes(
            &["xox", "xapp-", "hooks.slack.com"],
            r"(?:\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[0-9]-[A-Za-z0-9-]{20,}|hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,})",
        ),
    ),
    token(
        "stripe-key",
        &random_bytes(
            &["sk_live_", "rk_live_", "whsec_"],
            r"\b(?:[sr]k_live_[0-9a-zA-Z]{24,}|whsec_[0-9a-zA-Z+/]{32,})",
        ),
    ),
    rule(
        "twilio-key",
        Matcher::Judged(assigned::PLACES, assigned::twilio),
    ),
    token(
        "mail-service-key",
        &random_bytes(
            &["SG.", "-us", "key-", "xkeysib-"],
            r"\b(?:SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}|[0-9a-f]{32}-us[0-9]{1,2}|key-[0-9a-f]{32}|xkeysib-[0-9a-f]{64}-[A-Za-z0-9]{16})",
        ),
    ),
    rule(
        "chat-bot-token",
        Matcher::Judged(assigned::PLACES, assigned::chat_bot),
    ),
    token(
        "square-token",
        &bytes(
            &["sq0csp-", "sq0atp-"],
            r"\bsq0(?:csp|atp)-[A-Za-z0-9_-]{22,43}",
        ),
    ),
    token(
        "ai-service-key",
        &bytes(
            &["T3BlbkFJ", "sk-ant-", "hf_", "sk-proj-"],
            r"\b(?:sk-[A-Za-z0-9_-]{3,}T3BlbkFJ[A-Za-z0-9_-]{20,}|sk-ant-[A-Za-z0-9_-]{30,}|sk-proj-[A-Za-z0-9_-]{40,}|hf_[A-Za-z]{34})",
        ),
    ),
    token(
        "hosting-token",
        &random_bytes(
            &[
                "dop_v1_",
                "doo_v1_",
                ".atlasv1.",
                "shpat_",
                "shpss_",
                "dapi",
                "dp.pt.",
                "nfp_",
                "fo1_",
                "CCIPAT_",
                "sntrys_",
                "glsa_",
                "lin_api_",
                "tskey-",
            ],
            r"(?:\bdo[op]_v1_[0-9a-f]{64}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}|\bshp(?:at|ss)_[0-9a-fA-F]{32}|\bdapi[0-9a-f]{32}|\bdp\.pt\.[A-Za-z0-9]{40,}|\bnfp_[A-Za-z0-9]{36}|\bfo1_[A-Za-z0-9_-]{43}|\bCCIPAT_[A-Za-z0-9]{22}_[0-9a-f]{40}|\bsntrys_[A-Za-z0-9+/=_]{40,}|\bglsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|\blin_api_[A-Za-z0-9]{40}|\btskey-[a-z]+-[A-Za-z0-9]+-[A-Za-z0-9]{20,})",
        ),
    ),
    token(
        "artifactory-token",
        &random_bytes(
            &["AKC", "cmVmdGtuO"],
            r"\b(?:AKC[a-zA-Z0-9]{60,}|cmVmdGtuO[A-Za-z0-9]{50,})",
        ),
    ),
    rule(
        "terraform-login",
        Matcher::Present(&["/**/credentials.tfrc.json", "/**/.terraformrc"]),
    ),
];

fn password_line(case: &Case<'_>) -> Option<String> {
    static PASSWORD: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?i)^\s*(password|token)\s*[=:]\s*\S+").expect("fixed"));
    line_with(&case.text(), &PASSWORD)
}
