#!/usr/bin/env python3
"""Runs the long tests and remembers what they proved, in docs/proofs.tsv.

A long test says in its source which tier runs it and which files it is about:

    #[ignore = "vm: src/sysprep src/guest"]

Tiers: root (short, but only root can run it), vm (starts guests or appliances, and is part of each
change's way), long (the same without any), e2e (whole systems, hours), clouds (services of others),
child (run by another test only). Benchmarks, parsers' fuzzing (20 minutes of processor time each) and
scripts are listed in OTHERS below.

    scripts/proofs.py test             `cargo test`, the tier root, and one line of counts

    scripts/proofs.py                  when each last passed, on which commit, what changed since
    scripts/proofs.py run vm           all of a tier; or names, whole or else in part
    scripts/proofs.py run --stale e2e  only those that never passed, failed last, or whose files changed
    scripts/proofs.py check            every long test names a tier and files that exist, and every
                                       test that docs/ name for a promise is there
"""

import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECORD = ROOT / "docs" / "proofs.tsv"
FIELDS = ["test", "result", "commit", "date", "seconds", "cores", "acceleration", "versions"]
TIERS = ["root", "vm", "long", "e2e", "clouds", "child", "bench", "images", "install", "fuzz"]
# A hang, on the slowest host that we know; nothing is measured by it.
HANG = 3 * 3600

Test = collections.namedtuple("Test", "name tier paths command file")


def bench(name, *paths):
    return Test(f"bench {name}", "bench", list(paths), ["cargo", "bench", "--locked", "--bench", name], f"benches/{name}.rs")


def image(name, *paths):
    paths = [f"recipes/{name}.yaml", "firstboot", "src/console", "src/runner", "src/steps", "src/stage", *paths]
    return Test(f"image {name}", "images", paths, ["scripts/e2e.sh", name], "scripts/e2e.sh")


def fuzz(name, *paths):
    paths = [f"fuzz/corpus/{name}", "fuzz/main.rs", *paths]
    return Test(f"fuzz {name}", "fuzz", paths, ["scripts/fuzz.sh", "1200", name], "scripts/fuzz.sh")


OTHERS = [
    bench("appliance", "src/guest"),
    bench("build", "src/pipeline", "src/store"),
    bench("gate", "src/stage/check"),
    bench("pack", "src/pack"),
    bench("pull", "src/pull", "src/http"),
    bench("repository", "src/repository", "src/gpg", "src/index"),
    bench("seal", "src/sysprep", "src/guest"),
    bench("targets", "src/targets"),
    bench("updates", "src/updates", "src/sbom"),
    image("debian-mini"),
    image("ubuntu-base"),
    image("node-base"),
    image("compute-node", "puppet"),
    image("network-node", "puppet"),
    image("storage-node", "puppet"),
    image("research-instance", "ansible"),
    image("research-desktop", "ansible"),
    Test("install debian-base", "install", ["recipes/debian-base.yaml", "preseed", "src/stage/install", "src/proxy"],
         ["scripts/e2e-install.sh"], "scripts/e2e-install.sh"),
    Test("planted faults", "e2e", ["src/stage/check", "src/repository", "src/store", "tests/it/power", "scripts/proofs.py"],
         ["scripts/planted-faults.py"], "scripts/planted-faults.py"),
    fuzz("advisories", "src/updates/advisories"),
    fuzz("answers", "src/installers"),
    fuzz("apt-sources", "src/distro"),
    fuzz("blocks", "src/pull/blocks.rs"),
    fuzz("cyclonedx", "src/sbom"),
    fuzz("ext4", "src/ext4", "src/targets/tree"),
    fuzz("ext4-scan", "src/ext4", "src/scan"),
    fuzz("files-index", "src/blame"),
    fuzz("fstab", "src/fstab"),
    fuzz("gpt", "src/scan"),
    fuzz("http-answer", "src/http"),
    fuzz("http-request", "src/proxy"),
    fuzz("imagefile", "src/host/imagefile.rs"),
    fuzz("index", "src/index"),
    fuzz("journal", "src/runner"),
    fuzz("licences", "src/sbom"),
    fuzz("nested", "src/scan"),
    fuzz("owners", "src/blame"),
    fuzz("packages", "src/sbom"),
    fuzz("promises", "src/proxy/promises.rs"),
    fuzz("protocol", "src/runner"),
    fuzz("recipe", "src/recipe", "src/yaml", "src/steps"),
    fuzz("registry", "src/registry", "src/store/remote"),
    fuzz("repositories", "src/updates", "src/distro"),
    fuzz("tar", "src/scan"),
    fuzz("tar-tree", "src/targets/tree"),
    fuzz("treeinfo", "src/store/media"),
    fuzz("versions", "src/sbom"),
    fuzz("xz", "src/pack/read"),
]

