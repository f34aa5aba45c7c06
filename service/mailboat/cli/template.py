"""`mailboat template`: write and look at templates with neither server nor database, through the same processes."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from mailboat.cli import starters
from mailboat.cli.noun import Noun
from mailboat.cli.options import mapping
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision
from mailboat.errors import MailboatError, TemplateFault
from mailboat.registry import entries, frame, schemas
from mailboat.registry.folder import NAME, Folder
from mailboat.render import base
from mailboat.render.base import Job, Outcome
from mailboat.render.pools import Pools

SUFFIXES = (".html.j2", ".tsx", ".jsx", ".js")
_PLACE = re.compile(r"(?P<file>[^:\n]+):(?P<line>\d+):(?P<column>\d+): ")
PROJECT = ("package.json", "tsconfig.json")
"""What lies at the top of a project of React Email's."""


def data_of(text: str) -> dict[str, Any]:
    """A JSON object: in a file, or as it is when it begins with a brace."""
    return mapping(text if text.lstrip().startswith("{") else "@" + text.removeprefix("@"))


class _Group(Noun):
    """A group in which those commands that need a database or a server are imported by need."""

    late = MappingProxyType({"preview": "preview", "history": "rollback", "rollback": "rollback"})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *self.late]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.late:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"mailboat.cli.{self.late[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Group)
def template() -> None:
    """Write, list, check, render and preview the templates of a folder; take a live one back."""


@template.command()
@click.argument("name")
@click.option("--engine", type=click.Choice(list(starters.ENGINES)), default="jinja", show_default=True)
@click.option(
    "--folder",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write it in; made when it is not there.  [default: $MAILBOAT_TEMPLATES, or templates]",
)
def new(name: str, engine: str, root: Path | None) -> None:
    """Write a new template: subject, example, preview text and Tailwind are in it, and it renders as it is."""
    if not NAME.fullmatch(name):
        raise MailboatError(
            f"{name!r} is no name of a template: take letters, digits, '-', '_' and '.', with a letter or digit first, "
            "such as welcome or password-reset."
        )
    root = root or _default_source()
    if (entry := Folder(root).entry(name)) is not None:
        raise MailboatError(f"{os.path.relpath(entry)} is template {name!r} already: choose another name, or edit it.")
    file, text = starters.starter(name, engine)
    _write(root / file, text)
    shown = os.path.relpath(root / file)
    click.echo(f"Wrote {shown}. See it: mailboat template preview {os.path.relpath(root)}")


def _write(path: Path, text: str) -> None:
    """Write a file that is not there yet. Raises MailboatError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise MailboatError(f"{path} is there already: choose another name, or edit it.") from None
    except OSError as error:
        raise MailboatError(f"{path} cannot be written: {error.strerror}. Name another folder with --folder.") from None


@template.command("list")
@click.option(
    "--source", type=click.Path(path_type=Path), help="Folder with templates.  [default: $MAILBOAT_TEMPLATES]"
)
def list_templates(source: Path | None) -> None:
    """The name of every template, one a line."""
    root = source_folder(source)
    for name in Folder(root).names():
        click.echo(name)
    for link in _links_out(root, root):
        click.echo(link, err=True)


@template.command()
@click.argument("name_or_path")
@click.option(
    "--source", type=click.Path(path_type=Path), help="Folder with templates.  [default: $MAILBOAT_TEMPLATES]"
)
@click.option("--data", type=data_of, metavar="FILE|JSON", help="Data, - is stdin.  [default: the template's example]")
@click.option("--locale", help="Language, such as de.")
@click.option("--format", "form", type=click.Choice(["html", "text", "json"]), default="html", show_default=True)
def render(name_or_path: str, source: Path | None, data: dict[str, Any] | None, locale: str | None, form: str) -> int:
    """Render a template, by its name in the folder or by the path of its file, and print it.

    A fault is printed as file:line:column: message with the lines around it, and the exit code is 1.
    """
    root, name = _locate(name_or_path, source)
    outcome = asyncio.run(_render(root, [name], data, locale))[name]
    if not isinstance(outcome, Rendered):
        click.echo(_fault(root, outcome), err=True)
        return 1
    click.echo(_printed(outcome, form))
    return 0


@template.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--source", type=click.Path(path_type=Path), help="Folder that the paths' imports may reach.")
def check(paths: tuple[str, ...], source: Path | None) -> int:
    """Compile each template and render it with its example. PATHS are files, or folders of templates."""
    faults = 0
    for root, names, links in _to_check(paths, source):
        faults += len(links)
        for link in links:
            click.echo(link)
        for name, outcome in asyncio.run(_render(root, names, None, None)).items():
            if isinstance(outcome, Rendered):
                click.echo(f"{name}: ok")
                for warning in outcome.warnings:
                    click.echo(f"{name}: warning: {_warning(root, warning)}", err=True)
            else:
                faults += 1
                click.echo(_fault(root, outcome))
    return 1 if faults else 0


async def _render(root: Path, names: list[str], data: dict[str, Any] | None, locale: str | None) -> dict[str, Outcome]:
    """What each of the templates gives, by its name."""
    outcomes: dict[str, Outcome] = {}
    jobs: dict[str, Job] = {}
    folder = Folder(root)
    for name in names:
        try:
            jobs[name] = _job(folder, name, data, locale)
        except TemplateFault as fault:
            outcomes[name] = fault
    pools = Pools(1)
    try:
        rendered = await pools.render(list(jobs.values()))
    finally:
        await pools.close()
    return outcomes | dict(zip(jobs, rendered, strict=True))


def _job(folder: Folder, name: str, data: dict[str, Any] | None, locale: str | None) -> Job:
    loaded = folder.load(name, strict=data is None)
    if loaded is None:
        known = ", ".join(folder.names()) or "none"
        raise TemplateFault(f"there is no template {name!r} in {folder.root}; there are: {known}")
    revision: Revision = loaded[0]
    if data is not None and (misfit := schemas.misfit(revision, data)):
        raise TemplateFault(f"the data do not fit the schema: {misfit.field or 'they'}: {misfit.reason}")
    encoded = base.example(revision.sources) if data is None else json.dumps(data).encode()
    return Job(revision, encoded, locale, thorough=True)


def _printed(rendered: Rendered, form: str) -> str:
    if form == "json":
        answer = {
            "subject": rendered.subject,
            "html": rendered.html,
            "text": rendered.text,
            "size": len((rendered.html or "").encode()),
            "warnings": list(rendered.warnings),
        }
        return json.dumps(answer, indent=2, ensure_ascii=False)
    return (rendered.html if form == "html" else rendered.text) or ""


def _warning(root: Path, warning: str) -> str:
    """The warning, and below it the lines around its place if it begins with one."""
    found = _PLACE.match(warning)
    if not found or not (root / found["file"]).is_file():
        return warning
    return f"{warning}\n{frame.of_file(root / found['file'], int(found['line']), int(found['column']))}".rstrip()


def _fault(root: Path, fault: object) -> str:
    """The fault with the file as seen from here, and below it the lines around its place."""
    if isinstance(fault, TemplateFault) and fault.file and (root / fault.file).exists():
        shown = os.path.relpath(root / fault.file)
        line = str(TemplateFault(fault.message, file=shown, line=fault.line, column=fault.column))
        return f"{line}\n{frame.of_file(root / fault.file, fault.line, fault.column)}".rstrip()
    return str(fault)


def _default_source() -> Path:
    return Path(os.environ.get("MAILBOAT_TEMPLATES") or "templates")


def source_folder(given: Path | None, remedy: str = "name one with --source") -> Path:
    """The folder to look in. Raises MailboatError when there is none."""
    source = given or _default_source()
    if not source.is_dir():
        raise MailboatError(f"There is no folder {source}: {remedy}.")
    return source


def _locate(name_or_path: str, source: Path | None) -> tuple[Path, str]:
    """The folder and the name of one template. A path's volume is --source, or what `_volume_of` finds."""
    path = Path(name_or_path)
    if path.is_file():
        return _of_file(path, source)
    if path.is_dir() and (index := _index(path)):
        return _of_file(index, source)
    if path.name != name_or_path:
        raise MailboatError(f"There is no file {name_or_path}.")
    return source_folder(source), name_or_path


