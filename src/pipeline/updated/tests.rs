use super::*;

fn choose(waiting: &[&str], quiet: &[&str]) -> (Vec<String>, Vec<String>) {
    choose_of(waiting, quiet, &|_| true)
}

fn choose_of(
    waiting: &[&str],
    quiet: &[&str],
    asked: &dyn Fn(&str) -> bool,
) -> (Vec<String>, Vec<String>) {
    let on = |name: &str| On::Image(name.into());
    let recipes = BTreeMap::from([
        ("base".to_owned(), On::Nothing),
        ("web".to_owned(), on("base")),
        ("shop".to_owned(), on("web")),
        ("other".to_owned(), On::Nothing),
        ("pinned".to_owned(), On::Published),
    ]);
    let needs = |name: &str| {
        let is = |list: &[&str], name: &str| list.contains(&name);
        let made = is(waiting, &format!("{name}!")).then_some(Need::Finish);
        let waits = is(waiting, name).then_some(Need::Build);
        made.or(waits).or(is(quiet, name).then_some(Need::Nothing))
    };
    let Rebuild { images, from, .. } = of(&recipes, &needs, asked);
    let from = from.iter().map(|(name, stage)| format!("{name} {stage}"));
    (images, from.collect())
}

#[test]
fn what_is_on_its_way_or_elsewhere_is_not_built_again() {
    let image = |channel: &str, canary: bool, pending: usize| ImageUpdates {
        at: Place {
            image: "web".into(),
            arch: "x86_64".into(),
            repository: "main".into(),
            channel: channel.into(),
            revision: Some(1),
            canary,
        },
        looked: 0,
        packages: 1,
        updates: vec![Update::default(); pending],
        advisories: vec![],
        unread: vec![],
        waited: vec![],
    };
    let to = Some(("main".to_owned(), "testing".to_owned()));
    for (images, to, waits) in [
        (vec![image("stable", false, 1)], None, Some(true)),
        (vec![image("stable", false, 0)], None, Some(false)),
        (vec![], None, None),
        (
            vec![image("stable", false, 1), image("stable", true, 0)],
            None,
            Some(false),
        ),
        (
            vec![image("stable", false, 1), image("stable", true, 1)],
            None,
            Some(true),
        ),
        (
            vec![image("stable", false, 1), image("testing", false, 0)],
            None,
            Some(true),
        ),
        (
            vec![image("stable", false, 1), image("testing", false, 0)],
            to.clone(),
            Some(false),
        ),
        (vec![image("stable", false, 1)], to, Some(true)),
    ] {
        let waiting = waiting(images.iter().collect(), to.as_ref());
        let some = waiting.map(|updates| !updates.is_empty());
        assert_eq!(some, waits, "{images:?}");
    }
}

#[test]
fn what_waits_and_what_is_built_on_it_is_made_again_and_nothing_else() {
    let (images, from) = choose(&["base", "web"], &["shop", "other"]);
    assert_eq!(images, ["base", "shop", "web"]);
    assert_eq!(from, ["base install"]);
    // Its own steps brought it.
    let (images, from) = choose(&["web"], &["base", "shop"]);
    assert_eq!(
        (images, from),
        (
            vec!["shop".into(), "web".into()],
            vec!["web configure".into()]
        )
    );
    // No channel has what it is built on.
    let (images, from) = choose(&["shop"], &["other"]);
    assert_eq!(images, ["base", "shop", "web"]);
    assert_eq!(from, ["base install"]);
    let (images, from) = choose(&["pinned"], &["base"]);
    assert_eq!(
        (images, from),
        (vec!["pinned".into()], vec!["pinned configure".into()])
    );
    assert_eq!(choose(&[], &["base", "web"]), (vec![], vec![]));
    // What is built has them: it is handed over, and what is built on it follows.
    let (images, from) = choose(&["base!"], &["web", "other"]);
    assert_eq!(
        (images, from),
        (vec!["base".into(), "shop".into(), "web".into()], vec![])
    );
    let (images, from) = choose(&["base!", "web"], &["shop"]);
    assert_eq!(images, ["base", "shop", "web"]);
    assert_eq!(from, ["web configure"]);
    // Somebody asked for one: what has to be made again for it, and nothing else.
    let only = |name: &'static str| move |other: &str| other == name;
    let (images, from) = choose_of(&["other", "web"], &["base", "shop"], &only("web"));
    assert_eq!(images, ["shop", "web"]);
    assert_eq!(from, ["web configure"]);
    let (images, from) = choose_of(&["base", "other", "web"], &["shop"], &only("web"));
    assert_eq!(images, ["base", "shop", "web"]);
    assert_eq!(from, ["base install"]);
}
