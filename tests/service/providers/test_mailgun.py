"""The provider `mailgun`: the form that it makes of a mail."""

from __future__ import annotations

import email

import pytest

from mailboat.domain.message import AttachedFile
from mailboat.errors import Misconfigured, Rejected
from mailboat.providers import manifest, mime
from mailboat.providers.mailgun import REGIONS, Credentials, Mailgun, Spec


def mailgun(**spec):
    spec = Spec(domain="mg.example.com", **spec)
    return Mailgun("mailgun", spec, Credentials("key-x"), manifest.Limits(timeout="2s"))


def parts(request):
    """The fields of the form, read by the standard library."""
    head = f"Content-Type: {request.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + request.content)
    assert not message.defects
    return [(part.get_param("name", header="content-disposition"), part) for part in message.get_payload()]


def test_the_form_has_the_envelope_the_tags_our_id_and_the_mail_itself(mail_of):
    mail = mail_of(to=["a@example.com"], cc=["c@example.com"], bcc=["b@example.com"], tags={"flow": "check out ü"})
    request = mailgun().build(mail)
    assert request.path == "/v3/mg.example.com/messages.mime"
    found = parts(request)
    assert [(name, part.get_payload()) for name, part in found[:-1]] == [
        ("to", "a@example.com"),
        ("to", "c@example.com"),
        ("to", "b@example.com"),
        ("o:tag", "flow:check_out__"),
        ("v:mailboat_id", str(mail.id)),
    ]
    name, part = found[-1]
    assert (name, part.get_filename()) == ("message", "message.eml")
    assert mime.encode(mail) in request.content


def test_a_mail_that_contains_the_boundary_still_arrives_whole(mail_of):
    mail = mail_of()
    boundary = f"mailboat-{mail.id.hex}"
    request = mailgun().build(mail_of(text=f"\n--{boundary}\n\n--{boundary}---\n", html=None))
    assert [name for name, _ in parts(request)] == ["to", "v:mailboat_id", "message"]


def test_the_region_chooses_the_host():
    hosts = {region: mailgun(region=region)._api.host for region in REGIONS}
    assert hosts == {"us": "api.mailgun.net", "eu": "api.eu.mailgun.net"}


def test_what_the_api_would_not_take_is_refused(mail_of):
    with pytest.raises(Rejected, match="1001 recipients"):
        mailgun().build(mail_of(to=[f"a{number}@example.com" for number in range(1001)]))
    with pytest.raises(Rejected, match="takes 25000000 at most"):
        mailgun().build(mail_of(attachments=(AttachedFile("a", "text/plain", bytes(19_000_000)),)))


async def test_the_greeting_of_a_wrong_url_is_a_fault_of_the_settings(answering, answer_of, mail_of):
    provider = mailgun(endpoint=await answering(answer_of(200, b"Mailgun Magnificent API")))
    with pytest.raises(Misconfigured, match=r"mailgun\.endpoint"):
        await provider.send(provider.build(mail_of()))
    await provider.close()
