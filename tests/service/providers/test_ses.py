"""The provider `ses`: what it asks of SES, and that moto, which is not ours, understands it."""

from __future__ import annotations

import email
import email.policy
import re
import subprocess
import sys

import httpx
import pytest

from mailboat.errors import ConfigurationError, Rejected
from mailboat.providers import manifest
from mailboat.providers.manifest import Manifest
from mailboat.providers.ses import Credentials, Ses, Spec

LIMITS = manifest.Limits(timeout="5s")


def ses(**spec):
    return Ses("ses", Spec(region="eu-west-1", **spec), Credentials("AKIAEXAMPLE", "secret"), LIMITS)


@pytest.fixture
def moto():
    from moto.server import ThreadedMotoServer  # takes a second

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


async def test_moto_takes_the_mail_as_it_was_written(moto, mail_of):
    async with httpx.AsyncClient(base_url=moto) as client:
        await client.post("/moto-api/reset")
        identity = {"Action": "VerifyDomainIdentity", "Domain": "shop.example.com"}
        scope = "Credential=AKIAEXAMPLE/20260101/eu-west-1/ses/aws4_request"
        headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        (await client.post("/", data=identity, headers=headers)).raise_for_status()
        provider = ses(endpoint=moto)
        mail = mail_of(to=["Zoë <zoe@example.com>"], bcc=["b@example.com"], subject="Grüße", tags={"flow": "checkout"})
        receipt = await provider.send(provider.build(mail))
        await provider.close()
        kept = (await client.get("/moto-api/data.json")).json()["ses"]["RawMessage"]
    assert receipt.provider_message_id == kept[0]["id"]
    assert kept[0]["destinations"][:2] == ["zoe@example.com", "b@example.com"]  # moto adds those of the headers
    message = email.message_from_string(kept[0]["raw_data"], policy=email.policy.default)
    assert (message["subject"], message["message-id"]) == ("Grüße", "<1@mail.example.com>")
    assert message["from"].addresses[0].display_name == "Northwind"


def test_the_request_names_the_envelope_the_tags_and_the_configuration_set(mail_of):
    mail = mail_of(to=["a@example.com"], cc=["c@example.com"], bcc=["b@example.com"], tags={"flow": "über uns"})
    request = ses(configuration_set="events").build(mail)
    assert request["Destination"] == {
        "ToAddresses": ["a@example.com"],
        "CcAddresses": ["c@example.com"],
        "BccAddresses": ["b@example.com"],
    }
    assert request["ConfigurationSetName"] == "events"
    assert request["EmailTags"] == [
        {"Name": "mailboat_id", "Value": str(mail.id)},
        {"Name": "flow", "Value": "_ber_uns"},
    ]
    assert "FromEmailAddress" not in request, "it would take the display name away"
    assert "ConfigurationSetName" not in ses().build(mail)


def test_tags_keep_to_the_alphabet_and_the_number_of_ses(mail_of):
    tags = {f"flow.{number}": "x" * 256 for number in range(60)}
    found = ses().build(mail_of(tags={**tags, "mailboat_id": "mine"}))["EmailTags"]
    assert len(found) == 48
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,256}", word) for tag in found for word in tag.values())
    assert len({tag["Name"] for tag in found}) == len(found)
    assert [tag["Value"] for tag in found if tag["Name"] == "mailboat_id"] == [str(mail_of().id)]


def test_more_than_fifty_recipients_are_refused_before_anything_is_sent(mail_of):
    with pytest.raises(Rejected, match="51 recipients; SES takes 50"):
        ses().build(mail_of(to=[f"a{number}@example.com" for number in range(51)]))


def test_half_a_key_stops_the_start():
    raw = {"ses": {"region": "eu-west-1"}, "credentials": {"access-key-id": "AKIA"}}
    with pytest.raises(ConfigurationError, match=r"p\.yaml.*both access-key-id and secret-access-key"):
        Ses.from_manifest(Manifest("ses", "ses", LIMITS, "p.yaml: item 1 (ses)", raw))


def test_without_ses_its_library_is_never_loaded():
    code = "import sys, mailboat.providers.registry; sys.exit('boto' in str(sys.modules) or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
