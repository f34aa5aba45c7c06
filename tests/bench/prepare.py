"""Make the client of the race, with limits that never bite, and write its headers to the file named.

python tests/bench/prepare.py HEADERS.json
"""

import asyncio
import json
import pathlib
import sys

from mailboat import settings
from mailboat.db import engine
from mailboat.delivery.administer import Administration


async def main(path: str) -> None:
    orm = engine.orm(settings.load().database_url)
    administration = Administration(orm, actor="bench")
    limits = {"rate_per_minute": 100_000_000, "rate_burst": 10_000_000, "senders": ["shop@example.com"]}
    await administration.create_client("default", "race", limits)
    pair = await administration.create_key("default", "race")
    await orm.dispose()
    pathlib.Path(path).write_text(json.dumps({"x-api-key": pair["key"], "x-api-secret": pair["secret"]}))


asyncio.run(main(sys.argv[1]))
