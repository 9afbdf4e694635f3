//! Mistakes in recipes, drawn as a compiler draws them: file, line, column, a caret, a suggestion.

use std::collections::HashSet;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::source::{Loc, Sources};
use crate::error::Error;
use crate::text::nearest;

/// Lines longer than this are named but not drawn.
const LONGEST_LINE: usize = 400;
/// Problems drawn at most; the others are counted.
const MOST_DRAWN: usize = 100;

/// One mistake.
#[derive(Debug, Clone)]
pub struct Problem {
    message: String,
    at: Loc,
    label: Option<String>,
    also: Option<Box<(Loc, String)>>,
    help: Vec<String>,
}

impl Problem {
    /// A mistake at a place; the message is one sentence without a full stop.
    pub fn new(at: Loc, message: impl Into<String>) -> Self {
        Problem {
            message: message.into(),
            at,
            label: None,
            also: None,
            help: vec![],
        }
    }

    /// Text beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// A second place that explains the first.
    #[must_use]
    pub fn also(mut self, at: Loc, label: impl Into<String>) -> Self {
        self.also = Some(Box::new((at, label.into())));
        self
    }

    /// What to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// "did you mean" with the nearest candidate, if one is near.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match nearest(word, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self,
        }
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn draw(&self, sources: &Sources, renderer: &Renderer) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(self.message.as_str()));
        let first = Excerpt::of(sources, self.at);
        let second = self
            .also
            .as_deref()
            .map(|(at, _)| Excerpt::of(sources, *at));
        match self.also.as_deref() {
            Some((at, label)) if at.file == self.at.file => {
                let both = Excerpt::spanning(sources, self.at, *at);
                group = group.element(both.snippet(&[
                    (self.at, AnnotationKind::Primary, self.label.as_deref()),
                    (*at, AnnotationKind::Context, Some(label)),
                ]));
            }
            also => {
                group = first.add_to(
                    group,
                    (self.at, AnnotationKind::Primary, self.label.as_deref()),
                );
                if let (Some((at, label)), Some(excerpt)) = (also, &second) {
                    group = excerpt.add_to(group, (*at, AnnotationKind::Context, Some(label)));
                }
            }
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// The lines of a text that a drawing needs.
struct Excerpt<'a> {
    name: &'a str,
    text: &'a str,
    offset: usize,
    first_line: usize,
    whole: &'a str,
}

type Mark<'a> = (Loc, AnnotationKind, Option<&'a str>);

impl<'a> Excerpt<'a> {
    fn of(sources: &'a Sources, at: Loc) -> Self {
        Self::spanning(sources, at, at)
    }

    fn spanning(sources: &'a Sources, one: Loc, other: Loc) -> Self {
        let source = sources.get(one.file);
        let whole = source.text.as_ref();
        let (low, high) = (one.start.min(other.start), one.start.max(other.start));
        let offset = whole[..floor(whole, low)]
            .rfind('\n')
            .map_or(0, |at| at + 1);
        let high = floor(whole, high);
        let end = whole[high..].find('\n').map_or(whole.len(), |at| high + at);
        Excerpt {
            name: &source.name,
            text: &whole[offset..end],
            offset,
            first_line: sources.line(one.file.range(offset, offset)),
            whole,
        }
    }

    fn drawable(&self) -> bool {
        !self.text.trim().is_empty() && self.text.lines().all(|line| line.len() <= LONGEST_LINE)
    }

