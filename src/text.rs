//! Values that recipes and records write as texts: `FromStr` is the one parser of each.

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
