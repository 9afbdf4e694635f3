//! The cache of packed blocks, also between processes.

use super::*;

fn with_cache<'a>(options: Options<'a>, cache: &'a BlockCache) -> Options<'a> {
    Options {
        cache: Some(cache),
        ..options
    }
}

#[test]
fn cold_and_warm_cache_and_any_threads_give_the_same_bytes() {
    let dir = TempDir::new().unwrap();
    let text = b"all work and no play ".repeat(300_000);
    let noise = noise(4 << 20);
    let raw = raw(dir.path(), 40 << 20, &[(0, &text), (20 << 20, &noise)]);
    let out = dir.path().join("disk.xz");
    let pack = |threads, cache| {
        let options = Options {
            cache,
            ..options(Profile::Nightly, threads)
        };
        let packed = compress(&raw, &out, &options, &ui()).unwrap();
        (std::fs::read(&out).unwrap(), packed)
    };
    let (plain, packed) = pack(2, None);
    let with_data = packed.blocks - packed.zero_blocks;
    let cache = BlockCache::open(dir.path(), None).unwrap();
    let mut seen = vec![];
    for threads in [1, 2, 3] {
        let (bytes, packed) = pack(threads, Some(&cache));
        assert!(bytes == plain, "{threads} threads");
        seen.push(packed.cached_blocks);
    }
    // The first finds nothing, but for blocks that are equal within the disk.
    assert!(
        seen[0] < with_data / 2 && seen[1..] == [with_data; 2],
        "{seen:?}"
    );
    unpacked_equals(&out, &raw);

    // Every entry damaged on the medium: the same bytes, and a sound cache afterwards.
    for entry in files(&dir.path().join("blocks")) {
        let mut bytes = std::fs::read(&entry).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&entry, bytes).unwrap();
    }
    let (bytes, packed) = pack(2, Some(&cache));
    assert!(bytes == plain && packed.cached_blocks < with_data / 2);
    let (bytes, packed) = pack(2, Some(&BlockCache::open(dir.path(), None).unwrap()));
    assert!(bytes == plain && packed.cached_blocks == with_data);
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let dirs = std::fs::read_dir(dir).unwrap().map(|d| d.unwrap().path());
    dirs.flat_map(|dir| std::fs::read_dir(dir).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn other_settings_do_not_share_blocks_and_a_small_cache_stays_small() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 6 << 20, &[(0, &noise(6 << 20))]);
    let out = dir.path().join("disk.xz");
    let cache = BlockCache::open(dir.path(), None).unwrap();
    for profile in [Profile::Fast, Profile::Nightly] {
        let options = with_cache(options(profile, 2), &cache);
        let packed = compress(&raw, &out, &options, &ui()).unwrap();
        assert_eq!(packed.cached_blocks, 0);
    }
    assert!(cache.usage().bytes > 12 << 20);
    let small = BlockCache::open(dir.path(), Some(Size::mib(3))).unwrap();
    small.shrink();
    assert!(small.usage().bytes <= 3 << 20);
    let options = with_cache(options(Profile::Fast, 2), &small);
    compress(&raw, &out, &options, &ui()).unwrap();
    assert!(small.usage().bytes <= 3 << 20);
    unpacked_equals(&out, &raw);
}

/// Several real processes use one cache while another one empties it.
#[test]
fn processes_share_a_cache() {
    let dir = TempDir::new().unwrap();
    let text = b"the quick brown fox ".repeat(200_000);
    let raw = raw(
        dir.path(),
        30 << 20,
        &[(0, &text), (9 << 20, &noise(3 << 20))],
    );
    let run = |name: &str| {
        crate::support::imgforge_by_the_door()
            .args(["-q", "disk", "pack", "--profile", "fast", "--state"])
            .arg(dir.path().join("state"))
            .arg(&raw)
            .arg("-o")
            .arg(dir.path().join(name))
            .run()
            .unwrap();
    };
    let cache = BlockCache::open(&dir.path().join("state"), None).unwrap();
    std::thread::scope(|scope| {
        let packs: Vec<_> = ["a", "b", "c"]
            .map(|name| scope.spawn(move || run(name)))
            .into();
        while !packs.iter().all(|pack| pack.is_finished()) {
            cache.free(1);
            std::thread::yield_now();
        }
    });
    run("d");
    let first = std::fs::read(dir.path().join("a")).unwrap();
    for name in ["b", "c", "d"] {
        assert!(
            std::fs::read(dir.path().join(name)).unwrap() == first,
            "{name}"
        );
    }
    unpacked_equals(&dir.path().join("a"), &raw);
}
