"""`mailboat simulate` as its user sees it: a real process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import httpx
import pytest

MAILBOAT = [sys.executable, "-m", "mailboat", "simulate"]


@pytest.fixture
def start():
    """Starts one; gives it with the lines that it printed until `ready`."""
    started = []

    def start(*arguments):
        process = subprocess.Popen([*MAILBOAT, *arguments], stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, [process.stdout.readline().rstrip("\n") for _ in range(3)]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("kind", ["ses", "sendgrid", "mailgun", "postmark"])
def test_it_says_where_it_is_and_its_keys_and_stops_when_told(kind, start):
    process, (where, keys, ready) = start(kind, "--latency", "0.01", "--shuffle-events")
    assert ready == "ready"
    assert where.startswith(f"{kind} simulator at http://127.0.0.1:")
    url = where.rpartition(" ")[2]
    about = httpx.get(f"{url}/_simulator").json()
    assert {"provider": kind, **json.loads(keys)} == about
    settings = httpx.get(f"{url}/_simulator/settings").json()
    assert (settings["latency"], settings["shuffleEvents"], settings["eventCopies"]) == (0.01, True, 1)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0


def test_credentials_are_the_ones_given(start):
    _, (_, keys, _) = start("mailgun", "--key", "k", "--signing-key", "s")
    assert json.loads(keys) == {"apiKey": "k", "webhookSigningKey": "s"}


def test_a_switch_out_of_range_is_wrong_usage():
    done = subprocess.run([*MAILBOAT, "sendgrid", "--failure-rate", "2"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "failureRate" in done.stderr


def test_a_port_that_is_taken_is_named(start):
    _, (where, *_) = start("postmark")
    port = where.rpartition(":")[2]
    done = subprocess.run([*MAILBOAT, "postmark", "--port", port], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
