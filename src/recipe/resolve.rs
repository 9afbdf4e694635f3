//! From a file to a recipe: includes, variables, the parent's machine and variables, long forms,
//! types, checks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::check;
use super::config::{self, Config};
use super::types::{Base, Install, Recipe};
use super::variants::{self, Image};
use super::{desugar, schema};
use crate::error::Result;
use crate::steps::grow;
use crate::units::Size;
use crate::yaml::checker::{Checker, NamedFile, Role};
use crate::yaml::include::{self, Reader, Texts, Written};
use crate::yaml::node::{MapEntry, Node, Value};
use crate::yaml::problem::Problem;
use crate::yaml::source::{Loc, Sources};
use crate::yaml::template::Vars;
use crate::yaml::vars::{self, Var};
use crate::yaml::{de, walk};

/// Images may build on images, so deep.
const MAX_PARENTS: usize = 16;

/// A recipe, completely resolved and checked.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The recipe, with all its variables set.
    pub recipe: Recipe,
    /// What tells the image from every other one, as [`Image::id`].
    pub id: String,
    /// Its variables.
    pub vars: Vars,
    /// Root of the repository, absolute.
    pub root: PathBuf,
    /// The recipe's file, absolute.
    pub file: PathBuf,
    /// Every file that it was read from or names, sorted.
    pub files: Vec<NamedFile>,
    /// What it is made on.
    pub base: Base,
    /// The disk of that image: how large its recipe says it is.
    pub below: Option<Size>,
    /// What the base of its chain installs, libosinfo's short id, where a recipe tells.
    os: Option<String>,
    /// What it was read from, variables expanded, short forms as written.
    pub(super) tree: Node,
    /// The texts that the places of `tree` mean.
    pub(super) sources: Sources,
    var_locs: BTreeMap<String, Loc>,
}

impl Resolved {
    /// Whether the disk is larger than that of the image below, where a recipe says how large
    /// that is.
    pub fn grows(&self) -> bool {
        self.below
            .is_some_and(|below| below < self.recipe.machine.disk)
    }

    /// Where a part of the recipe is written, such as `recipes/web.yaml:12`.
    pub fn place_of(&self, key: &str) -> Option<String> {
        let entry = self.tree.entry(key)?;
        Some(self.sources.origin(entry.key_loc))
    }

    /// Where the step `index` of `configure` is written; nothing of a step that no file has.
    pub fn place_of_step(&self, index: usize) -> Option<String> {
        let step = self.tree.get("configure")?.items().get(index)?;
        Some(self.sources.origin(step.loc))
    }
}

/// Resolves images of one repository.
#[derive(Debug)]
pub struct Resolver<'a> {
    root: &'a Path,
    images: &'a [Image],
    /// The reader, with all problems.
    pub reader: Reader,
    config: Config,
    config_vars: Option<Node>,
    command_line: BTreeMap<String, Var>,
}

impl<'a> Resolver<'a> {
    /// A resolver that knows `images`; `vars` are those of the command line.
    pub fn new(
        root: &'a Path,
        images: &'a [Image],
        vars: &[(String, String)],
        texts: &Texts,
    ) -> Self {
        let mut reader = Reader::new(root, texts);
        let (config, config_vars) = config::read(&mut reader, root);
        let mut command_line = BTreeMap::new();
        for (name, value) in vars {
            let text = format!("{name}={value}");
            let file = reader.problems.sources.add("--var", None, &text);
            let loc = file.range(name.len() + 1, text.len());
            if let Some(message) = vars::bad_name(name) {
                reader
                    .problems
                    .push(Problem::new(file.range(0, name.len()), message));
            }
            let text = value.clone();
            command_line.insert(name.clone(), Var { text, loc });
        }
        Resolver {
            root,
            images,
            reader,
            config,
            config_vars,
            command_line,
        }
    }

    /// The result, or all problems.
    ///
    /// # Errors
    /// Of kind usage, with all problems.
    pub fn finish(self, resolved: Option<Resolved>) -> Result<Resolved> {
        let mut resolved = self.reader.problems.clone().or(resolved)?;
        resolved.sources = self.reader.problems.sources;
        Ok(resolved)
    }

    /// Resolves and checks one image; mistakes go to the reader's problems.
    pub fn resolve(&mut self, image: &Image) -> Option<Resolved> {
        self.resolve_below(image, &mut vec![])
    }

