#!/usr/bin/env python3
"""Plants faults, one after the other, in a copy of the last commit, and demands that the tests see each.

    scripts/planted-faults.py [WORD…]    all, or those whose name has one of the words
    scripts/planted-faults.py check      whether the lines to plant them in are still there
"""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACE = ROOT / "target" / "planted"
TREE = PLACE / "tree"

# A name; a file, what is there, and what takes its place; a command that fails then, and what it says.
Fault = collections.namedtuple("Fault", "name file old new command says")


def one(test):
    return ["cargo", "test", "--locked", "--test", "it", "--", "--include-ignored", "--exact", test]


FAILED = r"test result: FAILED\. 0 passed; 1 failed"
LINT = ["scripts/proofs.py", "check"]
TEST = "#[test]\nfn imgforge_reads_what_any_client_reads_but_for_traps() {\n"
GATE = ["scripts/proofs.py", "run", "anew::a_base_that_is_made_again_and_a_gate_that_refuses"]

FAULTS = [
    Fault("a leftover does not end the gate", "src/stage/check/mod.rs",
          "        return refuse(gate, offline::problems(&leftovers), vec![], leftovers, &[]);\n",
          "        return Ok(GateReport { passed: true, problems: vec![], clones: vec![], leftovers });\n",
          GATE, FAILED),
    Fault("the gate does not report what it accepted", "src/stage/check/offline.rs",
          "        accepted: verdict.accepted,\n", "        accepted: vec![],\n", GATE, FAILED),
    Fault("the gate's report is not in the manifest", "src/repository/publication.rs",
          "            gate: Some(Recorded::new(self.gate.report())?),\n", "",
          one("repository::clients::virt_builder_lists_downloads_and_verifies_what_was_published"), FAILED),
    Fault("the name of a build's result is not synced", "src/store/mod.rs",
          "        durable::sync_dir(&store.entries()).doing(doing)?;\n", "",
          one("power::store::a_first_build_is_there_when_it_said_so"), FAILED),
    Fault("the names of a publication are not synced", "src/repository/journal.rs",
          "    sync_all(&mut parents)?;\n    step(\"remove the journal\");\n",
          "    step(\"remove the journal\");\n",
          one("power::repository::a_first_publication_is_there_when_it_said_so"), FAILED),
    Fault("what an old disk has counts whatever it is", "src/pack/read/unpacker/seed.rs",
          "            if found == expected {\n", "            if found.is_some() {\n",
          one("pull::seed::what_was_written_to_the_old_disk_never_reaches_the_new_one"), FAILED),
    Fault("an old disk shows through holes", "src/pack/read/unpacker/seed.rs",
          "        sparse::punch(&self.file, &self.path, place.start, place.len)?;\n", "",
          one("pull::seed::what_was_written_to_the_old_disk_never_reaches_the_new_one"), FAILED),
    Fault("whoever signs, an entry of the shared store counts", "src/store/remote/mod.rs",
          "            Err(error) if matches!(error.kind(), Kind::Gate) => Err(error.message().to_owned()),\n",
          "            Err(error) if matches!(error.kind(), Kind::Gate) => Ok(true),\n",
          one("registry::store::what_nobody_of_the_site_has_signed_does_not_exist"), FAILED),
    Fault("a test ends early", "tests/it/index.rs",
          TEST, TEST + "    if !Path::new(\"/dev/kvm\").exists() {\n        return;\n    }\n",
          LINT, r"tests/it/index\.rs:\d+: `return;` ends"),
    Fault("a test sleeps", "tests/it/index.rs",
          TEST, TEST + "    std::thread::sleep(std::time::Duration::from_secs(1));\n",
          LINT, r"tests/it/index\.rs:\d+: `thread::sleep` waits by the clock"),
    Fault("an import goes up", "src/units.rs",
          "use std::fmt;\n", "use std::fmt;\n\n#[allow(unused_imports)]\nuse crate::cli;\n",
          one("floors::no_import_goes_up"), FAILED),
    Fault("a module stands on no floor", "src/lib.rs",
          "//! * `units`: sizes and durations\n", "", one("floors::no_import_goes_up"), FAILED),
    Fault("a long test is not compiled", "tests/it/anew.rs",
          "#[test]\n#[ignore", "#[cfg(any())]\n#[test]\n#[ignore", GATE, r"0 passed; 0 failed"),
]


def misplaced():
    """The faults that cannot be planted any more."""
    return [f"{fault.file} has no place for: {fault.name}" for fault in FAULTS
            if (ROOT / fault.file).read_text().count(fault.old) != 1]


def prepare():
    """A copy of the last commit, and of what was compiled of others' crates."""
    shutil.rmtree(TREE, ignore_errors=True)
    subprocess.run(["git", "clone", "-q", "--shared", ROOT, TREE], check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if not (PLACE / "target").exists() and (target / "debug").exists():
        own = shutil.ignore_patterns("incremental", "*imgforge*", "it-*", "fuzz*")
        shutil.copytree(target / "debug", PLACE / "target" / "debug", ignore=own, symlinks=True)


def run(command):
    done = subprocess.run(command, cwd=TREE, env={**os.environ, "CARGO_TARGET_DIR": str(PLACE / "target")},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    return done.returncode, done.stdout


def main():
    words = sys.argv[1:]
    if faults := misplaced():
        sys.exit("\n".join(faults))
    if words == ["check"]:
        return
    chosen = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    prepare()
    failed = 0
    for command in dict.fromkeys(tuple(fault.command) for fault in chosen):
        code, said = run(command)
        passed = code == 0 and ("cargo" not in command or "1 passed" in said)
        print(f"without a fault: {' '.join(command)} ... {'ok' if passed else 'FAILED'}", flush=True)
        if not passed:
            sys.exit(said[-8000:])
    for fault in chosen:
        path = TREE / fault.file
        sound = path.read_text()
        path.write_text(sound.replace(fault.old, fault.new))
        code, said = run(fault.command)
        path.write_text(sound)
        seen = code != 0 and re.search(fault.says, said)
        failed += not seen
        print(f"planted: {fault.name} ... {'seen' if seen else 'NOT SEEN'}", flush=True)
        if not seen:
            print(said[-8000:], file=sys.stderr)
    print(f"{len(chosen) - failed} of {len(chosen)} planted faults were seen")
    sys.exit(1 if failed else 0)


main()
