"""What is wrong with a template's JSON Schema, or with the example that has to fit it."""

from __future__ import annotations

from typing import Any

import jsonschema_rs


def fault(schema: dict[str, Any], example: dict[str, Any]) -> str | None:
    """One sentence naming the place, or None. Nothing is fetched: a reference has to lie within the schema."""
    try:
        validator = jsonschema_rs.validator_for(schema, retriever=_refuse)
    except jsonschema_rs.ValidationError as error:
        return f"spec.schema{_path(error.instance_path)}: {_first_line(error.message)}. Correct the schema."
    misfit = next(iter(validator.iter_errors(example)), None)
    if misfit is None:
        return None
    place, reason = _path(misfit.instance_path), _first_line(misfit.message)
    return f"spec.example{place}: {reason}. Correct the example or the schema."


def _refuse(uri: str) -> Any:
    raise ValueError(f"references to other documents ({uri}) are not followed")


def _path(parts: list[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _first_line(text: str) -> str:
    return text.splitlines()[0].rstrip(".") if text else "it is not valid"
