"""Tells the runner which task runs, and counts what it changed. Needs Ansible 2.12 or newer."""

import os
import sys

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "imgforge"

    def __init__(self):
        super().__init__()
        self.task = 0
        self.counts = {"ok": 0, "changed": 0, "failed": 0}
        self.changed = []

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.task += 1
        self.tell(task.get_name())

    def v2_playbook_on_handler_task_start(self, task):
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result):
        self.counts["ok"] += 1
        if result.is_changed():
            self.counts["changed"] += 1
            self.changed.append(result._task.get_name())

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.counts["failed"] += not ignore_errors

    def v2_playbook_on_stats(self, stats):
        self.tell("done")
        path = os.environ.get("IMGFORGE_ANSIBLE_CHANGED")
        if path:
            with open(path, "w", encoding="utf-8") as out:
                out.writelines(name.replace("\n", " ") + "\n" for name in self.changed)

    def tell(self, what):
        counts = ", ".join(f"{n} {word}" for word, n in self.counts.items())
        name = " ".join(what.split())
        sys.stdout.write(f"::imgforge:: task {self.task}: {name} ({counts})\n")
        sys.stdout.flush()
