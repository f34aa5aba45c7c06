"""Diagnosis: every refusal has a sentence and a remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboat.delivery import diagnosis


@pytest.mark.parametrize(
    ("status", "detail", "bounce", "meaning", "remedy"),
    [
        ("bounced", "smtp; 550 5.1.1 user unknown", "hard", "no such mailbox", "another address"),
        ("bounced", "550 5.7.1 Message rejected due to local policy", "hard", "by policy", "SPF, DKIM and DMARC"),
        ("failed", "554 5.7.1 Service unavailable; client blocked using zen.spamhaus.org", "", "blocklist", "removal"),
        (
            "bounced",
            "550 5.7.26 unauthenticated mail (DMARC)",
            "hard",
            "cannot tell that the mail is from its From",
            "SPF",
        ),
        ("bounced", "452 4.2.2 over quota", "soft", "full", "not tried again"),
        ("rejected", "Bounced Address", "", "suppression list of its own", "Remove it"),
        ("bounced", "550 5.1.99 something new", "hard", "wrong with an address", "another address"),
        ("bounced", "550 no reason at all", "hard", "refuses the mail for good", "words"),
        ("bounced", "", "hard", "cannot take mail, now or later", "another address"),
        ("bounced", "", "soft", "could not take this mail", "later"),
        ("bounced", "", "", "could not take this mail", "later"),
        ("complained", "abuse", "", "as spam", "suppressed"),
        ("deferred", "421 4.4.1 connect timed out", "", "does not answer", "tried again"),
        ("scheduled", "451 4.7.1 greylisted, try later", "", "does not know us yet", "is tried again"),
        ("dead", "", "", "Every attempt failed", "replay"),
        ("held", "", "", "may have been sent", "release or fail"),
    ],
)
def test_a_refusal_is_explained_with_a_remedy(status, detail, bounce, meaning, remedy):
    found = diagnosis.of(status, detail, bounce)
    assert meaning in found.meaning
    assert remedy in found.remedy


@pytest.mark.parametrize("status", ["sent", "delivered", "sending", "cancelled", "queued"])
def test_where_nothing_went_wrong_there_is_nothing_to_say(status):
    assert diagnosis.of(status, "250 2.0.0 OK") is None


def test_numbers_that_are_no_codes_are_not_taken_for_codes():
    for detail in ("10.5.1.1 refused", "took 5.1.12.7 steps", "at 12:550", "order 5500"):
        found = diagnosis.of_words(detail)
        assert found is None or found is not diagnosis.CODES["5.1.1"]


SG, MG, PM = "api.sendgrid.com answered", "api.mailgun.net answered", "api.postmarkapp.com answered"
SES = "email.eu-west-1.amazonaws.com answered"


@pytest.mark.parametrize(
    ("detail", "meaning", "remedy"),
    [
        (f"{SG} HTTP 401: The provided authorization grant is invalid, expired, or revoked", "credentials", "Correct"),
        (f"{SG} HTTP 401: Maximum credits exceeded", "plan is used up", "Raise the plan"),
        (f"{SG} HTTP 403: access forbidden", "let our key send", "right to send"),
        (f"{SG} HTTP 403: The from address does not match a verified Sender Identity.", "know the sender", "Verify"),
        (f"{SG} HTTP 400: Bad Request", "refuses the request", "Read its words"),
        (f"{SG} HTTP 400: Invalid JSON", "refuses the request", "Read its words"),
        (f"{SG} HTTP 400: Does not contain a valid address. (personalizations.0.to.0.email)", "malformed", "address"),
        (f"{SG} HTTP 413: Request Entity Too Large", "larger than the provider takes", "smaller"),
        (f"{SG} HTTP 429: too many requests", "more slowly", "tried again"),
        (f"{SG} HTTP 429: no reason given", "more slowly", "tried again"),
        (f"{SG} HTTP 500: Internal server error", "fault of its own", "tried again"),
        (f"{SG} HTTP 503: no reason given", "fault of its own", "tried again"),
        (f"{MG} HTTP 401: Forbidden", "credentials", "Correct"),
        (f"{MG} HTTP 402: no reason given", "plan is used up", "Raise the plan"),
        (f"{MG} HTTP 404: Domain not found: mg.example.com", "does not know what we ask for", "domain, region"),
        (f"{MG} HTTP 400: 'to' parameter is not a valid address. please check documentation", "malformed", "address"),
        (f"{MG} HTTP 400: Too many recipients; max is 1000", "more recipients", "fewer"),
        (f"{MG} HTTP 403: Sandbox subdomains are for test purposes only.", "know the sender", "sandbox"),
        (f"{MG} HTTP 403: Business Verification - account is suspended", "stopped our account", "account"),
        ("api.mailgun.net answered 200 HTTP 200: Mailgun Magnificent API", "Something else", "endpoint"),
        (f"{PM} HTTP 401: The Server Token is not valid (ErrorCode 10)", "credentials", "Correct"),
        (f"{PM} HTTP 422: Not allowed to send: out of credits (ErrorCode 405)", "plan is used up", "Raise"),
        (f"{PM} HTTP 422: The sender signature was not found (ErrorCode 400)", "know the sender", "Verify"),
        (f"{PM} HTTP 422: Recipients marked as inactive (ErrorCode 406)", "suppression list of its own", "Remove it"),
        (f"{PM} HTTP 422: Zero recipients specified (ErrorCode 300)", "refuses the request", "Read its words"),
        (f"{PM} HTTP 422: Forbidden attachment type (ErrorCode 411)", "spam or malware", "attachments"),
        (f"{SES} HTTP 429: TooManyRequestsException: Maximum sending rate exceeded.", "more slowly", "tried again"),
        (f"{SES} HTTP 429: TooManyRequestsException: Daily message quota exceeded.", "plan is used up", "Raise"),
        (f"{SES} HTTP 400: LimitExceededException: too many instances", "plan is used up", "Raise"),
        (f"{SES} HTTP 400: SendingPausedException: sending is paused", "stopped our account", "account"),
        (f"{SES} HTTP 400: AccountSuspendedException: ", "stopped our account", "account"),
        (f"{SES} HTTP 400: MailFromDomainNotVerifiedException: ", "know the sender", "Verify"),
        (f"{SES} HTTP 400: MessageRejected: Email address is not verified.", "know the sender", "sandbox"),
        (f"{SES} HTTP 404: NotFoundException: Configuration set <x> does not exist", "configuration set", "ses."),
        (f"{SES} HTTP 403: SignatureDoesNotMatch: Signature expired: 20261124", "clock", "clock"),
        (f"{SES} HTTP 403: InvalidClientTokenId: The security token is invalid.", "credentials", "Correct"),
        (f"{SES} HTTP 403: AccessDeniedException: not authorized to perform: ses", "let our key", "right to send"),
        (f"{SES} HTTP 418: teapot", "refuses the request", "Read its words"),
        (f"{SES} HTTP 302: no reason given", "Something else", "endpoint"),
        ("relay answered HTTP 400: the server said 550 5.1.1 user unknown", "no such mailbox", "another address"),
    ],
)  # fmt: skip
def test_an_answer_over_http_is_not_read_as_smtp(detail, meaning, remedy):
    found = diagnosis.of_words(detail)
    assert meaning in found.meaning
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("detail", "meaning", "remedy"),
    [
        ("smtp://mail.example.com:465 cannot be reached: [Errno 111] Connect call failed ('127.0.0.1', 587)",
         "could not be reached", "tried again"),
        ("the SMTP server mail.example.com:587 did not answer within 10 s.", "could not be reached", "tried again"),
        ("api.sendgrid.com: did not answer within 10 s; it may have taken the request", "may have been sent", "Look"),
        ("the answer to the message never came (reset); it may have been sent", "may have been sent", "Look for it"),
        ("mail.example.com has a certificate that is not trusted", "do not trust", "caSecretRef"),
        ("mail.example.com:25 does not offer STARTTLS, which tls=starttls requires", "does not encrypt", "tls: none"),
        ("mail:587 refused the user 'x': 535 5.7.8 credentials invalid", "our name and password", "credentials"),
        ("mail:587 refused the user 'x': 535 Authentication failed", "our name and password", "credentials"),
        ("530 Must issue a STARTTLS command first", "log in", "credentials"),
        ("every recipient was refused: <ada@example.com>: 550 5.1.1 unknown", "no such mailbox", "another address"),
        ("421 too busy", "ends the connection", "tried again"),
        ("452 4.5.3 too many recipients", "more recipients", "tried again"),
        ("451 4.3.2 not now", "takes no mail now", "tried again"),
        ("451 4.1.99 what", "cannot take the mail now", "tried again"),
        ("552 message too big", "too large", "smaller"),
        ("550 5.7.28 unusual rate", "more mail from us", "maxPerSecond"),
        ("554 5.4.6 too many hops", "circle", "domain"),
        ("550 5.6.7 no SMTPUTF8", "beyond ASCII", "another address"),
        ("550 5.4.310 DNS domain example.test does not exist", "domain does not exist", "another address"),
    ],
)  # fmt: skip
def test_connections_and_replies_are_explained(detail, meaning, remedy):
    found = diagnosis.of_words(detail)
    assert meaning in found.meaning
    assert remedy in found.remedy


@pytest.mark.parametrize(
    "detail", ["listening on port 587", "at 10.0.0.1:465", "('::1', 587)", "took 450 ms", "id 550-1"]
)
def test_ports_and_other_numbers_are_no_replies(detail):
    assert diagnosis.of_words(detail) is None


@given(st.text(max_size=200))
def test_any_words_have_a_meaning_or_none(detail):
    diagnosis.of_words(detail)
    assert diagnosis.of("failed", detail) is not None


def test_every_entry_is_two_sentences():
    tables = (diagnosis.CODES, diagnosis.SUBJECTS, diagnosis.CLASSES, diagnosis.EVENTS, diagnosis.REPLIES)
    entries = [found for table in (*tables, diagnosis.STATUSES, diagnosis.STATUS_CLASSES) for found in table.values()]
    entries += [found for table in (diagnosis.WORDS, diagnosis.API_WORDS, diagnosis.CONNECTION) for _, found in table]
    for found in entries:
        assert found.meaning.endswith(".")
        assert found.remedy.endswith(".")
