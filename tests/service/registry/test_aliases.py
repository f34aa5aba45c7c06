"""Names that a project's tsconfig.json gives to its files: as TypeScript reads it."""

from __future__ import annotations

import json

import pytest

from mailboat.errors import TemplateFault
from mailboat.registry.aliases import Aliases

PATHS = '{"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}'


def aliases(files: dict[str, str], entry: str = "emails/mail.tsx") -> Aliases:
    return Aliases(entry, files.get)


@pytest.mark.parametrize(
    ("files", "name", "places"),
    [
        ({"tsconfig.json": PATHS}, "@/ui/button", ["src/ui/button"]),
        ({"jsconfig.json": PATHS}, "@/ui", ["src/ui"]),
        ({"emails/tsconfig.json": PATHS, "tsconfig.json": "{}"}, "@/ui", ["emails/src/ui"]),
        ({"tsconfig.json": PATHS}, "lodash", []),
        ({"tsconfig.json": PATHS}, "@/../../etc/passwd", []),
        ({}, "@/ui", []),
        ({"tsconfig.json": "[]"}, "@/ui", []),
        ({"tsconfig.json": '{"compilerOptions": {"paths": {"@/*": "src/*", "a": [1]}}}'}, "@/ui", []),
        ({"tsconfig.json": '{"compilerOptions": {"baseUrl": "src"}}'}, "ui/button", ["src/ui/button"]),
        (
            {"tsconfig.json": '{"compilerOptions": {"baseUrl": "src", "paths": {"~*": ["ui/*", "b/*.x"]}}}'},
            "~button", ["src/ui/button", "src/b/button.x", "src/~button"],
        ),
        (
            {"tsconfig.json": '{"compilerOptions": {"paths": {"@/*": ["a/*"], "@/ui/*": ["b/*"], "@/ui/x": ["c"]}}}'},
            "@/ui/x", ["c", "b/x", "a/ui/x"],
        ),
        (
            {"tsconfig.json": '{"extends": "./config/base", "compilerOptions": {}}', "config/base.json": PATHS},
            "@/ui", ["config/src/ui"],
        ),
        (
            {"tsconfig.json": '{"extends": ["@tsconfig/strictest", "./base.json"]}', "base.json": PATHS},
            "@/ui", ["src/ui"],
        ),
        ({"tsconfig.json": '{"extends": "./tsconfig.json"}'}, "@/ui", []),
        ({"tsconfig.json": '{"extends": "../../outside"}'}, "@/ui", []),
        (
            {"tsconfig.json": '// a\n{"compilerOptions": /* b */ {"paths": {"@//*": ["./,}/*"],},\n},}'},
            "@//ui", [",}/ui"],
        ),
    ],
)  # fmt: skip
def test_a_name_leads_to_places(files: dict[str, str], name: str, places: list[str]) -> None:
    assert aliases(files).places(name) == places


@pytest.mark.parametrize("name", ["react", "react/jsx-runtime", "react-email", "@react-email/components", "node:fs"])
def test_names_of_the_engines_packages_are_not_looked_for(name: str) -> None:
    found = aliases({"tsconfig.json": "{"})
    assert found.places(name) == []
    assert (found.configs, found.file) == ([], "")


def test_the_compiler_is_lent_what_was_asked_for_and_no_more() -> None:
    found = aliases({"tsconfig.json": PATHS, "package.json": "{}"})
    found.places("@/ui")
    assert json.loads(found.file) == {"@/*": ["./src/*"]}
    assert found.configs == ["tsconfig.json"]


def test_a_configuration_that_is_no_json_is_a_fault_with_its_place() -> None:
    with pytest.raises(TemplateFault, match=r"^tsconfig\.json:3:3: not valid JSON: Expecting ',' delimiter$"):
        aliases({"tsconfig.json": '{ // why\n  "a": 1\n  "b": 2\n}'}).places("@/ui")
