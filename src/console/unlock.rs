//! The passphrase of an encrypted disk, which a boot asks for on the console.

use crate::guest::Key;

/// How boot loaders, initrds and systemd ask.
const ASKED: &[&str] = &[
    "Please unlock disk",
    "Please enter passphrase for",
    "Enter passphrase for",
];

/// How often a passphrase is typed in one boot: a disk may have several volumes.
const MOST: u32 = 8;

/// What to do about a question.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// It asks nothing, or has its answer.
    None,
    Type(&'a Key),
    /// Only a person could go on.
    Never(&'static str),
}

/// Answers a console's questions.
#[derive(Debug, Default)]
pub(crate) struct Unlock {
    key: Option<Key>,
    answered: bool,
    typed: u32,
}

impl Unlock {
    /// Answers with `key`.
    pub(crate) fn with(key: Option<Key>) -> Self {
        Unlock {
            key,
            ..Unlock::default()
        }
    }

    /// Another boot begins.
    pub(crate) fn begin(&mut self) {
        (self.answered, self.typed) = (false, 0);
    }

    /// A line has ended: what comes is another question.
    pub(crate) fn line(&mut self) {
        self.answered = false;
    }

    /// What to do about a line that has no end yet.
    pub(crate) fn answer(&mut self, pending: &str) -> Answer<'_> {
        if self.answered || !ASKED.iter().any(|asked| pending.contains(asked)) {
            return Answer::None;
        }
        self.answered = true;
        self.typed += 1;
        match &self.key {
            None => Answer::Never(
                "it asks for the passphrase of an encrypted disk, and the recipe has no secret \
                 `passphrase`",
            ),
            Some(_) if self.typed > MOST => {
                Answer::Never("its encrypted disk does not open with the secret `passphrase`")
            }
            Some(key) => Answer::Type(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_has_one_answer_until_it_is_hopeless() {
        let mut unlock = Unlock::with(Some(Key::new("open sesame")));
        assert!(matches!(unlock.answer("Please unlock di"), Answer::None));
        for _ in 0..MOST {
            let asked = "Please unlock disk vda3_crypt: ";
            let Answer::Type(key) = unlock.answer(asked) else {
                panic!("the question was not seen");
            };
            assert_eq!(key.bytes(), b"open sesame");
            // Its echo belongs to the same question.
            assert!(matches!(
                unlock.answer(&format!("{asked}***")),
                Answer::None
            ));
            unlock.line();
        }
        let asked = "Enter passphrase for hd0,gpt2 (0123): ";
        assert!(matches!(unlock.answer(asked), Answer::Never(_)));
        unlock.begin();
        assert!(matches!(unlock.answer(asked), Answer::Type(_)));
    }

    #[test]
    fn without_a_passphrase_only_a_person_could_go_on() {
        let asked = "Please enter passphrase for disk QEMU_HARDDISK (luks-1): ";
        assert!(matches!(Unlock::default().answer(asked), Answer::Never(_)));
    }
}
