//! From text to tree: scalars verbatim, aliases and merge keys resolved, duplicate keys reported,
//! size and depth bounded.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle};

use super::node::{MapEntry, Node, Value};
use super::problem::{Problem, Problems};
use super::source::{FileId, Loc};

/// Nesting allowed in a file, aliases included.
pub const MAX_DEPTH: usize = 48;
/// Values allowed in a file after its aliases are expanded.
pub const MAX_NODES: usize = 20_000;
/// Bytes of text allowed in a file after its aliases are expanded.
pub const MAX_BYTES: usize = 2 << 20;

/// Reads the one document of a text. Mistakes go to `problems`; with a broken text, or one over
/// its budget, there is no tree.
pub fn parse(problems: &mut Problems, file: FileId) -> Option<Node> {
    let text = problems.sources.get(file).text.clone();
    if text.len() > MAX_BYTES {
        let limit = MAX_BYTES >> 20;
        problems.push(Problem::new(
            file.start(),
            format!("the file is larger than {limit} MiB"),
        ));
        return None;
    }
    let mut options = granit_parser::Options::default();
    options.emit_unresolved_aliases = true;
    options.set_emit_comments(false);
    options.flow_nesting_limit = 2 * MAX_DEPTH;
    options.block_nesting_limit = 2 * MAX_DEPTH;
    let mut builder = Builder {
        problems,
        file,
        stack: vec![],
        anchors: HashMap::new(),
        left: MAX_NODES,
        bytes_left: MAX_BYTES,
        root: None,
    };
    for next in Parser::new_from_str_with_options(&text, options) {
        let step = match next {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(text.len());
                Err(broken(file.range(at, at), error.kind()))
            }
        };
        if let Err(problem) = step {
            problems.push(problem);
            return None;
        }
    }
    if builder.root.is_none() {
        problems.push(Problem::new(file.start(), "the file is empty"));
        return None;
    }
    builder.root
}

fn broken(at: Loc, kind: &ErrorKind) -> Problem {
    if matches!(kind, ErrorKind::RecursionLimitExceeded) {
        return Problem::new(at, format!("the file nests deeper than {MAX_DEPTH} levels"));
    }
    let text = kind.to_string();
    let problem = Problem::new(
        at,
        format!("the YAML is broken: {}", text.trim_end_matches('.')),
    );
    if text.contains("tab") {
        return problem.help("indent with spaces");
    }
    problem
}

enum Frame {
    Seq {
        loc: Loc,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        loc: Loc,
        anchor: usize,
        flow: bool,
        entries: Vec<MapEntry>,
        merged: Vec<Node>,
        /// A key that waits for its value; `Some(None)` for one that is not a word.
        key: Option<Option<(String, Loc, bool)>>,
    },
}

struct Builder<'p> {
    problems: &'p mut Problems,
    file: FileId,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    left: usize,
    bytes_left: usize,
    root: Option<Node>,
}

