"""/v1/templates: what a client may send with, and what it looks like with given data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from mailboat.api.app_state import authenticated, context_of
from mailboat.db import engine
from mailboat.delivery import validate
from mailboat.delivery.accept import unavailable
from mailboat.delivery.clients import Client
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import Problem, TemplateFault
from mailboat.registry import frame, literals, schemas
from mailboat.registry.folder import NAME, Folder
from mailboat.render import base
from mailboat.render.base import Job

router = APIRouter(prefix="/v1/templates", tags=["templates"])

Caller = Annotated[Client, Depends(authenticated)]


class TemplateSummary(BaseModel):
    """A template by its name."""

    name: str


class TemplateDetail(TemplateSummary):
    """A template and its live revision; `schema` is the JSON Schema of its data."""

    model_config = ConfigDict(populate_by_name=True)

    engine: Literal["jinja", "react"]
    revision: str
    subject: str
    data_schema: dict[str, Any] | None = Field(None, alias="schema")
    example: dict[str, Any]
    locales: list[str]


class TemplateList(BaseModel):
    """The templates that the caller may use, by name."""

    items: list[TemplateSummary]


class RenderRequest(BaseModel):
    """Data for a preview; without it the template's example."""

    model_config = ConfigDict(extra="forbid")

    data: dict[str, Any] | None = None
    locale: str | None = Field(None, max_length=35)


class Preview(BaseModel):
    """What a mail would hold. `size`: octets of the HTML."""

    subject: str
    html: str | None
    text: str | None
    size: int
    warnings: list[str]
    revision: str


@router.get("", response_model=TemplateList)
async def list_templates(request: Request, caller: Caller) -> Any:
    """Every template that the client may use."""
    names = await context_of(request).catalog.names(caller.namespace)
    return {"items": [{"name": name} for name in names if validate.may_use(caller, name)]}


@router.get("/{name}", response_model=TemplateDetail)
async def get_template(request: Request, caller: Caller, name: str) -> Any:
    """One template with its live revision."""
    revision = await _revision(request, caller, name)
    sources = revision.sources
    return {
        "name": name,
        "engine": sources.engine,
        "revision": revision.digest,
        "subject": sources.subject,
        "schema": sources.schema,
        "example": sources.example,
        "locales": sorted(sources.translations),
    }


@router.post("/{name}/render", response_model=Preview)
async def render_template(request: Request, caller: Caller, name: str, body: RenderRequest | None = None) -> Any:
    """Render a template with given data, which have to fit its schema as for a mail; nothing is stored or sent."""
    body = body or RenderRequest()
    revision = await _revision(request, caller, name)
    if body.data is not None:
        validate.check_data(revision, body.data)
    else:
        _check_example(request, revision)
    data = base.example(revision.sources) if body.data is None else msgspec.json.encode(body.data)
    (outcome,) = await context_of(request).renderer.render([Job(revision, data, body.locale, thorough=True)])
    if isinstance(outcome, TemplateFault):
        raise Problem(
            422,
            "template_failed",
            f"The template failed: {outcome}",
            field="data",
            **_place(request, outcome, revision.sources),
        )
    if not isinstance(outcome, Rendered):
        raise unavailable(str(outcome))
    return {
        "subject": outcome.subject,
        "html": outcome.html,
        "text": outcome.text,
        "size": len((outcome.html or "").encode()),
        "warnings": list(outcome.warnings),
        "revision": revision.digest,
    }


def _check_example(request: Request, revision: Revision) -> None:
    """Raises Problem for an example that does not fit the schema; with its place, where that can be told."""
    try:
        literals.check_example(revision.sources)
        if misfit := schemas.misfit(revision, revision.sources.example) if revision.sources.engine == "jinja" else None:
            Folder(context_of(request).settings.templates).load(revision.name, strict=True)
            raise TemplateFault(f"example.{misfit.field}: {misfit.reason}", file=revision.sources.entry)
    except TemplateFault as fault:
        detail = f"Its example does not fit its schema: {fault}"
        place = _place(request, fault, revision.sources)
        raise Problem(422, "template_broken", detail, field="template", **place) from None


async def _revision(request: Request, caller: Client, name: str) -> Revision:
    """The live revision. Raises Problem 404 for what the client may not use as for what does not exist."""
    if not NAME.fullmatch(name) or not validate.may_use(caller, name):
        raise Problem(404, "not_found", f"There is no template {name[:100]!r}.")
    context = context_of(request)
    try:
        revision = await context.catalog.resolve(caller.namespace, name)
    except TemplateFault as fault:
        detail = f"Template {name!r} cannot be read: {fault}"
        raise Problem(422, "template_broken", detail, field="template", **_place(request, fault, None)) from None
    except engine.AWAY as error:
        raise unavailable(f"the database is away ({type(error).__name__})") from None
    if revision is None:
        raise Problem(404, "not_found", f"There is no template {name!r}.")
    return revision


def _place(request: Request, fault: TemplateFault, sources: Sources | None) -> dict[str, Any]:
    """Where the fault is, and the lines around it, as `mailboat template check` shows them."""
    root = Path(context_of(request).settings.templates).resolve()
    shown = frame.of_fault(fault, sources, root)
    return {"file": fault.file, "line": fault.line, "column": fault.column, "frame": shown}
