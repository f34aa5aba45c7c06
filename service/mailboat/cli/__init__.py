"""The command line: `mailboat <role>` starts a part, `mailboat up` all of them, the other commands speak to the API.

Exit codes: 0 it worked; 1 it did not (a fault, a refusal, nothing there); 2 the command line or a setting is wrong;
130 interrupted.

A role is told apart before anything heavy is imported: the API's first answer waits for every module loaded here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mailboat.cli import roles
from mailboat.errors import ConfigurationError, MailboatError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
COMPLETE = "_MAILBOAT_COMPLETE"  # is set when a shell asks what may come next


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point of `mailboat`. Always ends the process."""
    try:
        status = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
    except ConfigurationError as error:
        status = _complain(error, USAGE)
    except MailboatError as error:
        status = _complain(error, FAILURE)
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # `mailboat … | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILURE
    sys.exit(status)


def _dispatch(arguments: list[str]) -> int:
    asked = COMPLETE in os.environ
    chosen = arguments or [name for name in (os.environ.get("SERVICE_ROLE", ""),) if name and not asked]
    if chosen and chosen[0] in roles.ROLES:
        return roles.start(chosen[0], chosen[1:])
    if not arguments and chosen and chosen != ["up"]:
        raise ConfigurationError(f"SERVICE_ROLE={chosen[0]!r}: use {', '.join((*roles.ROLES, 'up'))}.")
    from mailboat.cli import commands

    return commands.run(chosen)


def _complain(error: MailboatError, status: int) -> int:
    print(f"mailboat: {error}", file=sys.stderr)
    return status
