"""`mailboat up` as its user sees it: real ones, with all their parts."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mailboat.cli import postgres

SECONDS = 60.0


def until(true: Callable[[], Any]) -> Any:
    """Wait until this is true; what it was then."""
    deadline = time.monotonic() + SECONDS
    while not (found := true()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found


def parts(run: Any) -> dict[str, int]:
    """The process ids of what the supervisor runs, by a word of their command line."""
    words = {"-m mailboat api": "api", "-m mailboat worker": "worker", "-m mailboat watcher": "watcher"}
    words |= {"bin/postgres": "postgres", "valkey-server": "valkey"}
    found = {}
    for child in psutil.Process(run.process.pid).children():
        try:
            line = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        found |= {name: child.pid for word, name in words.items() if word in line}
    return found


def gone(pids: Any) -> bool:
    return not any(psutil.pid_exists(pid) for pid in pids)


def send(run: Any, order: str) -> str:
    client = run.client
    headers = {"X-Api-Key": client["api_key"], "X-Api-Secret": client["api_secret"]}
    body = {"template": "receipt", "to": "ada@example.com", "data": {"order": order, "name": "Ada"}}
    answer = httpx.post(f"{client['url']}/v1/send", headers=headers, json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def status(run: Any, identifier: str) -> str:
    client = run.client
    headers = {"X-Api-Key": client["api_key"], "X-Api-Secret": client["api_secret"]}
    try:
        answer = httpx.get(f"{client['url']}/v1/messages/{identifier}", headers=headers)
    except httpx.TransportError:
        return "away"
    return str(answer.json()["status"]) if answer.is_success else "away"


def test_it_says_how_to_send_a_mail_and_last_of_all_ready(run: Any) -> None:
    assert run.said[-1] == "ready"
    assert f"Read it: {run.client['url']}/ui/inbox" in run.said
    answer = json.loads(subprocess.run(run.curl, shell=True, check=True, capture_output=True).stdout)  # noqa: S602
    until(lambda: status(run, answer["id"]) == "sent")
    token = {"Authorization": f"Bearer {run.client['admin_token']}"}
    mail = httpx.get(f"{run.client['url']}/admin/inbox/{answer['id']}", headers=token).json()
    assert mail["subject"] == "Receipt A-1042"
    assert "Thanks, Zoë O&#39;Neill!" in mail["html"]


def test_the_inbox_page_is_open_on_this_machine(run: Any) -> None:
    assert httpx.get(f"{run.client['url']}/ui/inbox").status_code == 200


def test_the_first_client_may_use_any_sender_and_its_file_is_for_its_owner_alone(run: Any) -> None:
    assert stat.S_IMODE((run.data / "client.json").stat().st_mode) == 0o600
    client = run.client
    assert set(client) == {"url", "api_key", "api_secret", "admin_token"}
    headers = {"X-Api-Key": client["api_key"], "X-Api-Secret": client["api_secret"]}
    body = {"from": "anyone@elsewhere.example", "to": "ada@example.com", "subject": "Ahoy", "text": "Hello."}
    assert httpx.post(f"{client['url']}/v1/send", headers=headers, json=body).status_code == 202


def test_a_second_one_on_the_same_folder_is_refused(run: Any, up: Any) -> None:
    second = up("data")
    assert second.wait() == 2
    assert second.errors.read_text().endswith(
        f"mailboat: Another `mailboat up` has {run.data}: stop it, or choose another --data folder.\n"
    )


@pytest.mark.parametrize("part", ["api", "worker", "watcher", "postgres", "valkey"])
def test_a_part_killed_with_kill_9_comes_back_and_no_mail_is_lost(run: Any, part: str) -> None:
    before = parts(run)
    mails = [send(run, f"{part}-{number}") for number in range(20)]
    os.kill(before[part], signal.SIGKILL)
    until(lambda: parts(run).get(part, before[part]) != before[part])
    until(lambda: all(status(run, mail) == "sent" for mail in mails))


def test_nothing_is_left_after_kill_9_and_the_next_one_goes_on(up: Any) -> None:
    first = up("killed")
    first.until_ready()
    mail = send(first, "kept")
    children = psutil.Process(first.process.pid).children(recursive=True)
    first.process.kill()
    until(lambda: gone(child.pid for child in children))
    second = up("killed")
    second.until_ready()
    assert second.client == first.client | {"url": second.client["url"]}
    until(lambda: status(second, mail) == "sent")


def test_ctrl_c_stops_all_parts_in_order_and_ends_with_0(up: Any) -> None:
    started = up("stopped")
    started.until_ready()
    children = psutil.Process(started.process.pid).children(recursive=True)
    assert started.stop(signal.SIGINT) == 0
    assert gone(child.pid for child in children)
    assert "database system is shut down" in (started.data / "logs" / "postgres.log").read_text()
    assert "ready to exit" in (started.data / "logs" / "valkey.log").read_text()
    assert not (started.data / "run").exists()
    assert "Traceback" not in started.errors.read_text()


def test_a_signal_during_the_start_leaves_nothing(up: Any) -> None:
    started = up("early")
    until(lambda: "starting PostgreSQL" in started.errors.read_text())
    assert started.stop(signal.SIGTERM) == 0
    assert "ready" not in started.said
    assert postgres.alive(started.data / "postgres") is None


def test_a_revoked_key_is_replaced_at_the_next_start(up: Any) -> None:
    first = up("revoked")
    first.until_ready()
    old, token = first.client, {"Authorization": f"Bearer {first.client['admin_token']}"}
    keys = f"{old['url']}/admin/clients/default/first/keys/{old['api_key']}/revoke"
    assert httpx.post(keys, headers=token).status_code == 200
    first.stop(signal.SIGTERM)
    second = up("revoked")
    second.until_ready()
    assert second.client["api_key"] != old["api_key"]
    mail = send(second, "new")
    until(lambda: status(second, mail) == "sent")


def test_servers_of_ones_own_are_used_in_place_of_the_embedded(run: Any, up: Any) -> None:
    sockets = run.data / "run"
    environment = {
        "DATABASE_URL": f"postgresql://postgres@/postgres?host={os.path.realpath(sockets)}",
        "REDIS_URL": f"unix://{os.path.realpath(sockets)}/valkey.sock?db=1",
    }
    own = up("own", environment=environment)
    own.until_ready()
    assert set(parts(own)) == {"api", "worker", "watcher"}
    assert own.stop(signal.SIGHUP) == 0


def test_without_templates_samples_are_put_into_the_data_folder_and_sent(up: Any, open_path: Path) -> None:
    started = up(str(open_path / "data"))
    started.until_ready()
    assert (open_path / "data" / "templates" / "receipt.html.j2").exists()
    assert '"template": "receipt"' in started.curl
    answer = json.loads(subprocess.run(started.curl, shell=True, check=True, capture_output=True).stdout)  # noqa: S602
    until(lambda: status(started, answer["id"]) == "sent")


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--templates", "nowhere"), r"--templates nowhere: there is no such folder\."),
        (("--smtp", "gopher://mail"), r"MAILBOAT_SMTP_URL"),
        (("--host", "192.0.2.1"), r"Cannot listen on 192\.0\.2\.1 port 0: .+ Choose another --port or --host\."),
    ],
)
def test_what_cannot_work_is_said_in_one_line_before_anything_starts(
    up: Any, flags: tuple[str, ...], complaint: str
) -> None:
    started = up("wrong", "--port", "0", *flags)
    assert started.wait() == 2
    (line,) = started.errors.read_text().splitlines()[-1:]
    assert re.match(f"mailboat: .*{complaint}", line)
    assert not (started.data / "postgres").exists()


def test_a_taken_port_is_said(up: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        started = up("taken", "--port", str(port))
        assert started.wait() == 2
    assert started.errors.read_text() == (
        f"mailboat: Cannot listen on 127.0.0.1 port {port}: Address already in use. Choose another --port or --host.\n"
    )


def test_a_database_that_is_not_there_is_said_and_nothing_is_left(up: Any) -> None:
    started = up("away", environment={"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/postgres"})
    assert started.wait() == 2
    assert "migrate ended with exit code 2: mailboat: DATABASE_URL: cannot migrate" in started.errors.read_text()
