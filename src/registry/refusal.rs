//! What a registry refuses, and why, as far as it says so.

use super::Registry;
use crate::error::Error;
use crate::http::Reply;

impl Registry {
    /// What it refused, and its answer.
    pub(super) fn answered(&self, doing: &str, reply: &Reply) -> Error {
        let error = Error::stage(format!("{} refused {doing}", self.address))
            .cause(format!("the registry answered {}", reply.status_text()));
        match words(&reply.body) {
            Some(words) => error.cause(words),
            None => error,
        }
    }

    /// As [`Registry::answered`], with what to do about it.
    pub(super) fn refused(&self, doing: &str, reply: &Reply) -> Error {
        self.answered(doing, reply).hint(match reply.status {
            401 | 403 => format!(
                "`docker login {host}` or `podman login {host}` as a user who may do it",
                host = self.address.host()
            ),
            413 | 507 => "it has no room for this: ask the registry's administrator".to_owned(),
            _ => "ask the registry's administrator; its log says more".to_owned(),
        })
    }
}

/// What a registry says of why it refuses: `{"errors": [{"code": …, "message": …}]}`.
pub(super) fn words(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let first = value.get("errors")?.get(0)?;
    let part = |name: &str| first.get(name).and_then(serde_json::Value::as_str);
    let text = match (part("code"), part("message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (one, other) => one.or(other)?.to_owned(),
    };
    let text = crate::ui::printable(&text);
    Some(text.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_registry_refuses_is_told_without_what_would_spoil_a_terminal() {
        let body = br#"{"errors":[{"code":"DENIED","message":"quota \u001b[2Jexceeded"}]}"#;
        assert_eq!(words(body).as_deref(), Some("DENIED: quota exceeded"));
        for other in [
            &b"<html>"[..],
            b"{}",
            br#"{"errors":[]}"#,
            br#"{"errors":[{}]}"#,
        ] {
            assert_eq!(words(other), None);
        }
    }
}
