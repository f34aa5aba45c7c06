"""The parts that run alone: `mailboat api`, `worker`, `watcher`, `operator`, …. Imports nothing heavy."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import NamedTuple

from mailboat import settings
from mailboat.errors import ConfigurationError


class Role(NamedTuple):
    """A part: the module and function that run it, and the settings that have a flag."""

    summary: str
    module: str
    function: str = "run"
    flags: tuple[str, ...] = ()


ROLES = {
    "api": Role("Serve the REST API and the dashboard.", "mailboat.api.main", flags=("host", "port")),
    "worker": Role("Deliver mail.", "mailboat.worker.main", flags=("worker_name",)),
    "watcher": Role("Publish templates as they are saved.", "mailboat.watcher.main", flags=("templates",)),
    "operator": Role("Turn Kubernetes resources into records.", "mailboat_operator.main", flags=("host", "port")),
    "data": Role("Run a PostgreSQL and a Valkey for a trial's cluster.", "mailboat.cli.data"),
    "migrate": Role("Bring the database up to date, then end.", "mailboat.cli.roles", "migrate"),
}


ABOVE_ALL = {
    "database_url": "PostgreSQL: all that must survive",
    "redis_url": "Valkey: hints and limits",
    "admin_token": "of /admin and of the dashboard",
    "templates": "folder with templates",
    "sealing_key": "seals the secrets of providers",
}
"""The settings that nearly every installation has."""


def start(name: str, arguments: list[str]) -> int:
    """Run a role until it is told to stop; flags override the environment. Raises ConfigurationError."""
    role = ROLES[name]
    for asked, written in PAGES.items():
        if asked in arguments:
            print(written(name))
            return 0
    chosen = settings.load({**os.environ, **overrides(name, arguments)})
    getattr(importlib.import_module(role.module), role.function)(chosen)
    return 0


def migrate(chosen: settings.Settings) -> None:
    """Alembic to the newest revision, and the partitions of the months ahead."""
    from mailboat.db.migrate import upgrade

    upgrade(chosen.database_url)


def flag(field: str) -> str:
    return f"--{field.removeprefix('worker_')}"


def overrides(name: str, arguments: list[str]) -> dict[str, str]:
    """The environment that the flags `--name value` and `--name=value` ask for."""
    known = {flag(field): settings.variable(field) for field in ROLES[name].flags}
    given: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        option, equals, value = argument.partition("=")
        if option not in known:
            raise ConfigurationError(f"{argument!r} is not an option of {name}. See `mailboat {name} --help`.")
        given[known[option]] = value if equals else next(rest, "")
        if not given[known[option]]:
            raise ConfigurationError(f"{option} needs a value. See `mailboat {name} --help`.")
    return given


def page(name: str) -> str:
    """The help of a role: its flags, the few settings without which nothing runs, and where the others are."""
    lines = [f"Usage: mailboat {name} [OPTIONS]", "", f"  {ROLES[name].summary}", "", "Options:"]
    lines += [
        f"  {flag(field)} {field.rpartition('_')[2].upper():<11} overrides {settings.variable(field)}"
        for field in ROLES[name].flags
    ]
    lines += ["  --settings         list every setting with its default", "  -h, --help         show this page", ""]
    lines += ["Settings come from the environment, these above all:"]
    lines += [f"  {settings.variable(field):<22}{note}" for field, note in ABOVE_ALL.items()]
    return "\n".join([*lines, "", "Example:", f"  DATABASE_URL=postgresql://mailboat@db/mailboat mailboat {name}"])


def settings_page() -> str:
    """Every setting with its default and meaning."""
    lines = []
    for field, (default, note) in settings_notes().items():
        lines += [f"{settings.variable(field)}={default}", f"    {note}"]
    return "\n".join(lines)


def settings_notes() -> dict[str, tuple[str, str]]:
    """Every field of Settings with its default and the comment below it."""
    import ast
    import inspect

    body = ast.parse(inspect.getsource(settings.Settings)).body[0]
    assert isinstance(body, ast.ClassDef)
    defaults = settings.Settings()
    return {
        line.target.id: (str(getattr(defaults, line.target.id)), " ".join(note.value.value.split()))
        for line, note in zip(body.body, body.body[1:], strict=False)
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and isinstance(note, ast.Expr)
        and isinstance(note.value, ast.Constant)
        and isinstance(note.value.value, str)
    }


PAGES: dict[str, Callable[[str], str]] = {"-h": page, "--help": page, "--settings": lambda _: settings_page()}
"""What is printed in place of starting the role."""
