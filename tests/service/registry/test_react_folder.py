"""React templates in the source volume: which there are, and which files each is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mailboat.errors import TemplateFault
from mailboat.registry.folder import Folder

MAIL = "export default () => <p>x</p>;"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Folder]:
    """write({file: source}): a volume with these files."""

    def write(files: dict[str, str]) -> Folder:
        for name, source in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return Folder(tmp_path)

    return write


def closure(folder: Folder, name: str = "mail") -> set[str]:
    loaded = folder.load(name)
    assert loaded is not None
    assert loaded[0].sources.engine == "react"
    return set(loaded[0].sources.files)


def test_a_template_exports_a_default_and_its_parts_do_not(write: Callable[..., Folder]) -> None:
    folder = write(
        {
            "mail.tsx": MAIL,
            "named.tsx": "function A() {}\nexport { A as default };",
            "part.tsx": "export const Part = 1;",
            "welcome/index.tsx": MAIL,
            "welcome/part.tsx": MAIL,
            "emails/reset.tsx": MAIL,
            "emails/invite/index.tsx": MAIL,
            "components/index.tsx": "export * from './x';",
            "plain.html.j2": "<p>x</p>",
        }
    )
    assert folder.names() == ["invite", "mail", "named", "plain", "reset", "welcome"]


def test_a_revision_is_the_closure_of_its_imports(write: Callable[..., Folder]) -> None:
    files = {
        "emails/mail.tsx": (
            "import { A } from '../parts';\nimport type { T } from './types';\nimport data from './data.json';\n"
            "import x from './old.js'; import './typed.js'; const l = require(\"../lib/legacy\"); import('./late');\n"
            f"import react from 'react';\n{MAIL}"
        ),
        "parts/index.ts": "export { A } from './a.config'; export * from '../emails/mail';",
        "parts/a.config.tsx": "export const A = 1;",
        "emails/types.ts": "export type T = 1;",
        "emails/data.json": "{}",
        "emails/old.js": "module.exports = 1;",
        "emails/typed.ts": "",
        "emails/late.jsx": "export {};",
        "lib/legacy/index.js": "",
        "other.tsx": MAIL,
    }
    assert closure(write(files)) == set(files) - {"other.tsx"}


def test_what_lies_outside_the_volume_is_not_read(write: Callable[..., Folder], tmp_path: Path) -> None:
    (tmp_path.parent / "outside.ts").write_text("export default 'secret';")
    folder = write(
        {
            "mail.tsx": f"import a from '../outside'; import c from './x/../../outside';\n// import './link'\n{MAIL}",
            "linked.tsx": f"import a from './link';\n{MAIL}",
        }
    )
    (tmp_path / "link.ts").symlink_to(tmp_path.parent / "outside.ts")
    assert closure(folder) == {"mail.tsx"}
    with pytest.raises(
        TemplateFault, match=r"^linked\.tsx:1:15: './link' lies outside of the source volume, by a link$"
    ):
        folder.load("linked")


def test_an_import_that_appears_later_is_noticed(write: Callable[..., Folder], tmp_path: Path) -> None:
    folder = write({"mail.tsx": f"import a from './later';\n{MAIL}"})
    loaded = folder.load("mail")
    assert loaded is not None
    assert tmp_path / "later" in loaded[1]
    write({"later.ts": ""})
    assert closure(folder) == {"mail.tsx", "later.ts"}


def test_a_change_anywhere_in_the_closure_is_another_revision(write: Callable[..., Folder]) -> None:
    folder = write({"mail.tsx": f"import a from './a';\n{MAIL}", "a.ts": "export default 1;"})
    before = folder.load("mail")
    write({"a.ts": "export default 2;"})
    after = folder.load("mail")
    assert before is not None
    assert after is not None
    assert before[0].digest != after[0].digest


def test_one_name_in_two_engines_is_a_fault_that_names_both(write: Callable[..., Folder]) -> None:
    folder = write({"mail.html.j2": "<p>x</p>", "mail.tsx": MAIL})
    with pytest.raises(TemplateFault, match=r"mail\.html\.j2.*mail\.tsx is a template of the same name"):
        folder.load("mail")


def test_a_binary_file_is_a_fault(write: Callable[..., Folder], tmp_path: Path) -> None:
    folder = write({"mail.tsx": f"import a from './a';\n{MAIL}"})
    (tmp_path / "a.ts").write_bytes(b"\xff\x00\xfe")
    with pytest.raises(TemplateFault, match=r"a\.ts:1:1: the file is not UTF-8"):
        folder.load("mail")


def test_a_file_of_ten_megabytes_is_a_fault(write: Callable[..., Folder]) -> None:
    folder = write({"mail.tsx": MAIL + "x" * 10_000_000})
    with pytest.raises(TemplateFault, match="larger than 1024 KiB"):
        folder.load("mail")
