//! Answers with the values of their secrets, and whether their reader takes each value as it is.

/// Rendered answers, as they are installed, and with a word in place of each line of a secret.
#[derive(Debug, Default)]
pub struct Values {
    /// As they are installed.
    pub real: String,
    /// With words of letters and digits, which no reader takes for anything else.
    pub marked: String,
    /// The words, and what each stands for.
    pub words: Vec<(String, String)>,
}

impl Values {
    /// Answers that have a secret of one line wherever the template has `{}`.
    #[cfg(test)]
    pub(super) fn with(template: &str, secret: &str) -> Values {
        let word = "imgforgesecret0x";
        Values {
            real: template.replace("{}", secret),
            marked: template.replace("{}", word),
            words: vec![(word.into(), secret.into())],
        }
    }

    /// A text of the marked answers with the values in place of their words; none if it has no word, or is
    /// nothing but one: who keeps whole lines or trees as a secret has written their syntax, too.
    pub(super) fn filled(&self, marked: &str) -> Option<String> {
        let words = || self.words.iter();
        if words().any(|(word, _)| word == marked.trim()) {
            return None;
        }
        self.filled_whole(marked)
    }

    /// As [`Values::filled`], of a text that may be a secret and nothing else.
    pub(super) fn filled_whole(&self, marked: &str) -> Option<String> {
        let words = self.words.iter();
        words
            .clone()
            .any(|(word, _)| marked.contains(word))
            .then(|| {
                words.fold(marked.to_owned(), |text, (word, value)| {
                    text.replace(word, value)
                })
            })
    }

    /// The line (from 1) with the first word of a text of the marked answers.
    pub(super) fn line_of(&self, marked: &str) -> usize {
        let word = self.words.iter().find(|(word, _)| marked.contains(word));
        let has = |line: &str| word.is_some_and(|(word, _)| line.contains(word));
        self.marked.lines().position(has).map_or(0, |at| at + 1)
    }
}
