use super::*;
use crate::host::exec::Program;
use crate::lock::{Fetching, Locked, Record};
use crate::proxy::Cache;
use crate::steps::ansible::galaxy::{self, Collections};
use crate::store::Store;
use crate::store::inputs::Inputs;
use crate::store::ledger::Ledger;
use crate::toolbox::{Kept, Request, Toolbox, kept};
use crate::ui::{StageUi, Ui};

/// The requirements of [`World`].
const REQUIREMENTS: &str = "ansible/requirements.yml";

fn installed(all: &[(&str, &str, Option<&str>)]) -> Installed {
    let one = |(name, version, server): &(&str, &str, Option<&str>)| {
        let collection = Collection {
            version: (*version).to_owned(),
            server: server.map(str::to_owned),
            content: format!("content of {name}"),
        };
        ((*name).to_owned(), collection)
    };
    Installed {
        collections: all.iter().map(one).collect(),
        roles: "content of all roles".into(),
    }
}

#[test]
fn a_lock_has_exact_versions_and_digests_and_keeps_what_comes_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let hub = "https://hub.example/";
    let all = [
        ("acme.tools", "1.4.0", Some("https://registry.example/api/")),
        ("acme.net", "2.0.1", Some(hub)),
        ("acme.base", "0.9.0", Some(hub)),
    ];
    let wanted = "collections:\n- acme.tools\n- {name: acme.net, version: '>=1', source: 'https://hub.example/'}\n\
                  roles:\n- 'acme.web,1.0,web'\n";
    let wanted = parse(wanted, Path::new("x")).unwrap();
    let lock = locked(&wanted, &installed(&all), dir.path());
    assert_eq!(
        serde_json::to_value(&lock).unwrap(),
        json!({"collections": [
            {"name": "acme.tools", "version": "1.4.0", CONTENT: "content of acme.tools"},
            {"name": "acme.net", "version": "2.0.1", "source": hub, CONTENT: "content of acme.net"},
            {"name": "acme.base", "version": "0.9.0", "source": hub, CONTENT: "content of acme.base"},
        ], "roles": [
            {"src": "acme.web", "version": "1.0", "name": "web", CONTENT: "content of all roles"},
        ]})
    );
    let path = dir.path().join("requirements.lock.yml");
    assert!(check(&lock, &installed(&all), &path).unwrap());
    // Another version, another content, one more.
    let refused = |all: &[(&str, &str, Option<&str>)], change: &str| {
        let mut other = installed(all);
        if let Some(one) = other.collections.get_mut(change) {
            one.content = "other".into();
        }
        check(&lock, &other, &path).unwrap_err().render()
    };
    let mut newer = all;
    newer[2].1 = "0.9.1";
    assert!(refused(&newer, "").contains("acme.base"));
    let error = refused(&all, "acme.tools");
    assert!(error.contains("acme.tools 1.4.0 is not what"), "{error}");
    let more = [&all[..], &[("acme.evil", "1.0.0", Some(hub))]].concat();
    assert!(refused(&more, "").contains("acme.evil"));
    // One of before says nothing of content.
    let before = parse(
        "collections:\n- {name: acme.tools, version: 1.4.0}\n",
        Path::new("x"),
    );
    assert!(!check(&before.unwrap(), &installed(&all[..1]), &path).unwrap());
}

