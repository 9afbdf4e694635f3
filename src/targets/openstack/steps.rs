//! What every OpenStack image has inside.

use serde_json::json;

use super::OpenStack;
use crate::access::Mode;
use crate::steps::{Action, Files, Packages, Shell, Source, Step, grow};

/// Where cloud-init is told what this image is; its files sort, and the last one wins.
const CONFIG: &str = "/etc/cloud/cloud.cfg.d/90_imgforge.cfg";

/// Takes away how an installer set up the network; cloud-init does that for each machine.
const NO_STATIC_NETWORK: &str = r#"
rm -f /etc/netplan/00-installer-config*.yaml /etc/netplan/50-cloud-init.yaml \
  /etc/udev/rules.d/70-persistent-net.rules /etc/NetworkManager/system-connections/*
for file in /etc/sysconfig/network-scripts/ifcfg-*; do
  [ "${file##*-}" = lo ] || rm -f "$file"
done
if [ -f /etc/network/interfaces ]; then
  printf '%s\n' '# The interfaces are cloud-init'"'"'s.' 'source /etc/network/interfaces.d/*' '' \
    'auto lo' 'iface lo inet loopback' >/etc/network/interfaces
fi
cloud-init --version
# The schema is that of user data, which has neither sources nor the system's own settings.
if cloud-init schema --help >/dev/null 2>&1; then
  sed '/^datasource_list:/d; /^system_info:/d' /etc/cloud/cloud.cfg.d/90_imgforge.cfg >/run/imgforge.cfg
  cloud-init schema --config-file /run/imgforge.cfg
fi
"#;

/// What looks for data sources at each boot, before cloud-init: with more than one source in the
/// list and none found it would switch cloud-init off, and the machine had no account at all.
const IDENTIFY: (&str, &str) = (
    "/etc/cloud/ds-identify.cfg",
    "policy: search,found=all,maybe=all,notfound=enabled\n",
);

/// Lets only those roots through that cloud-init does not grow: logical volumes, and partitions of
/// a DOS table, which its program does not grow at all on a disk of more than 2 TiB.
const GROWS: &str = "root=$(findmnt -vno SOURCE /)
case $(lsblk -ndo TYPE \"$root\") in
lvm) ;;
part) [ \"$(blkid -p -s PART_ENTRY_SCHEME -o value \"$root\")\" = dos ] || exit 0 ;;
*) exit 0 ;;
esac
";

/// The steps in the guest: what every OpenStack image needs, then the recipe's own.
pub(super) fn steps(options: &OpenStack) -> Vec<Step> {
    let grow = ["cloud-guest-utils", "cloud-utils-growpart", "growpart"];
    let table = ["gdisk", "gdisk", "gptfdisk"];
    let lists = [
        ("debian", 0),
        ("ubuntu", 0),
        ("fedora", 1),
        ("rhel", 1),
        ("suse", 2),
    ];
    let lists = lists.map(|(distro, kind)| {
        let names = ["cloud-init", grow[kind], table[kind], "sudo"];
        // sfdisk, which others have in util-linux.
        let names = names.into_iter().chain((kind == 0).then_some("fdisk"));
        (distro, names.collect::<Vec<_>>())
    });
    let own = [
        (
            "install cloud-init",
            Action::Packages(Packages::by_distro(lists)),
        ),
        (
            "tell cloud-init where its data is",
            file(CONFIG, config(options)),
        ),
        (
            "let cloud-init run where no data is",
            file(IDENTIFY.0, IDENTIFY.1.to_owned()),
        ),
        (
            "leave the network to cloud-init",
            Action::Shell(Shell::Run(NO_STATIC_NETWORK.into())),
        ),
    ];
    let own = own
        .into_iter()
        .map(|(name, action)| Step::named(name, action));
    own.chain([grow::service(GROWS)])
        .chain(options.configure.iter().cloned())
        .collect()
}

fn file(to: &str, content: String) -> Action {
    Action::Files(Files {
        source: Source::Content(content),
        to: to.to_owned(),
        mode: Some(Mode::new(0o644)),
        owner: None,
    })
}

/// The sources stand on one line, as a shell script of cloud-init's looks for them, too.
fn config(options: &OpenStack) -> String {
    let mut config = "#cloud-config\n\
                      datasource_list: [ConfigDrive, OpenStack, NoCloud, None]\n\
                      growpart: {mode: auto, devices: [/]}\n\
                      resize_rootfs: true\n"
        .to_owned();
    if let Some(user) = &options.user {
        // JSON is YAML.
        let system = json!({"default_user": {
            "name": user,
            "gecos": "Cloud user",
            "lock_passwd": true,
            "groups": ["adm"],
            "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
            "shell": "/bin/bash",
        }});
        config += &format!("system_info: {system}\n");
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloud_init_runs_where_no_data_is() {
        let steps = steps(&OpenStack::default());
        let policy = "policy: search,found=all,maybe=all,notfound=enabled\n";
        let wanted = file("/etc/cloud/ds-identify.cfg", policy.into());
        assert!(steps.iter().any(|step| step.action == wanted));
    }

    #[test]
    fn cloud_init_is_told_where_to_look() {
        let plain = config(&OpenStack::default());
        assert!(plain.starts_with("#cloud-config\n"), "{plain}");
        assert!(!plain.contains("default_user"), "{plain}");
        let named = config(&OpenStack {
            user: Some("ops".into()),
            ..OpenStack::default()
        });
        let list = "datasource_list: [ConfigDrive, OpenStack, NoCloud, None]";
        assert!(plain.lines().any(|line| line == list), "{plain}");
        let system = named
            .lines()
            .find_map(|line| line.strip_prefix("system_info: "));
        let system: serde_json::Value = serde_json::from_str(system.unwrap()).unwrap();
        assert_eq!(system["default_user"]["name"], "ops");
    }
}
