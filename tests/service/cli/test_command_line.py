"""What the command line does before it does anything: help, versions, wrong usage, which part is started."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from mailboat import __version__
from mailboat.cli import commands, completion, examples, roles
from mailboat.settings import Settings

HEAVY = {"click", "httpx", "sqlalchemy", "alembic", "asyncpg", "fastapi", "yaml", "jinja2", "redis"}


def test_the_version_is_told(mailboat) -> None:
    assert mailboat("--version") == (0, f"mailboat {__version__}\n", "")


def test_the_help_names_every_command_and_role(mailboat) -> None:
    status, out, _ = mailboat("--help")
    assert status == 0
    assert all(f"\n  {name} " in out for name in (*commands.COMMANDS, *roles.ROLES))


@pytest.mark.parametrize(
    "arguments", [(name,) for name in commands.COMMANDS] + [("client", "create"), ("key", "rotate")]
)
def test_every_command_has_help(mailboat, arguments: tuple[str, ...]) -> None:
    status, out, _ = mailboat(*arguments, "--help")
    assert status == 0
    assert out.startswith(f"Usage: mailboat {' '.join(arguments)}")


@pytest.mark.parametrize("role", roles.ROLES)
def test_the_help_of_a_role_is_short_and_says_where_all_settings_are(mailboat, role: str) -> None:
    status, out, _ = mailboat(role, "--help")
    assert status == 0
    assert all(roles.flag(field) in out for field in roles.ROLES[role].flags)
    assert "DATABASE_URL" in out
    assert len(out.splitlines()) < 25
    assert (
        "MAILBOAT_HEARTBEAT_SECONDS=1.0\n    How often a worker says that it lives." in mailboat(role, "--settings")[1]
    )


def leaves(context: click.Context) -> Iterator[click.Context]:
    """A context for each command that does something, but for the roles."""
    if not isinstance(context.command, click.Group):
        yield context
        return
    for name in context.command.list_commands(context):
        if name not in roles.ROLES:
            command = context.command.get_command(context, name)
            yield from leaves(click.Context(command, info_name=name, parent=context))


def test_every_command_has_an_example_in_its_help_that_the_command_line_understands(
    mailboat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "addresses.csv").write_text("address\nada@example.com\n")
    found = {
        context.command_path.partition(" ")[2]: context
        for context in leaves(click.Context(commands.cli, info_name="mailboat"))
    }
    assert examples.EXAMPLES.keys() == found.keys()
    for path, lines in examples.EXAMPLES.items():
        shown = found[path].command.get_help(found[path])
        for line in lines:
            assert line in shown
            words = shlex.split(line)[1 + len(path.split()) :]
            found[path].command.make_context(path, words, parent=found[path].parent).close()


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_each_shell_gets_a_script_for_its_completion(mailboat, shell: str) -> None:
    status, out, err = mailboat("completion", shell)
    assert (status, err) == (0, "")
    assert f"_MAILBOAT_COMPLETE={shell}_complete" in out


def test_bash_completes_with_the_script_that_it_is_given() -> None:
    """As bash itself does it: the words, then the function that `complete` was told of."""
    script = """
        PATH=$1:$PATH
        source <(mailboat completion bash)
        COMP_WORDS=(mailboat key ro) COMP_CWORD=2
        function=$(complete -p mailboat | grep -oP -- '-F \\K\\S+')
        $function mailboat ro key
        echo "${COMPREPLY[@]}"
    """
    argv = ["bash", "-ec", script, "bash", str(Path(sys.executable).parent)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("rotate\n", "")


@pytest.mark.parametrize("noun", ["client", "key", "template", "message", "dlq", "suppression", "provider", "webhook"])
def test_the_help_of_a_noun_has_whole_sentences(mailboat, noun: str) -> None:
    _, out, _ = mailboat(noun, "--help")
    listed = out.partition("\nCommands:\n")[2]
    assert listed
    assert "..." not in listed


@pytest.fixture
def completed(mailboat, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """completed(line): what Tab offers at the end of it."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        monkeypatch.setenv("_MAILBOAT_COMPLETE", "bash_complete")
        status, out, err = mailboat()
        assert (status, err) == (0, "")
        return [line.partition(",")[2] for line in out.split()]

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mailboat arch", ["archive"]),
        ("mailboat wo", ["worker"]),
        ("mailboat key ro", ["rotate"]),
        ("mailboat worker --", ["--name", "--settings", "--help"]),
        ("mailboat message list --lane ", ["high", "normal", "bulk"]),
        ("mailboat client get --url http://127.0.0.1:1 --token t ", []),
    ],
)
def test_commands_options_and_choices_are_completed(completed, line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_completion_starts_no_role(completed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ROLE", "captain")
    assert completed("mailboat arch") == ["archive"]


def test_an_interrupted_command_ends_with_130_and_says_nothing(mailboat, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(roles, "migrate", interrupted)
    assert mailboat("migrate") == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("api", "--prot", "1"), "'--prot' is not an option of api"),
        (("api", "--port"), "--port needs a value"),
        (("worker", "now"), "'now' is not an option of worker"),
        (("api", "--port=999999"), "MAILBOAT_PORT='999999'"),
        (("up", "--port", "x"), "'x' is not a valid integer"),
        (("boat",), "No such command 'boat'"),
        (("send", "--to", "ada@example.com"), "Give either a TEMPLATE, or --subject"),
        (("send", "receipt", "--to", "a@example.com", "--data", "{"), "this is not JSON"),
        (("send", "receipt", "--to", "a@example.com", "--data", "[]"), "not a JSON object"),
        (("send", "receipt", "--to", "a@example.com", "--data", "@/no/file"), "/no/file cannot be read"),
        (("send", "receipt", "--to", "a@example.com", "--tag", "flow"), "'flow' is not NAME=VALUE"),
        (("key", "rotate", "shop", "--overlap", "1 day"), "'1 day' is not a duration"),
        (("client", "get", "a/b/c"), "'a/b/c' is not NAME or NAMESPACE/NAME"),
        (("client", "update", "shop"), "Nothing to change"),
        (("client", "update", "shop", "--quota", "many"), "'many' is neither a number nor 'none'"),
        (("client", "list"), "No admin token: give --token"),
        (("message", "list"), "No API key: give --key and --secret"),
    ],
)
def test_wrong_usage_is_named_and_ends_with_2(
    mailboat, arguments: tuple[str, ...], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = mailboat(*arguments)
    assert status == 2
    assert complaint in err
    assert "Traceback" not in err
    assert out == ""


def test_an_unknown_service_role_is_named(mailboat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ROLE", "captain")
    status, _, err = mailboat()
    assert status == 2
    assert err == "mailboat: SERVICE_ROLE='captain': use api, worker, watcher, operator, data, migrate, up.\n"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings with which the role `migrate` was started, in place of running it."""
    found: list[Settings] = []
    monkeypatch.setattr(roles, "migrate", found.append)
    monkeypatch.setitem(roles.ROLES, "migrate", roles.ROLES["migrate"]._replace(flags=("host", "worker_name")))
    return found


def test_service_role_chooses_the_part(mailboat, monkeypatch: pytest.MonkeyPatch, started: list[Settings]) -> None:
    monkeypatch.setenv("SERVICE_ROLE", "migrate")
    assert mailboat() == (0, "", "")
    assert len(started) == 1


def test_a_command_comes_before_service_role(mailboat, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_ROLE", "migrate")
    assert mailboat("--version")[0] == 0


def test_flags_of_a_role_override_the_environment(
    mailboat, monkeypatch: pytest.MonkeyPatch, started: list[Settings]
) -> None:
    monkeypatch.setenv("MAILBOAT_HOST", "0.0.0.0")
    monkeypatch.setenv("MAILBOAT_WORKER_NAME", "one")
    assert mailboat("migrate", "--host=::1", "--name", "two")[0] == 0
    assert (started[0].host, started[0].worker_name) == ("::1", "two")


@pytest.mark.parametrize(
    "program", ["from mailboat.cli import roles; roles.overrides('api', ['--port', '1'])", "import mailboat.cli"]
)
def test_a_role_is_told_apart_before_anything_heavy_is_imported(program: str) -> None:
    script = f"import sys; {program}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert not {name.partition(".")[0] for name in loaded.split()} & HEAVY


def test_nobody_at_the_address_is_said_with_the_remedy(mailboat) -> None:
    status, _, err = mailboat("client", "list", "--url", "http://127.0.0.1:1", "--token", "t")
    assert status == 1
    assert err.startswith("mailboat: No answer from http://127.0.0.1:1 (")
    assert "Start it with `mailboat up`" in err