def _index(folder: Path) -> Path | None:
    """The entry of a folder that is one template."""
    return next((path for suffix in SUFFIXES if (path := folder / f"index{suffix}").is_file()), None)


def _of_file(path: Path, source: Path | None) -> tuple[Path, str]:
    suffix = next((suffix for suffix in SUFFIXES if path.name.endswith(suffix)), None)
    if suffix is None:
        raise MailboatError(f"{path} is not a template: its name has to end with {' or '.join(SUFFIXES)}.")
    for volume in [source] if source else _volumes(path):
        if name := Folder(volume).name_of(path):
            return volume, name
    stem = path.name.removesuffix(suffix)
    if stem == "index":
        return source or path.resolve().parent.parent, path.resolve().parent.name
    return source or path.resolve().parent, stem


def _volumes(path: Path) -> Iterator[Path]:
    """The folders that may be the volume of a file: the templates folder, the project that it is in, its own folder."""
    above = [path.resolve().parent, *path.resolve().parent.parents]
    if (default := _default_source()).resolve() in above:
        yield default
    yield from (folder for folder in above if any((folder / name).is_file() for name in PROJECT))
    yield from (folder.parent for folder in above if folder.name == entries.EMAILS)
    yield from above[:2]


def _to_check(paths: tuple[str, ...], source: Path | None) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Volume, names, and the faults of links."""
    for text in paths:
        path = Path(text)
        if path.is_dir() and not _index(path):
            volume, names = _folder_to_check(path, source)
            yield volume, names, _links_out(volume, path)
        else:
            root, name = _locate(text, source)
            yield root, [name], []


def _links_out(volume: Path, folder: Path) -> list[str]:
    """Of each link in a folder that would be a template, and leads out of the volume, what is wrong."""
    links = [Path(os.path.abspath(volume)) / key for key in Folder(volume).links_out()]
    why = f"a link that leads out of {os.path.relpath(volume)}, so it is no template: copy the file"
    return [f"{os.path.relpath(link)}: {why}" for link in links if link.is_relative_to(os.path.abspath(folder))]


def _folder_to_check(path: Path, source: Path | None) -> tuple[Path, list[str]]:
    """The volume of a folder, and the templates that lie in the folder. Raises MailboatError if there are none."""
    inside = path.resolve()
    its_own = set(_entries(path).values())
    for volume in [source] if source else [*_volumes(inside / "any"), path]:
        found = {name: entry for name, entry in _entries(volume).items() if entry.is_relative_to(inside)}
        if found and (source or its_own <= set(found.values())):
            return (path if volume.resolve() == inside else volume), list(found)
    raise MailboatError(f"{path} has no templates.")


def _entries(volume: Path) -> dict[str, Path]:
    """By the name of each template in a folder its file."""
    folder = Folder(volume)
    return {name: entry.resolve() for name in folder.names() if (entry := folder.entry(name))}
