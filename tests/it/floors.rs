//! Modules stand on floors, which the crate's documentation lists: no import goes up.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The modules of the list in the crate's documentation, from the roof to the ground.
fn floors(lib: &str) -> Vec<&str> {
    let items = lib.lines().filter_map(|line| line.strip_prefix("//! * `"));
    items.filter_map(|item| item.split('`').next()).collect()
}

/// What one file says: the top-level modules that its paths name, each with its line, and the
/// modules that have a file of their own, each with its `#[path]`.
#[derive(Default)]
struct Source {
    named: Vec<(String, usize)>,
    files: Vec<(Vec<String>, Option<String>)>,
}

impl Source {
    /// Reads the file of a module.
    fn of(module: &[String], text: &str) -> Self {
        let mut source = Source::default();
        source.read(text.parse().expect("Rust"), module);
        source
    }

    fn read(&mut self, tokens: TokenStream, module: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let (mut at, mut path) = (0, None);
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Group(group) => {
                    path = path_attribute(group.stream()).or(path);
                    self.read(group.stream(), module);
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let name = tokens.get(at).map(ToString::to_string);
                    let inner = [module, name.as_slice()].concat();
                    match tokens.get(at + 1) {
                        Some(TokenTree::Group(group)) => self.read(group.stream(), &inner),
                        _ => self.files.push((inner, path.take())),
                    }
                    at += 2;
                }
                TokenTree::Ident(_) => at = self.path(&tokens, at - 1, &[], module),
                _ => {}
            }
        }
    }

    /// Reads the path, or tree of paths, that begins with the token at `at`, below `before`;
    /// returns where it ends.
    fn path(
        &mut self,
        tokens: &[TokenTree],
        mut at: usize,
        before: &[String],
        module: &[String],
    ) -> usize {
        let line = tokens[at].span().start().line;
        let mut path = before.to_vec();
        loop {
            match tokens.get(at) {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let items = inner.split(|token| token.to_string() == ",");
                    for item in items.filter(|item| !item.is_empty()) {
                        self.path(item, 0, &path, module);
                    }
                    return at + 1;
                }
                Some(word @ TokenTree::Ident(_)) => path.push(word.to_string()),
                Some(star) if star.to_string() == "*" => path.push("*".into()),
                _ => break,
            }
            at += 1;
            let colon = |at: usize| tokens.get(at).is_some_and(|token| token.to_string() == ":");
            if !(colon(at) && colon(at + 1)) {
                break;
            }
            at += 2;
        }
        let named = top_level(&path, module);
        self.named.extend(named.map(|name| (name, line)));
        at
    }

    /// What goes up, or names no module, of a module's imports.
    fn climbs(&self, module: &[String], floors: &[&str]) -> Vec<String> {
        let floor = |name: &str| floors.iter().position(|floor| *floor == name);
        let Some(own) = module.first() else {
            return vec![];
        };
        let wrong = self
            .named
            .iter()
            .filter(|(name, _)| floor(name).is_none_or(|to| Some(to) < floor(own)));
        wrong
            .map(|(name, line)| format!("line {line} of {}: crate::{name}", module.join("::")))
            .collect()
    }
}

/// The file of `#[path = "FILE"]`, if the tokens are those in its brackets.
fn path_attribute(tokens: TokenStream) -> Option<String> {
    let words: Vec<String> = tokens.into_iter().map(|token| token.to_string()).collect();
    match words.as_slice() {
        [name, equals, file] if name == "path" && equals == "=" => {
            Some(file.trim_matches('"').to_owned())
        }
        _ => None,
    }
}

/// The top-level module that a path in `module` leads to, if it begins at the crate or above.
fn top_level(path: &[String], module: &[String]) -> Option<String> {
    let mut base = match path.first()?.as_str() {
        "crate" => &[][..],
        "self" => module,
        "super" => &module[..module.len().checked_sub(1)?],
        _ => return None,
    };
    for name in &path[1..] {
        match (name.as_str(), base) {
            ("super", [above @ .., _]) => base = above,
            (_, []) => return Some(name.clone()),
            _ => break,
        }
    }
    None
}

/// Reads the file of a module and those of the modules in it; returns what is wrong with all.
fn climbs_of(
    module: &[String],
    file: &Path,
    floors: &[&str],
    read: &mut BTreeSet<PathBuf>,
) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|cause| panic!("{file:?}: {cause}"));
    read.insert(file.to_owned());
    let source = Source::of(module, &text);
    let mut wrong = source.climbs(module, floors);
    for (inner, path) in source.files {
        let below = root().join(inner.join("/"));
        let file = match path {
            Some(path) => file.with_file_name(path),
            None if below.join("mod.rs").exists() => below.join("mod.rs"),
            None => below.with_extension("rs"),
        };
        wrong.extend(climbs_of(&inner, &file, floors, read));
    }
    wrong
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    let rust = found.filter(|path| path.extension().is_some_and(|end| end == "rs"));
    rust.collect()
}

#[test]
fn no_import_goes_up() {
    let lib = root().join("lib.rs");
    let text = std::fs::read_to_string(&lib).unwrap();
    let floors = floors(&text);
    let declared = Source::of(&[], &text).files;
    let declared: BTreeSet<String> = declared
        .into_iter()
        .map(|(path, _)| path.concat())
        .collect();
    let listed: BTreeSet<String> = floors.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        (declared, floors.len()),
        (listed.clone(), listed.len()),
        "the documentation of src/lib.rs lists every module once"
    );
    let mut read = BTreeSet::from([root().join("main.rs")]);
    let wrong = climbs_of(&[], &lib, &floors, &mut read);
    assert!(
        wrong.is_empty(),
        "these imports go up; move what is needed to a floor below:\n{}",
        wrong.join("\n")
    );
    assert_eq!(read, sources(&root()).into_iter().collect());
}

#[test]
fn an_import_that_goes_up_is_seen_however_it_is_written() {
    let floors = ["cli", "store", "units"];
    let module = ["store".to_owned(), "lock".to_owned()];
    for text in [
        "use crate::cli;",
        "pub(crate) use crate::{units::{Size, Span}, cli::{self, main as start}};",
        "use {std::fs, crate::cli::main};",
        "use super::super::cli::*;",
        "use self::super::{super::cli};",
        "mod tests { use super::super::super::cli; }",
        "mod inner { fn f(x: super::super::super::cli::App) {} }",
        "fn f() -> Vec<crate::cli::App> { vec![] }",
        "fn f() { println!(\"{}\", crate::cli::name()) }",
        "macro_rules! m { () => { $crate::cli::main() } }",
        "#[serde(with = \"x\")] #[derive(crate::cli::Macro)] struct S;",
        // What cannot be judged.
        "use crate::*;",
        "use crate::{self as root};",
        "use crate::nothing;",
    ] {
        let found = Source::of(&module, text).climbs(&module, &floors);
        assert!(!found.is_empty(), "{text}");
    }
    for text in [
        "use crate::{store::{Store, lock}, units};",
        "use super::{super::units, cli};",
        "use super::super::store::cli;",
        "pub(in crate::store) fn cli() { self::cli(); units::cli() }",
        "/// See [`crate::cli`], crate::cli.\nconst CLI: &str = \"crate::cli\"; // use crate::cli;",
        "mod cli { fn f<'a>() -> super::cli::App<'a> { r#\"crate::cli\"#.into() } }",
    ] {
        let found = Source::of(&module, text).climbs(&module, &floors);
        assert_eq!(found, [""; 0], "{text}");
    }
}
