"""What each API refuses, by its documents."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest

from mailboat.simulate import sigv4


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"personalizations": []}, None),
        ({"personalizations": [{"to": []}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "x"}]}]}, "personalizations.0.to.email"),
        ({"personalizations": [{"to": [{"email": "a@x.test", "name": "Doe, J"}]}]}, "personalizations.0.to.name"),
        ({"personalizations": [{"to": [{"email": "a@x.test"}], "cc": [{"email": "A@x.test"}]}]}, "personalizations.0"),
        ({"from": {}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.value"),
        (
            {"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]},
            "content",
        ),
        ({"headers": {"To": "x"}}, "headers"),
        ({"categories": ["x"] * 2}, "categories"),
        ({"categories": [str(number) for number in range(11)]}, "categories"),
        ({"custom_args": {"x": "y" * 10_000}}, "custom_args"),
        ({"attachments": [{"content": "", "filename": "x"}]}, "attachments.0.content"),
    ],
)
async def test_sendgrid_names_the_field_that_is_wrong(changes, field, simulated):
    it = await simulated("sendgrid")
    answer = await it.send("ada@example.com", **changes)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"From": ""}, 300),
        ({"From": "a@x.test, b@x.test"}, 300),
        ({"To": ""}, 300),
        ({"TextBody": ""}, 300),
        ({"Cc": ", ".join(f"a{number}@x.test" for number in range(50))}, 300),
        ({"Metadata": {"x" * 21: "y"}}, 300),
        ({"MessageStream": "No such"}, 1235),
        ({"Unknown": 1}, 403),
        ({"Headers": ["x"]}, 403),
        ({"Attachments": [{"Name": "a.exe", "Content": "", "ContentType": "x/y"}]}, 411),
    ],
)
async def test_postmark_has_a_code_for_what_is_wrong(changes, code, simulated):
    it = await simulated("postmark")
    answer = await it.send("ada@example.com", **changes)
    assert (answer.status_code, answer.json()["ErrorCode"]) == (422, code)


async def test_mailgun_says_what_is_missing(simulated):
    it = await simulated("mailgun")
    auth = ("api", "key-simulator")
    for data, words in [
        ({}, "'from' parameter is missing"),
        ({"from": "a@x.test"}, "'to' parameter is missing"),
        ({"from": "a@x.test", "to": "b@x.test"}, "Need at least one of"),
    ]:
        answer = await it.client.post("/v3/mg.example.com/messages", data=data, auth=auth)
        assert (answer.status_code, words in answer.json()["message"]) == (400, True)
    answer = await it.client.post("/v3/mg.example.com/messages.mime", data={"to": "b@x.test"}, auth=auth)
    assert "'message' parameter is missing" in answer.json()["message"]
    assert (await it.send("a@x.test", domain="unknown.example.com")).status_code == 404
    assert (await it.send("a@x.test", **{"o:tag": ["x" * 129]})).status_code == 400
    assert (await it.send("a@x.test", **{"v:x": "y" * 20_000})).status_code == 400


async def test_mailgun_writes_a_mail_out_of_fields_too(simulated):
    it = await simulated("mailgun")
    data = {"from": "Shop <a@x.test>", "to": "b@x.test", "subject": "Grüße", "html": "<b>✓</b>", "h:X-Order": "7"}
    answer = await it.client.post("/v3/mg.example.com/messages", data=data, auth=("api", "key-simulator"))
    mail = (await it.client.get(f"/_simulator/mails/{answer.json()['id'].strip('<>')}")).json()
    assert (mail["subject"], mail["html"], ["X-Order", "7"] in mail["headers"]) == ("Grüße", "<b>✓</b>", True)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Destination": {"ToAddresses": [f"a{number}@x.test" for number in range(51)]}}, "MessageRejected"),
        ({"Content": {"Raw": {"Data": "%"}}}, "BadRequestException"),
        ({"Content": {"Raw": {"Data": b64encode(b"Subject: x\r\n\r\n").decode()}}}, "BadRequestException"),
        ({"Content": {"Raw": {"Data": b64encode(b"From: unverified@x.test\r\n\r\n").decode()}}}, "MessageRejected"),
        ({"EmailTags": [{"Name": "a.b", "Value": "x"}]}, "BadRequestException"),
        ({"EmailTags": [{"Name": "a", "Value": ""}]}, "BadRequestException"),
    ],
)
async def test_ses_has_a_code_for_what_is_wrong(changes, code, simulated):
    it = await simulated("ses")
    answer = await it.send("ada@example.com", **changes)
    assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (400, code)


class TestSignatureOfAws:
    """The worked example of AWS's documentation, at its own time, and everything that breaks it."""

    REQUEST = ("GET", "/", "Action=ListUsers&Version=2010-05-08")
    HEADERS = {  # noqa: RUF012 - read only
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "host": "iam.amazonaws.com",
        "x-amz-date": "20150830T123600Z",
        "authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, "
        "Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
    }

    @pytest.fixture(autouse=True)
    def then(self, monkeypatch):
        then = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
        monkeypatch.setattr(sigv4, "SKEW", datetime.now(UTC) - then + timedelta(minutes=5))

    SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

    def fault(self, body=b"", key="AKIDEXAMPLE", secret=SECRET, **changes):
        headers = {**self.HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return sigv4.fault(*self.REQUEST, headers, body, key=key, secret=secret)

    def test_the_example_is_right(self):
        assert self.fault() is None

    def test_anything_else_is_wrong(self):
        assert self.fault(body=b"x").code == "InvalidSignatureException"
        assert self.fault(host="other").code == "InvalidSignatureException"
        assert self.fault(secret="other").code == "InvalidSignatureException"
        assert self.fault(key="other").code == "UnrecognizedClientException"
        assert self.fault(authorization="Bearer x").code == "MissingAuthenticationTokenException"
        assert self.fault(x_amz_date="now").code == "InvalidSignatureException"

    def test_an_old_one_is_wrong(self, monkeypatch):
        monkeypatch.setattr(sigv4, "SKEW", timedelta(minutes=5))
        assert "expired" in self.fault().message
