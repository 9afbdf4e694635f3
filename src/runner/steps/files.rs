//! `files`: what the recipe repository gives to the guest.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Scope, Translated};
use crate::error::{Context as _, Error, Result};
use crate::recipe::types::Files;
use crate::runner::payload::{Content, Entry};
use crate::yaml::{beneath, template};

pub(super) fn translate(files: &Files, scope: Scope<'_>) -> Result<Translated> {
    let mode = match files
        .mode
        .as_deref()
        .map(|m| (m, u32::from_str_radix(m, 8)))
    {
        None => None,
        Some((_, Ok(mode))) if mode <= 0o7777 => Some(mode),
        Some((text, _)) => {
            return Err(Error::usage(format!(
                "`{text}` is no mode; write octal digits, as in \"0644\""
            )));
        }
    };
    let mut entries = entries(files, mode, scope.root)?;
    if files.template {
        entries
            .iter_mut()
            .try_for_each(|entry| render(entry, scope))?;
    }
    let paths = entries.iter().fold(String::new(), |all, entry| {
        format!("{all}/{}\n", entry.path)
    });
    let owner = files.owner.clone().unwrap_or_default();
    Ok(Translated {
        payload: Some(entries),
        ..Translated::new(
            "files",
            vec![Entry::bytes("paths", paths), Entry::bytes("owner", owner)],
        )
    })
}

/// What the step writes, before templates are expanded.
fn entries(files: &Files, mode: Option<u32>, root: &Path) -> Result<Vec<Entry>> {
    let to = files.to.trim_start_matches('/');
    if !files.to.starts_with('/') || to.split('/').any(|part| part == "..") {
        return Err(Error::usage(format!("`{}` is no absolute path", files.to)));
    }
    let mut entries = vec![];
    match (&files.from, &files.content) {
        (Some(from), _) => {
            let source = beneath::inside(root, from)?;
            let name = source
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // A trailing slash names the directory that the file goes into.
            let path = if source.is_file() && (to.is_empty() || to.ends_with('/')) {
                format!("{to}{name}")
            } else {
                to.trim_end_matches('/').to_owned()
            };
            collect(&source, path, mode, &mut entries)?;
        }
        (None, content) => {
            let bytes = content.clone().unwrap_or_default();
            entries.push(Entry {
                mode: mode.unwrap_or(0o644),
                ..Entry::bytes(to, bytes)
            });
        }
    }
    Ok(entries)
}

/// The absolute paths that the step writes.
///
/// # Errors
/// When a file of the recipe repository cannot be read.
pub(crate) fn targets(files: &Files, root: &Path) -> Result<Vec<String>> {
    let entries = entries(files, None, root)?;
    Ok(entries
        .iter()
        .map(|entry| format!("/{}", entry.path))
        .collect())
}

/// The file `source`, or files and links below it. A recipe that names a link means what it leads
/// to, which its caller has found to be in the repository; links below it stay links. Directories
/// only when empty: in the guest a directory of the same name may be a link, which an archive's own
/// entry would replace.
pub(super) fn collect(
    source: &Path,
    path: String,
    mode: Option<u32>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let meta = std::fs::metadata(source).doing(|| format!("reading {}", source.display()))?;
    add(source, &meta, path, mode, entries)
}

fn add(
    source: &Path,
    meta: &Metadata,
    path: String,
    mode: Option<u32>,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    let doing = || format!("reading {}", source.display());
    if path.contains('\n') {
        return Err(Error::usage(format!(
            "the name of {} has a line break",
            source.display()
        )));
    }
    if meta.is_dir() {
        let mut children: Vec<PathBuf> = std::fs::read_dir(source)
            .doing(doing)?
            .map(|child| child.map(|c| c.path()).doing(doing))
            .collect::<Result<_>>()?;
        children.sort();
        if children.is_empty() {
            entries.push(Entry {
                path,
                mode: 0o755,
                content: Content::Dir,
            });
            return Ok(());
        }
        for child in children {
            let name = child
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            let meta = child.symlink_metadata().doing(doing)?;
            add(&child, &meta, below, mode, entries)?;
        }
    } else if meta.is_symlink() {
        let target = std::fs::read_link(source).doing(doing)?;
        entries.push(Entry {
            path,
            mode: 0o777,
            content: Content::Link(target),
        });
    } else if meta.is_file() {
        let usual = if meta.permissions().mode() & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        let content = Content::File(source.to_owned());
        entries.push(Entry {
            path,
            mode: mode.unwrap_or(usual),
            content,
        });
    } else {
        return Err(Error::usage(format!(
            "{} is neither a file nor a directory",
            source.display()
        )));
    }
    Ok(())
}

fn render(entry: &mut Entry, scope: Scope<'_>) -> Result<()> {
    let text = match &entry.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => {
            std::fs::read(path).doing(|| format!("reading {}", path.display()))?
        }
        _ => return Ok(()),
    };
    let text = String::from_utf8_lossy(&text);
    let rendered = template::render(&text, scope.vars, &format!("for /{}", entry.path))?;
    entry.content = Content::Bytes(rendered.into_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As cp -H and rsync with a link as their argument.
    #[test]
    fn a_link_that_a_recipe_names_is_what_it_leads_to_and_one_below_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("real/site")).unwrap();
        std::fs::write(root.join("real/motd"), "hello\n").unwrap();
        std::fs::write(root.join("real/site/a"), "a").unwrap();
        symlink("a", root.join("real/site/below")).unwrap();
        symlink("real/motd", root.join("motd")).unwrap();
        symlink("real", root.join("near")).unwrap();
        symlink("real/site", root.join("site")).unwrap();
        let of = |from: &str, to: &str| {
            let files = Files {
                from: Some(from.into()),
                to: to.into(),
                content: None,
                mode: None,
                owner: None,
                template: false,
            };
            let mut all = vec![];
            for entry in entries(&files, None, root).unwrap() {
                let what = match entry.content {
                    Content::File(path) => std::fs::read_to_string(path).unwrap(),
                    Content::Link(to) => format!("-> {}", to.display()),
                    other => format!("{other:?}"),
                };
                all.push(format!("{} {:o} {what}", entry.path, entry.mode));
            }
            all.join("|")
        };
        assert_eq!(of("motd", "/etc/motd"), "etc/motd 644 hello\n");
        assert_eq!(of("motd", "/etc/"), "etc/motd 644 hello\n");
        assert_eq!(of("near/motd", "/etc/m"), "etc/m 644 hello\n");
        let copied = "srv/a 644 a|srv/below 777 -> a";
        assert_eq!(of("site", "/srv"), copied);
        assert_eq!(of("real/site", "/srv"), copied);
    }
}
