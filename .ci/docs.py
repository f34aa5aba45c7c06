"""Writes the pages of docs/ that come out of the code. With --check: says which are out of date, and exits with 1."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import yaml

from mailboat import settings
from mailboat.api import problems
from mailboat.cli import commands, examples, roles
from mailboat_crds import conditions, models

DOCS = Path(__file__).parent.parent / "docs"
CHARTED = Path(__file__).parent.parent / "charts/mailboat"
CRDS = Path(__file__).parent.parent / "crds"

SETTINGS = """\
<!-- Written by `make docs` from service/mailboat/settings.py. -->
# Settings

Every process reads them once, from its environment. An empty variable counts as not set; a wrong one stops the process
with a message that names it. `SERVICE_ROLE` chooses the [role](operations.md#roles).

| variable | default | meaning |
| --- | --- | --- |
"""

PROBLEMS = """\
<!-- Written by `make docs` from service/mailboat/api/problems.py. -->
# Problems

Every refusal is `application/problem+json` as in RFC 9457: `type`, `title`, `status`, `detail` for people, `code` for
programs, and `field` where one part of the request is at fault. Codes are stable.

| code | status | meaning |
| --- | --- | --- |
"""


CODE_OR_SIGN = re.compile(r"`[^`]*`|<")
SIGNS = {"<": "&lt;"}  # or `Ada <ada@example.com>` would become a link


def row(*cells: str) -> str:
    escaped = (
        CODE_OR_SIGN.sub(lambda found: SIGNS.get(found[0], found[0]), cell.replace("|", "\\|")) for cell in cells
    )
    return f"| {' | '.join(escaped)} |\n"


def settings_page() -> str:
    notes = roles.settings_notes()
    return SETTINGS + "".join(
        row(f"`{settings.variable(field)}`", f"`{default}`" if default else "", note)
        for field, (default, note) in notes.items()
    )


def problems_page() -> str:
    return PROBLEMS + "".join(row(f"`{code}`", str(status), note) for code, (status, note) in problems.CODES.items())


RESOURCE = """\
<!-- Written by `make docs` from crds/{plural}.yaml. -->
# {kind}

{description}

`kubectl get {short}`, `kubectl explain {singular}.spec`; without a cluster `mailboat get {short}`.

## spec

| field | type | default | meaning |
| --- | --- | --- | --- |
{spec}
## Rules

{rules}

## status

| field | type | meaning |
| --- | --- | --- |
{status}
## Conditions

| condition | meaning when it is there |
| --- | --- |
{conditions}
## Reasons

| reason | meaning |
| --- | --- |
{reasons}"""


def resource_page(kind: models.Kind) -> str:
    crd = yaml.safe_load((CRDS / f"{kind.plural}.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    spec, status = schema["properties"]["spec"], schema["properties"]["status"]
    return RESOURCE.format(
        plural=kind.plural,
        kind=kind.name,
        short=kind.short,
        singular=kind.name.lower(),
        description=schema["description"],
        spec="".join(row(f"`{path}`", kind_of(node, path), default(node), note) for path, node, note in fields(spec)),
        rules="\n".join(f"- {message}" for message in dict.fromkeys([*messages(schema), *messages(spec)])),
        status="".join(row(f"`{path}`", kind_of(node, path), note) for path, node, note in fields(status)),
        conditions="".join(row(f"`{name}`", conditions.MEANINGS[name]) for name in conditions.OF_KIND[kind.name]),
        reasons="".join(
            row(f"`{reason}`", note)
            for reason in conditions.REASONS_OF[kind.name]
            for note in [conditions.REASONS[reason]]
        ),
    )


def fields(node: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any], str]]:
    """Every field below, depth first: path, schema, description with (required) where it is."""
    found = []
    for name, child in node.get("properties", {}).items():
        inner = f"{path}.{name}" if path else name
        needed = " Required." if name in node.get("required", ()) else ""
        found.append((inner, child, child["description"] + needed))
        found += fields(child.get("items", child), f"{inner}[]" if "items" in child else inner)
    return found


def kind_of(node: dict[str, Any], path: str) -> str:
    if "enum" in node:
        return ", ".join(f"`{word}`" for word in node["enum"])
    if node["type"] == "array":
        return f"list of {kind_of(node['items'], path)}"
    limits = [f"{node[bound]:,}" for bound in ("minimum", "maximum") if bound in node]
    return node["type"] + (f" {'–'.join(limits)}" if len(limits) == 2 else "")


def default(node: dict[str, Any]) -> str:
    found = node.get("default")
    return "" if found in (None, {}, []) else f"`{str(found).lower() if isinstance(found, bool) else found}`"


def messages(node: dict[str, Any]) -> Iterator[str]:
    yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
    for child in node.get("properties", {}).values():
        yield from messages(child)


CHART = """\
<!-- Written by `make docs` from values.schema.json and values.yaml. -->
# The Mailboat chart

How to use it: [Kubernetes]({guide}). Two files to start from: `examples/trial.yaml` and `examples/production.yaml`.
Helm checks every value against values.schema.json, and refuses unknown ones.

| value | default | meaning |
| --- | --- | --- |
"""


def chart_page(guide: str) -> str:
    schema = json.loads((CHARTED / "values.schema.json").read_text())
    values = yaml.safe_load((CHARTED / "values.yaml").read_text())
    return CHART.format(guide=guide) + "".join(
        row(f"`{path}`", f"`{json.dumps(value)}`", note) for path, value, note in chart_values(schema, values)
    )


def chart_values(schema: dict[str, Any], values: Any) -> Iterator[tuple[str, Any, str]]:
    """Path, default and meaning of every value; of what is free in form, as a whole."""

    def below(node: dict[str, Any], values: Any, path: str) -> Iterator[tuple[str, Any, str]]:
        for name, value in values.items():
            child = node["properties"][name]
            for reference in child.get("allOf", ()):
                child = schema["definitions"][reference["$ref"].rpartition("/")[2]] | child
            if "properties" in child and value and name != "resources":
                yield from below(child, value, f"{path}{name}.")
            else:
                yield path + name, value, child["description"]

    return below(schema, values, "")


CLI = """\
<!-- Written by `make docs` from service/mailboat/cli. -->
# The command line

`mailboat COMMAND --help` says the same as this page. `mailboat up` and the [roles](operations.md#roles) start
Mailboat or a part of it; every other command speaks to the API or, where its options have `--data`, to the database
itself.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | It worked. |
| 1 | It did not: a refusal, a fault, nothing there; `diff` found differences, `doctor` something that failed. |
| 2 | The command line or a setting is wrong; nothing was done. |
| 130 | Interrupted by Ctrl-C. |

An error is on stderr: `mailboat: `, what is wrong, and what to do about it. What was asked for goes to stdout, as a
table for people or with `--output json` for programs; progress goes to stderr, and only where that is a terminal.

## Who you are

Commands that speak to the API have these options. What is typed comes first; then the `client.json` of a `--data-dir`
that is typed; then the environment; then `data/client.json`, where `mailboat up` leaves it: on its machine, in its
folder, none is needed.

| option | environment | meaning |
| --- | --- | --- |
| `--url` | `MAILBOAT_URL` | Where the API is. |
| `--token` | `MAILBOAT_ADMIN_TOKEN` | Admin token. |
| `--key`, `--secret` | `MAILBOAT_API_KEY`, `MAILBOAT_API_SECRET` | The API key of a client, and its secret. |
| `--data-dir` | | Data folder of `mailboat up`; its `client.json` says what is not said otherwise. |

## Completion

```sh
mailboat completion bash > ~/.local/share/bash-completion/completions/mailboat
mailboat completion zsh > "${fpath[1]}/_mailboat"
mailboat completion fish > ~/.config/fish/completions/mailboat.fish
```

Commands, options and their choices are completed, and where the server answers within a second also the names of
clients, providers, templates and webhook endpoints.

## Commands
"""
SAID_ABOVE = {"url", "admin_token", "api_key", "api_secret", "data_dir"}


def cli_page() -> str:
    top = click.Context(commands.cli, info_name="mailboat")
    return CLI + "".join(command_section(context) for context in leaves(top))


def leaves(context: click.Context) -> Iterator[click.Context]:
    """A context for each command that does something, as its help sees it."""
    if not isinstance(context.command, click.Group):
        yield context
        return
    for name in context.command.list_commands(context):
        command = context.command.get_command(context, name)
        assert command is not None
        yield from leaves(click.Context(command, info_name=name, parent=context, **command.context_settings))


def command_section(context: click.Context) -> str:
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    told = inspect.cleandoc(
        (command.help or "").partition("\b")[0]
    ).rstrip()  # what follows is said above, or an example
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in SAID_ABOVE]
    shown = [option.get_help_record(context) for option in options]
    table = "".join(row(f"`{names}`", " ".join(note.split())) for names, note in filter(None, shown))
    parts = [f"\n### {context.command_path}\n", told, f"\n```text\n{usage}\n```\n"]
    if table:
        parts.append(f"| option | meaning |\n| --- | --- |\n{table}")
    if found := examples.EXAMPLES.get(context.command_path.partition(" ")[2]):
        parts.append("```sh\n" + "\n".join(found) + "\n```\n")
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "problems.md": problems_page, "cli.md": cli_page}
PAGES |= {f"resources/{kind.name.lower()}.md": partial(resource_page, kind) for kind in models.KINDS.values()}
PAGES["chart.md"] = partial(chart_page, "kubernetes.md")  # and where Helm shows it:
PAGES["../charts/mailboat/README.md"] = partial(chart_page, "../../docs/kubernetes.md")


def main(check: bool) -> int:
    pages = {(DOCS / name).resolve(): write() for name, write in PAGES.items()}
    stale = [page for page, text in pages.items() if not page.exists() or page.read_text() != text]
    for page in stale:
        if check:
            print(f"{page.relative_to(DOCS.parent.resolve())} is out of date: run `make docs`.")
        else:
            page.parent.mkdir(exist_ok=True)
            page.write_text(pages[page])
            print(f"Wrote {page.relative_to(DOCS.parent.resolve())}.")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv))
