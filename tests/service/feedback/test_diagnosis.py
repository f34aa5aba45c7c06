"""Diagnosis: every refusal has a sentence and a remedy."""

from __future__ import annotations

import pytest

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


def test_every_entry_is_two_sentences():
    for table in (diagnosis.CODES, diagnosis.SUBJECTS, diagnosis.CLASSES, diagnosis.EVENTS):
        for found in table.values():
            assert found.meaning.endswith(".")
            assert found.remedy.endswith(".")
