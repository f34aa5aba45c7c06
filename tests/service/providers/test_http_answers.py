"""What the providers over HTTP make of every answer that there is, and of those that there are not."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from mailboat.errors import Misconfigured, ProviderError, Rejected, Throttled, Unavailable, Uncertain
from mailboat.providers import mailgun, manifest, postmark, sendgrid, ses
from mailboat.providers.http import LARGEST_ANSWER, retry_after

KEY = "s3cret-of-ours"
LIMITS = manifest.Limits(timeout="2s")
MAKERS = {
    "ses": lambda url, limits: ses.Ses(
        "ses", ses.Spec(region="eu-west-1", endpoint=url), ses.Credentials("AKIAEXAMPLE", KEY), limits
    ),
    "sendgrid": lambda url, limits: sendgrid.SendGrid(
        "sendgrid", sendgrid.Spec(endpoint=url), sendgrid.Credentials(KEY), limits
    ),
    "mailgun": lambda url, limits: mailgun.Mailgun(
        "mailgun", mailgun.Spec(domain="mg.example.com", endpoint=url), mailgun.Credentials(KEY), limits
    ),
    "postmark": lambda url, limits: postmark.Postmark(
        "postmark", postmark.Spec(endpoint=url), postmark.Credentials(KEY), limits
    ),
}


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


@pytest.fixture
async def verdict(mail_of):
    """Sends a mail to a URL; gives the receipt or the error."""
    made = []

    async def verdict(kind, url, limits=LIMITS):
        provider = MAKERS[kind](url, limits)
        made.append(provider)
        try:
            return await provider.send(provider.build(mail_of()))
        except ProviderError as error:
            return error

    yield verdict
    for provider in made:
        await provider.close()


def words(kind, status, code, text):
    """An error in the provider's own form."""
    if kind == "ses":
        return (status, json.dumps({"message": text}).encode(), {"x_amzn_ErrorType": code})
    body = {
        "sendgrid": {"errors": [{"message": text, "field": "from", "help": None}]},
        "mailgun": {"message": text},
        "postmark": {"ErrorCode": code, "Message": text},
    }[kind]
    return (status, json.dumps(body).encode(), {})


TABLE = [
    ("ses", 400, "MessageRejected", "Bad content", Rejected),
    ("ses", 400, "BadRequestException", "Invalid", Rejected),
    ("ses", 400, "MessageRejected", "Email address is not verified.", Misconfigured),
    ("ses", 400, "LimitExceededException", "Too many", Misconfigured),
    ("ses", 400, "SendingPausedException", "Paused", Misconfigured),
    ("ses", 400, "AccountSuspendedException", "Suspended", Misconfigured),
    ("ses", 400, "MailFromDomainNotVerifiedException", "MAIL FROM", Misconfigured),
    ("ses", 404, "NotFoundException", "Configuration set <x> does not exist.", Misconfigured),
    ("ses", 403, "SignatureDoesNotMatch", "Signature", Misconfigured),
    ("ses", 400, "ExpiredTokenException", "Expired", Misconfigured),
    ("ses", 429, "TooManyRequestsException", "Maximum sending rate exceeded.", Throttled),
    ("ses", 400, "ThrottlingException", "Rate exceeded", Throttled),
    ("ses", 400, "Throttling", "Daily message quota exceeded.", Misconfigured),
    ("ses", 500, "InternalServiceErrorException", "Oops", Unavailable),
    ("ses", 503, "SomethingNew", "Oops", Unavailable),
    ("ses", 400, "SomethingNew", "Oops", Misconfigured),
    ("sendgrid", 400, None, "Does not contain a valid address.", Rejected),
    ("sendgrid", 413, None, "Too large", Rejected),
    ("sendgrid", 401, None, "Maximum credits exceeded", Misconfigured),
    ("sendgrid", 403, None, "The from address does not match a verified Sender Identity", Misconfigured),
    ("sendgrid", 429, None, "too many requests", Throttled),
    ("sendgrid", 500, None, "Oops", Unavailable),
    ("sendgrid", 504, None, "Oops", Unavailable),
    ("mailgun", 400, None, "to parameter is not a valid address.", Rejected),
    ("mailgun", 413, None, "Too large", Rejected),
    ("mailgun", 401, None, "Forbidden", Misconfigured),
    ("mailgun", 402, None, "Plan limit", Misconfigured),
    ("mailgun", 404, None, "Domain not found: mg.example.com", Misconfigured),
    ("mailgun", 429, None, "Too many requests", Throttled),
    ("mailgun", 502, None, "Oops", Unavailable),
    ("postmark", 422, 300, "Invalid 'To' address", Rejected),
    ("postmark", 422, 406, "You tried to send to recipient(s) that have been marked as inactive.", Rejected),
    ("postmark", 422, 411, "Forbidden file", Rejected),
    ("postmark", 413, None, "Too large", Rejected),
    ("postmark", 401, 10, "No Server token", Misconfigured),
    ("postmark", 422, 400, "Sender signature not found", Misconfigured),
    ("postmark", 422, 405, "Not allowed to send: no credits", Misconfigured),
    ("postmark", 422, 412, "Account is pending", Misconfigured),
    ("postmark", 422, 99999, "Something new", Misconfigured),
    ("postmark", 200, 300, "A yes that is a no", Rejected),
    ("postmark", 422, 429, "Rate limit exceeded", Throttled),
    ("postmark", 429, None, "Rate limit exceeded", Throttled),
    ("postmark", 503, 100, "Maintenance", Unavailable),
    ("postmark", 422, 100, "Maintenance", Unavailable),
]