#[test]
fn what_no_registry_names_is_locked_together_and_the_recipes_own_files_are_not() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    let about = "namespace: acme\nname: mine\nversion: 1.0.0\n";
    std::fs::write(dir.path().join("mine/galaxy.yml"), about).unwrap();
    let wanted = "collections:\n- {name: ./mine, type: dir}\n- {name: 'https://git.example/x.git', type: git, version: main}\n";
    let wanted = parse(wanted, Path::new("x")).unwrap();
    let hub = "https://hub.example/";
    let all = [
        ("acme.mine", "1.0.0", None),
        ("acme.x", "1.0.0", None),
        ("acme.base", "0.9.0", Some(hub)),
    ];
    let mut now = installed(&all);
    let lock = locked(&wanted, &now, dir.path());
    let value = serde_json::to_value(&lock.collections).unwrap();
    assert_eq!(value[0], json!({"name": "./mine", "type": "dir"}));
    assert!(value[1][CONTENT].is_string(), "{value}");
    assert_eq!(value[2]["source"], hub);
    let path = dir.path().join("requirements.lock.yml");
    assert!(check(&lock, &now, &path).unwrap());
    let mut change = |name: &str| {
        now.collections.get_mut(name).unwrap().content += " changed";
        check(&lock, &now, &path)
    };
    assert!(
        change("acme.mine").unwrap(),
        "the recipe's files may change"
    );
    let error = change("acme.x").unwrap_err().render();
    assert!(error.contains("git.example"), "{error}");
}

/// A shop, and a toolbox whose `ansible-galaxy` installs what it has.
struct World {
    dir: tempfile::TempDir,
    store: Store,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path().join("state"));
        store.prepare().unwrap();
        let world = World { dir, store };
        let shop = world.dir.path().join("shop").display().to_string();
        world.write("tree/python", "#!/bin/sh\nexec sh \"$@\"\n");
        // As: collection install -r FILE -p DIR
        let program = format!(
            "case $1 in collection) cp -r {shop}/ansible_collections \"$6\";;\n\
             role) mkdir -p \"$6\"; cp -r {shop}/roles/. \"$6\";; esac\n"
        );
        world.write("tree/usr/bin/ansible-galaxy", &program);
        for name in ["tools", "base"] {
            let at = format!("shop/ansible_collections/acme/{name}");
            let manifest = json!({"collection_info":
                {"namespace": "acme", "name": name, "version": "1.0.0"}});
            world.write(&format!("{at}/MANIFEST.json"), &manifest.to_string());
            world.write(&format!("{at}/plugins/m.py"), "right\n");
            let about = "server: https://hub.example/api/\n";
            let info = format!("shop/ansible_collections/acme.{name}-1.0.0.info/GALAXY.yml");
            world.write(&info, about);
        }
        world.write("shop/roles/web/tasks/main.yml", "right\n");
        world.write(
            "ansible/requirements.yml",
            "collections: [acme.tools]\nroles: [acme.web]\n",
        );
        world
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn request<'a>(
        &'a self,
        ledger: &'a Ledger,
        fetching: &'a Fetching,
        cache: &'a Cache,
        ui: &'a StageUi,
    ) -> Request<'a> {
        const NONE: &BTreeMap<String, Vec<crate::address::Address>> = &BTreeMap::new();
        Request {
            store: &self.store,
            ledger,
            mirrors: NONE,
            mirror: &crate::address::Mirror::Host,
            arch: crate::machine::Arch::default(),
            fetching,
            cache,
            log: self.dir.path(),
            ui,
        }
    }

    fn toolbox(&self, request: &Request<'_>) -> Toolbox {
        let made = kept(
            request,
            ("ansible", "toolbox"),
            Inputs::new("toolbox", 1),
            |_, dir, _| {
                Program::new("mke2fs")
                    .args(["-q", "-t", "ext4", "-d"])
                    .arg(self.dir.path().join("tree"))
                    .arg(dir.join("toolbox.raw"))
                    .arg("4M")
                    .run()?;
                Ok(Collections::default())
            },
        );
        Toolbox(made.unwrap())
    }
}

