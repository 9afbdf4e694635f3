//! Values that recipes and records write as texts: `FromStr` is the one parser of each; and which word a misspelt one was meant to be.

/// serde's way through `FromStr`, and back through `$write`.
macro_rules! as_text {
    ($write:ident: $($name:ident)+) => {$(
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.$write().into()
            }
        }
    )+};
}

pub(crate) use as_text;

/// The candidate nearest to a misspelt word, if one is near enough to be meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if word.len() > 60 {
        return None;
    }
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let word = plain(word);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let near = plain(candidate);
            let distance = strsim::osa_distance(&word, &near);
            let prefix = word.len() >= 3 && (near.starts_with(&word) || word.starts_with(&near));
            (distance <= 1 + near.chars().count() / 4 && distance < near.chars().count() || prefix)
                .then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
