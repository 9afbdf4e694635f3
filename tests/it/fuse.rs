//! File systems that a program serves, which says what it likes of owners.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::host::ours::{Owners, Seen};
use imgforge::host::temporary::is_ours;

/// Nobody's numbers.
const OTHER: u32 = 65534;

/// What the kernel may ask, of `linux/fuse.h`.
const GETATTR: u32 = 3;
const STATFS: u32 = 17;
const INIT: u32 = 26;
const SAYS_NOTHING: [u32; 3] = [2, 36, 42];

/// A directory of root's with nothing in it, says the program. It is unmounted before `asker`, a thread,
/// gets its first answer.
struct Server {
    device: File,
    dir: PathBuf,
    asker: Option<i32>,
}

fn words(words: &[u64], halves: &[u32]) -> Vec<u8> {
    let words = words.iter().flat_map(|word| word.to_ne_bytes());
    let halves = halves.iter().flat_map(|half| half.to_ne_bytes());
    words.chain(halves).collect()
}

impl Server {
    fn serve(mut self) {
        let mut bytes = vec![0; 128 << 10];
        loop {
            match (&self.device).read(&mut bytes) {
                Ok(40..) => {}
                // It is not mounted yet.
                Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
                    std::thread::yield_now();
                    continue;
                }
                _ => break,
            }
            let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
            let (what, number) = (half(4), bytes[8..16].to_vec());
            let said: Result<Vec<u8>, i32> = match what {
                INIT => Ok(words(&[], &[7, 31, 65536, 0, 9 << 16 | 12, 65536, 1, 16])
                    .into_iter()
                    .chain([0; 32])
                    .collect()),
                GETATTR => {
                    let root = words(
                        &[1, 0, 0, 1, 1, 1],
                        &[0, 0, 0, 0o40_755, 1, 0, 0, 0, 4096, 0],
                    );
                    Ok([words(&[0], &[0, 0]), root].concat())
                }
                STATFS => Ok(words(
                    &[0, 0, 0, 0, 0],
                    &[512, 255, 512, 0, 0, 0, 0, 0, 0, 0],
                )),
                what if SAYS_NOTHING.contains(&what) => continue,
                // No such file.
                1 => Err(-2),
                _ => Err(-38),
            };
            let (error, said) = match said {
                Ok(said) => (0, said),
                Err(error) => (error, vec![]),
            };
            let head = [(16 + said.len() as u32).to_ne_bytes(), error.to_ne_bytes()].concat();
            let answer = [head, number, said].concat();
            if what == GETATTR && self.asker == Some(half(32) as i32) {
                self.asker = None;
                let (mut device, dir) = (self.device.try_clone().unwrap(), self.dir.clone());
                // umount(8) asks, too, and is answered meanwhile.
                std::thread::spawn(move || {
                    Program::new("umount").arg("-l").arg(dir).run().unwrap();
                    drop(device.write_all(&answer));
                });
            } else {
                // Who asked may have ended.
                drop((&self.device).write_all(&answer));
            }
        }
    }
}

/// Mounts it as fusermount(1) does.
fn mount(dir: &Path, asker: Option<i32>) -> std::thread::JoinHandle<()> {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .unwrap();
    let server = Server {
        device: device.try_clone().unwrap(),
        dir: dir.to_owned(),
        asker,
    };
    let options = format!("fd=0,rootmode=40000,user_id={OTHER},group_id={OTHER},allow_other");
    let mount = Program::new("mount").args(["-i", "-t", "fuse", "-o", &options, "other"]);
    let server = std::thread::spawn(|| server.serve());
    mount.arg(dir).stdin(device).run().unwrap();
    server
}

/// Whether it stays, or is gone by the time of the answer, nothing shows its user but the mount itself.
#[test]
#[ignore = "root: src/host/ours.rs src/host/opened.rs src/host/temporary.rs"]
fn what_a_program_of_another_user_says_is_believed_in_no_moment() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().canonicalize().unwrap().join("x");
    std::fs::create_dir(&at).unwrap();
    assert!(is_ours(&at));
    let fault = || Owners::obeyed().fault(&at, &Seen::at(&at).unwrap(), true);
    let me = rustix::thread::gettid().as_raw_nonzero().get();
    for asker in [None, Some(me)] {
        for believed in [&(|| is_ours(&at)) as &dyn Fn() -> bool, &|| {
            fault().is_none()
        }] {
            let server = mount(&at, asker);
            assert!(!believed(), "{asker:?}");
            let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
            let stays = mounts.contains(at.to_str().unwrap());
            assert_eq!(stays, asker.is_none());
            if stays {
                Program::new("umount").arg("-l").arg(&at).run().unwrap();
            }
            server.join().unwrap();
        }
    }
    assert!(is_ours(&at));
}
