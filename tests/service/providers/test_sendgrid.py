"""The provider `sendgrid`: the request that it makes of a mail."""

from __future__ import annotations

import json

import pytest

from mailboat.domain.message import AttachedFile
from mailboat.errors import Misconfigured, Rejected
from mailboat.providers import manifest
from mailboat.providers.sendgrid import REGIONS, Credentials, SendGrid, Spec


def sendgrid(**spec):
    return SendGrid("sendgrid", Spec(**spec), Credentials("SG.x"), manifest.Limits(timeout="2s"))


def built(mail):
    return json.loads(sendgrid().build(mail).content)


def test_the_body_is_the_one_of_the_documentation(mail_of):
    mail = mail_of(
        to=["Ada Lovelace <ada@example.com>"],
        cc=["c@example.com"],
        bcc=["b@example.com"],
        reply_to=["Help <help@example.com>"],
        tags={"flow": "checkout"},
        headers={"X-Order": "A-1042", "Feedback-ID": "mine"},
        attachments=(AttachedFile("a.txt", "text/plain", b"hello", "a@x"),),
    )
    assert built(mail) == {
        "personalizations": [
            {
                "to": [{"email": "ada@example.com", "name": "Ada Lovelace"}],
                "cc": [{"email": "c@example.com"}],
                "bcc": [{"email": "b@example.com"}],
            }
        ],
        "from": {"email": "orders@shop.example.com", "name": "Northwind"},
        "reply_to_list": [{"email": "help@example.com", "name": "Help"}],
        "subject": "Receipt A-1042",
        "content": [
            {"type": "text/plain", "value": "Thank you"},
            {"type": "text/html", "value": "<p>Thank you</p>"},
        ],
        "headers": {"Message-ID": "<1@mail.example.com>", "X-Order": "A-1042", "Feedback-ID": "mine"},
        "custom_args": {"mailboat_id": str(mail.id)},
        "categories": ["flow:checkout"],
        "attachments": [
            {
                "content": "aGVsbG8=",
                "type": "text/plain",
                "filename": "a.txt",
                "disposition": "inline",
                "content_id": "a@x",
            }
        ],
    }


def test_names_with_commas_are_quoted_where_sendgrid_would_split_them(mail_of):
    body = built(mail_of(sender='"Doe, Inc" <a@example.com>', to=['"Doe, \\"J\\"" <j@example.com>']))
    assert body["personalizations"][0]["to"][0]["name"] == '"Doe, \\"J\\""'
    assert body["from"]["name"] == "Doe, Inc"


def test_hidden_recipients_that_are_left_alone_do_not_see_each_other(mail_of):
    bcc = ["x@example.com", "y@example.com"]
    assert built(mail_of(bcc=bcc, recipients=bcc))["personalizations"] == [
        {"to": [{"email": "x@example.com"}]},
        {"to": [{"email": "y@example.com"}]},
    ]


def test_copies_that_are_left_alone_are_the_ones_addressed(mail_of):
    mail = mail_of(cc=["c@example.com"], bcc=["b@example.com"], recipients=["c@example.com", "b@example.com"])
    assert built(mail)["personalizations"] == [
        {"to": [{"email": "c@example.com"}], "bcc": [{"email": "b@example.com"}]}
    ]


def test_headers_that_are_sendgrids_own_are_refused(mail_of):
    with pytest.raises(Rejected, match="X-SG-EID"):
        sendgrid().build(mail_of(headers={"X-SG-EID": "x"}))


def test_more_recipients_than_the_api_takes_are_refused(mail_of):
    with pytest.raises(Rejected, match="1001 recipients"):
        sendgrid().build(mail_of(to=[f"a{number}@example.com" for number in range(1001)]))


def test_a_mail_too_large_for_the_api_is_refused(mail_of):
    with pytest.raises(Rejected, match="takes less than 30000000"):
        sendgrid().build(mail_of(attachments=(AttachedFile("a", "text/plain", bytes(23_000_000)),)))


def test_the_region_chooses_the_host():
    assert {region: sendgrid(region=region)._api.host for region in REGIONS} == {
        "global": "api.sendgrid.com",
        "eu": "api.eu.sendgrid.com",
    }


async def test_a_key_that_may_not_send_fails_the_check(answering, answer_of):
    provider = sendgrid(endpoint=await answering(answer_of(200, b'{"scopes": ["user.account.read"]}')))
    with pytest.raises(Misconfigured, match=r"mail\.send"):
        await provider.check()
    await provider.close()
