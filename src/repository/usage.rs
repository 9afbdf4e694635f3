//! How a client uses a repository.

use super::Repository;

impl Repository {
    /// Tells a person how virt-builder uses a channel, with `entry` as the example.
    pub fn usage(&self, channel: &str, entry: &str) -> String {
        let index = format!("{}/{}", self.url, self.index_path(channel));
        render(&Client {
            id: if channel == self.default_channel {
                "imgforge".into()
            } else {
                format!("imgforge-{channel}")
            },
            index: &index,
            key: &format!("{}/imgforge.gpg", self.url),
            local_key: self.url.starts_with("file://"),
            fingerprint: &self.fingerprint,
            entry,
        })
    }
}

struct Client<'a> {
    id: String,
    index: &'a str,
    key: &'a str,
    local_key: bool,
    fingerprint: &'a str,
    entry: &'a str,
}

fn render(client: &Client<'_>) -> String {
    let Client {
        id,
        index,
        key,
        local_key,
        fingerprint,
        entry,
    } = client;
    let (fetch, gpgkey) = if *local_key {
        (String::new(), (*key).to_owned())
    } else {
        // virt-builder takes keys from local files only.
        let path = format!("/etc/virt-builder/repos.d/{id}.gpg");
        (
            format!("    curl -fsSo {path} {key}\n"),
            format!("file://{path}"),
        )
    };
    format!(
        "Tell virt-builder about the repository in /etc/virt-builder/repos.d/{id}.conf\n\
         (or ~/.config/virt-builder/repos.d/{id}.conf):\n\n\
         {fetch}    [{id}]\n    uri={index}\n    gpgkey={gpgkey}\n\n\
         The key's fingerprint is {fingerprint}. Then:\n\n    \
             virt-builder --list\n    \
             virt-builder {entry} -o disk.img\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_servers_clients_fetch_the_key_first() {
        let text = render(&Client {
            id: "imgforge".into(),
            index: "https://images.example.org/index.asc",
            key: "https://images.example.org/imgforge.gpg",
            local_key: false,
            fingerprint: "ABCD",
            entry: "debian-mini",
        });
        insta::assert_snapshot!(text, @r"
        Tell virt-builder about the repository in /etc/virt-builder/repos.d/imgforge.conf
        (or ~/.config/virt-builder/repos.d/imgforge.conf):

            curl -fsSo /etc/virt-builder/repos.d/imgforge.gpg https://images.example.org/imgforge.gpg
            [imgforge]
            uri=https://images.example.org/index.asc
            gpgkey=file:///etc/virt-builder/repos.d/imgforge.gpg

        The key's fingerprint is ABCD. Then:

            virt-builder --list
            virt-builder debian-mini -o disk.img
        ");
    }
}
