"""Filters for dates, numbers, words and links, in the words of the mail's locale (CLDR, by Babel).

A locale that is not known is taken for its language, and a language that is not known for English. Babel is imported
by the first template that uses such a filter (`prepare`), before its first mail.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jinja2 import Environment, pass_environment
from jinja2.exceptions import FilterArgumentError
from jinja2.runtime import Undefined

if TYPE_CHECKING:
    from babel import Locale

FORMATS = ("short", "medium", "long", "full")
LONGEST_PATTERN = 100
LARGEST_EXPONENT = 60
"""Numbers with more digits than this are not money."""
MOST_PLACES = 20
FALLBACK = "en"
_CURRENCY = re.compile(r"[A-Z]{3}")


@functools.lru_cache(64)
def locale_of(name: str | None) -> Locale:
    """The nearest locale that there are data for."""
    from babel import Locale, UnknownLocaleError

    parts = (name or FALLBACK).replace("-", "_").split("_")
    for count in range(len(parts), 0, -1):
        try:
            return Locale.parse("_".join(parts[:count]))
        except (UnknownLocaleError, ValueError):
            continue
    return Locale.parse(FALLBACK)


def prepare() -> None:
    """Import what the filters need, so that no mail waits for it."""
    from babel import dates, numbers

    dates.format_date(date(2000, 1, 1), locale=locale_of(None))
    numbers.format_currency(1, "EUR", locale=locale_of(None))


def _locale(environment: Environment, given: str | None) -> Locale:
    return locale_of(given or environment.globals.get("locale"))


def _defined(name: str, value: Any) -> Any:
    """Raises what an undefined value raises when it is printed."""
    if isinstance(value, Undefined):
        str(value)
    return value


# Dates


def moment(name: str, value: Any, zone: str | None) -> date | datetime | time:
    """What ISO 8601 or seconds since 1970 say, in `zone` or else as given. Raises FilterArgumentError."""
    found = _moment(name, _defined(name, value))
    if not isinstance(found, datetime) or not zone:
        return found
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FilterArgumentError(f"{name}: there is no time zone {zone!r}") from None


def _moment(name: str, value: Any) -> date | datetime | time:
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        text = str(value).strip()
        for kind in (date, datetime, time):
            try:
                return kind.fromisoformat(text)
            except ValueError:
                continue
    except (ValueError, OverflowError, OSError):
        pass
    raise FilterArgumentError(f"{name}: {str(value)[:50]!r} is not a date as in 2026-12-01 or 2026-12-01T09:00:00Z")


def _by_pattern(name: str, form: Any, write: Callable[[str], str]) -> str:
    """What is written by a format's name, or by a pattern of CLDR. Raises FilterArgumentError."""
    if not isinstance(form, str):
        raise FilterArgumentError(f"{name}: {str(form)[:50]!r} is not a pattern as in 'd. MMMM y'")
    if len(form) > LONGEST_PATTERN:
        raise FilterArgumentError(f"{name}: the pattern is longer than {LONGEST_PATTERN} characters")
    try:
        return write(form)
    except AttributeError:  # a date has no hour, a time no day
        raise FilterArgumentError(f"{name}: the pattern {form!r} asks for what the value has not") from None
    except (ValueError, LookupError, OverflowError):
        raise FilterArgumentError(f"{name}: {form!r} is neither {', '.join(FORMATS)} nor a pattern of CLDR") from None


@pass_environment
def format_date(
    environment: Environment, value: Any, form: str = "medium", zone: str | None = None, locale: str | None = None
) -> str:
    from babel import dates

    found = moment("date", value, zone)
    if isinstance(found, time):
        raise FilterArgumentError(f"date: {str(value)[:50]!r} has no date")
    known = _locale(environment, locale)
    return _by_pattern("date", form, lambda pattern: dates.format_date(found, pattern, locale=known))


@pass_environment
def format_datetime(
    environment: Environment, value: Any, form: str = "medium", zone: str | None = None, locale: str | None = None
) -> str:
    from babel import dates

    found = moment("datetime", value, zone)
    if isinstance(found, time):
        raise FilterArgumentError(f"datetime: {str(value)[:50]!r} has no date")
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    known = _locale(environment, locale)
    write = functools.partial(dates.format_datetime, found, tzinfo=found.tzinfo, locale=known)
    return _by_pattern("datetime", form, write)


@pass_environment
def format_time(
    environment: Environment, value: Any, form: str = "short", zone: str | None = None, locale: str | None = None
) -> str:
    from babel import dates

    found = moment("time", value, zone)
    if not isinstance(found, datetime | time):
        raise FilterArgumentError(f"time: {str(value)[:50]!r} has no time")
    known = _locale(environment, locale)
    write = functools.partial(dates.format_time, found, tzinfo=found.tzinfo, locale=known)
    return _by_pattern("time", form, write)


# Numbers


