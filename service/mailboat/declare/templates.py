"""EmailTemplate: sources to a revision, compiled and rendered with its example before it goes live."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg
import msgspec

from mailboat.declare import schemas, store
from mailboat.declare.inputs import Inputs
from mailboat.declare.outcome import Change, Finding, Outcome, changed, conditions, summary
from mailboat.domain import revision
from mailboat.domain.message import Rendered
from mailboat.domain.revision import Revision, Sources
from mailboat.errors import RenderUnavailable, TemplateFault
from mailboat.registry.catalog import RESOURCE, Catalog
from mailboat.render import base
from mailboat.render.base import Job, Renderer
from mailboat_crds.conditions import PUBLISHED, READY, RECONCILE_REQUESTED_AT, SCHEMA_VALID, SOURCE_VALID
from mailboat_crds.models import EmailTemplate, EmailTemplateSpec, EmailTemplateStatus

ENTRIES = {"jinja": "index.html.j2", "react": "index.tsx"}
MOST_WARNINGS = 20
_HEAD = "select digest from template_heads where namespace = $1 and name = $2 and origin = 'resource'"


def entry(template: EmailTemplate, inputs: Inputs) -> str | Finding:
    """The text of the entry, or why there is none."""
    spec = template.spec
    if spec.source is not None or spec.source_ref is None:
        return spec.source or ""
    name, key = spec.source_ref.name, spec.source_ref.key
    if name not in inputs.config_maps:
        text = f"ConfigMap {name!r} is not there: make it in namespace {template.metadata.namespace}."
    elif key not in inputs.config_maps[name]:
        text = f"ConfigMap {name!r} has no key {key!r}: add it, or correct spec.sourceRef.key."
    else:
        return inputs.config_maps[name][key]
    return Finding(SOURCE_VALID, False, "SourceNotFound", text)


def sources(spec: EmailTemplateSpec, text: str) -> Sources:
    """All that the revision is made of; `text` is the entry."""
    theme = spec.tailwind.theme if spec.tailwind else None
    return Sources(
        engine=spec.engine,
        entry=ENTRIES[spec.engine],
        files={**spec.files, ENTRIES[spec.engine]: text},
        subject=spec.subject or "",
        text=spec.text or None,
        schema=spec.schema,
        example=spec.example,
        translations=spec.translations,
        tailwind={"theme": theme} if theme else {},
    )


def verdict(spec: EmailTemplateSpec, outcome: base.Outcome) -> list[Finding]:
    """SourceValid and SchemaValid, once the example has been rendered."""
    match outcome:
        case TemplateFault():
            source = Finding(SOURCE_VALID, False, "SourceBroken", str(outcome))
        case RenderUnavailable():
            source = Finding(SOURCE_VALID, None, "RenderUnavailable", str(outcome))
        case Rendered():
            source = Finding(SOURCE_VALID, True, "SourceRendered", "The sources compile, and the example renders.")
    if spec.schema is None:
        return [source, Finding(SCHEMA_VALID, True, "NoSchema", "There is no schema: any data is accepted.")]
    if (wrong := schemas.fault(spec.schema, spec.example)) is not None:
        return [source, Finding(SCHEMA_VALID, False, "SchemaBroken", wrong)]
    return [source, Finding(SCHEMA_VALID, True, "SchemaSound", "The schema is one, and the example fits it.")]


def published(live: str | None, newest: str | None) -> Finding:
    """What messages are rendered with. `newest` is the digest of the newest sources, None when they are no good."""
    if live is None:
        return Finding(PUBLISHED, False, "NotPublished", "No revision has been good so far.")
    if live == newest:
        return Finding(PUBLISHED, True, "RevisionLive", f"Revision {live[:12]} is live.")
    text = f"Revision {live[:12]} stays live until the sources are good again."
    return Finding(PUBLISHED, True, "OlderRevisionLive", text)


class Templates:
    """Applies and removes EmailTemplates."""

    def __init__(self, pool: asyncpg.Pool, catalog: Catalog, renderer: Renderer) -> None:
        self._pool, self._catalog, self._renderer = pool, catalog, renderer

    async def apply(self, template: EmailTemplate, inputs: Inputs, now: datetime | None = None) -> Outcome:
        """Publish what is good, and say what is not. Raises what `engine.AWAY` names."""
        namespace, name = template.metadata.namespace, template.metadata.name
        inputs = inputs.of(template)
        digest = store.digest(template, inputs.digest())
        before = await store.load(self._pool, "EmailTemplate", namespace, name)
        live: str | None = await self._pool.fetchval(_HEAD, namespace, name)
        text = entry(template, inputs)
        touched = False
        rendered: Rendered | None = None
        if isinstance(text, Finding):
            found = [text, published(live, None)]
        else:
            wanted = revision.revise(name, sources(template.spec, text))
            if before is not None and before.digest == digest and _settled(before, live, wanted):
                return Outcome("unchanged", before.status)
            found, rendered = await self._judge(template.spec, wanted)
            good = all(finding.holds for finding in found)
            if good:
                touched = await self._catalog.publish(namespace, wanted, RESOURCE, shared=template.spec.shared)
                live = wanted.digest
            found.append(published(live, wanted.digest if good else None))
        again = any(finding.reason == "RenderUnavailable" for finding in found)
        status = _status(template, before, summary(found, again=again, message=found[-1].message), live, rendered, now)
        generation = store.generation(template, before)
        await store.save(self._pool, template, generation=generation, digest=digest, status=status, before=before)
        change: Change = "created" if before is None else "configured"
        if before is not None and before.digest == digest and not touched:
            change = "unchanged"
        was = before.status.conditions if before else template.status.conditions
        return Outcome(change, status, again=again, events=changed(was, status.conditions))

    async def _judge(self, spec: EmailTemplateSpec, wanted: Revision) -> tuple[list[Finding], Rendered | None]:
        (outcome,) = await self._renderer.render([Job(wanted, msgspec.json.encode(spec.example))])
        return verdict(spec, outcome), outcome if isinstance(outcome, Rendered) else None

    async def delete(self, namespace: str, name: str) -> bool:
        """Withdraw the template; messages that were accepted keep their revision. True when it was declared."""
        await self._catalog.withdraw(namespace, name)
        return await store.remove(self._pool, "EmailTemplate", namespace, name)


def _settled(before: store.Stored, live: str | None, wanted: Revision) -> bool:
    """Whether the very same sources were found good and are live: a sweep over thousands renders none of them."""
    ready = any(one.type == READY and one.status == "True" for one in before.status.conditions)
    return ready and live == wanted.digest == before.status.digest


def _status(
    template: EmailTemplate,
    before: store.Stored | None,
    found: list[Finding],
    live: str | None,
    rendered: Rendered | None,
    now: datetime | None,
) -> EmailTemplateStatus:
    was = before.status if before else template.status
    generation = store.generation(template, before)
    return EmailTemplateStatus(
        observed_generation=generation,
        conditions=conditions("EmailTemplate", was.conditions, found, generation, now or datetime.now(UTC)),
        revision=live[:12] if live else None,
        digest=live,
        rendered_bytes=len((rendered.html or "").encode()) if rendered else was.rendered_bytes,
        warnings=tuple(text[:1000] for text in rendered.warnings[:MOST_WARNINGS]) if rendered else was.warnings,
        last_handled_reconcile_at=template.metadata.annotations.get(RECONCILE_REQUESTED_AT),
    )
