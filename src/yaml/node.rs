//! YAML as a tree in which every value knows its place.

use super::source::Loc;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The place.
    pub loc: Loc,
    pub(crate) value: Value,
    /// Something in this very value was wrong and is reported: later checks say nothing about it.
    pub damaged: bool,
}

/// A YAML value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text as written; `plain` without quotes.
    Scalar {
        /// The text.
        text: String,
        /// Not quoted, not a block.
        plain: bool,
    },
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<MapEntry>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct MapEntry {
    pub(crate) key: String,
    /// Place of the key.
    pub key_loc: Loc,
    pub(crate) value: Node,
}

impl Node {
    /// A value.
    pub fn new(loc: Loc, value: Value) -> Self {
        Node {
            loc,
            value,
            damaged: false,
        }
    }

    /// A quoted text.
    pub fn text(loc: Loc, text: impl Into<String>) -> Self {
        let text = text.into();
        Node::new(loc, Value::Scalar { text, plain: false })
    }

    /// An empty map.
    pub fn map(loc: Loc) -> Self {
        Node::new(loc, Value::Map(vec![]))
    }

    /// The text, if it is a scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether it is written as nothing, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The entries, if it is a map, else none.
    pub fn entries(&self) -> &[MapEntry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entries to change.
    pub fn entries_mut(&mut self) -> &mut [MapEntry] {
        match &mut self.value {
            Value::Map(entries) => entries,
            _ => &mut [],
        }
    }

    /// The items, if it is a list, else none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The items to change.
    pub fn items_mut(&mut self) -> &mut [Node] {
        match &mut self.value {
            Value::Seq(items) => items,
            _ => &mut [],
        }
    }

    /// An entry of a map.
    pub fn entry(&self, key: &str) -> Option<&MapEntry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a key of a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key of a map, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.entries_mut()
            .iter_mut()
            .find(|entry| entry.key == key)
            .map(|entry| &mut entry.value)
    }

    /// Takes an entry out of a map.
    pub fn remove(&mut self, key: &str) -> Option<MapEntry> {
        match &mut self.value {
            Value::Map(entries) => {
                let at = entries.iter().position(|entry| entry.key == key)?;
                Some(entries.remove(at))
            }
            _ => None,
        }
    }

    /// Sets a key of a map, in place or at the end.
    pub fn set(&mut self, entry: MapEntry) {
        if let Value::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|other| other.key == entry.key) {
                Some(place) => *place = entry,
                None => entries.push(entry),
            }
        }
    }

    /// The place of a key of this map, or of the map.
    pub fn key_loc(&self, key: &str) -> Loc {
        self.entry(key).map_or(self.loc, |entry| entry.key_loc)
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_null() => "nothing",
            Value::Scalar { .. } => "a text",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// How much it is, with all that is below.
    pub fn size(&self) -> Size {
        let under = |children: Size, child: Size| Size {
            nodes: children.nodes + child.nodes,
            bytes: children.bytes + child.bytes,
            depth: children.depth.max(child.depth + 1),
        };
        let one = |bytes| Size {
            nodes: 1,
            bytes,
            depth: 1,
        };
        match &self.value {
            Value::Scalar { text, .. } => one(text.len()),
            Value::Seq(items) => items.iter().map(Node::size).fold(one(0), under),
            Value::Map(entries) => entries.iter().fold(one(0), |sum, entry| {
                let mut sum = under(sum, entry.value.size());
                sum.bytes += entry.key.len();
                sum
            }),
        }
    }
}

/// How much a tree is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Values.
    pub nodes: usize,
    /// Bytes of text and keys.
    pub bytes: usize,
    /// Levels.
    pub depth: usize,
}
