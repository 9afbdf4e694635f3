//! Databases of packages that would take the host's memory.

use super::*;

#[test]
fn databases_larger_than_any_are_told_and_the_files_are_indexed() {
    let toy = Toy::new();
    let hole = toy.path("hole");
    // Holes: neither the guest's disk nor this one has them.
    let file = std::fs::File::create(&hole).unwrap();
    file.set_len(150 << 20).unwrap();
    let lines = ["b", "c"].map(|name| {
        let list = format!("/var/lib/dpkg/info/{name}.list");
        format!("write {} {list}", hole.display())
    });
    toy.layer(2, &lines);
    let index = toy.index("2.qcow2", "install", None);
    assert!(index.find("/usr/bin/tool").is_some());
    let [told] = index.unread.as_slice() else {
        panic!("{:?}", index.unread);
    };
    assert!(
        told.ends_with(
            ".list: with it the lists of packages are larger than any, and it is not read"
        ),
        "{told}"
    );
    let tool = index.answer("/usr/bin/tool").unwrap();
    assert_eq!(tool.package.unwrap().package.name, "tool");
}
