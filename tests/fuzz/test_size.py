"""What is large and nasty takes no more than its size: each of these ends in no time, or would not end at all.

Each runs in a process that may use a few seconds of the processor and a few hundred megabytes; what grows with the
square of its input needs minutes, or more than there is.
"""

# ruff: noqa: E501 - a case is one line

from __future__ import annotations

import subprocess
import sys

import pytest

SECONDS, OCTETS = 10, 2 << 30  # of processor time and address space, the interpreter's own included

CASES = {
    "a body of brackets": "refused(validate.decode, b'{\"to\": ' + b'[' * 1_000_000)",
    "a body of keys": 'refused(validate.decode, b\'{"to": "a@b.example", "data": {\' + b\'"a":[],\' * 200_000 + b\'"b":1}}\')',
    "a number without end": 'refused(validate.decode, b\'{"to": "a@b.example", "data": {"a": \' + b\'9\' * 1_000_000 + b\'}}\')',
    "escapes": "refused(validate.decode, b'{\"to\": \"' + b'\\\\ud800' * 200_000 + b'\"}')",
    "an address of quotes": "refused(address.parse, '\"' + '\\\\\"' * 500_000 + '<a@b.example>')",
    "an address of spaces": "refused(address.parse, ' ' * 1_000_000 + '@')",
    "an address of dots": "refused(address.parse, 'a.' * 400 + '@' + 'a.' * 90 + 'ä')",
    "a header of encoded words": "refused(mime.header_fault, 'X-A', '=?' * 4000)",
    "a text of spaces": "mime._leaf(b'plain', ' ' * 500_000 + 'ä' + ' \\n' * 300_000, False)",
    "a subject of signs": "mime._subject('ä ' * 1000)",
    "a list of mailboxes": "getaddresses_of(b'<' * 2000)",
    "a webhook of brackets": "refused(mailgun.parse, b'[' * 1_000_000)",
    "front matter that never closes": "refused(split, '---\\n' + '--- x\\n' * 100_000, 'x', strict=False)",
    "front matter of brackets": "refused(split, '---\\nsubject: ' + '[' * 100_000 + '\\n---\\n', 'x', strict=False)",
    "front matter of base 60": "refused(split, '---\\nexample: {a: 1' + ':1' * 90_000 + '}\\n---\\n', 'x', strict=False)",
    "front matter of digits": "refused(split, '---\\nexample: {a: ' + '1' * 190_000 + '}\\n---\\n', 'x', strict=False)",
    "front matter of octal digits": "refused(split, '---\\nexample: {a: 0' + '7' * 190_000 + '}\\n---\\n', 'x', strict=False)",
    "a URL": "refused(egress.check, 'https://' + '@' * 1_000_000)",
    "a certificate's URL": "refused(sns.check_certificate_url, 'https://sns.' + 'a' * 500_000 + '/' * 500_000)",
}
PROGRAM = """
from mailboat import egress
from mailboat.delivery import validate
from mailboat.domain import address
from mailboat.errors import MailboatError
from mailboat.providers import mime
from mailboat.registry.front_matter import split
from mailboat.webhooks import mailgun, sns

def refused(work, *given, **more):
    try:
        return work(*given, **more)
    except (MailboatError, address.InvalidAddress):
        return None

def getaddresses_of(to):
    return mailgun.parse(b'{"event-data": {"message": {"headers": {"to": "' + to + b'"}}}}')
"""


def run(lines: str, seconds: int = SECONDS) -> subprocess.CompletedProcess[str]:
    limits = f"""
import resource
resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, {seconds + 1}))
resource.setrlimit(resource.RLIMIT_AS, ({OCTETS}, {OCTETS}))
"""
    program = [sys.executable, "-P", "-c", PROGRAM + limits + lines]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_large_and_nasty_inputs_take_time_and_memory_in_proportion() -> None:
    """All in one process; which of them it was when it is not in order, its output says."""
    said = run("\n".join(f"print({name!r}, flush=True)\n{line}" for name, line in CASES.items()))
    last = (said.stdout.splitlines() or ["the imports"])[-1]
    assert said.returncode == 0, f"{last}: {said.stderr[-2000:]}"


def test_what_needs_more_is_stopped() -> None:
    """So that the test above can fail."""
    assert run("while True: pass", seconds=1).returncode < 0
    assert "MemoryError" in run("b' ' * (4 << 30)").stderr


@pytest.mark.parametrize("name", ["a subject of signs"])
def test_a_case_does_what_it_says(name: str) -> None:
    assert run(f"assert len({CASES[name]}) > 2000").returncode == 0
