//! `imgforge blame`.

use super::place::RepositoryArgs;
use super::{App, image, out};
use crate::blame::size::{By, sizes, tree};
use crate::blame::{Answer, Index, Told, named};
use crate::error::{Error, Result};
use crate::units::Size;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "IMAGE is NAME for what this host has built, NAME@REV or NAME@CHANNEL for what is\n\
                        published; of several architectures NAME:ARCH or NAME:ARCH@CHANNEL.\n\
                        Of a directory, what is in it is summed up by steps."
)]
pub(crate) struct Blame {
    /// Image and path: `web:/etc/motd`, `web@stable:/usr`
    #[arg(value_name = "IMAGE:/PATH", value_parser = parse)]
    file: (String, String),
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

fn parse(text: &str) -> Result<(String, String), String> {
    let (image, path) = text.split_once(":/").ok_or_else(|| {
        format!("it names no path; write the image and the path as one word: `{text}:/etc/motd`")
    })?;
    if image.is_empty() {
        return Err("it names no image".into());
    }
    let path = format!("/{}", path.trim_end_matches('/'));
    Ok((image.to_owned(), path))
}

impl Blame {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let (image, path) = &self.file;
        let files = image::files(app, &self.repository, image)?;
        let answer = files.index.answer(path);
        let answer = answer.ok_or_else(|| missing(&files.index, image, path))?;
        if self.json {
            return out::json(&answer);
        }
        let mut text = describe(&answer);
        if answer.kind == "directory" {
            let within = sizes(&files.index, By::Step, &answer.path, None);
            text.push('\n');
            text += &tree(&within, 2, 1000);
        }
        out::print(&text)
    }
}

fn missing(index: &Index, image: &str, path: &str) -> Error {
    let error = match index.unread.is_empty() {
        true => Error::usage(format!("{image} has no {path}")),
        false => Error::usage(format!("nothing is known of {path} in {image}")),
    };
    match index.removed(path) {
        Some(told) => error.cause(format!(
            "it was removed by {} of {}",
            told.stage, told.image
        )),
        None if !index.unread.is_empty() => error
            .cause(format!(
                "it may be where nobody looked: {}",
                index.unread.join("; ")
            ))
            .hint("docs/blame.md says which file systems are read"),
        None => {
            let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
            error.hint(format!(
                "`imgforge blame {image}:{dir}/` sums up its directory"
            ))
        }
    }
}

fn describe(answer: &Answer) -> String {
    let Answer {
        path,
        kind,
        mode,
        uid,
        gid,
        size,
        ..
    } = answer;
    let what = match (&answer.target, *kind) {
        (Some(target), _) => format!("link to {target}"),
        (None, "directory") => format!("directory, {mode}, {uid}:{gid}"),
        (None, kind) => {
            let size = Size::bytes(*size).human();
            format!("{kind}, {mode}, {uid}:{gid}, {size}")
        }
    };
    let mut lines = vec![(path.as_str(), what)];
    lines.push(("made by", told(&answer.made)));
    if answer.changed != answer.made {
        lines.push(("content by", told(&answer.changed)));
    }
    if answer.dressed != answer.changed && answer.dressed != answer.made {
        lines.push(("mode and owner by", told(&answer.dressed)));
    }
    lines.push(("package", package(answer)));
    lines.extend(download(answer).map(|from| ("download", from)));
    let commit = answer.changed.commit.clone();
    lines.push(("commit", commit.unwrap_or_else(|| "unknown".into())));
    let first = lines.remove(0);
    let mut text = format!("{}: {}\n", first.0, first.1);
    for (name, value) in lines {
        text += &format!("  {name:<18}{value}\n");
    }
    text
}

fn package(answer: &Answer) -> String {
    let Some(owner) = &answer.package else {
        return "none says that it has it".into();
    };
    let how = owner.how.words();
    let how = if how.is_empty() {
        String::new()
    } else {
        format!(", {how}")
    };
    format!("{}{how}", named(&owner.package))
}

/// Where it was fetched from: the package, or the disk that had the file first.
fn download(answer: &Answer) -> Option<String> {
    let package = answer.package.as_ref();
    match (
        package.and_then(|owner| owner.download.as_ref()),
        &answer.origin,
    ) {
        (Some(file), _) => Some(file.url.clone()),
        (None, Some(disk)) => Some(format!("{disk} (the disk)")),
        (None, None) => package.map(|_| "unknown: it did not come through imgforge".into()),
    }
}

fn told(told: &Told) -> String {
    let mut line = format!("{} of {}", told.stage, told.image);
    for more in told.step.iter().chain(&told.place) {
        line += ", ";
        line += more;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_where_nobody_looked_is_not_told_as_missing() {
        let mut index = Index::default();
        let said = |index: &Index| missing(index, "web", "/etc/motd").render();
        assert!(said(&index).contains("web has no /etc/motd"));
        index.unread = vec!["partition 3: xfs is not read".into()];
        let said = said(&index);
        assert!(!said.contains("has no"), "{said}");
        assert!(
            said.contains("nothing is known of /etc/motd in web"),
            "{said}"
        );
        assert!(
            said.contains("it may be where nobody looked: partition 3: xfs"),
            "{said}"
        );
    }

    #[test]
    fn images_and_paths_are_told_apart() {
        let parts = |text: &str| parse(text).map(|(image, path)| format!("{image} {path}"));
        assert_eq!(parts("web:/etc/motd").unwrap(), "web /etc/motd");
        assert_eq!(
            parts("web:arm64@stable:/a:/b").unwrap(),
            "web:arm64@stable /a:/b"
        );
        assert_eq!(parts("web:/").unwrap(), "web /");
        assert_eq!(parts("web:/usr/").unwrap(), "web /usr");
        for bad in ["web", "web:etc", ":/etc"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}