def number_of(name: str, value: Any) -> Decimal:
    """The number in a JSON value, exactly as it is written there. Raises FilterArgumentError."""
    _defined(name, value)
    try:
        found = Decimal(repr(value) if isinstance(value, float) else str(value).strip())
        if isinstance(value, bool) or not found.is_finite() or found.adjusted() > LARGEST_EXPONENT:
            raise InvalidOperation
    except (InvalidOperation, ValueError):
        raise FilterArgumentError(f"{name}: {str(value)[:50]!r} is not a number") from None
    return found


@pass_environment
def format_money(environment: Environment, value: Any, currency: str, locale: str | None = None) -> str:
    from babel import numbers

    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise FilterArgumentError(f"money: {str(currency)[:20]!r} is not a currency as in 'EUR'")
    return numbers.format_currency(number_of("money", value), currency, locale=_locale(environment, locale))


@pass_environment
def format_number(environment: Environment, value: Any, places: int | None = None, locale: str | None = None) -> str:
    from babel import numbers

    found = number_of("number", value)
    locale_ = _locale(environment, locale)
    pattern = None if places is None else _with_places("number", locale_.decimal_formats[None].pattern, places)
    return numbers.format_decimal(found, pattern, locale=locale_)


@pass_environment
def format_percent(environment: Environment, value: Any, places: int = 0, locale: str | None = None) -> str:
    """0.25 is 25 %."""
    from babel import numbers

    found = _locale(environment, locale)
    pattern = _with_places("percent", found.percent_formats[None].pattern, places)
    return numbers.format_percent(number_of("percent", value), pattern, locale=found)


def _with_places(name: str, pattern: str, places: Any) -> str:
    """A locale's pattern with so many digits after the point."""
    if not isinstance(places, int) or not 0 <= places <= MOST_PLACES:
        raise FilterArgumentError(f"{name}: 0 to {MOST_PLACES} places, not {str(places)[:20]!r}")
    whole = re.sub(r"\.[0#]+", "", pattern)
    return re.sub(r"0(?!.*0)", f"0.{'0' * places}", whole) if places else whole


@pass_environment
def plural(environment: Environment, count: Any, *forms: str, locale: str | None = None, **named: str) -> str:
    """The form for a number: `{{ n|plural('item', 'items') }}`, or by CLDR's names: one=…, few=…, other=….

    In a form, `#` stands for the number as the locale writes it.
    """
    number = number_of("plural", count)
    found = _locale(environment, locale)
    if forms:
        if len(forms) != 2 or named:
            raise FilterArgumentError("plural: give two forms, or forms by name: one=…, few=…, other=…")
        named = {"one": forms[0], "other": forms[1]}
    if "other" not in named:
        raise FilterArgumentError("plural: the form `other` is missing")
    form = str(named.get(found.plural_form(abs(number)), named["other"]))
    if "#" not in form:
        return form
    from babel import numbers

    return form.replace("#", numbers.format_decimal(number, locale=found))


# Links


def url(value: Any, *path: Any, **query: Any) -> str:
    """An address with more path, each part escaped, and more query: `{{ base|url('orders', id, ref='mail') }}`."""
    base = str(_defined("url", value))
    try:
        parts = urlsplit(base)
    except ValueError:
        raise FilterArgumentError(f"url: {base[:100]!r} is not an address") from None
    if parts.scheme and parts.scheme.lower() not in ("http", "https", "mailto", "tel", "sms", "cid"):
        raise FilterArgumentError(f"url: {parts.scheme[:20]}: is not a link that a mail may have")
    names = [str(_defined("url", each)) for each in path]
    if {".", ".."} & set(names):
        raise FilterArgumentError("url: a part of a path cannot be '.' or '..'")
    added = "/".join(quote(name, safe="") for name in names)
    joined = f"{parts.path.rstrip('/')}/{added}" if added else parts.path
    more = urlencode([(name, str(_defined("url", each))) for name, each in query.items() if each is not None])
    return urlunsplit(parts._replace(path=joined, query="&".join(filter(None, (parts.query, more)))))


# Translations


@pass_environment
def tr(environment: Environment, key: str, /, **values: Any) -> str:
    """The translation of a key in the mail's locale, its `{name}` places filled in. A filter, and a function."""
    known: Any = environment.globals["t"]
    text = known.get(key)
    if text is None:
        raise FilterArgumentError(f"tr: there is no translation {str(key)[:100]!r}")
    return fill(text, values)


_PLACE = re.compile(r"\{(\w+)\}")


def fill(text: str, values: Mapping[str, Any]) -> str:
    """The text with its `{name}` places filled in; a place for which there is no value is an error."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            raise FilterArgumentError(f"tr: {text[:60]!r} wants a value for {found[1]!r}")
        return str(values[found[1]])

    return _PLACE.sub(value, text)


FILTERS: dict[str, Any] = {
    "date": format_date,
    "datetime": format_datetime,
    "time": format_time,
    "money": format_money,
    "number": format_number,
    "percent": format_percent,
    "plural": plural,
    "url": url,
    "tr": tr,
}
NEED_BABEL = frozenset(FILTERS) - {"url", "tr"}
