//! What Anaconda fetches over plain http: it verifies neither its second stage nor, by default, its
//! packages. So the proxy gives it only what is vouched for, and what goes past the proxy is refused.

use super::kind::Kind;
use crate::error::{Error, Result};
use crate::recipe::types::VirtInstall;

/// Commands of a kickstart that fetch.
const FETCH: [&str; 6] = [
    "url",
    "repo",
    "liveimg",
    "ostreesetup",
    "%include",
    "%ksappend",
];

/// Whether the installer is one that verifies nothing, and the recipe does not take that.
pub(super) fn is_watched(method: &VirtInstall) -> bool {
    Kind::reading(method.answers.kind()).fetches && !method.unverified_media
}

/// Looks for what the installer would fetch past the proxy, whose addresses begin with `own`; `more` is
/// an argument of its kernel beside the recipe's.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) when something comes over plain http.
pub(super) fn check(
    method: &VirtInstall,
    answers: &str,
    more: Option<&str>,
    own: &str,
) -> Result<()> {
    if !is_watched(method) {
        return Ok(());
    }
    let commands = commands(answers);
    let commands = commands.iter().flat_map(|line| line.split_whitespace());
    let args = method.kernel_args.iter().map(String::as_str).chain(more);
    let args = args.filter(|arg| arg.starts_with("inst."));
    let proxies = ["--proxy=", "inst.proxy="];
    for word in commands.chain(args) {
        let plain = ["http://", "ftp://"]
            .iter()
            .filter_map(|scheme| word.find(scheme))
            .min();
        let Some(at) = plain.filter(|_| !proxies.iter().any(|it| word.starts_with(it))) else {
            continue;
        };
        let address = word[at..].trim_matches(['"', '\'']);
        if !own.is_empty() && address.starts_with(own) {
            continue;
        }
        let shown = crate::address::hide(address);
        return Err(
            Error::gate(format!("the installer would fetch {shown} by itself"))
                .cause("it comes over plain http, past the proxy, and Anaconda does not verify it")
                .hint(
                    "take it over https, or on the network `user` by `{{ imgforge_tree }}` and \
                 `{{ imgforge_mirror }}`; \
                 `unverified-media: true` takes whatever comes",
                ),
        );
    }
    Ok(())
}

/// The lines of a kickstart that fetch something, outside of its sections.
fn commands(answers: &str) -> Vec<String> {
    let (mut found, mut section) = (vec![], false);
    for line in answers.replace("\\\n", " ").lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        let fetches = FETCH.contains(&first);
        if fetches && (!section || first.starts_with('%')) {
            found.push(line.to_owned());
        } else if first == "%end" {
            section = false;
        } else if first.starts_with('%') {
            section = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(answers: &str, args: &[&str]) -> VirtInstall {
        serde_json::from_value(serde_json::json!({
            "os": "rocky10", "media": {"location": "https://m.example/os"},
            "answers": answers, "kernel-args": args,
        }))
        .unwrap()
    }

    #[test]
    fn anaconda_fetches_nothing_over_plain_http_past_the_proxy() {
        let own = "http://10.0.2.2:4000/";
        let good = "# http://m.example/ is a comment\n\
                    url --url=\"http://10.0.2.2:4000/rocky/os\" --proxy=\"http://p.example:3128\"\n\
                    repo --name=a --baseurl=https://m.example/a\n\
                    %post\nurl http://m.example/x\n%end\n";
        let args = [
            "inst.nosave=all",
            "inst.proxy=http://p.example",
            "my=http://x",
        ];
        check(
            &method("a.ks", &args),
            good,
            Some("inst.repo=http://10.0.2.2:4000/os"),
            own,
        )
        .unwrap();
        for bad in [
            "url --url=http://m.example/os\n",
            "url --url=\"http://10.0.2.2:40001/os\"\n",
            "%packages\nx\n%end\nrepo --name=a \\\n --mirrorlist='http://m.example/list'\n",
            "%include http://m.example/more.ks\n",
            "liveimg --url ftp://m.example/x.img\n",
        ] {
            let error = check(&method("a.ks", &[]), bad, None, own).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Gate, "{bad}");
            let mut taken = method("a.ks", &[]);
            taken.unverified_media = true;
            check(&taken, bad, None, own).unwrap();
            // Others verify what they fetch.
            check(&method("a.cfg", &[]), bad, None, own).unwrap();
        }
        let stage2 = method("a.ks", &["inst.stage2=http://m.example/os"]);
        let error = check(&stage2, "", None, "").unwrap_err().render();
        assert!(
            error.contains("fetch http://m.example/os by itself"),
            "{error}"
        );
    }
}
