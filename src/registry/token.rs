//! What a registry lets this user do: passwords, and the tokens of its token service
//! (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::LARGEST_ANSWER;
use super::credentials::{self, Credentials};
use crate::address::OciAddress;
use crate::error::{Error, Result};
use crate::http::{Body, Client, Method, Reply, Request, Url};
use crate::mutex::Unpoisoned as _;

/// How long a token counts that does not say it.
const USUAL: u64 = 60;

/// A token that ends so soon is asked for anew before a long transfer.
const SOON: Duration = Duration::from_secs(30);

/// What this user may do at a registry, as far as it was asked.
#[derive(Debug)]
pub(super) struct Access {
    address: OciAddress,
    granted: Mutex<Option<Granted>>,
}

struct Granted {
    header: String,
    /// Of a token: what it was asked for with, and when it ends.
    token: Option<(Challenge, Instant)>,
}

impl std::fmt::Debug for Granted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Granted({:?})", self.token)
    }
}

/// `WWW-Authenticate: Bearer …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    service: Option<String>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Access {
    pub(super) fn new(address: &OciAddress) -> Self {
        Access {
            address: address.clone(),
            granted: Mutex::default(),
        }
    }

    /// `Authorization`, as it is now.
    pub(super) fn header(&self) -> Option<String> {
        let granted = self.granted.lock().unpoisoned();
        granted.as_ref().map(|granted| granted.header.clone())
    }

    /// Gets what a refused request needs; whether there is something new to ask with.
    pub(super) fn gain(&self, client: &Client, base: &Url, refused: &Reply) -> Result<bool> {
        let offers = refused.headers_named("www-authenticate");
        if let Some(challenge) = offers.iter().find_map(|offer| Challenge::parse(offer)) {
            return self.ask(client, base, challenge);
        }
        // Some say nothing, and mean that.
        let is_basic = |offer: &&str| word(offer).eq_ignore_ascii_case("basic");
        if !offers.is_empty() && !offers.iter().any(is_basic) {
            return Ok(false);
        }
        let found = credentials::of(&self.address)?;
        let Some(header) = found.and_then(|found| found.basic()) else {
            return Ok(false);
        };
        let mut granted = self.granted.lock().unpoisoned();
        let is_new = granted
            .as_ref()
            .is_none_or(|before| before.header != header);
        *granted = Some(Granted {
            header,
            token: None,
        });
        Ok(is_new)
    }

    /// Asks for another token if this one ends soon; whether there is another one.
    pub(super) fn refresh(&self, client: &Client, base: &Url) -> Result<bool> {
        let ending = {
            let granted = self.granted.lock().unpoisoned();
            let token = granted.as_ref().and_then(|granted| granted.token.as_ref());
            let ends = token.filter(|(_, until)| *until < Instant::now() + SOON);
            ends.map(|(challenge, _)| challenge.clone())
        };
        match ending {
            Some(challenge) => self.ask(client, base, challenge),
            None => Ok(false),
        }
    }

    fn ask(&self, client: &Client, base: &Url, challenge: Challenge) -> Result<bool> {
        let realm = Url::parse(&challenge.realm)?;
        let both_here = realm.is_loopback() && base.is_loopback();
        if !realm.is_https() && !both_here {
            let what = format!("{} wants passwords sent over plain http", self.address);
            return Err(Error::gate(what)
                .cause(format!("its token service is {realm}"))
                .hint("tell the registry's administrator; nothing was sent"));
        }
        let request = challenge.request(&realm, credentials::of(&self.address)?.as_ref())?;
        let reply = client.send(&request, LARGEST_ANSWER)?;
        if matches!(reply.status, 400 | 401 | 403) {
            return Ok(false);
        }
        let answer: Option<Answer> = serde_json::from_slice(&reply.body).ok();
        let seconds = answer.as_ref().and_then(|answer| answer.expires_in);
        let token = answer.and_then(|answer| answer.token.or(answer.access_token));
        let Some(token) = token.filter(|_| reply.status == 200) else {
            let what = format!("the token service of {} gave no token", self.address);
            let why = format!("{realm} answered {}", reply.status_text());
            return Err(Error::stage(what).cause(why));
        };
        let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(USUAL).min(86_400));
        *self.granted.lock().unpoisoned() = Some(Granted {
            header: format!("Bearer {token}"),
            token: Some((challenge, until)),
        });
        Ok(true)
    }
}

/// The scheme of an offer.
fn word(offer: &str) -> &str {
    offer.split_whitespace().next().unwrap_or_default()
}

impl Challenge {
    pub(super) fn parse(offer: &str) -> Option<Self> {
        let rest = offer.trim().get(word(offer.trim()).len()..)?;
        if !word(offer).eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut found = Challenge {
            realm: String::new(),
            service: None,
            scope: None,
        };
        let mut rest = rest.trim_start();
        while let Some((name, value)) = rest.split_once('=') {
            let name = name.trim_start_matches([',', ' ']).to_ascii_lowercase();
            let (value, after) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => value.split_once(',').unwrap_or((value, "")),
            };
            match name.as_str() {
                "realm" => found.realm = value.to_owned(),
                "service" => found.service = Some(value.to_owned()),
                "scope" => found.scope = Some(value.to_owned()),
                _ => {}
            }
            rest = after;
        }
        (!found.realm.is_empty()).then_some(found)
    }

    fn request(&self, realm: &Url, who: Option<&Credentials>) -> Result<Request> {
        let mut pairs = vec![];
        pairs.extend(self.service.iter().map(|value| ("service", value.as_str())));
        pairs.extend(self.scope.iter().map(|value| ("scope", value.as_str())));
        if let Some(Credentials::Identity(token)) = who {
            pairs.push(("grant_type", "refresh_token"));
            pairs.push(("client_id", "imgforge"));
            pairs.push(("refresh_token", token));
            let body = Body::Bytes(Arc::new(form(&pairs).into_bytes()));
            let request = Request::new(Method::Post, realm.clone());
            let request = request.header("Content-Type", "application/x-www-form-urlencoded");
            return Ok(request.body(body));
        }
        let request = Request::new(Method::Get, realm.with_query(&form(&pairs))?);
        Ok(match who.and_then(Credentials::basic) {
            Some(header) => request.header("Authorization", header),
            None => request,
        })
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_whatever_their_order() {
        let full = Challenge {
            realm: "https://auth.example.org/token".into(),
            service: Some("registry".into()),
            scope: Some("repository:a/b:pull,push".into()),
        };
        for offer in [
            r#"Bearer realm="https://auth.example.org/token",service="registry",scope="repository:a/b:pull,push""#,
            r#"bearer scope="repository:a/b:pull,push", service=registry, realm="https://auth.example.org/token", error="x""#,
        ] {
            assert_eq!(Challenge::parse(offer).as_ref(), Some(&full), "{offer}");
        }
        for other in [
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer realm=\"x",
            "",
            "Bearer scope=x",
        ] {
            assert_eq!(Challenge::parse(other), None, "{other}");
        }
        let url = Url::parse(&full.realm).unwrap();
        let request = full.request(&url, None).unwrap();
        let asked = "service=registry&scope=repository%3Aa%2Fb%3Apull%2Cpush";
        assert!(request.url.secret_text().ends_with(asked), "{request:?}");
    }
}
