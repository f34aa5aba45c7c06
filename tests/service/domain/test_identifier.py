"""Ids sort by time, and a month is a range of them."""

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from mailboat.domain import identifier

moments = st.datetimes(datetime(1970, 1, 1), datetime(2900, 1, 1), timezones=st.just(UTC))
milliseconds = st.integers(0, 2**48 - 2)
tails = st.binary(min_size=10, max_size=10)


def test_a_new_id_is_a_version_7_uuid_of_this_moment():
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    made = identifier.new()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= identifier.moment(made) <= datetime.now(UTC)


def test_new_ids_are_never_the_same():
    assert len({identifier.new() for _ in range(10_000)}) == 10_000


@given(milliseconds, tails, tails)
def test_an_id_of_a_later_millisecond_is_greater_whatever_its_tail(at, one, other):
    assert identifier.at(at, one) < identifier.at(at + 1, other)


@given(milliseconds, tails)
def test_every_id_has_the_version_and_variant_of_rfc_9562(at, tail):
    made = identifier.at(at, tail)
    assert made.version == 7
    assert made.bytes[8] >> 6 == 0b10


@given(moments, tails)
def test_the_floor_of_a_moment_is_below_every_id_of_it_and_above_every_id_before(moment, tail):
    at = int(moment.timestamp() * 1000)
    assert identifier.floor(moment) <= identifier.at(at, tail)
    if at:
        assert identifier.at(at - 1, tail) < identifier.floor(moment)


@given(milliseconds.filter(lambda at: at < 2**44), tails)
def test_an_id_tells_its_millisecond(at, tail):
    told = identifier.moment(identifier.at(at, tail))
    assert abs((told - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1) - at) < 0.5
