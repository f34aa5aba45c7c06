import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mailboat.cli import folder
from mailboat.errors import ConfigurationError


def quiet(_line: str) -> None:
    """Nobody listens."""


def test_a_folder_has_one_owner_at_a_time(tmp_path: Path) -> None:
    with (
        folder.claim(tmp_path / "data", quiet),
        pytest.raises(ConfigurationError, match="Another `mailboat up` has"),
        folder.claim(tmp_path / "data", quiet),
    ):
        pass
    with folder.claim(tmp_path / "data", quiet):
        pass


def test_children_of_the_run_before_are_waited_for_and_then_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "GRACE_SECONDS", 0.1)
    with folder.claim(tmp_path, quiet) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    said: list[str] = []
    with child, folder.claim(tmp_path, said.append):
        assert child.wait() == -9
    assert said == ["waiting for the parts of the run before to end …"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ConfigurationError, match="file/data cannot be written to"),
        folder.claim(tmp_path / "file" / "data", quiet),
    ):
        pass


def test_sockets_lie_in_the_data_folder_when_its_path_is_short_and_plain(tmp_path: Path) -> None:
    data = Path("/tmp") / f"mb-{os.getpid()}"
    data.mkdir()
    try:
        assert folder.sockets(data, None) == data / "run"
    finally:
        folder.remove_sockets(data)
        data.rmdir()


@pytest.mark.parametrize("name", ["x" * 120, "a folder, with words"])
def test_sockets_lie_in_a_private_folder_elsewhere_when_the_path_is_long_or_odd(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    data.mkdir()
    place = folder.sockets(data, None)
    assert (data / "run").readlink() == place
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    again = folder.sockets(data, None)  # the run before was killed
    assert not place.exists()
    folder.remove_sockets(data)
    assert not again.exists()
    assert list(data.iterdir()) == []


def test_credentials_are_written_whole_for_their_owner_alone(tmp_path: Path) -> None:
    folder.write_credentials(tmp_path, {"url": "http://localhost"})
    folder.write_credentials(tmp_path, {"url": "http://localhost:1"})
    assert stat.S_IMODE((tmp_path / "client.json").stat().st_mode) == 0o600
    assert json.loads((tmp_path / "client.json").read_text()) == {"url": "http://localhost:1"}
    assert [path.name for path in tmp_path.iterdir()] == ["client.json"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_credentials_that_cannot_be_read_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "client.json").write_text(text)
    assert folder.credentials(tmp_path) == {}


def test_the_admin_token_is_made_once(tmp_path: Path) -> None:
    token = folder.admin_token(tmp_path)
    assert len(token) >= 32
    assert folder.admin_token(tmp_path) == token
    assert stat.S_IMODE((tmp_path / "admin-token").stat().st_mode) == 0o600
