//! The pages in a headless browser: rendered, without an error, every link resolves, and nothing
//! is wider than a telephone.

use crate::server::Server;

use super::*;

/// Opens each page as wide as a telephone and as a desk, and notes what a person would complain of.
const HARNESS: &str = r##"<!DOCTYPE html><meta charset="utf-8"><body><pre id="result">waiting</pre><script>
const pages = PAGES, lines = [];
function load(page, width) {
  return new Promise(done => {
    const frame = document.createElement("iframe");
    frame.style.cssText = "border:0;height:800px;width:" + width + "px";
    frame.onload = () => done(frame);
    frame.src = page;
    document.body.appendChild(frame);
  });
}
async function look() {
  for (const page of pages) for (const width of [360, 1280, 3840]) {
    const frame = await load(page, width), view = frame.contentDocument;
    const root = view.documentElement;
    view.querySelectorAll("details").forEach(one => one.open = true);
    const wide = root.scrollWidth > width ? "WIDE " + root.scrollWidth : "fits";
    lines.push([page, width, wide, "h1=" + view.querySelector("h1").textContent.trim(),
      "buttons=" + view.querySelectorAll(".copy button").length].join(" "));
    if (width === 360) {
      for (const link of view.querySelectorAll("a[href]")) {
        const href = link.getAttribute("href");
        if (href.startsWith("#")) {
          if (!view.getElementById(href.slice(1))) lines.push(page + " BROKEN " + href);
        } else {
          const answer = await fetch(link.href, {method: "HEAD"});
          if (!answer.ok) lines.push(page + " BROKEN " + href);
          else lines.push(page + " link " + href);
        }
      }
      const filter = view.getElementById("filter");
      if (filter) {
        filter.value = "no such image"; filter.dispatchEvent(new Event("input"));
        lines.push("filtered: " + view.getElementById("count").textContent);
      }
      for (const dark of view.querySelectorAll("img,iframe,object")) lines.push(page + " EMBEDS " + dark.outerHTML);
      if (view.defaultView.hacked) lines.push("HACKED");
    }
    frame.remove();
  }
  document.getElementById("result").textContent = lines.join("\n") + "\nlooked at all";
}
look().catch(error => { document.getElementById("result").textContent = "FAILED " + error; });
</script>"##;

/// axe in each page, as wide as a telephone, a desk and a wall, with everything open.
const AXE: &str = r##"<!DOCTYPE html><meta charset="utf-8"><body><pre id="result">waiting</pre><script>
const pages = PAGES, lines = [];
async function look(page, width, axe) {
  const frame = document.createElement("iframe");
  frame.style.cssText = "border:0;height:800px;width:" + width + "px";
  frame.src = page;
  const loaded = new Promise(done => frame.onload = done);
  document.body.appendChild(frame);
  await loaded;
  const view = frame.contentDocument;
  view.querySelectorAll("details").forEach(one => one.open = true);
  frame.contentWindow.eval(axe);
  const found = await frame.contentWindow.axe.run(view, {resultTypes: ["violations"]});
  const dark = frame.contentWindow.matchMedia("(prefers-color-scheme: dark)").matches;
  lines.push([page, width, dark ? "dark" : "light", found.passes.length > 10 ? "looked" : "BLIND"].join(" "));
  for (const one of found.violations)
    lines.push("VIOLATION " + page + " " + one.id + " " + one.nodes.map(node => node.html).join(" "));
  frame.remove();
}
(async () => {
  const axe = await (await fetch("axe.min.js")).text();
  for (const page of pages) for (const width of [360, 1280, 3840]) await look(page, width, axe);
})().catch(error => lines.push("FAILED " + error)).then(() => {
  document.getElementById("result").textContent = lines.join("\n") + "\nlooked at all";
});
</script>"##;

const HOSTILE: &str =
    "Web <script>window.hacked = 1</script> & \"co\" <img src=x onerror='window.hacked=1'>";

