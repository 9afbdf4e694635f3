//! The system calls of a run, as strace(1) tells them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::disk::{Disk, Id, Kind};
use crate::support::{Run as _, under};

/// What changes files, names, or what of them lasts; and what the replay cannot follow, which it
/// must not miss.
const CALLS: &str = "trace=open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,\
fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,symlink,symlinkat,mkdir,mkdirat,rmdir,\
fsync,fdatasync,syncfs,sync,mmap,openat2";

/// What strace does not show the bytes of; whoever misses it reads and writes.
const WITHOUT: &str = "inject=copy_file_range,sendfile,splice,io_uring_setup:error=ENOSYS";

/// A call that was successful: its name, its arguments, and what it returned.
#[derive(Debug)]
pub(crate) struct Call {
    name: String,
    arguments: Vec<String>,
    result: String,
}

impl Call {
    /// Whether something lasts afterwards that may not have lasted before.
    pub(crate) fn is_barrier(&self) -> bool {
        ["fsync", "fdatasync", "syncfs", "sync"].contains(&self.name.as_str())
    }
}

/// Runs a program; the calls of it and of the programs that it starts, in their order.
pub(crate) fn run(imgforge: &Command, scratch: &Path) -> Vec<Call> {
    let file = scratch.join("calls.txt");
    let strace = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "--seccomp-bpf",
        "-s",
        "16777216",
        "-e",
        CALLS,
    ];
    let to = ["-e", WITHOUT, "-o", file.to_str().unwrap()];
    under(&[&strace[..], &to].concat(), imgforge).said().ok();
    parse(&String::from_utf8(std::fs::read(file).unwrap()).unwrap())
}

/// The calls in what strace wrote.
pub(crate) fn parse(text: &str) -> Vec<Call> {
    let mut begun = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let (process, line) = line.split_once(' ').unwrap();
        let line = line.trim_start();
        if let Some(line) = line.strip_suffix(" <unfinished ...>") {
            begun.insert(process, line.to_owned());
            continue;
        }
        // A call that others interrupted counts when it ends.
        let whole = match line.split_once(" resumed>") {
            Some((_, rest)) => begun.remove(process).unwrap_or_default() + rest,
            None => line.to_owned(),
        };
        calls.extend(call(&whole));
    }
    calls
}

fn call(line: &str) -> Option<Call> {
    let (name, rest) = line.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") ")?;
    let result = result.trim_start().strip_prefix("= ")?;
    let failed = result.starts_with('-') || result.starts_with('?');
    (!failed && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')).then(|| Call {
        name: name.to_owned(),
        arguments: split(arguments),
        result: result.to_owned(),
    })
}

/// The arguments of a call; commas in strings, structures and paths of descriptors are part of them.
fn split(text: &str) -> Vec<String> {
    let (mut all, mut one) = (vec![], String::new());
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '[' | '{' | '<' if !quoted => depth += 1,
            ']' | '}' | '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                all.push(std::mem::take(&mut one).trim().to_owned());
                continue;
            }
            _ => {}
        }
        one.push(c);
    }
    all.push(one.trim().to_owned());
    all
}

/// The bytes of a string as strace writes it: `"a\n\0\33"`.
fn bytes(text: &str) -> Vec<u8> {
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let text = text.expect("a string in quotes, whole").as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        let byte = text[at];
        at += 1;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let code = text[at];
        at += 1;
        out.push(match code {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'v' => 0x0b,
            b'f' => 0x0c,
            b'0'..=b'7' => {
                let rest = text[at - 1..].iter().take(3);
                let digits = rest.take_while(|digit| (b'0'..=b'7').contains(digit));
                let digits: Vec<u8> = digits.map(|digit| digit - b'0').collect();
                at += digits.len() - 1;
                digits.iter().fold(0, |value, digit| value << 3 | digit)
            }
            other => other,
        });
    }
    out
}

