//! What gpg said of the same bytes: a command asks for it many times, and starting gpg takes longer
//! than what gpg does.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use crate::digest::Key;
use crate::error::Result;
use crate::mutex::Unpoisoned as _;

/// Answers by the bytes that they follow from, as long as this process runs.
pub(super) struct Memo<T>(LazyLock<Mutex<HashMap<Key, T>>>);

impl<T: Clone> Memo<T> {
    pub(super) const fn new() -> Self {
        Memo(LazyLock::new(Mutex::default))
    }

    /// The answer that follows from `inputs` and from nothing else; an error is asked for again.
    pub(super) fn answer(&self, inputs: &[&[u8]], ask: impl FnOnce() -> Result<T>) -> Result<T> {
        let known = self.known(inputs);
        if let Some(answer) = known {
            return Ok(answer);
        }
        let answer = ask()?;
        self.keep(inputs, answer.clone());
        Ok(answer)
    }

    pub(super) fn known(&self, inputs: &[&[u8]]) -> Option<T> {
        self.0.lock().unpoisoned().get(&key(inputs)).cloned()
    }

    pub(super) fn keep(&self, inputs: &[&[u8]], answer: T) {
        self.0.lock().unpoisoned().insert(key(inputs), answer);
    }
}

/// Different for different lists of inputs.
fn key(inputs: &[&[u8]]) -> Key {
    let each: Vec<String> = inputs
        .iter()
        .map(|input| Key::of(input).to_string())
        .collect();
    Key::of(each.concat().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn an_answer_is_asked_for_once_for_each_list_of_inputs() {
        static MEMO: Memo<u32> = Memo::new();
        let ask = |inputs: &[&[u8]], answer: Result<u32>| MEMO.answer(inputs, || answer).ok();
        assert_eq!(ask(&[b"a", b"b"], Err(Error::gate("no"))), None);
        assert_eq!(ask(&[b"a", b"b"], Ok(1)), Some(1));
        assert_eq!(ask(&[b"a", b"b"], Ok(2)), Some(1));
        assert_eq!(ask(&[b"ab"], Ok(3)), Some(3));
        assert_eq!(ask(&[b"ab", b""], Ok(4)), Some(4));
    }
}
