"""Writes what the image is made of, as CycloneDX: every package of the two locks that go into it, Python's and npm's.

    python .ci/sbom.py FILE      the list; dated by SOURCE_DATE_EPOCH, so that the same tree gives the same octets
    python .ci/sbom.py --check   writes nothing; says which package has no licence that we can ship, and exits with 1

The licences of Python's packages stand in .ci/licences.json, since their lock does not tell them; npm's lock does.
It needs Python's own library alone: the image is built with it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PYTHON, NPM, LICENCES = "service/requirements.txt", "service/engine/package-lock.json", ".ci/licences.json"
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*])?==(?P<version>[^ ;\\]+)(?: ; (?P<marker>[^\\]+?))? \\$")
ALLOWED = {
    "0BSD", "Apache-2.0", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MPL-2.0",
    "PostgreSQL", "PSF-2.0", "Unlicense",
}  # fmt: skip
"""Licences under which a package may be shipped in the image as it is."""

Component = dict[str, Any]


def python_packages() -> Iterator[tuple[Component, list[str]]]:
    """Each pin of the lock, with the names of those that ask for it."""
    licences = json.loads((ROOT / LICENCES).read_text())
    for block in re.split(r"\n(?=[A-Za-z0-9])", (ROOT / PYTHON).read_text()):
        if not (found := PIN.match(block.splitlines()[0])):
            continue
        name, version = re.sub(r"[-_.]+", "-", found["name"]).lower(), found["version"]
        asking = re.findall(r"^    #(?:   | via )(?!-c )([A-Za-z0-9._-]+)", block, re.MULTILINE)
        about = component(f"pkg:pypi/{name}@{version}", name, version, licences.get(name, ""))
        if found["marker"]:
            about |= {"scope": "optional", "properties": [{"name": "mailboat:marker", "value": found["marker"]}]}
        yield about, [re.sub(r"[-_.]+", "-", one).lower() for one in asking]


def npm_packages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each package that the engine's bundle is made of, by its folder; those that only develop it are left out."""
    packages = json.loads((ROOT / NPM).read_text())["packages"]
    yield from ((folder, about) for folder, about in packages.items() if folder and not about.get("dev"))


def npm_component(folder: str, about: dict[str, Any]) -> Component:
    name = folder.rpartition("node_modules/")[2]
    algorithm, _, digest = about["integrity"].partition("-")
    group, _, short = name.rpartition("/")
    made = component(npm_purl(folder, about), short, about["version"], about.get("license", ""))
    made |= {"group": group} if group else {}
    made["hashes"] = [{"alg": algorithm.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}]
    return made | ({"scope": "optional"} if about.get("optional") else {})


def npm_purl(folder: str, about: dict[str, Any]) -> str:
    return f"pkg:npm/{folder.rpartition('node_modules/')[2].replace('@', '%40')}@{about['version']}"


def component(purl: str, name: str, version: str, licence: str) -> Component:
    made: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence:
        made["licenses"] = [{"expression": licence}]
    return made


def python_dependencies(packages: list[tuple[Component, list[str]]], root: str) -> dict[str, list[str]]:
    """What each asks for; the lock says it the other way round."""
    refs: dict[str, list[str]] = {"mailboat": [root]}
    for about, _ in packages:
        refs.setdefault(about["name"], []).append(about["bom-ref"])
    edges: dict[str, list[str]] = {}
    for about, asking in packages:
        for parent in (ref for name in asking for ref in refs.get(name, ())):
            edges.setdefault(parent, []).append(about["bom-ref"])
    return edges


def npm_dependencies(packages: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """What each asks for, found where Node would: in the nearest node_modules above."""
    edges: dict[str, list[str]] = {}
    for folder, about in packages.items():
        wanted = about.get("dependencies", {}) | about.get("optionalDependencies", {})
        found = filter(None, (nearest(folder, name, packages) for name in wanted))
        edges[npm_purl(folder, about)] = [npm_purl(one, packages[one]) for one in found]
    return edges


def nearest(folder: str, name: str, packages: dict[str, dict[str, Any]]) -> str | None:
    while True:
        place = f"{folder}/node_modules/{name}".removeprefix("/")
        if place in packages:
            return place
        if not folder:
            return None
        folder = folder.rpartition("node_modules/")[0].rstrip("/")


def bom() -> dict[str, Any]:
    """The whole document, in an order of its own, so that it is the same for the same locks."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    root = f"pkg:pypi/mailboat@{project['version']}"
    python, npm = list(python_packages()), dict(npm_packages())
    components = {about["bom-ref"]: about for about, _ in python}
    components |= {about["bom-ref"]: about for about in (npm_component(*package) for package in npm.items())}
    edges = python_dependencies(python, root) | npm_dependencies(npm)
    asked = json.loads((ROOT / NPM).read_text())["packages"][""]["dependencies"]
    direct = [npm_purl(f"node_modules/{name}", npm[f"node_modules/{name}"]) for name in asked]
    edges[root] = [*edges.get(root, ()), *direct]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": root, "name": project["name"], "version": project["version"],
                "purl": root, "licenses": [{"expression": project["license"]}], "description": project["description"],
            },
        },
        "components": [components[ref] for ref in sorted(components)],
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(set(edges.get(ref, ())))} for ref in sorted({root, *components})
        ],
    }  # fmt: skip
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        document["metadata"]["timestamp"] = datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    number = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return document | {"serialNumber": f"urn:uuid:{number}"}


def faults() -> list[str]:
    """What is wrong with the licences, a sentence each."""
    document = bom()
    found = []
    for about in document["components"]:
        expression = "".join(one["expression"] for one in about.get("licenses", ()))
        if not expression:
            found.append(f"{about['purl']} has no licence: write its SPDX expression into {LICENCES}.")
        elif not may_ship(expression):
            found.append(f"{about['purl']} has the licence {expression!r}, which is not one of those in .ci/sbom.py.")
    named = {about["name"] for about in document["components"] if about["purl"].startswith("pkg:pypi/")}
    found += [f"{LICENCES} names {name}, which is not locked." for name in sorted(licensed() - named)]
    return found


def licensed() -> set[str]:
    return set(json.loads((ROOT / LICENCES).read_text()))


def may_ship(expression: str) -> bool:
    """Whether one of its alternatives (OR) has nothing but licences that we can ship (AND)."""
    alternatives = expression.strip("()").split(" OR ")
    return any(set(one.strip("()").split(" AND ")) <= ALLOWED for one in alternatives)


def main(argument: str) -> int:
    if argument == "--check":
        found = faults()
        print("\n".join(found), end="\n" if found else "")
        return int(bool(found))
    Path(argument).parent.mkdir(parents=True, exist_ok=True)
    Path(argument).write_text(json.dumps(bom(), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "/dev/stdout"))