@pytest.mark.parametrize(("kind", "status", "code", "text", "expected"), TABLE)
async def test_each_answer_has_its_verdict_and_the_provider_its_words(
    kind, status, code, text, expected, answering, answer_of, verdict
):
    status, body, headers = words(kind, status, code, f"{text} {KEY}")
    error = await verdict(kind, await answering(answer_of(status, body, **headers)))
    assert type(error) is expected
    assert text in str(error)
    assert str(status) in str(error)
    assert KEY not in str(error)


HTML = b"<html><head><title>502 Bad Gateway</title></head>\n<body><h1>Sorry</h1></body></html>"


async def test_html_with_an_error_is_read_for_its_words(kind, answering, answer_of, verdict):
    error = await verdict(kind, await answering(answer_of(502, HTML, Content_Type="text/html")))
    assert type(error) is Unavailable
    assert "\n" not in str(error)


@pytest.mark.parametrize("body", [HTML, b"", b"{}", b"[]", b"null", b"{", b'{"id": 7, "MessageID": 7}', b"\xff\xfe"])
@pytest.mark.parametrize("kind", ["sendgrid", "mailgun", "postmark"])
async def test_a_yes_that_the_api_never_says_is_no_yes(kind, body, answering, answer_of, verdict):
    assert type(await verdict(kind, await answering(answer_of(200, body)))) is Misconfigured


@pytest.mark.parametrize(
    "body", [HTML, b"", b"{}", b'{"MessageId": ""}', b'{"MessageId": 7}', b"[]", b"null", b"{", b"\xff\xfe", b"7"]
)
async def test_a_yes_without_an_id_is_not_from_ses(body, answering, answer_of, verdict):
    assert type(await verdict("ses", await answering(answer_of(200, body)))) in (Misconfigured, Uncertain)


LIES = [b"[]", b"null", b"7", b"{", b"\xff\xfe", b'{"errors": 7}', b'{"errors": [7]}', b'{"message": [1]}', b"[" * 9999]
LIES += [b'{"ErrorCode": "x", "Message": {}}', b'{"ErrorCode": [1]}', b'{"errors": [{"message": {}, "field": 7}]}']


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(("status", "expected"), [(500, Unavailable), (403, Misconfigured)])
async def test_no_body_of_an_error_gets_in_the_way_of_the_verdict(
    kind, status, expected, lie, answering, answer_of, verdict
):
    """botocore reads some of these with an error of its own, and then the status is lost."""
    allowed = (expected, Uncertain) if kind == "ses" else (expected,)
    assert type(await verdict(kind, await answering(answer_of(status, lie)))) in allowed


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_is_not_followed(kind, status, answering, answer_of, verdict):
    """The mail, and the proof of who we are, would go to whoever it names."""
    yes = b'{"id": "<x>", "MessageId": "x", "MessageID": "x", "ErrorCode": 0}'
    there = await answering(answer_of(202 if kind == "sendgrid" else 200, yes))
    url = await answering(answer_of(status, b"", Location=there))
    error = await verdict(kind, url)
    assert (type(error), str(status) in str(error)) == (Misconfigured, True)


@pytest.mark.parametrize(
    "lie", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 202 OK\r\nContent-Length: 99\r\n\r\n{", b"\x00" * 99]
)
async def test_a_connection_that_ends_after_the_request_is_uncertain(kind, lie, answering, verdict):
    assert type(await verdict(kind, await answering(lie))) is Uncertain


async def test_silence_after_the_request_is_uncertain(kind, answering, verdict):
    error = await verdict(kind, await answering(hang=True), manifest.Limits(timeout="200ms"))
    assert type(error) is Uncertain


@pytest.mark.parametrize("body", [b'{"id": "", "MessageID": "", "ErrorCode": 0}', b'{"id": "<>"}'])
@pytest.mark.parametrize("kind", ["mailgun", "postmark"])
async def test_an_empty_id_is_no_id(kind, body, answering, answer_of, verdict):
    assert type(await verdict(kind, await answering(answer_of(200, body)))) is Misconfigured


@pytest.mark.parametrize("length", [b"", b"Content-Length: 999999999\r\n"])
async def test_what_ses_says_without_end_is_not_read_to_its_end(length, answering, verdict):
    """Nobody would say that: the mail may be taken or not. The rest is never waited for."""
    endless = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b" " * 2 * LARGEST_ANSWER
    error = await verdict("ses", await answering(endless, hang_after=True), manifest.Limits(timeout="60s"))
    assert type(error) is Uncertain
    assert "in time" not in str(error)


@pytest.mark.parametrize("kind", ["sendgrid", "mailgun", "postmark"])
async def test_of_an_answer_without_end_only_the_beginning_is_read(kind, answering, verdict):
    endless = b"HTTP/1.1 500 No\r\nContent-Length: 999999999\r\n\r\n" + b"<" * 2 * LARGEST_ANSWER
    assert type(await verdict(kind, await answering(endless))) is Unavailable


async def test_an_unknown_host_is_unavailable(kind, verdict):
    assert type(await verdict(kind, "http://nowhere.invalid")) is Unavailable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "99999999999"}, 86_400),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "1e999"}, None),
        ({"x-ratelimit-reset": "0"}, 0),
        ({"x-ratelimit-reset": "later"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_read_and_kept_in_bounds(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_wait_may_be_a_date_or_unix_time():
    assert 50 < retry_after({"retry-after": formatdate(time.time() + 60, usegmt=True)}) <= 61
    assert 50 < retry_after({"x-ratelimit-reset": str(int(time.time()) + 60)}) <= 61
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0


async def test_the_wait_goes_along_with_the_error(answering, answer_of, verdict):
    error = await verdict("mailgun", await answering(answer_of(429, b"", Retry_After="7")))
    assert error.retry_after == 7
