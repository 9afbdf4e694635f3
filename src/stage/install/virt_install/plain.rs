//! What an installer fetches over plain http that verifies none of it: the proxy gives it only what is
//! vouched for, and what goes past the proxy is refused.

use crate::error::{Error, Result};
use crate::installers::Unverified;
use crate::recipe::types::VirtInstall;

/// Whether the installer is one that verifies nothing, and the recipe does not take that.
pub(super) fn is_watched(method: &VirtInstall) -> bool {
    watched(method).is_some()
}

fn watched(method: &VirtInstall) -> Option<&'static Unverified> {
    let watched = method.answers.installer().unverified.as_ref();
    watched.filter(|_| !method.unverified_media)
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
    let Some(installer) = watched(method) else {
        return Ok(());
    };
    let commands = (installer.fetching)(answers);
    let commands = commands.iter().flat_map(|line| line.split_whitespace());
    let args = method.kernel_args.iter().map(String::as_str).chain(more);
    let args = args.filter(|arg| arg.starts_with(installer.args));
    let is_proxy = |word: &str| installer.proxies.iter().any(|it| word.starts_with(it));
    for word in commands.chain(args) {
        let plain = ["http://", "ftp://"]
            .iter()
            .filter_map(|scheme| word.find(scheme))
            .min();
        let Some(at) = plain.filter(|_| !is_proxy(word)) else {
            continue;
        };
        let address = word[at..].trim_matches(['"', '\'']);
        if !own.is_empty() && address.starts_with(own) {
            continue;
        }
        let shown = crate::address::hide(address);
        return Err(
            Error::gate(format!("the installer would fetch {shown} by itself"))
                .cause(format!(
                    "it comes over plain http, past the proxy, and {} does not verify it",
                    method.answers.installer().program
                ))
                .hint(
                    "take it over https, or on the network `user` by `{{ imgforge_tree }}` and \
                 `{{ imgforge_mirror }}`; \
                 `unverified-media: true` takes whatever comes",
                ),
        );
    }
    Ok(())
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
                    repo --name=a --baseurl=https://m.example/a # was http://m.example/a\n\
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
            "%packages\nx\n%end\nrepo --name=a --mirrorlist='http://m.example/list'\n",
            // No line goes on behind its end.
            "# a comment \\\nurl --url=http://m.example/os\n",
            "%post\necho \\\n%end\nrepo --name=a --baseurl=http://m.example/a\n",
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
