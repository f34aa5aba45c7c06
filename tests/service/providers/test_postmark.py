"""The provider `postmark`: the request that it makes of a mail, and the answers that are half a yes."""

from __future__ import annotations

import json

import pytest

from mailboat.domain.message import AttachedFile, Refusal
from mailboat.errors import Rejected
from mailboat.providers import manifest
from mailboat.providers.postmark import Credentials, Postmark, Spec


def postmark(**spec):
    return Postmark("postmark", Spec(**spec), Credentials("token"), manifest.Limits(timeout="2s"))


def built(mail, **spec):
    return json.loads(postmark(**spec).build(mail).request.content)


def test_the_body_is_the_one_of_the_documentation(mail_of):
    mail = mail_of(
        to=['"Doe, Jane" <jane@example.com>', "b@example.com"],
        bcc=["h@example.com"],
        reply_to=["help@example.com"],
        tags={"flow": "checkout", "long": "x" * 81},
        headers={"X-Order": "A-1042", "Feedback-ID": "mine"},
        attachments=(AttachedFile("a.txt", "text/plain", b"hello", "a@x"),),
    )
    assert built(mail, message_stream="receipts") == {
        "From": '"Northwind" <orders@shop.example.com>',
        "To": '"Doe, Jane" <jane@example.com>, b@example.com',
        "Bcc": "h@example.com",
        "ReplyTo": "help@example.com",
        "Subject": "Receipt A-1042",
        "TextBody": "Thank you",
        "HtmlBody": "<p>Thank you</p>",
        "Headers": [
            {"Name": "X-PM-KeepID", "Value": "true"},
            {"Name": "Message-ID", "Value": "<1@mail.example.com>"},
            {"Name": "X-Order", "Value": "A-1042"},
            {"Name": "Feedback-ID", "Value": "mine"},
        ],
        "MessageStream": "receipts",
        "Metadata": {"mailboat_id": str(mail.id), "flow": "checkout"},
        "Tag": "flow:checkout",
        "Attachments": [{"Name": "a.txt", "Content": "aGVsbG8=", "ContentType": "text/plain", "ContentID": "cid:a@x"}],
    }


def test_what_the_api_would_not_take_is_refused(mail_of):
    with pytest.raises(Rejected, match="51 recipients"):
        postmark().build(mail_of(to=[f"a{number}@example.com" for number in range(51)]))
    with pytest.raises(Rejected, match="takes 10000000 at most"):
        postmark().build(mail_of(attachments=(AttachedFile("a", "text/plain", bytes(8_000_000)),)))


def test_hidden_recipients_that_are_left_alone_are_not_shown_to_each_other(mail_of):
    one, two = ["x@example.com"], ["x@example.com", "y@example.com"]
    assert built(mail_of(bcc=two, recipients=one))["To"] == "x@example.com"
    with pytest.raises(Rejected, match="show them to each other"):
        built(mail_of(bcc=two, recipients=two))


def test_copies_that_are_left_alone_are_the_ones_addressed(mail_of):
    body = built(mail_of(cc=["c@example.com"], recipients=["c@example.com"]))
    assert (body["To"], "Cc" in body) == ("c@example.com", False)


@pytest.mark.parametrize("end", [".", ". Inactive recipients are ones that have generated a hard bounce."])
async def test_recipients_that_postmark_leaves_out_are_told_apart(end, mail_of, answering, answer_of):
    named = f"x@example.com, y@xn--bcher-kva.example, z@other.example{end}"
    words = f"Message OK, but will not deliver to these inactive addresses: {named}"
    body = json.dumps({"ErrorCode": 0, "Message": words, "MessageID": "7"}).encode()
    provider = postmark(endpoint=await answering(answer_of(200, body)))
    receipt = await provider.send(provider.build(mail_of(to=["a@example.com", "X@Example.com", "y@bücher.example"])))
    await provider.close()
    refusal = Refusal("Postmark holds the address for inactive", retryable=False)
    assert receipt.refused == {"X@Example.com": refusal, "y@bücher.example": refusal}