/// A repository with several images, revisions and channels, one of which tries to break the page.
pub(crate) fn populated(world: &World) -> Repository {
    let repository = world.repository();
    let long = "a-very-long-name-of-an-image-that-somebody-thought-was-a-good-idea-at-that-time";
    for (text, version) in [("one", "3.5.1-1"), ("two", "3.5.2-1"), ("three", "3.5.3-1")] {
        let disk = world.disk(text);
        let packages = [
            package("openssl", version, ""),
            package("libstdc++6", "12.2.0-14", "gcc-12"),
            package(text, "1.0", ""),
        ];
        let clone = |firmware: &str, nic: &str, seconds| CloneReport {
            firmware: firmware.into(),
            nic: nic.into(),
            healthy_after: Some(seconds),
            commands: vec![CommandReport {
                command: "systemctl is-active nginx".into(),
                code: Some(0),
            }],
            ..CloneReport::default()
        };
        let report = GateReport {
            passed: true,
            clones: vec![clone("bios", "virtio", 41), clone("uefi", "e1000", 43)],
            ..GateReport::default()
        };
        let gate = GateProof::new("sealed", report).unwrap();
        for (name, channel, title) in [
            ("web-node", "stable", HOSTILE),
            (long, "nightly", "Debian 12"),
        ] {
            let mut publication = publication(&disk, &gate);
            (publication.name, publication.channel, publication.title) = (name, channel, title);
            publication.companions = companions(&disk, &contents(Kind::Deb, &packages));
            publication
                .companions
                .push(Companion::bytes("x.provenance.json", "{}\n").signed());
            publication.stamp =
                Stamp::now().commit(Some("0123456789abcdef0123456789abcdef01234567".into()));
            repository.publish(&[publication], &Ui::silent()).unwrap();
        }
    }
    let stamp = Stamp::now().why(Some("a <b>leaked</b> secret"));
    repository
        .yank("web-node", 2, false, &stamp, &Ui::silent())
        .unwrap();
    repository
}

