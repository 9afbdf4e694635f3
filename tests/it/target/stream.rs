//! The stream-optimised disk, by readers of others and by one made from the format's text.

use super::{GENERIC, World, debian, run, text};

/// VMware's readers get a disk through a pipe; QEMU's own stream has neither footer nor end.
#[test]
fn a_stream_optimised_disk_is_one_from_front_to_back() {
    let world = World::new();
    let phony = debian(GENERIC);
    phony.file("srv/data", crate::pack::noise(3 << 20));
    let part = phony.disk(world.dir.path(), "part");
    // Beyond its first table, with an end that fills no grain.
    let disk = world.path("web.raw");
    run("cp", &["--sparse=always", text(&part), text(&disk)]);
    run("truncate", &["-s", "200M", text(&disk)]);
    run(
        "sh",
        &[
            "-c",
            &format!(
                "printf end | dd of={} bs=1 seek=209000000 conv=notrunc status=none",
                text(&disk)
            ),
        ],
    );
    run("truncate", &["-s", "209715712", text(&disk)]);
    world.exports(&disk, &["-t", "vmdk"]);
    let vmdk = world.path("out/web.vmdk");
    let mut plain = std::fs::read(&disk).unwrap();
    plain.resize(plain.len().next_multiple_of(64 << 10), 0);
    assert!(read(&std::fs::read(&vmdk).unwrap()) == plain);
    let info = run("qemu-img", &["info", "--output=json", text(&vmdk)]);
    assert!(info.contains("streamOptimized"), "{info}");
    let names = ["-f", "raw", "-F", "vmdk", text(&disk), text(&vmdk)];
    run("qemu-img", &[&["compare"], &names[..]].concat());
    // 7-Zip reads it by its footer.
    let unpacked = world.path("unpacked");
    let to = format!("-o{}", text(&unpacked));
    run("7z", &["x", "-tvmdk", "-bd", "-y", &to, text(&vmdk)]);
    let file = std::fs::read_dir(&unpacked)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert!(std::fs::read(file.path()).unwrap() == plain);
    // What is read is what is judged.
    let qemus = world.path("qemu.vmdk");
    let options = ["convert", "-O", "vmdk", "-o", "subformat=streamOptimized"];
    run(
        "qemu-img",
        &[&options[..], &[text(&disk), text(&qemus)]].concat(),
    );
    let bytes = std::fs::read(&qemus).unwrap();
    assert!(std::panic::catch_unwind(|| read(&bytes)).is_err());
}

/// The disk in a stream of VMware's, read from front to back as its format's text tells, and never
/// sought in.
fn read(stream: &[u8]) -> Vec<u8> {
    let u32_at = |at: usize| u32::from_le_bytes(stream[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(stream[at..at + 8].try_into().unwrap());
    assert_eq!((&stream[..4], u32_at(4)), (&b"KDMV"[..], 3));
    assert_eq!(u32_at(8), 0x30001, "flags");
    let (capacity, grain) = (u64_at(12), u64_at(20) as usize * 512);
    assert!(capacity.is_multiple_of(u64_at(20)) && u32_at(44) == 512);
    assert_eq!(u64_at(56), u64::MAX, "the directory is at the end");
    assert_eq!((&stream[73..77], stream[77]), (&b"\n \r\n"[..], 1));
    let mut disk = vec![0; capacity as usize * 512];
    let mut at = u64_at(64) as usize * 512;
    // What was told of each grain, table and the directory, by the sector that it began at.
    let (mut grains, mut tables, mut directory) = (vec![], vec![], None);
    loop {
        let (value, size, kind) = (u64_at(at), u32_at(at + 8) as usize, u32_at(at + 12));
        if size > 0 {
            let data = &stream[at + 12..at + 12 + size];
            let mut plain = flate2::read::ZlibDecoder::new(data);
            let to = &mut disk[value as usize * 512..][..grain];
            std::io::Read::read_exact(&mut plain, to).unwrap();
            assert_eq!(std::io::Read::read(&mut plain, &mut [0]).unwrap(), 0);
            grains.push((value, at / 512));
            at = (at + 12 + size).next_multiple_of(512);
            continue;
        }
        let body = at + 512;
        let numbers = |at: usize, count: usize| (0..count).map(move |n| u32_at(at + 4 * n));
        at = body + value as usize * 512;
        match kind {
            1 => tables.push((body / 512, numbers(body, 512).collect::<Vec<_>>())),
            2 => directory = Some((body / 512, numbers(body, value as usize * 128))),
            3 => {
                // The footer is the header with the directory's place.
                let (place, listed) = directory.take().unwrap();
                assert_eq!(u64_at(body + 56), place as u64);
                assert_eq!(stream[body..body + 56], stream[..56]);
                assert_eq!(stream[body + 64..body + 512], stream[64..512]);
                let listed: Vec<u32> = listed.filter(|place| *place != 0).collect();
                let places: Vec<u32> = tables.iter().map(|(at, _)| *at as u32).collect();
                assert_eq!(listed, places);
            }
            0 => break,
            other => panic!("a marker of kind {other}"),
        }
    }
    assert_eq!(at, stream.len(), "the end of the stream is the file's");
    assert!(stream[at - 512..].iter().all(|byte| *byte == 0));
    let listed = tables.iter().flat_map(|(_, table)| table);
    let listed: Vec<u32> = listed.copied().filter(|place| *place != 0).collect();
    let places: Vec<u32> = grains.iter().map(|(_, at)| *at as u32).collect();
    assert_eq!(listed, places, "tables name the grains before them");
    disk
}