impl Builder<'_> {
    fn loc(&self, span: &Span) -> Loc {
        span.byte_range().map_or(self.file.start(), |range| {
            self.file.range(range.start, range.end)
        })
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let loc = self.loc(span);
        if let Some(tag) = event.tag() {
            let problem = Problem::new(
                loc,
                format!("tags such as `{tag}` are not part of a recipe"),
            );
            self.problems.push(problem.help("remove the tag"));
        }
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                return Err(Problem::new(loc, "a second document begins here")
                    .help("a file holds one recipe; remove the `---`"));
            }
            Event::Scalar(text, style, anchor, _) => {
                self.charge(1, text.len(), loc)?;
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                self.node(Node::new(loc, Value::Scalar { text, plain }), anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(loc)?;
                let items = vec![];
                self.stack.push(Frame::Seq { loc, anchor, items });
            }
            Event::MappingStart(style, anchor, _) => {
                self.open(loc)?;
                self.stack.push(Frame::Map {
                    loc,
                    anchor,
                    flow: style == StructureStyle::Flow,
                    entries: vec![],
                    merged: vec![],
                    key: None,
                });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(loc)?,
            Event::Alias(id) => self.alias(id, loc)?,
            Event::UnresolvedAlias(name) => {
                let problem = Problem::new(loc, format!("there is no anchor `&{name}` above"));
                self.problems.push(problem);
                let mut node = Node::text(loc, "");
                node.damaged = true;
                self.node(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn charge(&mut self, nodes: usize, bytes: usize, loc: Loc) -> Result<(), Problem> {
        match (
            self.left.checked_sub(nodes),
            self.bytes_left.checked_sub(bytes),
        ) {
            (Some(left), Some(bytes_left)) => {
                (self.left, self.bytes_left) = (left, bytes_left);
                Ok(())
            }
            (None, _) => Err(Problem::new(
                loc,
                format!("the file grows beyond {MAX_NODES} values"),
            )
            .help("aliases are copies: aliases of aliases multiply")),
            (_, None) => Err(Problem::new(
                loc,
                format!("the file grows beyond {} MiB of text", MAX_BYTES >> 20),
            )
            .help("aliases are copies: aliases of aliases multiply")),
        }
    }

    fn open(&mut self, loc: Loc) -> Result<(), Problem> {
        self.charge(1, 0, loc)?;
        self.fits(1, loc)
    }

    fn fits(&self, depth: usize, loc: Loc) -> Result<(), Problem> {
        if self.stack.len() + depth > MAX_DEPTH {
            return Err(Problem::new(
                loc,
                format!("the file nests deeper than {MAX_DEPTH} levels"),
            ));
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, loc: Loc) -> Result<(), Problem> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(Problem::new(loc, "an alias inside of its own anchor"));
        };
        let size = node.size();
        self.charge(size.nodes, size.bytes, loc)?;
        self.fits(size.depth, loc)?;
        let node = self.anchors[&id].clone();
        self.node(node, 0)
    }

    fn close(&mut self, end: Loc) -> Result<(), Problem> {
        // A block's end lies at the next token; its place is its first token.
        let whole = |loc: Loc| {
            loc.file.range(
                loc.start,
                if loc.end > loc.start {
                    end.end
                } else {
                    loc.end
                },
            )
        };
        match self.stack.pop() {
            Some(Frame::Seq { loc, anchor, items }) => {
                self.node(Node::new(whole(loc), Value::Seq(items)), anchor)
            }
            Some(Frame::Map {
                loc,
                anchor,
                mut entries,
                merged,
                ..
            }) => {
                self.merge(&mut entries, merged);
                self.node(Node::new(whole(loc), Value::Map(entries)), anchor)
            }
            None => Ok(()),
        }
    }

    /// Adds what `<<` brings, below the map's own keys; of several maps the earlier wins.
    fn merge(&mut self, entries: &mut Vec<MapEntry>, merged: Vec<Node>) {
        for node in merged {
            let loc = node.loc;
            let maps = match node.value {
                Value::Seq(items) => items,
                value => vec![Node::new(loc, value)],
            };
            for map in maps {
                let Value::Map(more) = map.value else {
                    self.problems.push(
                        Problem::new(
                            map.loc,
                            format!("`<<` merges maps, and this is {}", map.kind()),
                        )
                        .help("write `<<: *anchor` of a map"),
                    );
                    continue;
                };
                for entry in more {
                    if entries.iter().all(|own| own.key != entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
    }

    fn node(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            let size = node.size();
            self.charge(size.nodes, size.bytes, node.loc)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        let (flow, entries, merged, key) = match frame {
            Frame::Seq { items, .. } => {
                items.push(node);
                return Ok(());
            }
            Frame::Map {
                flow,
                entries,
                merged,
                key,
                ..
            } => (*flow, entries, merged, key),
        };
        match key.take() {
            None => {
                *key = Some(match node.value {
                    Value::Scalar { text, plain } => Some((text, node.loc, plain)),
                    _ => {
                        let problem =
                            Problem::new(node.loc, "a key is a word, not a list or a map");
                        self.problems.push(if flow {
                            problem.help("quote a value that contains `{{ … }}`")
                        } else {
                            problem
                        });
                        None
                    }
                });
            }
            Some(None) => {}
            Some(Some((word, _, true))) if word == "<<" => merged.push(node),
            Some(Some((word, key_loc, _))) => {
                match entries.iter().find(|entry| entry.key == word) {
                    Some(first) => self.problems.push(
                        Problem::new(key_loc, format!("the key `{word}` is written twice"))
                            .label("again here")
                            .also(first.key_loc, "first here"),
                    ),
                    None => entries.push(MapEntry {
                        key: word,
                        key_loc,
                        value: node,
                    }),
                }
            }
        }
        Ok(())
    }
}
