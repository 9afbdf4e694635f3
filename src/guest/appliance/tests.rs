use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
#[ignore = "vm: src/guest/appliance"]
fn an_appliance_is_made_once_with_its_kernel_unpacked() {
    let cache = tempfile::tempdir().unwrap();
    let lib = guestfs_sys::library().unwrap();
    let path = Raw::create(lib, Box::new(|_| ())).unwrap().path();
    let libguestfs = Path::new(&path);
    let dir = made(libguestfs, cache.path()).unwrap();
    let files = ["kernel", "initrd", "root", FIXED].map(|name| dir.join(name));
    let numbers = || {
        let number = |file: &PathBuf| file.metadata().unwrap().ino();
        files.each_ref().map(number)
    };
    let before = numbers();
    let kernel = std::fs::read(&files[0]).unwrap();
    let unpacked = kernel.starts_with(b"\x7fELF");
    assert_eq!(unpacked, cfg!(target_arch = "x86_64"));
    assert_eq!(made(libguestfs, cache.path()).unwrap(), dir);
    assert_eq!(numbers(), before);

    // What a kill has left half made is made, or removed.
    std::fs::remove_file(&files[3]).unwrap();
    let left = dir.with_file_name("appliance.d.abcdefgh");
    std::fs::create_dir(&left).unwrap();
    made(libguestfs, cache.path()).unwrap();
    assert!(std::fs::read(&files[0]).unwrap() == kernel);
    assert!(!left.exists());
    // Who may not look into it cannot keep others waiting for its lock.
    assert_eq!(dir.parent().unwrap().metadata().unwrap().mode() & 0o077, 0);

    let others = Permissions::from_mode(0o777);
    std::fs::set_permissions(dir.parent().unwrap(), others).unwrap();
    let refused = made(libguestfs, cache.path()).unwrap_err();
    assert!(
        refused.render().contains("everybody may write there"),
        "{refused}"
    );
}
