"""`mailboat template` as a person at a terminal uses it: no server, no database."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[3] / "templates"


@pytest.fixture
def run(tmp_path):
    """Runs `mailboat template …` in the folder of the test."""

    def run(*arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "mailboat", "template", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, input=stdin, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "mails" / "hello.html.j2"
    path.parent.mkdir()
    path.write_text('---\nsubject: "Hi {{ name }}"\nexample: {name: Ada}\n---\n<p>Hello {{ name }}</p>\n')
    return path


def test_the_shipped_templates_are_sound(run):
    checked = run("check", SHIPPED)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert "receipt: ok" in checked.stdout


def test_a_template_is_rendered_by_path_with_its_example(run, hello):
    assert run("render", hello).stdout == "<p>Hello Ada</p>\n"


def test_a_template_is_rendered_by_name_with_given_data(run, hello):
    rendered = run("render", "hello", "--source", "mails", "--data", '{"name": "Bob"}', "--format", "json")
    assert json.loads(rendered.stdout) == {
        "subject": "Hi Bob",
        "html": "<p>Hello Bob</p>",
        "text": "Hello Bob",
        "size": 16,
        "warnings": ["The mail has no preview text: many programs show its first words beside the subject."],
    }


def test_data_comes_from_a_file_or_from_stdin(run, hello, tmp_path):
    (tmp_path / "data.json").write_text('{"name": "<b>"}')
    assert run("render", hello, "--data", "data.json").stdout == "<p>Hello &lt;b&gt;</p>\n"
    assert run("render", hello, "--data", "-", stdin='{"name": "Eve"}', ).stdout == "<p>Hello Eve</p>\n"  # fmt: skip


def test_a_fault_is_one_line_with_the_authors_line_and_column_and_the_lines_around_it(run, hello):
    hello.write_text(hello.read_text() + "{{ missing }}\n")
    failed = run("render", hello)
    assert failed.returncode == 1
    assert failed.stdout == ""
    place, *shown = failed.stderr.splitlines()
    assert place == "mails/hello.html.j2:6:4: 'missing' is undefined"
    assert shown[-2:] == ["> 6 | {{ missing }}", "    |    ^"]


def test_check_names_every_fault_and_goes_on(run, hello):
    (hello.parent / "broken.html.j2").write_text("<p>{% if %}</p>")
    (hello.parent / "worse.html.j2").write_text("---\nsubjekt: x\n---\n")
    checked = run("check", "mails")
    assert checked.returncode == 1
    assert checked.stdout.splitlines()[0].startswith("mails/worse.html.j2:2:1: front matter: ")
    assert "mails/broken.html.j2:1:10: " in checked.stdout
    assert "hello: ok" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["render", "nope", "--source", "mails"], "there is no template 'nope'"),
        (["render", "mails/nope.html.j2"], "There is no file mails/nope.html.j2."),
        (["render", "mails/hello.html.j2", "--data", "{"], "this is not JSON"),
        (["render", "hello"], "There is no folder templates: name one with --source."),
        (["check", "notes.txt"], "notes.txt is not a template"),
    ],
)
def test_what_cannot_be_is_said_in_words(run, hello, tmp_path, arguments, words):
    (tmp_path / "notes.txt").write_text("x")
    failed = run(*arguments)
    assert failed.returncode != 0
    assert words in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    ("engine", "name", "file"),
    [("jinja", "welcome-back", "welcome-back.html.j2"), ("react", "welcome-back", "welcome-back.tsx"),
     ("react", "2fa.code", "2fa.code.tsx")],
)  # fmt: skip
def test_a_new_template_renders_as_it_is_without_a_warning(run, tmp_path, engine, name, file):
    made = run("new", name, "--engine", engine, "--folder", "mails")
    assert made.stdout == f"Wrote mails/{file}. See it: mailboat template preview mails\n", made.stderr
    checked = run("check", "mails")
    assert (checked.stdout, checked.stderr) == (f"{name}: ok\n", "")
    rendered = json.loads(run("render", name, "--source", "mails", "--format", "json").stdout)
    assert rendered["subject"].endswith(" for Ada")
    assert "border-radius:8px" in rendered["html"].replace(" ", "")
    refused = run("render", name, "--source", "mails", "--data", '{"name": "Ada"}')
    assert refused.stderr.startswith('the data do not fit the schema: url: "url" is a required property')


def test_preview_props_that_do_not_fit_the_schema_are_named_with_their_place(run, tmp_path):
    run("new", "mail", "--engine", "react", "--folder", ".")
    source = (tmp_path / "mail.tsx").read_text()
    (tmp_path / "mail.tsx").write_text(source.replace("PreviewProps = { name: 'Ada'", "PreviewProps = { name: 7"))
    checked = run("check", "mail.tsx")
    assert checked.returncode == 1
    assert 'PreviewProps.name: 7 is not of type "string"\n' in checked.stdout
    assert checked.stdout.startswith(f"mail.tsx:{source.count(chr(10))}:29: ")
    assert run("render", "mail.tsx", "--data", '{"name": "Bob", "url": "https://example.com"}').returncode == 0


@pytest.mark.parametrize("engine", ["jinja", "react"])
def test_a_new_template_never_replaces_one_of_either_engine(run, hello, engine):
    before = hello.read_text()
    refused = run("new", "hello", "--engine", engine, "--folder", "mails")
    assert refused.returncode == 1
    assert "mails/hello.html.j2 is template 'hello' already: choose another name" in refused.stderr
    assert (hello.read_text(), len(list(hello.parent.iterdir()))) == (before, 1)


def test_a_new_template_does_not_write_through_a_file_that_is_no_template(run, hello, tmp_path):
    (hello.parent / "part.tsx").write_text("export const Part = 1;\n")
    (hello.parent / "away.html.j2").symlink_to(tmp_path / "elsewhere")
    assert run("new", "part", "--engine", "react", "--folder", "mails").returncode == 1
    assert run("new", "away", "--folder", "mails").returncode == 1
    assert (hello.parent / "part.tsx").read_text() == "export const Part = 1;\n"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_out_of_the_folder_is_named_as_one(run, hello, tmp_path):
    (tmp_path / "there.html.j2").write_text("x")
    (hello.parent / "away.html.j2").symlink_to(tmp_path / "there.html.j2")
    (hello.parent / "here.html.j2").symlink_to("hello.html.j2")
    said = "mails/away.html.j2: a link that leads out of mails, so it is no template: copy the file\n"
    listed, checked = run("list", "--source", "mails"), run("check", "mails")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "hello\nhere\n", said)
    assert (checked.returncode, checked.stdout) == (1, f"{said}hello: ok\nhere: ok\n")


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "with space", "x" * 200, "-"])
def test_a_name_that_none_can_be_is_refused_with_the_rule(run, tmp_path, name):
    refused = run("new", "--", name)
    assert refused.returncode == 1
    assert "is no name of a template: take letters, digits" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_new_template_that_cannot_be_written_says_why(run, tmp_path):
    (tmp_path / "mails").write_text("a file")
    refused = run("new", "hello", "--folder", "mails/below")
    assert refused.returncode == 1
    assert "Name another folder with --folder." in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("form", ["html", "json"])
def test_data_that_do_not_fit_the_schema_name_the_path(run, hello, form):
    hello.write_text("---\nschema: {properties: {items: {items: {required: [price]}}}}\n---\n<p>x</p>\n")
    failed = run("render", hello, "--format", form, "--data", '{"items": [{"price": 1}, {}]}')
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith('the data do not fit the schema: items[1].price: "price" is a required property')


@pytest.mark.parametrize(
    ("file", "source", "warning"),
    [
        (
            "mail.html.j2",
            '---\nsubject: S\n---\n<p class="mt-4">\n<b class="text-nonsense-900">x</b></p>\n',
            "mail: warning: mail.html.j2:5:4: there is no Tailwind class 'text-nonsense-900'.",
        ),
        (
            "mail.tsx",
            "import { Body, Tailwind } from 'react-email';\nexport default () => "
            '<Tailwind><Body className="mt-4 text-nonsense-900">x</Body></Tailwind>;\n',
            "mail: warning: mail.tsx:2:54: there is no rule for class 'text-nonsense-900'.",
        ),
    ],
)
def test_a_class_that_there_is_not_is_a_warning(run, tmp_path, file, source, warning):
    (tmp_path / file).write_text(source)
    checked = run("check", file)
    assert (checked.returncode, checked.stdout) == (0, "mail: ok\n")
    assert [line for line in checked.stderr.splitlines() if "there is no" in line] == [warning]
    line, column = map(int, warning.split(":")[3:5])
    shown = checked.stderr.splitlines()
    marked = shown.index(f"> {line} | {source.splitlines()[line - 1]}")
    assert shown[marked + 1] == f"    | {' ' * (column - 1)}^"
