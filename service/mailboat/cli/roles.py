"""The parts that run alone: `mailboat api`, `worker`, `watcher`, `operator`, …. Imports nothing heavy."""

from __future__ import annotations

import importlib
import os
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


def start(name: str, arguments: list[str]) -> int:
    """Run a role until it is told to stop; flags override the environment. Raises ConfigurationError."""
    role = ROLES[name]
    if {"-h", "--help"} & set(arguments):
        print(page(name))
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
    """The help of a role: its flags, then every setting with its default."""
    notes = settings_notes()
    lines = [f"Usage: mailboat {name} [OPTIONS]", "", f"  {ROLES[name].summary}", "", "Options:"]
    lines += [
        f"  {flag(field)} {field.rpartition('_')[2].upper():<12} overrides {settings.variable(field)}"
        for field in ROLES[name].flags
    ]
    lines += ["  --help             show this page", "", "Settings, from the environment:"]
    for field, default in notes.items():
        lines += [f"  {settings.variable(field)}={default[0]}", f"      {default[1]}"]
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
