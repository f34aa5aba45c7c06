"""Jinja templates in the source volume: front matter, files that belong together, and nothing from outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailboat.domain.revision import Revision
from mailboat.errors import TemplateFault
from mailboat.registry.folder import LARGEST_FILE, MOST_FILES, Folder

FRONT = '---\nsubject: "Receipt {{ order }}"\nexample: {order: A-1042}\n---\n'


class Volume:
    """A source volume that tests write into."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, Folder(root)

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content)

    def load(self, name: str = "mail") -> Revision:
        loaded = self.folder.load(name)
        assert loaded is not None
        return loaded[0]

    def fault(self, name: str = "mail") -> str:
        with pytest.raises(TemplateFault) as failed:
            self.folder.load(name, strict=True)
        return str(failed.value)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    (tmp_path / "volume").mkdir()
    return Volume(tmp_path / "volume")


def test_a_file_is_a_template_with_its_front_matter(volume):
    volume.write({"mail.html.j2": FRONT + "<p>{{ order }}</p>\n"})
    sources = volume.load().sources
    assert (sources.engine, sources.entry, sources.subject) == ("jinja", "mail.html.j2", "Receipt {{ order }}")
    assert sources.files == {"mail.html.j2": "<p>{{ order }}</p>\n"}
    assert sources.example == {"order": "A-1042"}
    assert sources.first_line["mail.html.j2"] == 5


def test_a_folder_is_a_template_with_files_of_its_own(volume):
    volume.write(
        {"mail/index.html.j2": "{% include 'part.html.j2' %}", "mail/part.html.j2": "mine", "part.html.j2": "other"}
    )
    assert volume.load().sources.files["part.html.j2"] == "mine"


def test_a_template_without_front_matter_is_one_too(volume):
    volume.write({"mail.html.j2": "<p>Hello</p>"})
    assert volume.load().sources.files == {"mail.html.j2": "<p>Hello</p>"}


def test_the_names_are_those_that_can_be_loaded(volume):
    volume.write({"b.html.j2": "", "a/index.html.j2": "", "part.j2": "", "x/part.html.j2": "", ".hidden.html.j2": ""})
    assert volume.folder.names() == ["a", "b"]
    assert Folder(volume.root / "nowhere").names() == []


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../mail", "/etc/passwd", "a/b", "mail\0", "mail\n", "-", "x" * 129, "é"]
)
def test_a_name_that_is_none_is_not_looked_for(name, volume):
    volume.write({"mail.html.j2": "", "a/b.html.j2": ""})
    (volume.root.parent / "mail.html.j2").write_text("outside")
    assert volume.folder.load(name) is None


# --- what belongs together


@pytest.mark.parametrize(
    "reference",
    ['{% include "part.html.j2" %}', "{%- include 'part.html.j2' -%}", '{% extends "part.html.j2" %}',
     '{% import "part.html.j2" as part %}', '{% from "part.html.j2" import button %}'],
)  # fmt: skip
def test_a_revision_holds_every_file_that_it_names(reference, volume):
    volume.write({"mail.html.j2": reference, "part.html.j2": "{% include 'deep/er.html.j2' %}", "deep/er.html.j2": "!"})
    revision, paths = volume.folder.load("mail")
    assert set(revision.sources.files) == {"mail.html.j2", "part.html.j2", "deep/er.html.j2"}
    assert {path.name for path in paths} == {"mail.html.j2", "part.html.j2", "er.html.j2"}


def test_files_may_name_each_other_in_a_circle(volume):
    volume.write({"mail.html.j2": "{% include 'a.html.j2' %}", "a.html.j2": "{% include 'b.html.j2' %}",
                  "b.html.j2": "{% include 'a.html.j2' %}"})  # fmt: skip
    assert set(volume.load().sources.files) == {"mail.html.j2", "a.html.j2", "b.html.j2"}


def test_a_change_in_any_of_its_files_is_another_revision_and_back_again_the_same(volume):
    volume.write({"mail.html.j2": "{% include 'part.html.j2' %}", "part.html.j2": "1"})
    first = volume.load().digest
    volume.write({"part.html.j2": "2"})
    assert volume.load().digest != first
    volume.write({"part.html.j2": "1"})
    assert volume.load().digest == first


def test_line_ends_and_a_byte_order_mark_make_no_other_revision(volume):
    volume.write({"mail.html.j2": FRONT + "<p>\n</p>\n"})
    first = volume.load().digest
    volume.write({"mail.html.j2": b"\xef\xbb\xbf" + (FRONT + "<p>\n</p>\n").replace("\n", "\r\n").encode()})
    assert volume.load().digest == first


# --- what is outside


OUTSIDE = ["../secret.html.j2", "/etc/passwd", "../../../../../../etc/passwd", "a/../../secret.html.j2"]


@pytest.mark.parametrize("reference", OUTSIDE)
def test_nothing_outside_of_the_volume_is_read(reference, volume):
    (volume.root.parent / "secret.html.j2").write_text("secret")
    volume.write({"mail.html.j2": f"<p>\n{{% include '{reference}' %}}</p>", "a/part.html.j2": ""})
    assert volume.fault().startswith("mail.html.j2:2:13: ")


