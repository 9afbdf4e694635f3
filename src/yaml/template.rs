//! Templates: answer files, `files` with `template: true`, and `{{ … }}` in values of a recipe.
//! Strict: an undefined variable is an error, never an empty text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

use crate::error::{Error, Result};

/// Variables by name.
pub type Vars = BTreeMap<String, String>;

/// Variables that answer files have beside the recipe's, from the install stage.
pub const STAGE_VARIABLES: &[&str] = &[
    "imgforge_disk",
    "imgforge_firmware",
    "imgforge_hostname",
    "imgforge_key",
    "imgforge_mirror",
    "imgforge_mirror_host",
    "imgforge_mirror_path",
    "imgforge_name",
    "imgforge_packages",
    "imgforge_passphrase",
    "imgforge_proxy",
    "imgforge_security",
    "imgforge_security_host",
    "imgforge_security_path",
    "imgforge_sentinel",
    "imgforge_serial",
    "imgforge_sources",
    "imgforge_tree",
];

/// The variable of an answer file that holds a secret's value.
pub fn secret_variable(secret: &str) -> String {
    format!("imgforge_secret_{}", secret.replace('-', "_"))
}

/// Steps of the template engine that one template may take.
const FUEL: u64 = 1_000_000;
/// Longest text that a value of a recipe expands to.
pub const LONGEST_VALUE: usize = 64 << 10;

/// What to write where the syntax of templates is meant as it stands.
pub const LITERALLY: &str = "`{{` and `{%` have a meaning in a template; put text that has them between `{% raw %}` and \
     `{% endraw %}`";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // Lines that hold only a `{% … %}` leave nothing behind; the file's last newline stays.
    // Nothing is a comment: `{#` is how shells ask for a length, as in `${#list[@]}`.
    let syntax = SyntaxConfig::builder()
        .comment_delimiters("\0{#", "#}\0")
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
});

/// Renders a template; `name` is what errors call it.
///
/// # Errors
/// Of kind usage: bad syntax, or a variable that is not defined.
pub fn render(text: &str, vars: &Vars, name: &str) -> Result<String> {
    ENVIRONMENT
        .render_named_str(name, text, vars)
        .map_err(|error| {
            let line = error
                .line()
                .map_or_else(String::new, |line| format!(":{line}"));
            let unknown = undefined(text, vars);
            let error = Error::usage(format!("the template {name}{line} cannot be rendered"))
                .cause(sentence(&error));
            match unknown.first() {
                Some(first) => error.hint(format!(
                    "define `{first}` under `vars:`, or with --var {first}=…"
                )),
                None => error,
            }
        })
}

/// A mistake in a template: line (from 1), and what is wrong.
#[derive(Debug)]
pub struct Mistake {
    /// Line, counted from 1; 0 where the engine does not know.
    pub line: usize,
    /// One sentence.
    pub message: String,
}

/// The variables that a template uses.
///
/// # Errors
/// The mistake in its syntax.
pub fn variables(text: &str) -> Result<BTreeSet<String>, Mistake> {
    match ENVIRONMENT.template_from_str(text) {
        Ok(template) => Ok(template.undeclared_variables(false).into_iter().collect()),
        Err(error) => Err(Mistake {
            line: unclosed(text).or(error.line()).unwrap_or(0),
            message: sentence(&error),
        }),
    }
}

/// The line (from 1) of a `{{` or `{%` whose end is missing: the engine names the file's last.
fn unclosed(text: &str) -> Option<usize> {
    let mut rest = text;
    while let Some(open) = rest.find("{{").into_iter().chain(rest.find("{%")).min() {
        let close = if rest[open..].starts_with("{{") {
            "}}"
        } else {
            "%}"
        };
        match rest[open..].find(close) {
            Some(end) => rest = &rest[open + end + 2..],
            None => {
                let at = text.len() - rest.len() + open;
                return Some(text[..at].matches('\n').count() + 1);
            }
        }
    }
    None
}

/// Variables that a template uses and nobody defines; none if its syntax is bad.
fn undefined(text: &str, vars: &Vars) -> Vec<String> {
    let mut used: Vec<String> = variables(text).unwrap_or_default().into_iter().collect();
    used.retain(|name| !vars.contains_key(name));
    used
}

