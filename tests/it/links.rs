//! Paths of a recipe stay in its repository, through whatever links they lead.

use std::os::unix::fs::symlink;

use crate::support::World;
use crate::support::world::IMPORT;

#[test]
fn a_link_out_of_the_repository_is_refused_and_one_within_it_is_fine() {
    let world = World::importing();
    world.write("real/motd", "hello {{ who }}\n");
    symlink("/etc", world.path("out")).unwrap();
    symlink("real", world.path("near")).unwrap();
    symlink("../real/motd", world.path("files/motd")).unwrap();
    symlink("/etc/hostname", world.path("recipes/host.yaml")).unwrap();
    let answer = |steps: &str| {
        world.image("small", &format!("{IMPORT}vars: {{who: you}}\n{steps}"));
        world.run(&["validate", "recipes/small.yaml"])
    };
    let out = ["leads out of the repository"];
    for step in [
        "files: {from: out/hostname, to: /etc/x}",
        "files: {from: out, to: /etc/x}",
        "shell: out/hostname",
        "users: [{name: ops, ssh-keys: [out/hostname]}]",
        "repository: {uri: 'https://example.org/', key: out/hostname}",
        "ansible: {playbook: out/hostname}",
    ] {
        let refused = answer(&format!("configure: [{{{step}}}]\n")).exits(2);
        refused.says(&["leads out of the repository", "the link out"]);
    }
    answer("include: [host.yaml]\n").exits(2).says(&out);
    let fine = answer(
        "configure: [{files: {from: near/motd, to: /etc/motd, template: true}}, \
         {files: {from: files/motd, to: /etc/m}}]\n",
    );
    fine.ok();
    // What Ansible would find beside its playbook.
    world.write("site.yml", "- hosts: all\n");
    symlink("/etc", world.path("roles")).unwrap();
    world.image(
        "small",
        &format!("{IMPORT}configure: [{{ansible: {{playbook: site.yml}}}}]\n"),
    );
    let refused = world.run(&["plan", "small"]).exits(2);
    refused.says(&["the link roles leads out of the repository"]);
}
