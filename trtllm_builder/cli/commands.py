"""All sub-commands: where each is, and what it does in one line. A module is imported when its command is called.

Importing them all for ``--help`` took more than the command-line library itself (tests/benchmarks/test_startup.py).
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

SETTINGS: dict[str, Any] = {
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
COMMANDS = {
    "canary": ("canary:canary", "build our own small upstream: what this machine can do, in a minute"),
    "plan": ("plan:plan", "what would be built, how and why; builds nothing"),
    "releases": ("releases:releases", "which upstream releases this machine can build and run"),
    "profiles": ("profiles:app", "list, show and check profiles"),
    "fetch": ("fetch:fetch", "obtain what a build would download, also as one file for offline use"),
    "lock": ("lock:lock", "every input of a wheel by hash, for a build with --locked"),
    "rebuild": ("rebuild:rebuild", "build again from a lock, and compare byte for byte"),
    "doctor": ("doctor:doctor", "what will not work on this machine, and what to do"),
    "runs": ("runs:runs", "all builds, the newest first"),
    "status": ("status:status", "what a build does now and how far it is"),
    "attach": ("logs:attach", "watch a build that goes on elsewhere"),
    "logs": ("logs:logs", "the logs of a build"),
    "stop": ("runs:stop", "end a running build; it can be resumed"),
    "resume": ("resume:resume", "go on with a build that was stopped, killed or failed"),
    "shell": ("shell:shell", "a shell, or a command, in a build's exact environment"),
    "retarget": ("shell:retarget", "build one target again after an edit"),
    "timeline": ("timeline:timeline", "where the time of a build went"),
    "explain": ("explain:explain", "why a build stopped, from its log"),
    "verify": ("verify:verify", "what a wheel holds and needs, and whether it works"),
    "sign": ("sign:sign", "sign what a build said of its wheel, with an offline key"),
    "compare": ("compare:compare", "what differs between two wheels, and where from"),
    "probe": ("probe:probe", "what a checkout of upstream offers, or what changed"),
    "patches": ("patches:app", "patch sets against a checkout, and its ways to MPI"),
    "matrix": ("matrix:matrix", "nightly builds of several profiles as workflow files for GitHub and GitLab"),
    "fleet": ("fleet:app", "several profiles on a Slurm cluster or on this machine, followed in one view"),
    "nightly": ("nightly:nightly", "one profile's part of a night: lock, build, verify, report"),
    "summary": ("summary:summary", "what nights built, as Markdown for a CI's page"),
    "history": ("history:app", "how each profile fared over the last nights"),
    "publish": ("publish:publish", "wheels into a package index that pip and uv install from"),
    "index": ("index:app", "list, yank, prune and check a package index"),
    "gc": ("gc:gc", "what builds left on the disks; removes it on demand"),
}


class Commands(TyperGroup):
    """The group of all commands, none of them imported yet."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(import_module(f"trtllm_builder.cli.{module}"), attribute)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False, **SETTINGS)
            alone.command(cmd_name)(found)
            found = alone
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])
