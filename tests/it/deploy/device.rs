//! A real block device.

use std::os::unix::fs::OpenOptionsExt as _;

use super::world::*;

/// A loop device over a file, for as long as this lives.
struct Loop(PathBuf);

impl Loop {
    fn over(file: &Path) -> Loop {
        let losetup = Program::new("losetup").args(["--find", "--show"]);
        Loop(losetup.arg(file).text().unwrap().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let detach = Program::new("losetup").arg("--detach").arg(&self.0);
        detach.run().expect("the device is detached");
    }
}

#[test]
#[ignore = "root: src/deploy src/blockdev"]
fn a_block_device_is_written_as_a_file_is_and_never_while_it_is_in_use() {
    let (world, image) = one_root();
    let machine = Machine::new(&world);
    let base = world.path("repo").display().to_string();
    let size = 160 << 20;
    let file = machine.disk_with(size, &noise(5));
    let device = Loop::over(&file);
    let held = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::EXCL.bits() as i32)
        .open(&device.0)
        .unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = machine.deploy(&base, &device.0, &["--replace"]);
    let error = error.unwrap_err().render();
    assert!(error.contains("is in use"), "{error}");
    assert!(std::fs::read(&file).unwrap() == before);
    drop(held);

    machine.deploy(&base, &device.0, &["--replace"]).unwrap();
    let said = machine.deploy(&base, &device.0, &[]).unwrap();
    assert!(said.ends_with("already, nothing written"), "{said}");
    Program::new("blockdev")
        .arg("--flushbufs")
        .arg(&device.0)
        .run()
        .unwrap();
    drop(device);
    assert!(tree(&file).0 == tree(&image.raw).0);
    assert_eq!(tree(&file).1, size - ROOT - (1 << 20));
    let sgdisk = Program::new("sgdisk").arg("-v").arg(&file).text().unwrap();
    assert!(sgdisk.contains("No problems found"), "{sgdisk}");
    // What was there gave way to the image's zeros.
    let [now, expected] = [&file, &image.raw].map(|path| std::fs::read(path).unwrap());
    assert!(now[(1 << 20)..ROOT as usize] == expected[(1 << 20)..ROOT as usize]);
}
