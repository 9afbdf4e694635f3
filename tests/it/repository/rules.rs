//! Every rule of a channel by its example: read, obeyed by publications and promotions, and shown.

use super::world::*;

#[test]
fn every_rule_is_read_obeyed_and_shown() {
    for (field, value) in ChannelRules::EXAMPLES {
        let name = field.replace('_', "-");
        let set = rules(&name, value);
        assert_eq!(json!(set), json!({ &name: value }));
        let world = World::new();
        let [one, two, three] = ["one", "two", "three"].map(|text| world.disk(text));
        let mut settings = world.settings(&world.path("repo"));
        settings.channels = [("ruled".to_owned(), set.clone())].into();
        let repository = Repository::open(settings).unwrap();
        let publish =
            |disk, channel: &'static str| publish_with(&repository, disk, |p| p.channel = channel);
        publish(&three, "stable").unwrap();
        let promote = || {
            let (from_to, ui) = (("stable", "ruled"), Ui::silent());
            repository.promote("web-node", from_to, &Stamp::now(), &ui)
        };
        let outcomes = [
            publish(&one, "ruled").map(drop),
            publish(&two, "ruled").map(drop),
            promote().map(drop),
        ];
        let refused = outcomes.iter().filter_map(|it| it.as_ref().err());
        let refused: Vec<Kind> = refused.map(Error::kind).collect();
        assert!(refused.iter().all(|kind| *kind == Kind::Gate), "{name}");
        let state = repository.state().unwrap();
        let placed = state.images["web-node"].place("ruled", "x86_64");
        let notes = placed.map(|placed| set.notes(&placed)).unwrap_or_default();
        let page = world.path("repo/images/web-node/index.html");
        let page = std::fs::read_to_string(page).unwrap();
        for note in &notes {
            assert!(
                page.contains(note.tag) && page.contains(&note.text),
                "{name}"
            );
        }
        let shared = placed.is_some_and(|placed| placed.canary.is_some());
        assert!(
            shared || !refused.is_empty() || !notes.is_empty(),
            "{name} does nothing"
        );
    }
}
