"""`mailboat template preview`: the pages of one folder, with neither Postgres nor Valkey."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

MAIL = '---\nsubject: "Hi {{ name }}"\nexample: {name: Ada}\n---\n<p class="mt-4">Hello {{ name }}</p>\n'
ELSEWHERE = {name: value for name, value in os.environ.items() if "MAILBOAT" not in name and not name.endswith("_URL")}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def mails(tmp_path: Path) -> Path:
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "hello.html.j2").write_text(MAIL)
    return folder


@pytest.fixture
def start(mails: Path) -> Iterator[Start]:
    """start(*arguments): the command, run beside the folder `mails`."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mailboat", "template", "preview", *map(str, arguments)]
        process = subprocess.Popen(
            command, cwd=mails.parent, env=ELSEWHERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def site(process: subprocess.Popen[str]) -> str:
    """The origin that it says it serves."""
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"http://localhost:\d+(?=/ui/templates )", line)
    assert found, line or process.communicate()
    return found[0]


def ended(process: subprocess.Popen[str], number: int = signal.SIGINT) -> tuple[int, str, str]:
    process.send_signal(number)
    said, complained = process.communicate(timeout=60)
    return process.returncode, said, complained


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_shown_and_ctrl_c_ends_it_without_a_word(start: Start, number: int) -> None:
    process = start("mails")
    with httpx.Client(base_url=site(process), timeout=60) as http:
        home = http.get("/", follow_redirects=True)
        assert home.url.path == "/ui/templates"
        assert 'href="/ui/templates/hello"' in home.text
        for link in re.findall(r'(?:href|src)="(/ui/static/[^"#]+)"', home.text):
            assert http.get(link).status_code == 200, link
        page = http.get("/ui/templates/hello")
        assert "<strong>Hi Ada</strong>" in page.text
        assert "/revisions" not in page.text  # those are the database's to know
        edited = http.post(
            "/ui/templates/hello/preview",
            data={"data": '{"name": "<Bob>"}', "untouched": ""},
            headers={"Sec-Fetch-Site": "same-origin"},
        )
        assert "<strong>Hi &lt;Bob&gt;</strong>" in edited.text
        assert http.get("/ui/templates/hello/html").text == '<p style="margin-top:16px">Hello Ada</p>'
    assert ended(process, number) == (0, "", "")


def test_it_tells_open_pages_of_a_save_and_ends_although_they_listen(start: Start, mails: Path) -> None:
    process, seen = start("mails"), threading.Event()

    def save_again_and_again() -> None:  # the watch of the folder begins some time after the page is open
        while not seen.wait(0.05):
            (mails / "new.html.j2").write_text("{% if %}")

    saving = threading.Thread(target=save_again_and_again)
    with httpx.Client(base_url=site(process), timeout=60) as http, http.stream("GET", "/ui/templates/stream") as stream:
        events = (line for line in stream.iter_lines() if line == "event: save")
        next(events)  # what it says at first
        saving.start()
        try:
            next(events)
        finally:
            seen.set()
            saving.join()
        assert "new.html.j2:1:7" in http.get("/ui/templates").text
        assert ended(process) == (0, "", "")