MARK = re.compile(r'#\[ignore(?: = "([^"]*)")?\](?:\s*#\[[^\]]*\])*\s*(?:pub(?:\([^)]*\))? )?fn (\w+)', re.S)


TEST = re.compile(r"#\[test\](?:\s*#\[[^\]]*\])*\s*(?:pub(?:\([^)]*\))? )?fn (\w+)", re.S)


def sources():
    """Every file of Rust with tests: itself, its path, and the path of its modules."""
    for base in ("tests/it", "src"):
        for path in sorted((ROOT / base).rglob("*.rs")):
            modules = list(path.relative_to(ROOT / base).with_suffix("").parts)
            if modules[-1] in ("mod", "main", "lib"):
                modules.pop()
            yield path, path.relative_to(ROOT).as_posix(), modules


def broken_promises():
    """Where docs/ name a test that is not there."""
    known = {"::".join([*modules, name]) for path, _, modules in sources() for name in TEST.findall(path.read_text())}
    faults = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        _, _, proofs = page.read_text().partition("\n## Proven by\n")
        named = re.findall(r"`(\w+(?:::\w+)+)`", proofs)
        if proofs and not named:
            faults.append(f"docs/{page.name} names no test in \"Proven by\"")
        faults += [f"docs/{page.name} names {name}, which is no test" for name in named if name not in known]
    return faults


def long_tests():
    """The long tests of the sources, and what is wrong with their marks."""
    found, faults = [], []
    for path, file, modules in sources():
        text = path.read_text()
        for mark in MARK.finditer(text):
            reason, name = mark[1] or "", mark[2]
            tier, _, paths = reason.partition(":")
            paths = paths.split()
            # One that is indented stands in its file's own module of tests.
            inner = [] if text[: mark.start()].endswith("\n") else ["tests"]
            whole = "::".join([*modules, *inner, name])
            if tier not in TIERS:
                faults.append(f"{file}: {name} names no tier ({', '.join(TIERS)}): {reason!r}")
                continue
            if tier != "child" and not paths:
                faults.append(f"{file}: {name} does not say which files it is about")
            faults += [f"{file}: {name} is about {p}, which does not exist" for p in paths if not (ROOT / p).exists()]
            target = ["--test", "it"] if file.startswith("tests/") else ["--lib"]
            command = ["cargo", "test", "--locked", *target, "--", "--ignored", "--exact", whole]
            found.append(Test(whole, tier, paths, command, file))
    fuzzed = {test.name for test in OTHERS if test.tier == "fuzz"}
    faults += [f"fuzz/corpus/{c.name} has no line in OTHERS" for c in (ROOT / "fuzz/corpus").iterdir() if f"fuzz {c.name}" not in fuzzed]
    for test in OTHERS:
        faults += [f"{test.name} is about {p}, which does not exist" for p in [*test.paths, test.file] if not (ROOT / p).exists()]
    return found + OTHERS, faults


# What a test may not do, and where it is done for all of them.
BANNED = [
    (r"thread::sleep|Instant::now\(\)\s*[-+<>]|\.elapsed\(\)\s*[<>]|\.timeout\([\w:]*from_", ["src/patience.rs"],
     "waits by the clock: `patience::wait_for` waits for what happens"),
    (r"CARGO_BIN_EXE_imgforge", ["tests/it/support/program.rs"],
     "starts imgforge by itself: `support` has `World`, and `imgforge` for what needs none"),
    (r"Guestfs::launch|Connection::open\(|Daemon::start|new\(\"(guestfish|qemu-system|virt-cat)",
     ["tests/it/support/slots.rs"], "may start a guest without a slot: `slots` has it"),
]


# Lines of a file of Rust, at most.
LONGEST = 400

# A test, from its mark to its closing brace.
WHOLE = re.compile(r"^( *)#\[test\]\n(?:[^\n]*\n)*?\1(?:pub(?:\([^)]*\))? )?fn (\w+)\(.*?^\1\}", re.M | re.S)


def early_ends(file, text):
    """Where tests end before they have tested, and would pass."""
    for test in WHOLE.finditer(text):
        for hit in re.finditer(r"\breturn\s*[;}]|\bprocess::exit\(", test[0]):
            line = text[:test.start() + hit.start()].count("\n") + 1
            yield (f"{file}:{line}: `{hit.group()}` ends {test[2]} before it has tested: "
                   "what is missing makes a test fail, or it has a tier")


