"""Numbers on the command line."""

from __future__ import annotations

import math

import click


class Number(click.FloatRange):
    """A finite number within a range; click's own takes ``nan``, which is in none, for any."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number that can be counted with.", param, ctx)
        return number
