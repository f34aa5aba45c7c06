"""The verdict, as whole tables: every error, attempt, policy and history has one."""

import itertools

import pytest

from mailboat.domain import verdict
from mailboat.domain.message import Receipt, Refusal
from mailboat.domain.retry import Policy
from mailboat.domain.verdict import Fate, Verdict
from mailboat.errors import (
    Misconfigured,
    ProviderError,
    Rejected,
    RenderUnavailable,
    Throttled,
    Unavailable,
    Uncertain,
)

POLICY = Policy(attempts=3, base=10, cap=100)
FIRST, LAST = 1, 3
ERRORS = [Unavailable, Throttled, Rejected, Misconfigured, Uncertain, RenderUnavailable]
OTHERS = ["bob@example.com", "cy@example.com"]

# What becomes of a message whose last word is this error: before the last attempt, at the last one, and at the last one
# when earlier attempts had reached somebody.
ENDS = {
    Unavailable: ("scheduled", "dead", "sent"),
    Throttled: ("scheduled", "dead", "sent"),
    Misconfigured: ("scheduled", "dead", "sent"),
    RenderUnavailable: ("scheduled", "dead", "sent"),
    Uncertain: ("scheduled", "dead", "sent"),
    Rejected: ("failed", "failed", "sent"),
}
OUTCOMES = {Uncertain: "uncertain", Rejected: "failed"}  # all others: retryable


def test_the_table_knows_every_error_that_a_provider_may_raise():
    assert {error for error in ERRORS if issubclass(error, ProviderError)} == set(ProviderError.__subclasses__())


@pytest.mark.parametrize(
    ("error", "attempt", "hold", "some_sent"),
    list(itertools.product(ERRORS, [FIRST, LAST], [False, True], [False, True])),
)
def test_every_error_has_a_verdict(error, attempt, hold, some_sent):
    given = verdict.of_error(
        error("why"), attempt, POLICY, hold_uncertain=hold, some_sent=some_sent, open_recipients=OTHERS
    )
    early, last, last_with_some = ENDS[error]
    ends = last_with_some if some_sent else last
    if attempt == FIRST and error is not Rejected:
        ends = early
    if error is Uncertain and hold:
        ends = "held"
    assert (given.ends, given.outcome, given.detail) == (ends, OUTCOMES.get(error, "retryable"), "why")
    assert (given.delay > 0) == (ends == "scheduled")


@pytest.mark.parametrize("error", [Unavailable, Rejected])
def test_who_was_never_reached_has_failed_though_the_message_was_sent_to_others(error):
    given = verdict.of_error(error("why"), LAST, POLICY, hold_uncertain=False, some_sent=True, open_recipients=OTHERS)
    assert given.fates == {email: Fate("failed", "why") for email in OTHERS}


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 5, 10), (50, 50, 50), (3600, 100, 100), (1, 5, 10)])
def test_throttling_waits_as_long_as_asked_but_never_longer_than_the_cap(asked, least, most):
    given = verdict.of_error(
        Throttled("slow down", retry_after=asked), FIRST, POLICY, hold_uncertain=False, some_sent=False
    )
    assert least <= given.delay <= most


def test_an_error_without_words_is_named_by_its_class():
    given = verdict.of_error(Unavailable(), FIRST, POLICY, hold_uncertain=False, some_sent=False)
    assert given.detail == "Unavailable"


def test_a_fault_of_the_template_is_final():
    assert verdict.of_fault("receipt.html.j2:3:7: no") == Verdict("failed", "failed", "receipt.html.j2:3:7: no")


def test_a_receipt_without_refusals_is_sent():
    assert verdict.of_receipt(Receipt("250 OK"), OTHERS, FIRST, POLICY) == Verdict("sent", "sent", "250 OK")


LATER, NEVER = Refusal("450 later", retryable=True), Refusal("550 never", retryable=False)
SENT, DEFERRED, FAILED = Fate("sent", "250 OK"), Fate("deferred", "450 later"), Fate("failed", "550 never")


@pytest.mark.parametrize(
    ("refused", "attempt", "ends", "fates"),
    [
        ({"b": NEVER}, FIRST, "sent", {"a": SENT, "b": FAILED}),
        ({"b": NEVER}, LAST, "sent", {"a": SENT, "b": FAILED}),
        ({"b": LATER}, FIRST, "scheduled", {"a": SENT, "b": DEFERRED}),
        ({"b": LATER}, LAST, "sent", {"a": SENT, "b": Fate("failed", "450 later")}),
        ({"a": NEVER, "b": LATER}, FIRST, "scheduled", {"a": FAILED, "b": DEFERRED}),
        ({"a": NEVER, "b": LATER}, LAST, "sent", {"a": FAILED, "b": Fate("failed", "450 later")}),
    ],
)
def test_refused_recipients_are_tried_again_when_that_may_help_and_the_others_are_not(refused, attempt, ends, fates):
    given = verdict.of_receipt(Receipt("250 OK", refused=refused), ["a", "b"], attempt, POLICY)
    assert (given.ends, given.fates) == (ends, fates)
    assert (given.delay > 0) == (ends == "scheduled")