def bans():
    """Where tests do what they may not."""
    faults = []
    paths = [*sorted((ROOT / "tests/it").rglob("*.rs")), *sorted((ROOT / "src").rglob("*.rs"))]
    for path in paths:
        file = path.relative_to(ROOT).as_posix()
        text = path.read_text()
        if (lines := text.count("\n")) > LONGEST:
            faults.append(f"{file} has {lines} lines: {LONGEST} at most, and what does not fit goes to a file of its own")
        if file.startswith("src/") and "test" not in path.stem and "tests/" not in file:
            begin = re.search(r"#\[cfg\(test\)\]\s*mod \w+ \{", text)
            text = text[:begin.end()].count("\n") * "\n" + text[begin.end():] if begin else ""
        faults += early_ends(file, text)
        for pattern, allowed, why in BANNED:
            if file in allowed:
                continue
            for hit in re.finditer(pattern, text):
                line = text[:hit.start()].count("\n") + 1
                faults.append(f"{file}:{line}: `{hit.group()}` {why}")
    return faults


def output(*command):
    try:
        done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def commit():
    dirty = output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/proofs.tsv")
    return output("git", "rev-parse", "--short=10", "HEAD") + ("+" if dirty else "")


def versions():
    """The programs that a result may depend on."""
    told = []
    for name, *command in [
        ("qemu", "qemu-system-x86_64", "--version"),
        ("libvirt", "libvirtd", "--version"),
        ("virt-install", "virt-install", "--version"),
        ("virt-builder", "virt-builder", "--version"),
        ("gpg", "gpg", "--version"),
        ("systemd", "systemctl", "--version"),
    ]:
        number = re.search(r"\d+(\.\d+)*", output(*command))
        told.append(f"{name}={number.group() if number else 'none'}")
    return " ".join(told)


def acceleration():
    """As the probe of imgforge itself finds it."""
    for program in ("target/release/imgforge", "target/debug/imgforge"):
        told = re.search(r"^\S+ +acceleration +.*\busing (\w+)", output(str(ROOT / program), "doctor"), re.M)
        if told:
            return told[1]
    return "unknown"


def record(rows):
    head = "" if RECORD.exists() else "\t".join(FIELDS) + "\n"
    with RECORD.open("a") as file:
        file.write(head + "".join("\t".join(str(row[f]) for f in FIELDS) + "\n" for row in rows))


def history():
    """Of each test the last line, and the last that passed."""
    last, passed = {}, {}
    lines = RECORD.read_text().splitlines()[1:] if RECORD.exists() else []
    for line in lines:
        row = dict(zip(FIELDS, line.split("\t")))
        last[row["test"]] = row
        if row["result"] == "passed":
            passed[row["test"]] = row
    return last, passed


def state(test, last, passed):
    """(is it proven on these files, a word for people)"""
    good = passed.get(test.name)
    if not good:
        return False, "failed" if test.name in last else "never run"
    if last[test.name]["result"] != "passed":
        return False, "failed last"
    base = good["commit"].rstrip("+")
    if subprocess.run(["git", "cat-file", "-e", base], cwd=ROOT, capture_output=True).returncode:
        return False, f"passed on {base}, which is not here"
    changed = output("git", "diff", "--name-only", base, "--", *test.paths, test.file).splitlines()
    if good["commit"].endswith("+"):
        return False, "passed on uncommitted files"
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return False, f"changed since: {changed[0]}{more}"
    return True, "proven"


def table(tests):
    last, passed = history()
    current = 0
    for tier in TIERS:
        rows = [t for t in tests if t.tier == tier and tier != "child"]
        if rows:
            print(f"\n{tier}")
        for test in rows:
            good, told = state(test, last, passed)
            current += good
            row = passed.get(test.name)
            when = f"{row['date'][:10]} {row['commit']} {row['seconds']:>5} s" if row else ""
            print(f"  {test.name}\n      {when:<32} {told}")
    count = len([t for t in tests if t.tier != "child"])
    print(f"\n{current} of {count} long tests are proven on these files; "
          "`scripts/proofs.py run --stale TIER` runs the others")


# Lines of a failed test's output that are shown, from its beginning and from its end: what it did
# first, and what it died of.
SHOWN = (60, 140)


def excerpt(text):
    """The beginning and the end of an output, and how much lies between them."""
    lines = text.splitlines()
    head, tail = SHOWN
    if len(lines) <= head + tail:
        return "\n".join(lines)
    return "\n".join([*lines[:head], f"[... {len(lines) - head - tail} lines more ...]", *lines[-tail:]])


