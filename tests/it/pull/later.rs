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

/// A host that has seen nothing goes on from a backup.
#[test]
fn what_is_signed_after_a_loss_comes_after_all_that_was_seen() {
    let (world, _) = one_image();
    let kept = world.path("kept");
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        let copy = imgforge::host::exec::Program::new("cp").arg("-a");
        copy.args([from, to]).run().unwrap();
    };
    copy(&world.path("repo"), &kept);
    for seed in [7, 8, 9] {
        publish(&world, &disk(&world, "more", &[seed]), "web", "stable");
    }
    let machine = Machine::new(&world);
    let reference = format!("{}#web", world.path("repo").display());
    let find = |options: &Options<'_>| {
        machine
            .find(&reference, options)
            .map(|image| image.revision)
    };
    assert_eq!(find(&machine.trusting()).unwrap(), 4);
    std::fs::remove_dir_all(world.path("repo")).unwrap();
    copy(&kept, &world.path("repo"));
    world.repository().renew(&Stamp::now()).unwrap();
    let text = find(&machine.trusting()).unwrap_err().render();
    assert!(
        text.contains("a newer one, of transaction 4, was seen before"),
        "{text}"
    );
    world.repository().renew_older(&Stamp::now()).unwrap();
    // It is the image that has gone back now, and no old text.
    let text = find(&machine.trusting()).unwrap_err().render();
    assert!(
        text.contains("has gone back from revision 4 to 1"),
        "{text}"
    );
    world.repository().renew(&Stamp::now()).unwrap();
    let allowed = Options {
        allow_older: true,
        ..machine.trusting()
    };
    assert_eq!(find(&allowed).unwrap(), 1);
    assert_eq!(find(&machine.trusting()).unwrap(), 1);
}
