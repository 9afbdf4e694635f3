//! The grammar: the union of what virt-builder 1.48 and current versions read.
//!
//! It is line based. Between the two versions only blank lines differ: once they ended a section,
//! now they mean nothing.

use super::{Problem, is_id};

/// `[id]` and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Line of the header, from 1.
    pub line: usize,
    /// What stands between the brackets.
    pub id: String,
    /// The fields in the order of the file.
    pub fields: Vec<Field>,
}

/// `key[subkey]=value`, with its continuation lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Line of the key, from 1.
    pub line: usize,
    pub(crate) key: String,
    /// What stands between brackets behind the key.
    pub subkey: Option<String>,
    /// Everything behind the first `=`, untrimmed; continuation lines after `\n`.
    pub value: String,
}

pub(super) const PROLOGUE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
pub(super) const EPILOGUE: &str = "-----BEGIN PGP SIGNATURE-----";

/// Parses an index. The armour of a clear-text signature is skipped, not verified.
///
/// # Errors
/// Every line that no client understands.
pub fn parse(text: &str) -> Result<Vec<Section>, Vec<Problem>> {
    let mut parser = Parser::default();
    let mut lines = text.split_inclusive('\n').enumerate();
    let mut last = 0;
    while let Some((number, line)) = lines.next() {
        last = number + 1;
        let Some(line) = line.strip_suffix('\n') else {
            parser.problem(number + 1, "the file must end with a newline");
            break;
        };
        match line {
            PROLOGUE if parser.armour => parser.problem(number + 1, "a second signed message"),
            PROLOGUE if !parser.sections.is_empty() => {
                parser.problem(number + 1, "text before the signed message");
            }
            PROLOGUE => {
                parser.armour = true;
                // Armour headers, up to and including the blank line. Without one clients take
                // the first section for headers.
                match lines.next() {
                    Some((number, "\n")) => {
                        parser.problem(number + 1, "a signed message needs a `Hash:` header");
                    }
                    _ => drop(lines.by_ref().find(|(_, header)| *header == "\n")),
                }
            }
            EPILOGUE if parser.armour => {
                parser.armour = false;
                break;
            }
            EPILOGUE => parser.problem(number + 1, "a signature without a signed message"),
            line => parser.line(number + 1, line),
        }
    }
    if parser.armour {
        parser.problem(last, "the signature is missing");
    }
    if parser.problems.is_empty() {
        Ok(parser.sections)
    } else {
        Err(parser.problems)
    }
}

#[derive(Default)]
struct Parser {
    sections: Vec<Section>,
    problems: Vec<Problem>,
    /// Between the prologue and the signature.
    armour: bool,
    /// Blank lines since the last field or continuation line.
    blank: usize,
}

impl Parser {
    fn problem(&mut self, line: usize, message: impl Into<String>) {
        self.problems.push(Problem {
            line,
            message: message.into(),
        });
    }

    fn line(&mut self, number: usize, line: &str) {
        match line.as_bytes().first() {
            None => self.blank += 1,
            Some(b'#') => {}
            Some(b' ' | b'\t') => self.continuation(number, &line[1..]),
            Some(b'[') => match section_id(line) {
                Some(id) => {
                    self.blank = 0;
                    let (id, fields) = (id.to_owned(), vec![]);
                    self.sections.push(Section {
                        line: number,
                        id,
                        fields,
                    });
                }
                None => self.problem(number, "this is not a section header such as `[debian-12]`"),
            },
            Some(_) => self.field(number, line),
        }
    }

    fn field(&mut self, number: usize, line: &str) {
        self.blank = 0;
        match (field(number, line), self.sections.last_mut()) {
            (Some(field), Some(section)) => section.fields.push(field),
            (Some(_), None) => self.problem(number, "a field before the first section"),
            (None, _) => {
                self.problem(number, "this is neither a section nor a field `key=value`");
            }
        }
    }

    fn continuation(&mut self, number: usize, text: &str) {
        // An empty line of notes, from which gpg took the blank at its start.
        let blank = std::mem::take(&mut self.blank);
        let field = self
            .sections
            .last_mut()
            .and_then(|section| section.fields.last_mut());
        match field {
            Some(field) => {
                field.value.push_str(&"\n".repeat(blank + 1));
                field.value.push_str(text);
            }
            None => self.problem(number, "a continuation line without a field above it"),
        }
    }
}

pub(super) fn section_id(line: &str) -> Option<&str> {
    let id = line
        .trim_end_matches([' ', '\t'])
        .strip_prefix('[')?
        .strip_suffix(']')?;
    is_id(id).then_some(id)
}

pub(super) fn field(number: usize, line: &str) -> Option<Field> {
    let is_key = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let (name, value) = line.split_once('=')?;
    let (key, subkey) = match name.split_once('[') {
        Some((key, rest)) => (key, Some(rest.strip_suffix(']')?)),
        None => (name, None),
    };
    let valid = is_key(key, b"_.") && subkey.is_none_or(|subkey| is_key(subkey, b"_,."));
    valid.then(|| Field {
        line: number,
        key: key.to_owned(),
        subkey: subkey.map(str::to_owned),
        value: value.to_owned(),
    })
}
