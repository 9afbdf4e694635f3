//! Fixes of a package that had one before.

use super::others::{publish, serve};
use super::*;

/// Also where an image is never judged whole, as its repository does not say what is a security fix.
#[test]
fn a_fix_that_an_image_has_got_is_forgotten_and_the_next_one_is_new() {
    let (archive, _server, world) = mirror();
    let offer =
        |revision: &str, version: &str| publish(&world, &archive, "rpms", (revision, version));
    offer("1763200800", "2");
    let server = serve(&world.path("rpms"));
    let has = |text: &str, version: &str| {
        let bash = Package {
            arch: "noarch".into(),
            ..package("bash", version, "")
        };
        let image = Contents {
            sources: vec![format!("rpm [id=os signed=yes] {}", server.text(""))],
            ..contents(Kind::Rpm, &[bash])
        };
        let disk = world.disk(text);
        publish_with(&world.repository(), &disk, |p| {
            p.name = "rocky";
            p.companions = companions(&disk, &image);
        })
        .unwrap();
    };
    let look = |code: i32| {
        let said = world.updates(&["rocky", "--json"]).exits(code).json();
        said["images"][0]["updates"].clone()
    };
    has("one", "1-1");
    let now = look(4)[0]["since"].clone();
    let last = world.read("state/updates/last.json");
    let earlier = last.replace(&format!("\":{now}"), "\":1000");
    world.write("state/updates/last.json", earlier);
    // While one waits, there comes another one.
    offer("1763200900", "3");
    let update = look(4)[0].clone();
    assert_eq!(
        (&update["available"], &update["since"]),
        (&json!("3-1"), &json!(1000))
    );
    assert!(update["offered"].as_u64() > Some(1000), "{update}");
    has("two", "3-1");
    assert_eq!(look(1), json!([]));
    offer("1763201000", "4");
    let update = look(4)[0].clone();
    assert!(update["since"].as_u64() > Some(1000), "{update}");
}
