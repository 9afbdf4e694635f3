//! Paths of a recipe stay in its repository, through whatever links they lead.

use std::os::unix::fs::symlink;

use crate::pipeline::World;

const IMPORT: &str = "install: {import: {image: files/disk.raw}}\nmachine: {disk: 1GiB}\n";

#[test]
fn a_link_out_of_the_repository_is_refused_and_one_within_it_is_fine() {
    let world = World::new();
    world.write("real/motd", "hello {{ who }}\n");
    symlink("/etc", world.path("out")).unwrap();
    symlink("real", world.path("near")).unwrap();
    symlink("../real/motd", world.path("files/motd")).unwrap();
    symlink("/etc/hostname", world.path("recipes/host.yaml")).unwrap();
    let answer = |steps: &str| {
        world.recipe(&format!("{IMPORT}vars: {{who: you}}\n{steps}"));
        let output = world.run(&["validate", "recipes/small.yaml"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    for step in [
        "files: {from: out/hostname, to: /etc/x}",
        "files: {from: out, to: /etc/x}",
        "shell: out/hostname",
        "users: [{name: ops, ssh-keys: [out/hostname]}]",
        "repository: {uri: 'https://example.org/', key: out/hostname}",
        "ansible: {playbook: out/hostname}",
    ] {
        let (code, text) = answer(&format!("configure: [{{{step}}}]\n"));
        assert_eq!(code, Some(2), "{step}: {text}");
        assert!(
            text.contains("leads out of the repository"),
            "{step}: {text}"
        );
        assert!(text.contains("the link out"), "{step}: {text}");
    }
    let (code, text) = answer("include: [host.yaml]\n");
    assert!(
        code == Some(2) && text.contains("leads out of the repository"),
        "{text}"
    );
    let (code, text) = answer(
        "configure: [{files: {from: near/motd, to: /etc/motd, template: true}}, \
         {files: {from: files/motd, to: /etc/m}}]\n",
    );
    assert_eq!(code, Some(0), "{text}");
    // What Ansible would find beside its playbook.
    world.write("site.yml", "- hosts: all\n");
    symlink("/etc", world.path("roles")).unwrap();
    world.recipe(&format!(
        "{IMPORT}configure: [{{ansible: {{playbook: site.yml}}}}]\n"
    ));
    let output = world.run(&["plan", "small"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(
        text.contains("the link roles leads out of the repository"),
        "{text}"
    );
}