    fn resolve_below(&mut self, image: &Image, chain: &mut Vec<String>) -> Option<Resolved> {
        let written = self.reader.read(&image.path)?;
        let mut tree = written.tree.clone();
        variants::keep_own(&mut self.reader.problems, &mut tree, written.file);
        // Again: the catalogue's places belong to texts of its own, and it reports nothing.
        let again = variants::images(&mut self.reader.problems, &image.path, &tree);
        let image = again.iter().find(|other| other.id() == image.id())?;
        tree.remove("variants");
        variants::choose(&mut self.reader.problems, &mut tree, image);
        self.name(&mut tree, image);

        let own = self.variables(image, &tree, None);
        chain.push(image.name.clone());
        let parent = self.parent(&tree, &own, chain);
        chain.pop();
        let vars = self.variables(image, &tree, parent.as_ref());
        let settled = vars::settle(&mut self.reader.problems, &vars);
        if let Some(parent) = &parent {
            inherit_machine(&mut tree, parent);
        }
        vars::expand_tree(&mut self.reader.problems, &mut tree, &settled);
        put_variables(&mut tree, &vars, &settled);
        self.typed(image, &written, tree, settled, &vars, parent)
    }

    fn name(&mut self, tree: &mut Node, image: &Image) {
        let named = tree
            .get("name")
            .is_some_and(|node| !node.is_null() && node.as_text().is_some());
        let loc = tree.key_loc("name");
        if !named {
            let stem = image.path.file_stem().unwrap_or_default().to_string_lossy();
            self.reader.problems.push(
                Problem::new(loc, "the recipe has no `name`").help(format!("add `name: {stem}`")),
            );
        }
        let value = Node::text(tree.get("name").map_or(loc, |node| node.loc), &image.name);
        tree.set(MapEntry {
            key: "name".into(),
            key_loc: loc,
            value,
        });
    }

    /// imgforge.yaml < the parent's < include < recipe < variant < command line.
    fn variables(
        &mut self,
        image: &Image,
        tree: &Node,
        parent: Option<&Resolved>,
    ) -> BTreeMap<String, Var> {
        let mut vars = BTreeMap::new();
        let problems = &mut self.reader.problems;
        vars::collect(problems, self.config_vars.as_ref(), &mut vars);
        if let Some(parent) = parent {
            for (name, text) in &parent.vars {
                let (text, loc) = (text.clone(), parent.var_locs[name]);
                vars.insert(name.clone(), Var { text, loc });
            }
        }
        vars::collect(problems, tree.get("vars"), &mut vars);
        for (name, var) in &image.vars {
            vars.insert(name.clone(), var.clone());
            if let Some(typed) = self.command_line.get(name) {
                problems.push(
                    Problem::new(
                        typed.loc,
                        format!("`{name}` is a variant of `{}`", image.name),
                    )
                    .help("build the image of the variant that you mean"),
                );
            }
        }
        for (name, var) in &self.command_line {
            vars.insert(name.clone(), var.clone());
        }
        vars
    }

    fn parent(
        &mut self,
        tree: &Node,
        vars: &BTreeMap<String, Var>,
        chain: &mut Vec<String>,
    ) -> Option<Resolved> {
        let from = tree.get("from").filter(|node| !node.is_null())?;
        let expand = |node: &Node| {
            let text = node.as_text()?;
            if !text.contains("{{") {
                return Some(text.to_owned());
            }
            // The problems of the variables are reported when the whole tree is expanded.
            let mut silent = self.reader.problems.silent();
            let settled = vars::settle(&mut silent, vars);
            vars::expand(&mut silent, text, node.loc, &settled)
        };
        let name = expand(from)?;
        let own = tree.get("machine").and_then(|machine| machine.get("arch"));
        let own = own.and_then(expand);
        let images = self.images;
        let all: Vec<&Image> = images.iter().filter(|image| image.name == name).collect();
        if all.is_empty() {
            let problem = Problem::new(from.loc, format!("there is no recipe `{name}`"));
            let names = images.iter().map(|image| image.name.as_str());
            self.reader
                .problems
                .push(problem.did_you_mean(&name, names));
            return None;
        }
        if chain.contains(&name) || chain.len() >= MAX_PARENTS {
            let path = chain.join("` → `");
            let message = format!("the recipe builds on itself: `{path}` → `{name}`");
            self.reader.problems.push(Problem::new(from.loc, message));
            return None;
        }
        match variants::parent(&all, own.as_deref()) {
            Ok(image) => self.resolve_below(image, chain),
            Err((problem, help)) => {
                let problem = Problem::new(from.loc, problem).help(help);
                self.reader.problems.push(problem);
                None
            }
        }
    }

