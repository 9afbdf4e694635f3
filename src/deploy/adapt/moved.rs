//! A machine file with all that it names, for a medium.

use super::Own;

impl Own {
    /// Itself and all that it names, as files of one directory: the first one is the machine file.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut file = self.file.clone();
        let mut all = vec![];
        for (name, (base, private, _)) in file.ssh.host_keys.iter_mut().zip(&self.host_keys) {
            name.clone_from(base);
            all.push((base.clone(), private.clone()));
        }
        if let (Some(seed), [user, meta]) = (&mut file.seed, &self.seed[..]) {
            seed.user_data = "user-data".into();
            seed.meta_data = "meta-data".into();
            all.push(("user-data".into(), user.clone()));
            all.push(("meta-data".into(), meta.clone()));
        }
        for (number, (one, content)) in file.files.iter_mut().zip(&self.files).enumerate() {
            one.file = format!("file-{number}");
            all.push((one.file.clone(), content.clone()));
        }
        // JSON is YAML.
        let text = serde_json::to_vec_pretty(&file).unwrap_or_default();
        all.insert(0, ("machine.yaml".into(), text));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a medium has is what was read, wherever its parts lay.
    #[test]
    fn what_is_moved_says_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let read = |dir: &std::path::Path| Own::read(&dir.join("machine.yaml")).unwrap();
        for (name, text) in [
            ("secret", "one"),
            ("sub/secret", "two"),
            ("user", "#cloud-config\n"),
            ("meta", "instance-id: web-7\n"),
            (
                "machine.yaml",
                "hostname: web-7\nseed: {user-data: user, meta-data: meta}\nfiles:\n\
                 - {path: /etc/one, file: secret}\n- {path: /etc/two, file: sub/secret, mode: '0640'}\n",
            ),
        ] {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let own = read(dir.path());
        let other = tempfile::tempdir().unwrap();
        for (name, bytes) in own.files() {
            std::fs::write(other.path().join(name), bytes).unwrap();
        }
        let moved = read(other.path());
        assert_eq!((&moved.files, &moved.seed), (&own.files, &own.seed));
        assert_eq!(moved.files, [b"one", b"two"]);
        assert_eq!(moved.file.hostname, own.file.hostname);
        assert_eq!(moved.file.files[1].mode, own.file.files[1].mode);
        assert_eq!(moved.file.files[1].path, "/etc/two");
    }
}