/// Chromium with nothing of the user's, and nothing that calls home.
pub(crate) fn chromium(world: &World) -> Program {
    let profile = world.path(&format!("profile-{}", uuid()));
    Program::new("chromium")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args(["--enable-logging=stderr", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .env("HOME", world.dir.path())
        .timeout(crate::patience::HANG)
}

fn uuid() -> String {
    format!(
        "{:x}",
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos()
    )
}

/// The addresses of the pages of a repository, the one of all images first.
fn pages(root: &Path) -> Vec<String> {
    let images = std::fs::read_dir(root.join("images")).unwrap().flatten();
    let mut pages: Vec<String> = images
        .map(|dir| format!("/images/{}/index.html", dir.file_name().to_string_lossy()))
        .collect();
    pages.sort();
    pages.insert(0, "/index.html".into());
    assert_eq!(pages.len(), 3);
    pages
}

#[test]
fn axe_finds_no_violation_on_a_page_in_any_width_light_and_dark() {
    let world = World::new();
    let repository = populated(&world);
    let root = repository.path();
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
    let axe = target.join("axe/node_modules/axe-core/axe.min.js");
    std::fs::copy(&axe, root.join("axe.min.js")).expect("axe, by `make deps-test`");
    // It sees what is wrong: grey on white, and a picture without a word.
    let wrong = "<!DOCTYPE html><html lang=en><title>t</title><main><h1>h</h1>\
                 <p style='color:#ccc;background:#fff'>pale</p><img src='data:,'></main>";
    std::fs::write(root.join("wrong.html"), wrong).unwrap();
    let server = Server::of(root);
    let look = |name: &str, pages: &[String], scheme: &str| {
        std::fs::write(
            root.join(name),
            AXE.replace("PAGES", &json!(pages).to_string()),
        )
        .unwrap();
        let chromium = chromium(&world)
            .args(["--dump-dom", "--virtual-time-budget=600000"])
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .arg(server.text(name));
        let text = chromium.text().unwrap();
        assert!(text.contains("\nlooked at all"), "{text}");
        text.split("</pre>").next().unwrap_or_default().to_owned()
    };
    // What a page forbids scripts would stop axe, too.
    let rule = regex::Regex::new("<meta http-equiv=\"Content-Security-Policy\"[^>]*>").unwrap();
    let copies = pages(root).into_iter().map(|page| {
        let text = std::fs::read_to_string(root.join(&page[1..])).unwrap();
        assert!(rule.is_match(&text), "{page}");
        let copy = page.replace("index.html", "copy.html");
        std::fs::write(root.join(&copy[1..]), rule.replace(&text, "").as_bytes()).unwrap();
        copy
    });
    let copies: Vec<String> = copies.collect();
    for (scheme, word) in [("0", "dark"), ("1", "light")] {
        let text = look("axe.html", &copies, scheme);
        assert!(
            !["VIOLATION", "BLIND", "FAILED"]
                .iter()
                .any(|bad| text.contains(bad)),
            "{text}"
        );
        let looked = format!(" {word} looked");
        assert_eq!(text.matches(&looked).count(), 9, "{text}");
    }
    let text = look("planted.html", &["/wrong.html".into()], "1");
    assert!(
        text.contains("color-contrast") && text.contains("image-alt"),
        "{text}"
    );
}

#[test]
fn pages_render_without_an_error_fit_a_telephone_and_every_link_resolves() {
    let world = World::new();
    let repository = populated(&world);
    let root = repository.path();
    let pages = pages(root);
    let harness = HARNESS.replace("PAGES", &json!(pages).to_string());
    std::fs::write(root.join("harness.html"), harness).unwrap();
    let server = Server::of(root);
    let log = Arc::new(Mutex::new(Vec::<String>::new()));
    let kept = Arc::clone(&log);
    chromium(&world)
        .args(["--dump-dom", "--virtual-time-budget=60000"])
        .arg(server.text("harness.html"))
        .lines(move |line| kept.lock().unwrap().push(line.to_owned()))
        .unwrap();
    let lines = log.lock().unwrap().clone();
    // What chromium itself logs comes beside the page, whose own script is not meant.
    let text = lines.join("\n");
    let said = |line: &&String| line.contains("CONSOLE");
    let console: Vec<&String> = lines.iter().filter(said).collect();
    assert!(console.is_empty(), "{console:?}");
    let text = text.split("</pre>").next().unwrap_or_default().to_owned();
    assert!(text.contains("\nlooked at all"), "{text}");
    for bad in ["WIDE", "BROKEN", "HACKED", "EMBEDS", "FAILED"] {
        assert!(!text.contains(bad), "{bad}: {text}");
    }
    assert!(
        text.contains("/index.html 360 fits h1=Machine images"),
        "{text}"
    );
    assert!(
        text.contains("/images/web-node/index.html 1280 fits h1=web-node buttons=2"),
        "{text}"
    );
    assert!(text.contains("filtered: 0 of 2 images"), "{text}");
    assert!(
        text.contains("link ../../images/web-node/3/web-node-0123456789ab.cdx.json"),
        "{text}"
    );
}

#[test]
fn pages_are_used_with_the_keyboard_alone() {
    let world = World::new();
    let repository = populated(&world);
    let server = Server::of(repository.path());
    let walk = |page: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/views/keyboard.py");
        let python = Program::new("python3").arg(script);
        let python = python
            .arg(server.text(page))
            .arg(world.path("picture.png"))
            .env("HOME", world.dir.path());
        let said = python.timeout(crate::patience::HANG).text().unwrap();
        assert!(!said.contains("BAD"), "{page}: {said}");
        assert!(said.contains("first: Skip to the content"), "{said}");
        said
    };
    let said = walk("index.html");
    assert!(said.contains("filter: 0 of 2 images"), "{said}");
    let said = walk("images/web-node/index.html");
    assert!(
        !said.contains("opened 0") && said.contains("copied 2"),
        "{said}"
    );
}

#[test]
fn a_page_reads_without_a_script_and_escapes_everything() {
    let world = World::new();
    let repository = populated(&world);
    let read = |path: &str| std::fs::read_to_string(repository.path().join(path)).unwrap();
    let root = read("index.html");
    assert!(
        root.contains("Web &lt;script&gt;") && !root.contains("<img"),
        "{root}"
    );
    let page = read("images/web-node/index.html");
    for expected in [
        "3.5.1-1 → 3.5.2-1",
        "a machine with BIOS and the network card virtio booted it and was ready after 41 s",
        "`systemctl is-active nginx` succeeded there",
        "Tested before it was published",
        "A channel decides which revision its clients get now.",
        "Download size, revision 1 to 3: now ",
        "<polyline points=\"8.0,",
        "a &lt;b&gt;leaked&lt;",
        "virt-builder web-node -o web-node.img",
        "imgforge pull",
        "SBOM (CycloneDX)",
        "0123456789abcdef0123456789abcdef01234567",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    // Its recipe asks for none of them.
    for absent in ["OpenStack", "Incus", "Vagrant", "podman"] {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    let loads = [
        "<img",
        "<script src",
        "<link rel=\"stylesheet",
        "url(",
        "@import",
    ];
    assert!(
        !loads.iter().any(|word| page.contains(word)),
        "it loads nothing: {page}"
    );
}