/// Replays calls on the disk at `root`, one after another.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    pub(crate) disk: Disk,
    root: &'a str,
    /// Where the next write of a descriptor goes, and whether always to the end.
    at: BTreeMap<(String, Id), (usize, bool)>,
    /// What each number was opened for last: a path may begin with `/proc/self/fd/NUMBER`.
    opened: BTreeMap<String, String>,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(disk: Disk, root: &'a Path) -> Self {
        Replay {
            disk,
            root: root.to_str().unwrap(),
            at: BTreeMap::new(),
            opened: BTreeMap::new(),
        }
    }

    /// A descriptor's path below the root. A program in a mount name space of its own has its root
    /// somewhere, which strace puts in front.
    fn opened_below(&self, path: &str) -> Option<String> {
        self.below(&path[path.find(self.root)?..])
    }

    /// A path below the root.
    fn below(&self, path: &str) -> Option<String> {
        let path = path.strip_prefix(self.root)?;
        let path = path
            .strip_prefix('/')
            .or_else(|| path.is_empty().then_some(""))?;
        // What has no name any more comes back after no power loss.
        (!path.ends_with(" (deleted)")).then(|| path.trim_end_matches('/').to_owned())
    }

    /// The path in an argument, seen from the directory in the one before it, if it has one.
    fn path(&self, dir: Option<&String>, text: &str) -> Option<String> {
        let mut path = String::from_utf8(bytes(text)).unwrap();
        if let Some((number, rest)) = path
            .strip_prefix("/proc/self/fd/")
            .and_then(|path| path.split_once('/'))
            && let Some(dir) = self.opened.get(number)
        {
            path = format!("{dir}/{rest}");
        }
        match dir.and_then(|dir| dir.split_once('<')) {
            Some((_, dir)) if !path.starts_with('/') => {
                let dir = dir.trim_end_matches('>');
                self.opened_below(&format!("{dir}/{path}"))
            }
            _ => self.below(&path),
        }
    }

    /// The number of a descriptor, and the path that it was opened for: `3</path>`.
    fn descriptor<'t>(&self, text: &'t str) -> Option<(&'t str, String)> {
        let (number, path) = text.split_once('<')?;
        let path = path.strip_suffix('>')?;
        let path = String::from_utf8(bytes(&format!("\"{path}\""))).unwrap();
        // strace 6.1 marks what is deleted behind the bracket.
        Some((number, self.opened_below(&path)?))
    }

    /// Does what a call did.
    pub(crate) fn call(&mut self, call: &Call) {
        let arg = |number: usize| call.arguments.get(number).map_or("", String::as_str);
        let dir = |number: usize| call.arguments.get(number);
        if let Some((number, path)) = call.result.split_once('<') {
            let path = path.trim_end_matches('>').to_owned();
            self.opened.insert(number.to_owned(), path);
        }
        match call.name.as_str() {
            "open" | "creat" => self.open(self.path(None, arg(0)), arg(1), call),
            "openat" => self.open(self.path(dir(0), arg(1)), arg(2), call),
            "mkdir" => self.create(self.path(None, arg(0)), Kind::Dir),
            "mkdirat" => self.create(self.path(dir(0), arg(1)), Kind::Dir),
            "symlink" => self.create(self.path(None, arg(1)), link_to(arg(0))),
            "symlinkat" => self.create(self.path(dir(1), arg(2)), link_to(arg(0))),
            "unlink" | "rmdir" => self.remove(self.path(None, arg(0))),
            "unlinkat" => self.remove(self.path(dir(0), arg(1))),
            "rename" => {
                let paths = (self.path(None, arg(0)), self.path(None, arg(1)));
                self.both(paths, call, Disk::rename);
            }
            "renameat" | "renameat2" => {
                let paths = (self.path(dir(0), arg(1)), self.path(dir(2), arg(3)));
                self.both(paths, call, Disk::rename);
            }
            "link" => {
                let paths = (self.path(None, arg(0)), self.path(None, arg(1)));
                self.both(paths, call, Disk::link);
            }
            "linkat" => {
                let paths = (self.path(dir(0), arg(1)), self.path(dir(2), arg(3)));
                self.both(paths, call, Disk::link);
            }
            "sync" => self.disk.sync_all(),
            "mmap" => {
                let shared = arg(3).contains("MAP_SHARED") && arg(2).contains("PROT_WRITE");
                assert!(
                    !shared || self.descriptor(arg(4)).is_none(),
                    "cannot follow {call:?}"
                );
            }
            "openat2" | "truncate" => panic!("cannot follow {call:?}"),
            _ => self.on_descriptor(call),
        }
    }

    fn on_descriptor(&mut self, call: &Call) {
        let arg = |number: usize| call.arguments.get(number).map_or("", String::as_str);
        let Some((number, path)) = self.descriptor(arg(0)) else {
            return;
        };
        let Some(id) = self.disk.find(&path) else {
            return;
        };
        let key = (number.to_owned(), id);
        let offset = |text: &str| text.parse::<usize>().unwrap();
        match call.name.as_str() {
            "fsync" | "fdatasync" => self.disk.sync(id),
            "syncfs" => self.disk.sync_all(),
            "lseek" => self.at.entry(key).or_default().0 = offset(&call.result),
            "write" | "writev" => {
                let end = self.disk.content(id).len();
                // A descriptor that was inherited writes a log.
                let (at, append) = self.at.get(&key).copied().unwrap_or((end, true));
                let at = if append { end } else { at };
                let written = self.write(id, at, arg(1), call);
                self.at.insert(key, (at + written, append));
            }
            "pwrite64" | "pwritev" => {
                self.write(id, offset(arg(3)), arg(1), call);
            }
            "ftruncate" => self.disk.content(id).resize(offset(arg(1)), 0),
            "fallocate" if arg(1) == "0" => {
                let content = self.disk.content(id);
                let end = offset(arg(2)) + offset(arg(3));
                content.resize(content.len().max(end), 0);
            }
            "fallocate" if arg(1).contains("PUNCH_HOLE") || arg(1).contains("ZERO_RANGE") => {
                let content = self.disk.content(id);
                let end = (offset(arg(2)) + offset(arg(3))).min(content.len());
                content[offset(arg(2)).min(end)..end].fill(0);
            }
            _ => panic!("cannot follow {call:?}"),
        }
    }

    /// Writes what a call wrote; how many bytes.
    fn write(&mut self, id: Id, at: usize, what: &str, call: &Call) -> usize {
        let mut data = if what.starts_with('[') {
            let parts = what.split("iov_base=").skip(1);
            let part = |part: &str| bytes(part.rsplit_once(", iov_len=").unwrap().0);
            parts.flat_map(part).collect()
        } else {
            bytes(what)
        };
        data.truncate(call.result.parse().unwrap());
        let content = self.disk.content(id);
        content.resize(content.len().max(at + data.len()), 0);
        content[at..at + data.len()].copy_from_slice(&data);
        data.len()
    }

    fn open(&mut self, path: Option<String>, flags: &str, call: &Call) {
        let Some(path) = path.filter(|_| !flags.contains("O_TMPFILE")) else {
            return;
        };
        let flags = if call.name == "creat" {
            "O_CREAT|O_TRUNC"
        } else {
            flags
        };
        if flags.contains("O_CREAT") {
            self.disk.create(&path, Kind::File(vec![]));
        }
        let Some(id) = self.disk.find(&path) else {
            return;
        };
        if flags.contains("O_TRUNC") {
            self.disk.content(id).clear();
        }
        let number = call.result.split('<').next().unwrap_or_default();
        let append = flags.contains("O_APPEND");
        self.at.insert((number.to_owned(), id), (0, append));
    }

    fn create(&mut self, path: Option<String>, kind: Kind) {
        if let Some(path) = path {
            self.disk.create(&path, kind);
        }
    }

    fn remove(&mut self, path: Option<String>) {
        if let Some(path) = path {
            self.disk.remove(&path);
        }
    }

    /// A change of two names, of which the disk has both or none.
    fn both(
        &mut self,
        (from, to): (Option<String>, Option<String>),
        call: &Call,
        change: impl Fn(&mut Disk, &str, &str),
    ) {
        match (from, to) {
            (None, None) => {}
            (Some(from), Some(to)) if !call.arguments.iter().any(|a| a == "RENAME_EXCHANGE") => {
                change(&mut self.disk, &from, &to);
            }
            _ => panic!("cannot follow {call:?}"),
        }
    }
}

fn link_to(text: &str) -> Kind {
    Kind::Link(String::from_utf8(bytes(text)).unwrap())
}
