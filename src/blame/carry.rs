//! What a layer has changed against the one below it: since when each file is as it is.

use std::collections::HashSet;

use super::index::{File, Index, Layer, Removed, Since};

/// The index of a layer, of what is on its disk now and of the index of the disk below.
pub(super) fn carry(
    layer: Layer,
    files: Vec<File>,
    unread: Vec<String>,
    below: Option<Index>,
) -> Index {
    let below = below.unwrap_or_default();
    let number = below.layers.len();
    let marks: HashSet<u64> = below.files.iter().map(|file| file.mark).collect();
    // As it was, under another name: a directory above it was renamed, and that has left no time.
    let is_moved = |file: &File| file.mark != 0 && marks.contains(&file.mark);
    let files: Vec<File> = files
        .into_iter()
        .map(|file| one(file, number, &below, &is_moved))
        .collect();
    let mut index = Index {
        layers: below.layers.iter().cloned().chain([layer]).collect(),
        unread,
        files,
        ..Index::default()
    };
    let gone = |path: &str| index.find(path).is_none();
    let earlier = below.removed.iter().filter(|was| gone(&was.path)).cloned();
    let now = below.files.iter().filter(|file| gone(&file.path));
    let now = now.map(|file| Removed {
        path: file.path.clone(),
        layer: number,
    });
    let mut removed: Vec<Removed> = earlier.chain(now).collect();
    removed.sort_by(|a, b| a.path.cmp(&b.path));
    index.removed = removed;
    index
}

fn one(file: File, layer: usize, below: &Index, is_moved: &dyn Fn(&File) -> bool) -> File {
    let now = |since: Since| Since { layer, ..since };
    let Some(before) = below.find(&file.path) else {
        let moved = is_moved(&file);
        let now = |since: Since| Since {
            layer,
            at: since.at.filter(|_| !moved),
        };
        return File {
            born: now(file.born),
            changed: now(file.changed),
            dressed: now(file.dressed),
            ..file
        };
    };
    let kind = |file: &File| file.mode & 0o170_000;
    // A directory's names are files of their own.
    let same_size = file.is_dir() || file.size == before.size;
    let kept = kind(&file) == kind(before) && file.content == before.content && same_size;
    let dress = |file: &File| (file.mode, file.uid, file.gid);
    File {
        born: before.born,
        changed: if kept {
            before.changed
        } else {
            now(file.changed)
        },
        dressed: if dress(&file) == dress(before) {
            before.dressed
        } else {
            now(file.dressed)
        },
        ..file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32, content: &str, at: i64) -> File {
        let since = Since {
            layer: 0,
            at: Some(at),
        };
        File {
            path: path.into(),
            mode,
            size: content.len() as u64,
            content: content.into(),
            born: since,
            changed: since,
            dressed: since,
            ..File::default()
        }
    }

    fn layer(stage: &str) -> Layer {
        Layer {
            stage: stage.into(),
            ..Layer::default()
        }
    }

    #[test]
    fn files_come_change_are_dressed_and_go() {
        let first = vec![
            file("/changed", 0o100_644, "a", 1),
            file("/chmod", 0o100_644, "a", 1),
            file("/dir", 0o040_755, "", 1),
            file("/gone", 0o100_644, "a", 1),
            file("/link", 0o120_777, "to", 1),
            file("/same", 0o100_644, "a", 1),
        ];
        let first = carry(layer("install"), first, vec![], None);
        assert!(first.files.iter().all(|file| file.changed.layer == 0));
        let second = vec![
            file("/changed", 0o100_644, "b", 2),
            file("/chmod", 0o100_600, "a", 2),
            file("/dir", 0o040_755, "", 2),
            file("/link", 0o100_644, "to", 2),
            file("/new", 0o100_644, "n", 2),
            file("/same", 0o100_644, "a", 2),
        ];
        let second = carry(layer("configure"), second, vec!["x".into()], Some(first));
        let since = |path: &str| {
            let file = second.find(path).unwrap();
            let all = [file.born, file.changed, file.dressed];
            all.map(|since| (since.layer, since.at.unwrap()))
        };
        assert_eq!(since("/changed"), [(0, 1), (1, 2), (0, 1)]);
        assert_eq!(since("/chmod"), [(0, 1), (0, 1), (1, 2)]);
        assert_eq!(since("/dir"), [(0, 1); 3]);
        assert_eq!(since("/link"), [(0, 1), (1, 2), (1, 2)]);
        assert_eq!(since("/new"), [(1, 2); 3]);
        assert_eq!(since("/same"), [(0, 1); 3]);
        let gone = |index: &Index| -> Vec<(String, usize)> {
            let removed = index.removed.iter();
            removed.map(|one| (one.path.clone(), one.layer)).collect()
        };
        assert_eq!(gone(&second), [("/gone".to_owned(), 1)]);
        let back = second.files.iter().filter(|file| file.path != "/new");
        let back = back.cloned().chain([file("/gone", 0o100_644, "a", 3)]);
        let mut back: Vec<File> = back.collect();
        back.sort_by(|a, b| a.path.cmp(&b.path));
        let third = carry(layer("seal"), back, vec![], Some(second));
        assert_eq!(gone(&third), [("/new".to_owned(), 2)]);
        assert_eq!(third.find("/gone").unwrap().born.layer, 2);
        assert_eq!(third.layers.len(), 3);
    }
}
