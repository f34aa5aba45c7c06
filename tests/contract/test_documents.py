"""What the documents tell a reader to do can be done."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailboat.cli import commands
from mailboat.providers import manifest
from mailboat.providers import registry as kinds
from mailboat.webhooks import endpoints
from mailboat.webhooks import registry as webhooks

DER, PUBLIC = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs"]


def pages(root: Path) -> list[Path]:
    return [
        page for name in DOCUMENTS for page in [root / name, *sorted((root / name).rglob("*.md"))] if page.is_file()
    ]


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (root / "Makefile").read_text(), re.MULTILINE))


def test_the_make_commands_of_the_documents_exist(root: Path, targets: set[str]) -> None:
    told = {
        (page.name, target)
        for page in pages(root)
        for target in re.findall(r"(?:`|^ *\$? ?)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert told, "The documents name no make command at all."
    assert {(page, target) for page, target in told if target not in targets} == set()


LINE = re.compile(r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ )*mailboat (?P<rest>\S.*)$")
SPAN = re.compile(r"`(?:[A-Z_]+=\S+ )*mailboat (?P<rest>[^`]+)`")
AFTER = re.compile(r"\s+(?:#|&&|\||>)\s.*$")  # a comment, or what the shell does with it


def told_commands(text: str) -> Iterator[list[str]]:
    """The words behind `mailboat` in each line of code and each span of it; placeholders stay."""
    code = False
    for line in text.splitlines():
        code = not code if line.lstrip().startswith("```") else code
        inside = LINE.match(line) if code or line.startswith("    ") else None
        for found in [inside] if inside else [] if code else SPAN.finditer(line):
            rest = re.sub(r"(--[a-z-]+) …", r"\1 x", AFTER.sub("", found["rest"]).removesuffix("\\"))
            rest = re.sub(r"\[OPTIONS\]|…|[\[\]]", "", rest)  # what may be left out is looked at too
            if rest.strip() and not rest.startswith(("<", "COMMAND")):  # `mailboat <role>`
                yield shlex.split(rest)


def understand(words: list[str]) -> None:
    """Raises click.UsageError for a command, or an option of it, that there is not."""
    context, words = click.Context(commands.cli, info_name="mailboat"), list(words)
    while isinstance(context.command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0).partition("|")[0]
        command = context.command.get_command(context, name)
        if command is None:
            raise click.UsageError(f"there is no command {name!r}", context)
        names = {"help_option_names": ["-h", "--help"]}
        context = click.Context(command, info_name=name, parent=context, **names)
    _, left, _ = context.command.make_parser(context).parse_args(words)
    if left:
        raise click.UsageError(f"it takes no {' '.join(left)!r}", context)


def test_the_mailboat_commands_of_the_documents_are_understood(root: Path) -> None:
    faults, count = set(), 0
    for page in pages(root):
        for words in told_commands(page.read_text()):
            count += 1
            try:
                understand(words)
            except click.UsageError as error:
                faults.add(f"{page.relative_to(root)}: mailboat {' '.join(words)}: {error.format_message()}")
    assert faults == set()
    assert count > 150


@pytest.mark.parametrize("wrong", ["boat", "client make", "client list --colour", "key list a/b c", "worker --port 1"])
def test_a_command_that_there_is_not_would_be_noticed(wrong: str) -> None:
    ((words),) = told_commands(f"Run `mailboat {wrong}` now.")
    with pytest.raises(click.UsageError):
        understand(words)


KINDS = sorted(kinds.KINDS)
YAML = re.compile(r"^( *)```yaml\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_provider_has_a_page_with_its_webhooks(root: Path, kind: str) -> None:
    page = (root / f"docs/providers/{kind}.md").read_text()
    assert "| what it means | what happens |" in page or kind == "inbox"
    if kind in webhooks.KINDS:
        told = page.partition("\n## Webhooks\n")[2]
        assert "webhook: {" in told
        assert f"mail.example.com/webhooks/{kind}/" in told


def test_the_providers_files_of_the_documents_are_read(root: Path, tmp_path: Path) -> None:
    key = b64encode(ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(DER, PUBLIC)).decode()
    file, count = tmp_path / "providers.yaml", 0
    for page in [*(root / "docs/providers").glob("*.md"), root / "docs/simulators.md"]:
        for _, text in YAML.findall(page.read_text()):
            file.write_text(re.sub(r"MFkw\w+…", key, textwrap.dedent(text)))
            count += len(manifest.read(str(file), kinds.KINDS))
            endpoints.read(str(file), simulators=False)
    assert count >= 10


def anchors(page: Path) -> set[str]:
    """What can stand behind # in a link to this page, as GitHub makes it of headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_links_between_the_documents_lead_somewhere(root: Path) -> None:
    broken = set()
    for page in pages(root):
        for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
            target = page.parent / link if link else page
            if "://" in link:
                continue
            if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
                broken.add(f"{page.relative_to(root)}: {link}#{anchor}")
    assert broken == set()


def test_the_index_of_the_documents_names_every_page(root: Path) -> None:
    listed = set(re.findall(r"\]\(([^)#\s]+\.md)\)", (root / "docs/README.md").read_text()))
    there = {str(page.relative_to(root / "docs")) for page in (root / "docs").rglob("*.md")} - {"README.md"}
    assert there - listed == set()


def test_make_alone_prints_each_target_with_one_line_of_help(root: Path, targets: set[str]) -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=root, check=True, capture_output=True, text=True
    ).stdout
    assert [line.split()[:2] for line in printed.splitlines()] == [["make", t] for t in in_order(root)]
    assert {"setup", "run", "check", "test", "lock", "docs", "bench", "image"} <= targets


def in_order(root: Path) -> list[str]:
    """Every target that the Makefile declares, as it declares them."""
    return re.search(r"^\.PHONY: (.*)$", (root / "Makefile").read_text(), re.MULTILINE)[1].split()


def test_continuous_integration_runs_what_the_readme_says(root: Path) -> None:
    run = (root / ".ci/run").read_text()
    assert run.index("make check") < run.index("make test")
    assert "make test" in (root / "README.md").read_text()


def test_the_generated_pages_are_up_to_date(root: Path) -> None:
    done = subprocess.run([sys.executable, ".ci/docs.py", "--check"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
