//! Of two transactions the later one counts.

use super::replay::sign_again;
use super::world::*;

/// A publisher's clock was wrong for a while.
#[test]
fn a_later_transaction_counts_and_no_earlier_one_whatever_the_times_say() {
    let (world, _) = one_image();
    publish(&world, &disk(&world, "two", &[7]), "web", "stable");
    let paths = ["index.asc", "images/web/revisions.sjson"];
    for path in paths {
        sign_again(&world, path, 7200, |text| text);
    }
    let file = |path: &str| world.path("repo").join(path);
    let ahead = paths.map(|path| std::fs::read(file(path)).unwrap());
    let machine = Machine::new(&world);
    let current = format!("{}#web", world.path("repo").display());
    let [first, leaked] = [1, 2].map(|number| format!("{current}@{number}"));
    let find = |reference: &str| machine.find(reference, &machine.trusting());
    let revision = |reference: &str| find(reference).unwrap().revision;
    assert_eq!((revision(&current), revision(&first)), (2, 1));
    let stamp = Stamp::now().why(Some("a key in it"));
    let yanked = world.repository();
    yanked.yank("web", 2, false, &stamp, &Ui::silent()).unwrap();
    // It is signed at the right time, which is earlier.
    assert_eq!(revision(&current), 3);
    let error = find(&leaked).unwrap_err();
    assert!(error.message().contains("was yanked"), "{error}");
    for (path, bytes) in paths.iter().zip(&ahead) {
        let right = std::fs::read(file(path)).unwrap();
        std::fs::write(file(path), bytes).unwrap();
        let error = find(&leaked).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        let text = error.render();
        for words in [
            "is of transaction 2, and a newer one, of transaction 3, was seen before",
            "`imgforge pull --allow-older`",
        ] {
            assert!(text.contains(words), "{path}: {text}");
        }
        std::fs::write(file(path), right).unwrap();
    }
    // Who goes back on purpose goes on from there.
    std::fs::write(file(paths[0]), &ahead[0]).unwrap();
    let allowed = Options {
        allow_older: true,
        ..machine.trusting()
    };
    machine.find(&current, &allowed).unwrap();
    assert_eq!(revision(&current), 2);
}
