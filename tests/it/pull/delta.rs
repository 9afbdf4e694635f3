//! Who has the previous revision fetches what changed.

use super::world::*;

// Two alike fill a block of 1 MiB.
const BEFORE: &[u64] = &[
    1, 1, 2, 2, 3, 3, 4, 4, 0, 0, 0, 0, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10,
];
const AFTER: &[u64] = &[
    1, 1, 2, 2, 33, 33, 4, 4, 0, 0, 0, 0, 5, 5, 6, 6, 7, 7, 8, 8, 99, 99, 10, 10,
];

/// A machine that has the first revision, and a repository with the second.
pub(super) fn updated(server: impl Fn(&World) -> Server) -> (World, Server, Machine, Disk) {
    let world = World::new();
    let before = disk(&world, "before", BEFORE);
    publish(&world, &before, "web", "stable");
    let server = server(&world);
    let machine = Machine::new(&world);
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    let after = disk(&world, "after", AFTER);
    publish(&world, &after, "web", "stable");
    server.forget();
    (world, server, machine, after)
}

#[test]
fn only_changed_blocks_are_fetched() {
    let (_world, server, machine, after) = updated(|world| Server::of(&world.path("repo")));
    let pulled = machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&after);
    let size = after.size.as_bytes();
    assert_eq!(pulled.fetched + pulled.reused, size);
    // Two of ten blocks with data, and the end.
    assert!(
        pulled.fetched > size / 10 && pulled.fetched < size / 4,
        "{pulled:?}"
    );
    let whole = blob_requests(&server)
        .iter()
        .filter(|range| range.is_none())
        .count();
    assert_eq!(whole, 0);
    // The new blob is in the store as a whole.
    server.forget();
    machine.pull(&format!("{}#web", server.text(""))).unwrap();
    assert!(blob_requests(&server).is_empty());
}

#[test]
fn without_ranges_or_map_everything_is_fetched() {
    for spoiled in ["ranges", "map"] {
        let (_world, server, machine, after) = updated(move |world| {
            let root = world.path("repo");
            Server::start(move |request, _| {
                let mut request = request.clone();
                if spoiled == "ranges" {
                    request.headers.remove("range");
                } else if request.path.ends_with(".blocks") {
                    return Answer::of(b"imgforge-blocks 9\n");
                }
                Answer::directory(&request, &root)
            })
        });
        let pulled = machine.pull(&format!("{}#web", server.text(""))).unwrap();
        machine.has(&after);
        assert_eq!(pulled.fetched, after.size.as_bytes(), "without {spoiled}");
    }
}

#[test]
fn a_map_that_lies_costs_time_and_nothing_else() {
    let (world, server, machine, after) = updated(|world| Server::of(&world.path("repo")));
    let map = world.path("repo/images/web/2/web-0123456789ab.xz.blocks");
    let truth = std::fs::read_to_string(&map).unwrap();
    // The third block is said to be the fourth one.
    let mut lines: Vec<&str> = truth.lines().collect();
    let lie = lines[5].split(' ').next().unwrap().to_owned();
    let length = lines[4].split(' ').nth(1).unwrap();
    let line = format!("{lie} {length}");
    lines[4] = &line;
    std::fs::write(&map, lines.join("\n") + "\n").unwrap();
    let pulled = machine.pull(&format!("{}#web", server.text(""))).unwrap();
    machine.has(&after);
    assert!(pulled.fetched <= after.size.as_bytes(), "{pulled:?}");
}

#[test]
fn an_interrupted_update_goes_on_as_an_update() {
    let down = Arc::new(Mutex::new(false));
    let is_down = Arc::clone(&down);
    let (_world, server, machine, after) = updated(move |world| {
        let (root, is_down) = (world.path("repo"), Arc::clone(&is_down));
        Server::start(move |request, _| {
            // The second changed block cannot be had at first.
            let late = request.header("range").is_some_and(|range| {
                let start = range
                    .trim_start_matches("bytes=")
                    .split('-')
                    .next()
                    .unwrap();
                start.parse::<u64>().unwrap() > 900_000 && !range.ends_with('-')
            });
            if *is_down.lock().unwrap() && request.path.contains("/2/") && late {
                return Answer::status(500);
            }
            Answer::directory(request, &root)
        })
    });
    *down.lock().unwrap() = true;
    let reference = format!("{}#web", server.text(""));
    machine.pull(&reference).unwrap_err();
    *down.lock().unwrap() = false;
    let pulled = machine.pull(&reference).unwrap();
    machine.has(&after);
    assert!(pulled.fetched < after.size.as_bytes() / 4, "{pulled:?}");
    assert_eq!((pulled.copied, pulled.changed), (16 << 20, 0));
}
