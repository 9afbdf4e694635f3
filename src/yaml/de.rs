//! serde's view of a tree that fits its schema.

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::node::{MapEntry, Node, Value};
use super::source::Loc;

/// A value that does not fit its type though it fits the schema.
#[derive(Debug)]
pub struct Misfit {
    /// What serde says.
    pub message: String,
    /// The innermost place known.
    pub at: Option<Loc>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Misfit {
            message: message.to_string(),
            at: None,
        }
    }
}

/// Reads a type from a tree.
///
/// # Errors
/// The first misfit.
pub fn from_node<T: de::DeserializeOwned>(node: &Node) -> Result<T, Misfit> {
    T::deserialize(node)
}

impl Node {
    fn number<T: std::str::FromStr>(&self) -> Result<T, Misfit> {
        let Some(text) = self.as_text() else {
            return Err(self.misfit("a number was expected"));
        };
        text.parse()
            .map_err(|_| self.misfit(&format!("`{text}` is not a number that fits here")))
    }

    fn misfit(&self, message: &str) -> Misfit {
        Misfit {
            message: message.to_owned(),
            at: Some(self.loc),
        }
    }
}

/// Scalars are kept as they were written, so each type of number has to be read from text.
macro_rules! numbers {
    ($($deserialize:ident $visit:ident),*) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            visitor.$visit(self.number()?)
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let result = match &self.value {
            Value::Scalar { text, .. } => visitor.visit_str(text),
            Value::Seq(items) => visitor.visit_seq(de::value::SeqDeserializer::new(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { entries, next: 0 }),
        };
        result.map_err(|error| Misfit {
            at: error.at.or(Some(self.loc)),
            ..error
        })
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.as_text().and_then(|text| text.parse().ok()) {
            Some(value) => visitor.visit_bool(value),
            None => Err(self.misfit("`true` or `false` was expected")),
        }
    }

    numbers! {
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64, deserialize_u8 visit_u8, deserialize_u16 visit_u16,
        deserialize_u32 visit_u32, deserialize_u64 visit_u64, deserialize_f32 visit_f32,
        deserialize_f64 visit_f64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match (&self.value, self.entries()) {
            (Value::Scalar { text, .. }, _) => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            (_, [entry]) => visitor.visit_enum(Variant(entry)),
            _ => Err(self.misfit("a word or a map with one key was expected")),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for &'de Node {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Entries<'de> {
    entries: &'de [MapEntry],
    next: usize,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        let Some(entry) = self.entries.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        seed.deserialize(entry.key.as_str().into_deserializer())
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        seed.deserialize(&self.entries[self.next - 1].value)
    }
}

struct Variant<'de>(&'de MapEntry);

impl<'de> de::EnumAccess<'de> for Variant<'de> {
    type Error = Misfit;
    type Variant = &'de Node;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, &'de Node), Misfit> {
        let key: de::value::StrDeserializer<'_, Misfit> = self.0.key.as_str().into_deserializer();
        Ok((seed.deserialize(key)?, &self.0.value))
    }
}

impl<'de> de::VariantAccess<'de> for &'de Node {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_any(visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::super::problem::Problems;
    use super::*;

    fn read<T: de::DeserializeOwned>(text: &str) -> Result<T, Misfit> {
        let mut problems = Problems::default();
        let file = problems.sources.add("numbers.yaml", None, text);
        from_node(&parse::parse(&mut problems, file).expect("YAML"))
    }

    #[test]
    fn numbers_of_every_type_are_read() {
        #[derive(serde::Deserialize)]
        struct All {
            ports: Vec<u16>,
            small: (u8, i8, i16),
            large: (u32, i32, u64, i64),
            share: (f32, f64),
        }
        let text = "ports: [80, 65535]\nsmall: [255, -128, -7]\n\
                    large: [4294967295, -5, 18446744073709551615, -9]\nshare: [0.5, 1e3]\n";
        let all: All = read(text).unwrap();
        assert_eq!(all.ports, [80, 65535]);
        assert_eq!(all.small, (255, -128, -7));
        assert_eq!(all.large, (u32::MAX, -5, u64::MAX, -9));
        assert_eq!(all.share, (0.5, 1000.0));
        for text in ["65536", "-1", "http"] {
            let misfit = read::<Vec<u16>>(&format!("[{text}]")).unwrap_err();
            let expected = format!("`{text}` is not a number that fits here");
            assert_eq!(misfit.message, expected);
        }
        let misfit = read::<Vec<bool>>("[yes]").unwrap_err();
        assert_eq!(misfit.message, "`true` or `false` was expected");
        let misfit = read::<Vec<u16>>("[[80]]").unwrap_err();
        assert_eq!(misfit.message, "a number was expected");
    }
}
