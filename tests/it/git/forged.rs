//! Checkouts whose objects are not what their names say, and files that change as they are read.

use std::io::Write as _;
use std::path::PathBuf;

use super::*;

fn git(dir: &Path, args: &[&str]) -> Vec<u8> {
    Program::new("git").args(args).dir(dir).output().unwrap()
}

fn line(dir: &Path, args: &[&str]) -> String {
    let text = String::from_utf8(git(dir, args)).unwrap();
    text.trim_end().to_owned()
}

/// Where the objects of the checkout at `dir` are.
fn objects(dir: &Path) -> PathBuf {
    PathBuf::from(line(dir, &["rev-parse", "--absolute-git-dir"])).join("objects")
}

/// The loose object of this name.
fn loose(dir: &Path, id: &str) -> PathBuf {
    objects(dir).join(&id[..2]).join(&id[2..])
}

/// Puts other content below the name of an object.
fn put(dir: &Path, id: &str, kind: &str, content: &[u8]) {
    let mut to = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::fast());
    write!(to, "{kind} {}\0", content.len()).unwrap();
    to.write_all(content).unwrap();
    std::fs::remove_file(loose(dir, id)).unwrap();
    std::fs::write(loose(dir, id), to.finish().unwrap()).unwrap();
}

/// As [`put`] of a tree, in a pack of its own, whose index has the other name.
fn put_packed(dir: &Path, id: &str, forged: &str) {
    std::fs::remove_file(loose(dir, id)).unwrap();
    let pack = objects(dir).join("pack/pack");
    let make = Program::new("git").args(["pack-objects", "-q"]).arg(&pack);
    let name = make.dir(dir).input(format!("{forged}\n")).text().unwrap();
    let index = pack.with_file_name(format!("pack-{name}.idx"));
    let mut bytes = std::fs::read(&index).unwrap();
    let id = hex::decode(id).unwrap();
    // A header, how many names begin with a byte or a lower one, and the only name.
    for first in 0..=255u8 {
        let at = 8 + 4 * usize::from(first);
        bytes[at + 3] = u8::from(first >= id[0]);
    }
    bytes[8 + 1024..][..id.len()].copy_from_slice(&id);
    std::fs::remove_file(&index).unwrap();
    std::fs::write(&index, bytes).unwrap();
}

/// Changes `dir/file` of a checkout, and the tree `dir` with it, below the old one's name.
fn forge(checkout: &Path, dir: &str, file: &str, packed: bool) {
    let genuine = line(checkout, &["rev-parse", &format!("HEAD:{dir}")]);
    std::fs::write(checkout.join(dir).join(file), "forged").unwrap();
    git(checkout, &["add", "."]);
    let tree = ["write-tree", &format!("--prefix={dir}/")];
    let forged = line(checkout, &tree);
    assert_ne!(genuine, forged);
    match packed {
        true => put_packed(checkout, &genuine, &forged),
        false => {
            let content = git(checkout, &["cat-file", "tree", &forged]);
            put(checkout, &genuine, "tree", &content);
        }
    }
    assert_eq!(
        line(checkout, &["status", "--porcelain"]),
        "",
        "git sees it"
    );
}

fn written(repo: &Repo, names: &[&str]) {
    for name in names {
        let path = repo.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name).unwrap();
    }
    repo.git(&["add", "."]);
}

/// Publishes from the checkout, of which a build read `name`.
fn publish(repo: &Repo, name: &str) -> imgforge::error::Result<()> {
    let path = repo.dir.path().join(name);
    let found = Digests::open(repo.home.path()).walk(&path)?;
    let read = [Walked {
        path,
        found,
        installer: false,
    }];
    publishable_by(repo.dir.path(), true, &read, Some(&repo.signers("a"))).map(drop)
}

fn refused(repo: &Repo, name: &str, why: &str) {
    let error = publish(repo, name).unwrap_err();
    assert_eq!(error.kind(), Kind::Gate);
    let text = error.render();
    assert!(text.contains(why), "no `{why}` in {text}");
}

