"""What changed between two revisions, as the page shows it."""

from __future__ import annotations

from typing import Any

from mailboat.dashboard import differences
from mailboat.domain.revision import Sources


def sources(**changes: Any) -> Sources:
    return Sources(**{"engine": "jinja", "entry": "a", "files": {"a": "1\n2\n3\n", "b": "same\n"}} | changes)


def shown(old: Sources, new: Sources) -> dict[str, list[str]]:
    return {each.name: [sign + text for sign, text in each.changes] for each in differences.between(old, new)}


def test_revisions_that_are_alike_have_no_difference() -> None:
    assert shown(sources(), sources()) == {}


def test_a_changed_line_is_shown_among_those_around_it_and_what_is_the_same_is_not() -> None:
    found = shown(sources(), sources(files={"a": "1\nzwei\n3\n", "b": "same\n"}))
    assert found == {"a": ["@@@ -1,3 +1,3 @@", " 1", "-2", "+zwei", " 3"]}


def test_files_that_come_and_go_and_fields_of_the_front_matter_are_differences_too() -> None:
    found = shown(
        sources(subject="Old"),
        sources(subject="New", schema={"type": "object"}, files={"a": "1\n2\n3\n", "c": "-- new\n"}),
    )
    assert found["subject"][1:] == ["-Old", "+New"]
    assert found["schema"][1:] == ["+{", '+  "type": "object"', "+}"]
    assert (found["b"][1:], found["c"][1:]) == (["-same"], ["+-- new"])


def test_a_file_that_is_too_long_to_compare_says_so() -> None:
    lines = differences.MOST_LINES
    ((text,),) = shown(sources(), sources(files={"a": "x\n" * lines, "b": "same\n"})).values()
    assert text.endswith(f"too long to compare here: 3 lines, then {lines}.")