    fn add_to<'b>(&'b self, group: Group<'b>, mark: Mark<'b>) -> Group<'b>
    where
        'a: 'b,
    {
        if self.drawable() {
            return group.element(self.snippet(&[mark]));
        }
        let column = self.whole[self.offset..floor(self.whole, mark.0.start).max(self.offset)]
            .chars()
            .count();
        let origin = Origin::path(self.name)
            .line(self.first_line)
            .char_column(column + 1);
        let group = group.element(origin);
        match mark.2 {
            Some(label) => group.element(Level::NOTE.message(label)),
            None => group,
        }
    }

    fn snippet<'b>(&self, marks: &[Mark<'b>]) -> Snippet<'b, annotate_snippets::Annotation<'b>>
    where
        'a: 'b,
    {
        marks.iter().fold(
            Snippet::source(self.text)
                .path(self.name)
                .line_start(self.first_line),
            |snippet, (at, kind, label)| {
                snippet.annotation(kind.span(self.span(*at)).label(*label))
            },
        )
    }

    /// The place within the excerpt, at most to the end of its first line.
    fn span(&self, at: Loc) -> std::ops::Range<usize> {
        let start = floor(self.text, at.start.saturating_sub(self.offset));
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |newline| start + newline);
        let end = floor(self.text, at.end.saturating_sub(self.offset)).min(line_end);
        let next = self.text[start..line_end]
            .chars()
            .next()
            .map_or(start, |c| start + c.len_utf8());
        start..end.max(next)
    }
}

/// The nearest boundary between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// All mistakes found in one operation, and the texts they are in.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// The texts.
    pub sources: Sources,
    list: Vec<Problem>,
    seen: HashSet<(Loc, String)>,
}

/// Words for a sentence: `a`, `b`, `c`.
pub fn list_words<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    words.join(", ")
}

impl Problems {
    /// Adds a mistake; the same one at the same place counts once.
    pub fn push(&mut self, problem: Problem) {
        if self.seen.insert((problem.at, problem.message.clone())) {
            self.list.push(problem);
        }
    }

    /// Adds mistakes, if there are any.
    pub fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// The same texts, without the mistakes: for a trial whose mistakes count elsewhere.
    pub fn silent(&self) -> Problems {
        Problems {
            sources: self.sources.clone(),
            ..Problems::default()
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The sentences, in the order of the drawing.
    pub fn messages(&self) -> Vec<&str> {
        self.sorted()
            .iter()
            .map(|problem| problem.message())
            .collect()
    }

    /// The names of the files that have mistakes.
    pub fn files(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .list
            .iter()
            .map(|problem| self.sources.get(problem.at.file).name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn sorted(&self) -> Vec<&Problem> {
        let mut list: Vec<&Problem> = self.list.iter().collect();
        list.sort_by_key(|problem| problem.at);
        list
    }

    /// Draws every mistake, with colours if asked for.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut out: Vec<String> = self
            .sorted()
            .into_iter()
            .take(MOST_DRAWN)
            .map(|problem| problem.draw(&self.sources, &renderer) + "\n")
            .collect();
        if self.len() > MOST_DRAWN {
            out.push(format!("… and {} more\n", self.len() - MOST_DRAWN));
        }
        out.join("\n")
    }

    /// One sentence: how many mistakes, in which files.
    pub fn summary(&self) -> String {
        let files = self.files();
        let place = match files.as_slice() {
            [file] => (*file).to_owned(),
            _ => format!("{} files", files.len()),
        };
        match self.len() {
            1 => format!("1 problem in {place}"),
            count => format!("{count} problems in {place}"),
        }
    }

    /// The error that shows them all.
    pub fn into_error(self) -> Error {
        Error::usage(self.summary()).report(self.render(false))
    }

    /// Nothing if there are no problems, else the error that shows them all.
    ///
    /// # Errors
    /// Of kind usage, when there is a problem.
    pub fn check(self) -> crate::error::Result<()> {
        self.or(Some(()))
    }

    /// `value` if there are no problems, else the error that shows them all.
    ///
    /// # Errors
    /// Of kind usage, when there is a problem.
    pub fn or<T>(self, value: Option<T>) -> crate::error::Result<T> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ if self.is_empty() => Err(Error::internal("a recipe failed without a problem")),
            _ => Err(self.into_error()),
        }
    }
}