#[test]
fn a_tree_that_is_not_what_its_name_says_is_refused() {
    for (dir, file) in [("recipes", "a"), ("recipes/deep", "b")] {
        for packed in [false, true] {
            let repo = Repo::new();
            written(&repo, &["recipes/a", "recipes/deep/b", "recipes/deep/er/c"]);
            repo.commit("one", true);
            publish(&repo, "recipes").unwrap();
            forge(repo.dir.path(), dir, file, packed);
            refused(&repo, "recipes", "with all of its trees");
        }
    }
}

#[test]
fn packed_trees_and_a_history_that_is_not_there_are_fine() {
    let repo = Repo::new();
    for name in ["recipes/a", "recipes/deep/b", "recipes/deep/c"] {
        written(&repo, &[name]);
        repo.commit(name, true);
    }
    repo.git(&["repack", "-adfq"]);
    publish(&repo, "recipes").unwrap();
    let shallow = Repo::new();
    let from = format!("file://{}", repo.dir.path().display());
    shallow.git(&["fetch", "-q", "--depth", "1", &from]);
    shallow.git(&["checkout", "-q", "FETCH_HEAD"]);
    let path = shallow.dir.path().join("recipes");
    let found = Digests::open(repo.home.path()).walk(&path).unwrap();
    let read = [Walked {
        path,
        found,
        installer: false,
    }];
    publishable_by(shallow.dir.path(), true, &read, Some(&repo.signers("a"))).unwrap();
}

#[test]
fn a_tree_of_a_submodule_that_is_not_what_its_name_says_is_refused() {
    let (repo, inner) = (Repo::new(), Repo::new());
    written(&inner, &["tasks/main"]);
    inner.commit("inner", false);
    let from = inner.dir.path().to_str().unwrap();
    let add = ["submodule", "--quiet", "add", from, "roles"];
    repo.git(&[&["-c", "protocol.file.allow=always"][..], &add].concat());
    repo.commit("one", true);
    publish(&repo, "roles").unwrap();
    forge(&repo.dir.path().join("roles"), "tasks", "main", false);
    refused(&repo, "roles", "with all of its trees");
}

/// Git LFS lets a blob say of which bytes the file is.
#[test]
fn a_blob_that_is_not_what_its_name_says_points_to_nothing() {
    let repo = Repo::new();
    written(&repo, &["files/a"]);
    repo.commit("one", true);
    let root = repo.dir.path();
    let forged = "forged ".repeat(1000);
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&forged));
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n",
        forged.len()
    );
    let id = repo.git(&["rev-parse", "HEAD:files/a"]);
    put(root, &id, "blob", pointer.as_bytes());
    repo.git(&["update-index", "--assume-unchanged", "files/a"]);
    std::fs::write(root.join("files/a"), forged).unwrap();
    refused(&repo, "files", "files/a: it differs from the commit");
}

/// What is compared with the plan is what is compared with the commit.
#[test]
fn a_file_is_not_another_one_for_git_than_for_the_plan() {
    let repo = Repo::new();
    written(&repo, &["files/a"]);
    repo.commit("one", true);
    let path = repo.dir.path().join("files/a");
    let genuine = std::fs::read(&path).unwrap();
    repo.git(&["update-index", "--assume-unchanged", "files/a"]);
    std::fs::remove_file(&path).unwrap();
    Program::new("mkfifo").arg(&path).run().unwrap();
    let other = repo.home.path().join("other");
    std::fs::write(&other, "forged").unwrap();
    // Who opens it first gets the one, and finds the other there the next time.
    let to = path.clone();
    let swap = std::thread::spawn(move || {
        let mut pipe = std::fs::File::options().write(true).open(&to).unwrap();
        std::fs::rename(other, to).unwrap();
        pipe.write_all(&genuine).unwrap();
    });
    let blake3 = blake3::hash(b"forged").to_hex();
    let found = vec![(String::new(), format!("file 644 {blake3}"))];
    let read = [Walked {
        path,
        found,
        installer: false,
    }];
    let signers = repo.signers("a");
    let error = publishable_by(repo.dir.path(), true, &read, Some(&signers)).unwrap_err();
    swap.join().unwrap();
    let text = error.render();
    assert!(
        text.contains("it changed since the build was planned"),
        "{text}"
    );
}
