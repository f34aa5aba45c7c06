"""MAILBOAT_PROVIDERS_FILE: what it makes, and how it says what is wrong."""

from __future__ import annotations

import asyncio

import pytest

from mailboat.errors import ConfigurationError
from mailboat.limits.breaker import policy_of
from mailboat.providers.inbox import Inbox
from mailboat.providers.pace import Paced
from mailboat.providers.records import Directory
from mailboat.providers.registry import of_settings
from mailboat.settings import Settings

FILE = """
- name: ses-eu
  ses: {region: eu-west-1, configurationSet: mailboat, snsOrigin: "http://127.0.0.1:9001"}
  webhook: {topic-arns: ["arn:aws:sns:eu-west-1:123456789012:events"]}
  credentials: {access-key-id: AKIAEXAMPLE, secret-access-key: secret}
  limits: {maxPerSecond: 50, maxConcurrent: 7, timeout: 10s}
- {name: grid, sendgrid: {region: eu}, credentials: {api-key: SG.x}}
- {name: gun, mailgun: {domain: mg.example.com}, credentials: {api-key: key-x}}
- {name: mark, postmark: , credentials: {server-token: t}}
- name: backup
  smtp: {host: smtp.example.com, port: 2525, tls: none}
  credentials: {username: "me@x", password: "p/w?#"}
- {name: kept, inbox: {}}
"""


@pytest.fixture
def read(tmp_path):
    def read(text, **others):
        path = tmp_path / "providers.yaml"
        path.write_text(text)
        return of_settings(Settings(providers_file=str(path), **others), None).providers

    return read


async def test_every_kind_can_be_named(read):
    providers = read(FILE, smtp_url="smtp://mail.example.com")
    kinds = {name: provider.kind for name, provider in providers.items()}
    assert kinds == {
        "inbox": "inbox", "smtp": "smtp", "ses-eu": "ses", "grid": "sendgrid", "gun": "mailgun", "mark": "postmark",
        "backup": "smtp", "kept": "inbox",
    }  # fmt: skip
    assert (providers["ses-eu"].concurrency, providers["grid"].concurrency) == (7, 20)
    server = providers["backup"]._server
    assert (server.host, server.port, server.user, server.password) == ("smtp.example.com", 2525, "me@x", "p/w?#")
    for provider in providers.values():
        await provider.close()


async def test_what_the_file_says_of_circuits_counts_and_the_rest_is_usual(tmp_path):
    path = tmp_path / "providers.yaml"
    path.write_text("- {name: one, inbox: {}, circuitBreaker: {failures: 2, cooldown: 1m}}\n- {name: two, inbox: {}}")
    settings = Settings(providers_file=str(path))
    directory = Directory(None, *of_settings(settings, None), unseal=None)
    one, two = (policy_of(directory.find("default", name).breaker) for name in ("one", "two"))
    assert (one.failures, one.window, one.cooldown) == (2, 60, 60)
    assert (two.failures, two.window, two.cooldown) == (5, 60, 5)


GRID = "- {name: grid, sendgrid: {}, credentials: {api-key: SECRET}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- {name: x, ses: {}}", r"item 1 \(x\): ses: Object missing required field `region`"),
        ("- {name: x, ses: {region: Europe}}", r"item 1 \(x\): ses\.region: "),
        ("- {name: x, ses: {region: eu-west-1, regoin: x}}", "ses: Object contains unknown field `regoin`"),
        ("- {name: x, sendgrid: {}}", "credentials: Object missing required field `api-key`"),
        ("- {name: x, sendgrid: {}, credentials: {api-key: 7}}", r"credentials\.api-key: Expected `str`"),
        ("- {name: x, sendgrid: {endpoint: 'ftp://x'}, credentials: {api-key: x}}", r"sendgrid\.endpoint: "),
        ("- {name: x, smtp: {host: a b}}", r"smtp\.host: "),
        ("- {name: x, smtp: {host: a, caFile: /nowhere}}", "item 1 .x.: smtp: .*/nowhere"),
        ("- {name: x, smtp: {host: a}, credentials: {password: x}}", "credentials: has a password but no username"),
        (f"{GRID}, limits: {{timeout: soon}}}}", r"limits\.timeout: "),
        (f"{GRID}, limits: {{maxPerSecond: 0}}}}", r"limits\.maxPerSecond: "),
        (f"{GRID}, limits: {{burst: 1}}}}", "limits: Object contains unknown field `burst`"),
        (f"{GRID}, circuitBreaker: {{failures: 0}}}}", r"circuitBreaker\.failures: "),
        (f"{GRID}, circuitBreaker: {{cooldown: soon}}}}", r"circuitBreaker\.cooldown: "),
        (f"{GRID}, circuitBreaker: {{colour: red}}}}", "circuitBreaker: Object contains unknown field `colour`"),
        ("- {name: x, smtp: {host: a}, inbox: {}}", "exactly one of inbox, smtp, .*it has 2"),
        ("- {name: x}", "exactly one of"),
        ("- {name: x, pigeon: {}}", "pigeon: is no field"),
        ("- {name: X!, inbox: {}}", "item 1: name: "),
        ("- 7", "item 1: name: "),
        ("- {name: x, inbox: {}}\n- {name: x, inbox: {}}", "item 1 .x.: name: another item"),
        ("- {name: inbox, inbox: {}}", "name: inbox is there already"),
        ("name: x", "has to be a list"),
        ("- {name: x\n  key: SECRET: [", "not YAML: line"),
    ],
)
def test_a_fault_names_file_item_and_field_and_never_a_secret(read, text, words):
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(text)
    assert "providers.yaml" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_file_that_is_not_there_stops_the_start():
    with pytest.raises(ConfigurationError, match="MAILBOAT_PROVIDERS_FILE"):
        of_settings(Settings(providers_file="/nowhere.yaml"), None)


def test_credentials_do_not_show_themselves(read):
    from mailboat.providers.sendgrid import Credentials

    assert "SG.x" not in repr(Credentials("SG.x"))


async def test_a_paced_provider_is_asked_evenly(monkeypatch):
    """The clock is the loop's, so the waits are told by what was slept."""
    slept = []

    class Told(Inbox):
        async def send(self, request):
            return request

    async def sleep(seconds):
        slept.append(round(seconds, 2))

    monkeypatch.setattr("mailboat.providers.pace.asyncio.sleep", sleep)
    paced = Paced(Told("x", None), per_second=10)
    assert await asyncio.gather(*(paced.send(number) for number in range(4))) == [0, 1, 2, 3]
    assert slept == pytest.approx([0.1, 0.2, 0.3], abs=0.05)
