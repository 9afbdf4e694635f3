//! Texts, numbers, booleans and words.

use serde_json::Value as Json;

use super::super::node::{Node, Value};
use super::super::problem::{Problem, list_words, nearest};
use super::words::{call, unit};
use super::{Place, Walker};
use crate::access::{GroupName, Mode, Owner, UserName};
use crate::share::Share;
use crate::units::{Size, Span};

impl<'a> Walker<'a> {
    pub(super) fn text(&mut self, node: &mut Node, schema: &Json) -> bool {
        let text = node.as_text().unwrap_or_default();
        let wrong = match schema["format"].as_str() {
            Some("size") => text.parse::<Size>().err(),
            Some("timespan") => text.parse::<Span>().err(),
            Some("share") => text.parse::<Share>().err(),
            Some("user") => text.parse::<UserName>().err(),
            Some("group") => text.parse::<GroupName>().err(),
            Some("owner") => text.parse::<Owner>().err(),
            Some("mode") => text.parse::<Mode>().err(),
            _ => None,
        };
        match wrong {
            Some(message) => {
                let (message, help) = message
                    .split_once("; ")
                    .map_or((message.as_str(), None), |(message, help)| {
                        (message, Some(help))
                    });
                let problem = Problem::new(node.loc, message);
                let meant = match schema["format"].as_str() {
                    Some("size") => unit(text, true),
                    Some("timespan") => unit(text, false),
                    _ => None,
                };
                self.problems.push(match (help, meant) {
                    (_, Some(written)) => problem.help(format!("did you mean `{written}`?")),
                    (Some(help), None) => problem.help(help),
                    (None, None) => problem,
                });
                if schema["format"] == "user" {
                    // The rest of the user is checked all the same.
                    *node = Node::text(node.loc, "_");
                    node.damaged = true;
                }
                node.damaged
            }
            None => true,
        }
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
