//! Texts, numbers, booleans and words.

use serde_json::Value as Json;

use super::super::node::{Node, Value};
use super::super::problem::{Problem, list_words};
use super::words::{call, unit};
use super::{Place, Walker};
use crate::access::{GroupName, Mode, Owner, UserName};
use crate::address::{Address, Mirror, OciAddress};
use crate::channels::Share;
use crate::deployment::{Cidr, HostName, Ip, Mac};
use crate::digest::Sha256;
use crate::index::Reference;
use crate::installers::AnswerFile;
use crate::machine::Network;
use crate::text::nearest;
use crate::units::{Size, Span};

/// Puts something good in the place of a wrong or unknown text, where all around it would be lost
/// with it; whether it did.
pub(super) fn stand_in(node: &mut Node, schema: &Json) -> bool {
    let good = match schema["format"].as_str() {
        Some("user") => "_",
        Some("image" | "reference") => "x",
        Some("address") => "http://x/",
        Some("oci") => "oci://x/y",
        Some("answers") => "x.cfg",
        Some("sha256") => "0000000000000000000000000000000000000000000000000000000000000000",
        _ => return false,
    };
    *node = Node::text(node.loc, good);
    node.damaged = true;
    true
}

/// What is wrong with a text, and what else it may have meant.
fn wrong(text: &str, format: &str) -> Option<(String, Option<String>)> {
    let message = match format {
        "size" => return Some((text.parse::<Size>().err()?, unit(text, true))),
        "timespan" => return Some((text.parse::<Span>().err()?, unit(text, false))),
        "share" => text.parse::<Share>().err(),
        "user" => text.parse::<UserName>().err(),
        "group" => text.parse::<GroupName>().err(),
        "owner" => text.parse::<Owner>().err(),
        "mode" => text.parse::<Mode>().err(),
        "sha256" => text.parse::<Sha256>().err(),
        "address" => text.parse::<Address>().err(),
        "oci" => text.parse::<OciAddress>().err(),
        "image" if !text.contains('#') => None,
        "image" | "reference" => text.parse::<Reference>().err(),
        "answers" => text.parse::<AnswerFile>().err(),
        "network" => text.parse::<Network>().err(),
        "mirror" => text.parse::<Mirror>().err(),
        "mac" => text.parse::<Mac>().err(),
        "cidr" => text.parse::<Cidr>().err(),
        "ip" => text.parse::<Ip>().err(),
        "host-name" => text.parse::<HostName>().err(),
        _ => None,
    };
    Some((message?, None))
}

impl<'a> Walker<'a> {
    pub(super) fn text(&mut self, node: &mut Node, schema: &Json, place: Place<'_>) -> bool {
        let text = node.as_text().unwrap_or_default();
        let format = schema["format"].as_str().unwrap_or_default();
        let Some((message, meant)) = wrong(text, format) else {
            return true;
        };
        let (message, help) = message.split_once("; ").unwrap_or((&message, ""));
        let subject = message.starts_with("is ").then(|| call(place.name) + " ");
        let message = subject.unwrap_or_default() + message;
        let words = Mirror::WORDS.iter().filter(|_| format == "mirror").copied();
        let problem = Problem::new(node.loc, message).did_you_mean(text, words);
        self.problems.push(match (help, meant) {
            (_, Some(written)) => problem.help(format!("did you mean `{written}`?")),
            ("", None) => problem,
            (help, None) => problem.help(help),
        });
        stand_in(node, schema)
    }

    pub(super) fn integer(&mut self, node: &Node, schema: &Json, place: Place<'_>) -> bool {
        let Value::Scalar { text, plain } = &node.value else {
            return false;
        };
        let name = call(place.name);
        let number = text.parse::<u64>().ok().filter(|number| {
            *number <= u64::from(u32::MAX) && *number >= schema["minimum"].as_u64().unwrap_or(0)
        });
        let problem = match (number, plain) {
            (Some(number), true) if number.to_string() == *text => return true,
            (Some(_), false) => Problem::new(
                node.loc,
                format!("{name} is a whole number, and this is a text"),
            )
            .help(format!("write `{text}` without quotes")),
            _ => {
                let low = schema["minimum"].as_u64().unwrap_or(0);
                let problem = Problem::new(
                    node.loc,
                    format!("{name} is a whole number, and this is `{text}`"),
                );
                problem.help(format!("write digits only, {low} or more"))
            }
        };
        self.problems.push(problem);
        false
    }

    pub(super) fn boolean(&mut self, node: &Node, place: Place<'_>) -> bool {
        let Value::Scalar { text, plain } = &node.value else {
            return false;
        };
        if *plain && matches!(text.as_str(), "true" | "false") {
            return true;
        }
        let name = call(place.name);
        let problem = Problem::new(
            node.loc,
            format!("{name} is `true` or `false`, and this is `{text}`"),
        );
        self.problems.push(match text.to_lowercase().as_str() {
            "yes" | "on" | "true" | "1" => problem.help("write `true`"),
            "no" | "off" | "false" | "0" => problem.help("write `false`"),
            _ => problem,
        });
        false
    }

    pub(super) fn word(
        &mut self,
        node: &Node,
        words: Vec<&str>,
        schema: &'a Json,
        place: Place<'_>,
    ) -> bool {
        let Some(text) = node.as_text() else {
            return self.wrong_type(node, schema, place);
        };
        if words.contains(&text) {
            return true;
        }
        let name = call(place.name);
        let problem = Problem::new(node.loc, format!("{name} cannot be `{text}`"));
        let problem = match nearest(text, words.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("the values are {}", list_words(words))),
        };
        self.problems.push(problem);
        false
    }
}
