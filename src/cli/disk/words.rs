//! Words of `--operations`, with the table's names for completion and its reasons for refusals.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, TypedValueParser, ValueParserFactory};

use crate::sysprep;

/// A word that [`sysprep::select`] knows.
#[derive(Debug, Clone)]
pub(crate) struct Word(String);

impl Word {
    /// The word, possibly with `-` before it.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl ValueParserFactory for Word {
    type Parser = Words;
    fn value_parser() -> Words {
        Words
    }
}

/// Parses a [`Word`].
#[derive(Debug, Clone)]
pub(crate) struct Words;

impl TypedValueParser for Words {
    type Value = Word;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Word, clap::Error> {
        let word = value.to_string_lossy().into_owned();
        match sysprep::select(&[&word]) {
            Ok(_) => Ok(Word(word)),
            Err(error) => Err(command.clone().error(
                clap::error::ErrorKind::InvalidValue,
                format!(
                    "{}\n\nhint: `imgforge disk seal --list` shows them",
                    error.message()
                ),
            )),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue>>> {
        Some(Box::new(sysprep::words().map(PossibleValue::new)))
    }
}