fn sentence(error: &minijinja::Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

/// A piece of a value: text, or what stands between `{{` and `}}`.
#[derive(Debug, PartialEq)]
pub enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// An expression, without the braces.
    Expression(&'a str),
}

/// Splits a value. Only `{{ … }}` means something here: `{%` and `{#` occur in shell and rpm.
///
/// # Errors
/// The byte offset of a `{{` that is not closed.
pub fn pieces(value: &str) -> Result<Vec<Piece<'_>>, usize> {
    let mut pieces = vec![];
    let mut rest = value;
    while let Some(open) = rest.find("{{") {
        if open > 0 {
            pieces.push(Piece::Text(&rest[..open]));
        }
        let inside = &rest[open + 2..];
        let close = inside.find("}}").ok_or(value.len() - inside.len() - 2)?;
        pieces.push(Piece::Expression(&inside[..close]));
        rest = &inside[close + 2..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// The variables that an expression uses.
///
/// # Errors
/// One sentence about its syntax.
pub fn expression_variables(expression: &str) -> Result<BTreeSet<String>, String> {
    let compiled = ENVIRONMENT
        .compile_expression(expression)
        .map_err(|error| sentence(&error))?;
    Ok(compiled.undeclared_variables(false).into_iter().collect())
}

/// The value of an expression as text.
///
/// # Errors
/// One sentence.
pub fn evaluate(expression: &str, vars: &Vars) -> Result<String, String> {
    let value = ENVIRONMENT
        .compile_expression(expression)
        .and_then(|compiled| compiled.eval(vars))
        .map_err(|error| sentence(&error))?;
    if value.is_undefined() {
        return Err("the expression has no value".into());
    }
    let text = value.to_string();
    if text.len() > LONGEST_VALUE {
        return Err(format!(
            "the value is longer than {} KiB",
            LONGEST_VALUE >> 10
        ));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        Vars::from([("admin".into(), "ops".into())])
    }

    #[test]
    fn a_template_renders_and_is_strict() {
        assert_eq!(
            render("user {{ admin }}\n", &vars(), "a.cfg").unwrap(),
            "user ops\n"
        );
        let error = render("ok\nuser {{ nobody }}\n", &vars(), "a.cfg").unwrap_err();
        insta::assert_snapshot!(error.render(), @r"
        error: the template a.cfg:2 cannot be rendered
        caused by: undefined value: `nobody` is undefined
        hint: define `nobody` under `vars:`, or with --var nobody=…
        ");
    }

    #[test]
    fn nothing_of_a_shell_is_a_comment() {
        let text = "n=${#disks[@]}\nname=${disks[0]#/dev/}\ntrimmed=${name%#}\n{{ admin }}\n";
        let rendered = render(text, &vars(), "a.ks").unwrap();
        assert_eq!(rendered, text.replace("{{ admin }}", "ops"));
        assert_eq!(variables(text).unwrap(), BTreeSet::from(["admin".into()]));
    }

    #[test]
    fn a_mistake_is_where_it_begins() {
        let line = |text| variables(text).unwrap_err().line;
        assert_eq!(line("a\n{{ admin }}\nx {{ admin\n\n\n"), 3);
        assert_eq!(line("a\n{% if admin\n{{ admin }}\n"), 2);
        assert_eq!(line("a\n{{ .State }}\nb\n"), 2);
    }

    #[test]
    fn an_endless_template_ends() {
        let text = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(text, &vars(), "bomb").is_err());
    }

    #[test]
    fn only_double_braces_mean_something_in_values() {
        assert_eq!(
            pieces("a{{ x }}${#y} %{z}").unwrap(),
            [
                Piece::Text("a"),
                Piece::Expression(" x "),
                Piece::Text("${#y} %{z}")
            ]
        );
        assert_eq!(pieces("ab {{ x"), Err(3));
        assert_eq!(evaluate("admin | upper", &vars()).unwrap(), "OPS");
        assert!(evaluate("nobody", &vars()).is_err());
    }
}
