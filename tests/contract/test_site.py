"""docs/ becomes a site in which every link leads somewhere and nothing is loaded from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

REFERENCE = re.compile(r"""<(?P<tag>[a-z]+)\b[^>]*?\s(?:href|src)=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s>"]+))""")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """As `make site` does it."""
    zensical = Path(sys.executable).with_name("zensical")
    return subprocess.run([zensical, "build", "--clean", "--strict"], cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the site is built from, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(root / "docs", folder / "docs")
    shutil.copy(root / "zensical.toml", folder)
    return folder


@pytest.fixture(scope="module")
def site(source: Path) -> Path:
    done = build(source)
    assert done.returncode == 0, done.stdout + done.stderr
    return source / "dist/site"


def references(page: Path) -> set[tuple[str, str]]:
    """Each tag with what it refers to."""
    found = REFERENCE.finditer(page.read_text())
    return {(one["tag"], one["quoted"] if one["quoted"] is not None else one["bare"]) for one in found}


def test_every_link_of_the_site_leads_to_a_file_of_it(site: Path) -> None:
    broken, count = set(), 0
    for page in site.rglob("*.html"):
        if page.name == "404.html":  # is served at any depth, so its links begin at the top
            continue
        for _, link in references(page):
            path = unquote(urldefrag(link).url).partition("?")[0]
            if not path or re.match(r"[a-z]+:|//", path):
                continue
            count += 1
            if not (page.parent / path).exists():
                broken.add(f"{page.relative_to(site)}: {link}")
    assert broken == set()
    assert count > 1000


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = {
        link
        for page in site.rglob("*.html")
        for tag, link in references(page)
        if tag != "a" and re.match(r"https?:|//", link)
    }
    assert loaded == set()
    assert not [page for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text()], (
        "The theme would fetch mermaid: draw the picture as SVG."
    )


@pytest.mark.parametrize("mark", ["```", "| ---"])
def test_no_mark_of_a_fence_or_table_is_left_as_text(site: Path, mark: str) -> None:
    """Inside a list both have to be indented by four."""
    assert {str(page.relative_to(site)) for page in site.rglob("*.html") if mark in page.read_text()} == set()


def test_the_navigation_has_every_page_once(root: Path) -> None:
    nav = tomllib.loads((root / "zensical.toml").read_text())["project"]["nav"]
    named = [path for part in nav for pages in part.values() for page in pages for path in page.values()]
    assert sorted(named) == sorted(str(page.relative_to(root / "docs")) for page in (root / "docs").rglob("*.md"))


@pytest.mark.parametrize("link", ["[gone](no-such-page.md)", "[gone](concepts.md#no-such-heading)"])
def test_a_link_that_leads_nowhere_stops_the_build(source: Path, tmp_path: Path, link: str) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    shutil.copytree(source / "docs", folder / "docs")
    shutil.copy(source / "zensical.toml", folder)
    with (folder / "docs/sizing.md").open("a") as page:
        page.write(f"\n{link}\n")
    assert build(folder).returncode != 0