/// The lock told a version, which a registry can publish again, and roles not even that.
#[test]
fn what_is_published_again_under_the_same_version_is_refused() {
    let world = World::new();
    let (ledger, fetching) = (
        Ledger::open(world.store.state()).unwrap(),
        Fetching::default(),
    );
    let (cache, ui) = (
        Cache::new(world.store.state(), None),
        Ui::silent().stage("web", "lock"),
    );
    let request = world.request(&ledger, &fetching, &cache, &ui);
    let toolbox = world.toolbox(&request);
    let requirements = world.dir.path().join("ansible/requirements.yml");
    let install = || {
        world.store.evict(u64::MAX).unwrap();
        galaxy::install(&request, &toolbox, world.dir.path(), REQUIREMENTS)
    };
    let galaxy = install().unwrap();
    let lock = galaxy::lock(&requirements, &galaxy.path().join(galaxy::DIR)).unwrap();
    drop(galaxy);
    let text = std::fs::read_to_string(lock).unwrap();
    assert!(
        text.contains("acme.base") && text.contains("hub.example"),
        "{text}"
    );
    drop(install().unwrap());

    for (file, said) in [
        (
            "ansible_collections/acme/tools/plugins/m.py",
            "acme.tools 1.0.0",
        ),
        ("ansible_collections/acme/base/plugins/m.py", "acme.base"),
        ("roles/web/tasks/main.yml", "acme.web"),
    ] {
        world.write(&format!("shop/{file}"), "evil\n");
        let error = install().unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Gate);
        let text = error.render();
        assert!(
            text.contains(said) && text.contains("its content is another"),
            "{text}"
        );
        world.write(&format!("shop/{file}"), "right\n");
        drop(install().unwrap());
    }
}

/// The build's own lock has all that was installed as one archive: nothing is asked for it again.
#[test]
fn what_was_installed_comes_from_the_cache_as_the_builds_lock_names_it() {
    let world = World::new();
    let (ledger, recorded) = (
        Ledger::open(world.store.state()).unwrap(),
        Fetching::default(),
    );
    let (cache, ui) = (
        Cache::new(world.store.state(), None),
        Ui::silent().stage("web", "x"),
    );
    let install = |fetching: &Fetching| {
        world.store.evict(u64::MAX).unwrap();
        let request = world.request(&ledger, fetching, &cache, &ui);
        let toolbox = world.toolbox(&request);
        galaxy::install(&request, &toolbox, world.dir.path(), REQUIREMENTS)
    };
    let tasks = |kept: &Kept| {
        let file = kept.path().join("galaxy/roles/web/tasks/main.yml");
        std::fs::read_to_string(file).unwrap()
    };
    assert_eq!(tasks(&install(&recorded).unwrap()), "right\n");
    let entry = tempfile::tempdir().unwrap();
    recorded.write(entry.path(), true).unwrap();
    let record = Record::read(entry.path()).unwrap().unwrap();
    let [archive] = &record.beside["collections ansible/requirements.yml"].archives[..] else {
        panic!("{record:?}")
    };
    let bound = |record: &Record, offline: bool| {
        let locked = Locked::new("web.lock", "web", record.clone()).offline(offline);
        Fetching::new(Some(std::sync::Arc::new(locked)))
    };
    let shop = world.dir.path().join("shop");
    let away = world.dir.path().join("away");
    std::fs::rename(&shop, &away).unwrap();
    assert_eq!(tasks(&install(&bound(&record, true)).unwrap()), "right\n");

    let path = cache.path(&archive.sha256.parse().unwrap()).unwrap();
    let right = std::fs::read(&path).unwrap();
    std::fs::write(&path, &right[1..]).unwrap();
    let error = install(&bound(&record, true)).unwrap_err();
    assert!(
        error.render().contains("not on this host"),
        "{}",
        error.render()
    );
    // It is fetched again, and has to be the same.
    std::fs::rename(&away, &shop).unwrap();
    drop(install(&bound(&record, false)).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), right);
    std::fs::write(&path, b"").unwrap();
    world.write("shop/roles/web/tasks/main.yml", "evil\n");
    let error = install(&bound(&record, false)).unwrap_err();
    assert!(
        error.render().contains("than were locked"),
        "{}",
        error.render()
    );

    let toolbox = BTreeMap::from([("toolbox".to_owned(), Record::default())]);
    let other = Record {
        beside: toolbox,
        ..Record::default()
    };
    let none = install(&bound(&other, true)).unwrap_err();
    assert!(
        none.render().contains("is not in web.lock"),
        "{}",
        none.render()
    );
}
