//! What is refused of a name with several architectures, and what is not.

use super::*;

#[test]
fn a_parent_without_the_architecture_is_refused_where_it_is_named() {
    let world = World::new();
    world.write("recipes/base.yaml", BASE);
    let some = "machine: {arch: [aarch64, x86_64]}\nvars: {size: {x86_64: large, arm64: small}}\n";
    for (name, machine) in [
        ("lost", ""),
        ("other", "machine: {arch: riscv64}\n"),
        ("some", some),
    ] {
        let text = format!("name: {name}\nfrom: base\n{machine}");
        world.write(&format!("recipes/{name}.yaml"), text);
    }
    world.write("recipes/_site.yaml", "machine: {arch: [x86_64]}\n");
    let shared = "name: shared\ninclude: [_site.yaml]\nfrom: base\n";
    world.write("recipes/shared.yaml", shared);
    let mixed = "name: mixed\ninclude: [_site.yaml]\n\
        install: {bootstrap: {suite: trixie}}\nmachine: {arch: [aarch64, x86_64]}\n";
    world.write("recipes/mixed.yaml", mixed);
    let repo = Repo::open(world.dir.path()).unwrap();
    let problems = repo.validate_all(&[]).unwrap();
    insta::assert_snapshot!(problems.render(false), @r"
    error: `base` is built for several architectures
     --> recipes/lost.yaml:2:7
      |
    2 | from: base
      |       ^^^^
      |
      = help: write `machine: {arch: [x86_64, aarch64]}`, or one of them

    error: a fragment has no list of architectures
     --> recipes/_site.yaml:1:17
      |
    1 | machine: {arch: [x86_64]}
      |                 ^^^^^^^^
      |
      = help: the list belongs into the recipe that includes it

    error: a fragment has no list of architectures
     --> recipes/_site.yaml:1:18
      |
    1 | machine: {arch: [x86_64]}
      |                  ^^^^^^
      |
      = help: the list belongs into the recipe that includes it

    error: `base` is not built for riscv64
     --> recipes/other.yaml:2:7
      |
    2 | from: base
      |       ^^^^
      |
      = help: write `machine: {arch: [x86_64, aarch64]}`, or one of them

    error: `size` has no value for aarch64
     --> recipes/some.yaml:4:8
      |
    4 | vars: {size: {x86_64: large, arm64: small}}
      |        ^^^^
    ");
}

#[test]
fn nothing_is_published_on_a_parent_that_is_not() {
    let site = World::publishing();
    let recipe = "install: {import: {image: \"disk-{{ arch }}.raw\"}}\n\
        machine: {disk: 1GiB, arch: [x86_64, aarch64]}\n";
    site.image("base", recipe);
    site.image("kid", "from: base\nmachine: {arch: aarch64}\n");
    site.disk_file("disk-aarch64.raw");
    site.ok(&["build", "base:aarch64", "--until", "install"]);
    site.finish("base:aarch64", &site.disk("base"));
    site.finish("kid", &site.disk("kid"));
    // There is no disk for the other architecture of the base.
    let said = site.run(&["build", "--all", "--publish"]).exits(1);
    said.says(&[
        "`base` was not handed over",
        "kid (it builds on base:x86_64)",
    ]);
    assert!(!site.path("repo/index.asc").exists());
    // Built, and not published, it needs the base of its own architecture.
    let said = site.run(&["build", "--all"]).exits(1);
    assert!(!said.err.contains("it builds on"), "{}", said.err);
}

#[test]
fn what_cannot_be_published_together_is_told_before_it_is_built() {
    let site = World::publishing();
    site.image(
        "small",
        "install: {import: {image: disk.raw}}\n\
         machine: {disk: 1GiB, arch: [x86_64, aarch64]}\n\
         publish: {channel: \"for-{{ arch }}\"}\n",
    );
    site.disk_file("disk.raw");
    for verb in [&["validate"][..], &["validate", "small"]] {
        site.run(verb).exits(2).says(&[
            "`publish` differs between the architectures",
            "recipes/small.yaml:4:10",
        ]);
    }
    for verb in [&["build", "small", "--publish"][..], &["publish", "small"]] {
        let differs = "`publish` differs between the architectures of `small`";
        site.run(verb).exits(2).says(&[differs]);
    }
    assert!(!site.path("state/store").exists());
}

#[test]
fn the_only_architecture_of_a_list_needs_no_name() {
    let world = World::new();
    world.write(
        "recipes/base.yaml",
        BASE.replace("[x86_64, aarch64]", "[aarch64]"),
    );
    world.write("recipes/one.yaml", "name: one\nfrom: base\n");
    let repo = Repo::open(world.dir.path()).unwrap();
    let one = repo.load("one", &[]).unwrap();
    assert_eq!(one.base, Base::Layer("base:aarch64".into()));
    assert_eq!(one.recipe.machine.arch, Arch::Aarch64);
}