def run(test):
    """Runs one; its output goes to a file, and beginning and end of it to stderr if it failed."""
    logs = ROOT / "target" / "proofs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / (re.sub(r"\W+", "-", test.name) + ".log")
    began = time.monotonic()
    with log.open("w") as file:
        try:
            code = subprocess.run(test.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file,
                                  stderr=subprocess.STDOUT, timeout=HANG).returncode
        except subprocess.TimeoutExpired:
            code = -1
            file.write(f"\nstill running after {HANG} s: ended\n")
    text = log.read_text(errors="replace")
    ran = "--exact" not in test.command or re.search(r"^test result: ok\. 1 passed", text, re.M)
    result = "passed" if code == 0 and ran else "failed"
    seconds = round(time.monotonic() - began)
    print(f"test {test.name} ... {'ok' if result == 'passed' else 'FAILED'} ({seconds} s)", flush=True)
    if result == "failed":
        print(excerpt(text), file=sys.stderr)
        print(f"all of it: {log}\nagain: {' '.join(test.command)}", file=sys.stderr, flush=True)
    return result, seconds


def prove(chosen):
    """Runs these and records them; says how many passed and failed. What is in each change's way runs
    side by side, the longest first: guests as far as there are slots for them, and beside them what
    starts none. The others share directories."""
    about = {"commit": commit(), "cores": os.cpu_count(), "acceleration": acceleration(), "versions": versions()}
    last, _ = history()
    results = collections.Counter()

    def took(test):
        return int(last[test.name]["seconds"]) if test.name in last else HANG

    longest = sorted(chosen, key=took, reverse=True)
    for tiers in ({"vm": os.cpu_count() + 1, "long": 1}, {"": 1}):
        with contextlib.ExitStack() as pools:
            running = {}
            for tier, workers in tiers.items():
                pool = pools.enter_context(concurrent.futures.ThreadPoolExecutor(workers))
                these = [t for t in longest if tier == (t.tier if t.tier in ("vm", "long") else "")]
                running |= {pool.submit(run, t): t for t in these}
            for done in concurrent.futures.as_completed(running):
                result, seconds = done.result()
                results[result] += 1
                now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
                test = running[done].name
                record([{"test": test, "result": result, "date": now, "seconds": seconds, **about}])
    return results


def all_short(tests):
    """`cargo test` of everything, and what only root can run."""
    counts = collections.Counter()
    command = ["cargo", "test", "--locked", "--workspace", "--no-fail-fast"]
    # Who waits for a guest's slot keeps no processor from the others.
    threads = {"RUST_TEST_THREADS": str(2 * os.cpu_count()), **os.environ}
    cargo = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                             errors="replace", env=threads)
    for line in cargo.stdout:
        print(line, end="", flush=True)
        if told := re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", line):
            counts.update(passed=int(told[1]), failed=int(told[2]))
        elif told := re.match(r"test (\S+) ... FAILED", line):
            print(f"again: cargo test --locked -- --exact {told[1]}", flush=True)
    if cargo.wait() and not counts["failed"]:
        sys.exit("cargo test failed before the tests ran")
    for test in tests:
        if test.tier == "root" and os.geteuid() != 0:
            counts["skipped"] += 1
            print(f"test {test.name} ... skipped: only root can run it")
    if os.geteuid() == 0:
        counts.update(prove([t for t in tests if t.tier == "root"]))
    later = len([t for t in tests if t.tier not in ("root", "child")])
    print(f"{later} long tests are not among these: `make proofs` tells when each passed last")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    sys.exit(1 if counts["failed"] else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", nargs="?", default="list", choices=["list", "run", "test", "check"])
    parser.add_argument("names", nargs="*", help="tiers, or parts of names")
    parser.add_argument("--stale", action="store_true", help="only what is not proven on these files")
    args = parser.parse_args()
    tests, faults = long_tests()
    faults += bans() if args.verb == "check" else []
    if faults:
        sys.exit("\n".join(faults))
    if args.verb == "check":
        sys.exit("\n".join(broken_promises()) or 0)
    if args.verb == "test":
        all_short(tests)
    if args.verb == "list":
        table(tests)
        return
    whole = {t.name for t in tests}

    def named(test, name):
        return name in (test.tier, test.name) or (name not in whole and name not in TIERS and name in test.name)

    chosen = [t for t in tests if t.tier != "child" and any(named(t, name) for name in args.names)]
    if args.stale:
        last, passed = history()
        chosen = [t for t in chosen if not state(t, last, passed)[0]]
    elif not chosen:
        sys.exit(f"no long test is called {' or '.join(args.names) or 'nothing'}; `scripts/proofs.py` lists them")
    if any("--exact" in test.command for test in chosen):
        subprocess.run(["cargo", "test", "--locked", "--workspace", "--no-run"], cwd=ROOT, check=True)
    results = prove(chosen)
    print(f"{results['passed']} passed, {results['failed']} failed")
    sys.exit(1 if results["failed"] else 0)


main()
