"""A noun of the command line, such as `mailboat client`: a group of what can be done to it."""

from __future__ import annotations

import click

WHOLE = 500  # letters: more than any first sentence has


class Noun(click.Group):
    """Its help has the whole first sentence of each command; click's own cuts it off at the end of the line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, command.get_short_help_str(WHOLE)) for name, command in listed if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