    fn typed(
        &mut self,
        image: &Image,
        written: &Written,
        tree: Node,
        settled: Vars,
        vars: &BTreeMap<String, Var>,
        parent: Option<Resolved>,
    ) -> Option<Resolved> {
        let has = (tree.get("from").is_some(), tree.get("install").is_some());
        let mut long = tree.clone();
        let problems = &mut self.reader.problems;
        desugar::recipe(problems, &mut long);
        walk::check(problems, &mut long, schema::long());
        let mut recipe: Recipe = match de::from_node(&long) {
            Ok(recipe) => recipe,
            Err(misfit) => {
                problems.push(Problem::new(misfit.at.unwrap_or(long.loc), misfit.message));
                return None;
            }
        };
        recipe.machine.firmware = Some(recipe.machine.firmware());
        let mut base = recipe.base();
        if let (Some(Base::Layer(below)), Some(parent)) = (&mut base, &parent) {
            below.clone_from(&parent.id);
        }
        let os = match &base {
            Some(Base::Install(Install::VirtInstall(method))) => Some(method.os.clone()),
            _ => parent.as_ref().and_then(|parent| parent.os.clone()),
        };
        let machine = parent.as_ref().map(|parent| &parent.recipe.machine);
        let below = machine.map(|machine| machine.disk);
        let mut cx = check::Context {
            checker: Checker {
                problems,
                root: self.root,
                vars: &settled,
                files: vec![],
            },
            os: os.as_deref(),
            below: machine,
            config: &self.config,
            listed: image.arch.is_some(),
            has,
        };
        check::recipe(&mut cx, &recipe, &long);
        let grows = parent
            .as_ref()
            .is_some_and(|below| below.recipe.machine.grow);
        if recipe.machine.grow && !grows {
            recipe.configure.extend(grow::steps());
        }
        let mut files = cx.checker.files;
        files.extend(self.read_files(written));
        files.sort();
        files.dedup();
        Some(Resolved {
            recipe,
            id: image.id(),
            vars: settled,
            root: self.root.to_path_buf(),
            file: image.path.clone(),
            files,
            base: base?,
            below,
            os,
            tree,
            sources: Sources::default(),
            var_locs: vars
                .iter()
                .map(|(name, var)| (name.clone(), var.loc))
                .collect(),
        })
    }

    fn read_files(&self, written: &Written) -> Vec<NamedFile> {
        let sources = &self.reader.problems.sources;
        let mut files: Vec<NamedFile> = vec![];
        let includes = written.included.iter().map(|file| (Role::Include, *file));
        for (role, file) in includes.chain([(Role::Recipe, written.file)]) {
            let source = sources.get(file);
            files.push(NamedFile {
                role,
                written: source.name.clone(),
                path: source.path.clone().unwrap_or_default(),
            });
        }
        let path = self.root.join(config::FILE);
        if path.is_file() {
            files.push(NamedFile {
                role: Role::Config,
                written: config::FILE.into(),
                path,
            });
        }
        files
    }
}

/// The parent's machine below the recipe's own.
fn inherit_machine(tree: &mut Node, parent: &Resolved) {
    let Some(machine) = parent.tree.entry("machine") else {
        return;
    };
    let mut merged = machine.clone();
    if let Some(own) = tree.remove("machine") {
        merged.key_loc = own.key_loc;
        include::overlay(&mut merged.value, own.value);
    }
    tree.set(merged);
}

/// The variables with their final values take the place of `vars:`.
fn put_variables(tree: &mut Node, vars: &BTreeMap<String, Var>, settled: &Vars) {
    let wrong = tree
        .get("vars")
        .is_some_and(|node| !matches!(node.value, Value::Map(_)));
    if wrong || (vars.is_empty() && tree.get("vars").is_none()) {
        return;
    }
    let key_loc = tree.key_loc("vars");
    let mut node = match tree.remove("vars") {
        Some(entry) => entry.value,
        None => Node::map(key_loc),
    };
    for (name, text) in settled {
        let loc = vars[name].loc;
        node.set(MapEntry {
            key: name.clone(),
            key_loc: loc,
            value: Node::text(loc, text),
        });
    }
    tree.set(MapEntry {
        key: "vars".into(),
        key_loc,
        value: node,
    });
}
