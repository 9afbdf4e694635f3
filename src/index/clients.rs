//! What released virt-builders make of an index: their two grammars, as [`super::parse()`] takes
//! the union of both.
//!
//! Until 1.55.5 a blank line ends a section and stands nowhere else; since 1.55.6 blank lines mean
//! nothing, but a signed index needs a section. Both skip comments before anything else.

use super::Problem;
use super::parse::{EPILOGUE, PROLOGUE, field, section_id};

/// Who reads a file, and else why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// virt-builder up to 1.55.5, such as 1.48.
    pub old: Result<(), Problem>,
    /// virt-builder since 1.55.6.
    pub current: Result<(), Problem>,
}

/// A line, or what the lexer makes of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Blank,
    Section,
    Field,
    Continuation,
    Prologue,
    Epilogue,
    End,
}

/// Says which clients' grammar takes a file. The rules that they enforce afterwards are alike and
/// those of [`super::check()`].
pub fn verdict(text: &str) -> Verdict {
    let tokens = tokens(text);
    Verdict {
        old: tokens.clone().and_then(|tokens| old(&tokens)),
        current: tokens.and_then(|tokens| current(&tokens)),
    }
}

fn problem(line: usize, message: &str) -> Problem {
    Problem {
        line,
        message: message.to_owned(),
    }
}

/// What the lexer gives the grammar, each with its line.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Problem> {
    let mut found = Vec::new();
    let mut number = 0;
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        number += 1;
        let Some(line) = line.strip_suffix('\n') else {
            return Err(problem(number, "the file must end with a newline"));
        };
        let token = match line.as_bytes().first() {
            None => Token::Blank,
            Some(b'#') => continue,
            Some(b' ' | b'\t') => Token::Continuation,
            Some(b'[') if section_id(line).is_some() => Token::Section,
            Some(_) if line == PROLOGUE => {
                found.push((number, Token::Prologue));
                // The armour ends with the first blank line behind a header.
                let header = lines.next();
                number += usize::from(header.is_some());
                for line in lines.by_ref() {
                    number += 1;
                    if line == "\n" {
                        break;
                    }
                }
                continue;
            }
            Some(_) if line == EPILOGUE => {
                found.push((number, Token::Epilogue));
                break;
            }
            Some(_) if field(number, line).is_some() => Token::Field,
            Some(_) => return Err(problem(number, "this line does not belong into an index")),
        };
        found.push((number, token));
    }
    found.push((number, Token::End));
    Ok(found)
}

/// Sections end with a blank line, and have none inside.
fn old(tokens: &[(usize, Token)]) -> Result<(), Problem> {
    #[derive(PartialEq)]
    enum At {
        Between,
        Header,
        Field,
    }
    let (mut at, mut signed) = (At::Between, false);
    for (place, (line, token)) in tokens.iter().enumerate() {
        at = match (token, at) {
            (Token::Prologue, _) if place == 0 => {
                signed = true;
                At::Between
            }
            (Token::Epilogue, _) if signed => return Ok(()),
            (Token::End, _) if !signed => return Ok(()),
            (Token::Blank, _) => At::Between,
            (Token::Section, At::Between) => At::Header,
            (Token::Section, _) => {
                return Err(problem(*line, "a section needs a blank line before it"));
            }
            (Token::Field, At::Header | At::Field) => At::Field,
            (Token::Continuation, At::Field) => At::Field,
            (Token::Field | Token::Continuation, At::Between) => {
                return Err(problem(
                    *line,
                    "a blank line ends a section, and this follows one",
                ));
            }
            _ => return Err(problem(*line, "this does not belong here")),
        };
    }
    Ok(())
}

/// Blank lines mean nothing.
fn current(tokens: &[(usize, Token)]) -> Result<(), Problem> {
    let (mut sections, mut fields, mut signed) = (0, 0, false);
    let tokens = tokens.iter().filter(|(_, token)| *token != Token::Blank);
    for (place, (line, token)) in tokens.enumerate() {
        match token {
            Token::Prologue if place == 0 => signed = true,
            Token::Epilogue if signed && sections == 0 => {
                return Err(problem(*line, "a signed index needs a section"));
            }
            Token::Epilogue if signed => return Ok(()),
            Token::End if !signed => return Ok(()),
            Token::Section => (sections, fields) = (sections + 1, 0),
            Token::Field if sections > 0 => fields += 1,
            Token::Continuation if fields > 0 => {}
            _ => return Err(problem(*line, "this does not belong here")),
        }
    }
    Ok(())
}