REACT = "import { Html, Text } from 'react-email';\n"
FAULTS = {
    "syntax.html.j2": ("---\nsubject: S\n---\n<p>\n{% if %}\n", "syntax.html.j2:5:7: "),
    "partial.html.j2": ("<p>{% include 'nope' %}", "partial.html.j2:1:16: "),
    "outside.html.j2": ("{% include '../secret' %}", "outside.html.j2:1:13: "),
    "props.html.j2": ("<p>\n{{ a.b }}", "props.html.j2:2:4: "),
    "thrown.html.j2": ("{{ 1 / 0 }}", "thrown.html.j2:1:4: "),
    "cycle.html.j2": ("{% include 'cycle.html.j2' %}", "cycle.html.j2:1:13: "),
    "yaml.html.j2": ("---\nexample: {a: 1\nschema: {}\n---\n", "yaml.html.j2:3:7: "),
    "schema.html.j2": ("---\nschema:\n  type: objekt\n---\n", "schema.html.j2:3:3: "),
    "example.html.j2": ("---\nschema: {required: [a]}\nexample: {b: 1}\n---\n", "example.html.j2:3:1: "),
    "syntax-react.tsx": (REACT + "export default () => <Html><Text></Html>;\n", "syntax-react.tsx:2:34: "),
    "component-react.tsx": (REACT + "export default () => <Html><Nope /></Html>;\n", "component-react.tsx:2:"),
    "props-react.tsx": (REACT + "export default ({ a }) => <Html>{a.b.c}</Html>;\n", "props-react.tsx:2:"),
    "thrown-react.tsx": (REACT + "export default () => {\n  throw new Error('boom');\n};\n", "thrown-react.tsx:3:"),
    "import-react.tsx": ("import fs from 'fs';\nexport default () => fs.x;\n", "import-react.tsx:1:16: "),
    "outside-react.tsx": ("import a from '../secret';\nexport default () => a;\n", "outside-react.tsx:1:15: "),
}
"""A faulty template, and where its preview says that the fault is."""


def test_each_fault_is_shown_at_its_place_in_the_source(start: Start, mails: Path) -> None:
    (mails.parent / "secret").write_text("SECRET")
    (mails.parent / "secret.ts").write_text("export default 'SECRET';")
    for file, (source, _) in FAULTS.items():
        (mails / file).write_text(source)
    (mails / "huge.html.j2").write_text("x" * 10_000_000)
    (mails / "binary.html.j2").write_bytes(b"\x89PNG\r\n\xff\0")
    process = start("mails")
    with httpx.Client(base_url=site(process), timeout=60) as http:
        for file, (_, place) in FAULTS.items():
            page = http.get(f"/ui/templates/{file.partition('.')[0]}").text
            assert f" {place}" in page, file
            assert '<tr class="caret">' in page, file
            assert "SECRET" not in page
            assert "Traceback" not in page
        assert "huge.html.j2:1:1: the file is larger than 1024 KiB" in http.get("/ui/templates/huge").text
        assert "binary.html.j2:1:1: the file is not UTF-8 text" in http.get("/ui/templates/binary").text
    assert ended(process) == (0, "", "")


def test_edited_data_that_do_not_fit_the_schema_are_said_to_be(start: Start, mails: Path) -> None:
    (mails / "order.html.j2").write_text("---\nschema: {properties: {n: {type: integer}}}\n---\n<p>{{ n }}</p>\n")
    process = start("mails")
    with httpx.Client(base_url=site(process), timeout=60, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        given = {"data": '{"n": "one"}', "untouched": ""}
        page = http.post("/ui/templates/order/preview", data=given).text
    assert "The data do not fit the schema: n: &#34;one&#34; is not of type &#34;integer&#34;" in page


def test_what_is_not_there_is_said_to_be(start: Start) -> None:
    process = start("mails")
    with httpx.Client(base_url=site(process), timeout=60) as http:
        for path in ("nothing", "..%2Fhello", "%00", "hello?ns=other"):
            assert http.get(f"/ui/templates/{path}").status_code == 404, path
        assert http.get("/ui/templates", headers={"Host": "evil.example"}).status_code == 403
        foreign = {"Sec-Fetch-Site": "cross-site"}
        assert http.post("/ui/templates/hello/preview", headers=foreign).status_code == 403


def test_a_missing_folder_and_a_taken_port_are_refused_with_a_remedy(start: Start) -> None:
    missing = start("nowhere")
    assert (
        missing.communicate(timeout=60)[1]
        .strip()
        .endswith("There is no folder nowhere: name one: mailboat template preview FOLDER.")
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = start("mails", "--port", taken.getsockname()[1])
        assert "Choose another --port, or none." in refused.communicate(timeout=60)[1]
    assert (missing.returncode, refused.returncode) == (1, 1)