def test_no_link_leads_out_of_the_volume(volume):
    secret = volume.root.parent / "secret.html.j2"
    secret.write_text("secret")
    volume.write({"mail.html.j2": "{% include 'part.html.j2' %}"})
    (volume.root / "part.html.j2").symlink_to(secret)
    (volume.root / "linked.html.j2").symlink_to(secret)
    (volume.root / "folder").symlink_to(volume.root.parent)
    assert "outside" in volume.fault()
    assert volume.folder.load("linked") is None
    (volume.root / "elsewhere").mkdir()
    (volume.root / "elsewhere" / "index.tsx").symlink_to(secret)
    assert volume.folder.names() == ["mail"]
    assert volume.folder.links_out() == ["elsewhere/index.tsx", "linked.html.j2", "part.html.j2"]
    volume.write({"mail.html.j2": "{% include 'folder/secret.html.j2' %}"})
    assert "outside" in volume.fault()


def test_a_link_inside_of_the_volume_is_followed_as_in_a_mounted_configmap(volume):
    volume.write({"..data_1/mail.html.j2": "one"})
    (volume.root / "..data").symlink_to("..data_1")
    (volume.root / "mail.html.j2").symlink_to("..data/mail.html.j2")
    assert volume.load().sources.files == {"mail.html.j2": "one"}


# --- faults


FAULTS: dict[str, tuple[str | bytes, str]] = {
    "not closed": ("---\nsubject: a\n<p>", "mail.html.j2:1:1: the front matter is not closed by a line '---'"),
    "not YAML": ('---\nsubject: "a\n---\n', "mail.html.j2:3:1: front matter: "),
    "a list": ("---\n- a\n---\n", "mail.html.j2:2:1: front matter: "),
    "an unknown field": ("---\nsubject: a\ncolour: red\n---\n", "mail.html.j2:3:1: front matter: Object contains"),
    "a subject that is a number": ("---\nsubject: 7\n---\n", "mail.html.j2:2:1: front matter: Expected `str`"),
    "a tag of Python": ("---\nsubject: !!python/object/apply:os.system [ls]\n---\n", "mail.html.j2:2:10: front"),
    "a control character": ("---\nsubject: a\x01\n---\n", "mail.html.j2:2:1: front matter: "),
    "half a surrogate pair": ('---\nsubject: "\\ud800"\n---\n', "mail.html.j2:2:1: front matter: "),
    "a date that is none": ("---\nexample: {d: 2026-13-45}\n---\n", "mail.html.j2:2:1: front matter: "),
    "a time that is none": ("---\nexample: {d: !!timestamp x}\n---\n", "mail.html.j2:2:1: front matter: "),
    "a word that is no bool": ("---\nexample: {d: !!bool x}\n---\n", "mail.html.j2:2:1: front matter: "),
    "a key that is a date": ("---\nexample: {d: {2026-01-01: 1}}\n---\n", "mail.html.j2:2:1: front matter: "),
    "a key that is nothing": ("---\nexample: {d: {null: 1}}\n---\n", "mail.html.j2:2:1: front matter: "),
    "an alias": ("---\nexample: &x {a: *x}\n---\n", "mail.html.j2:2:17: front matter: aliases"),
    "three thousand brackets": ("---\nexample: {a: " + "[" * 3000 + "]" * 3000 + "}\n---\n", "mail.html.j2:2:1: "),
    "a number of five thousand digits": ("---\nexample: {a: " + "9" * 5000 + "}\n---\n", "mail.html.j2:2:1: "),
    "not UTF-8": (b"<p>\n\xff</p>", "mail.html.j2:2:1: the file is not UTF-8 text"),
    "a NUL": (b"<p>\n \0</p>", "mail.html.j2:2:2: the file has a NUL in it"),
    "too large": (b"x" * (LARGEST_FILE + 1), "mail.html.j2:1:1: the file is larger than 1024 KiB"),
    "a file that is not there": (FRONT + "\n {% include 'gone.j2' %}", "mail.html.j2:6:14: there is no file 'gone.j2'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_a_file_a_line_and_a_column(name, volume):
    content, fault = FAULTS[name]
    volume.write({"mail.html.j2": content})
    assert volume.fault().startswith(fault)


def test_a_few_lines_that_stand_for_gigabytes_are_refused(volume):
    """A "billion laughs": each list is ten times the one before."""
    lists = "".join(f"  {chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(12))
    volume.write({"mail.html.j2": f"---\nexample:\n  a: &a [x, x]\n{lists}---\n"})
    assert volume.fault().startswith("mail.html.j2:4:10: front matter: aliases")


def test_a_template_of_too_many_files_is_refused(volume):
    volume.write({f"p{n}.html.j2": f"{{% include 'p{n + 1}.html.j2' %}}" for n in range(MOST_FILES + 1)})
    assert f"more than {MOST_FILES} files" in volume.fault("p0")


yaml_text = st.text(st.sampled_from("abc:{}[]&*!|>-'\"#%@`,?\n \t\\0123456789.~<=_u"), max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(front=yaml_text | yaml_text.map("subject: {}".format) | yaml_text.map("example: {{a: {}}}".format))
def test_whatever_stands_in_the_front_matter_is_read_or_a_fault(front: str, tmp_path: Path):
    (tmp_path / "mail.html.j2").write_text(f"---\n{front}\n---\n<p>Hello</p>")
    read_or_fault(Folder(tmp_path))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(content=st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: b"---\n" + tail + b"\n---\n"))
def test_whatever_octets_a_file_has_it_is_read_or_a_fault(content: bytes, tmp_path: Path):
    (tmp_path / "mail.html.j2").write_bytes(content)
    read_or_fault(Folder(tmp_path))


def read_or_fault(folder: Folder) -> None:
    """Any other exception would end the watcher, or be a fault of the API."""
    fault: TemplateFault | None = None
    try:
        folder.load("mail", strict=True)
    except TemplateFault as found:
        fault = found
    assert fault is None or (fault.file, fault.line > 0) == ("mail.html.j2", True)
