# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How many jobs there are where a count would cost too much, as PostgreSQL estimates it."""

from functools import cached_property
from typing import NamedTuple

from ..sql import statements as sql


class Number(NamedTuple):
    """A count; not ``exact`` when there are about as many, ``estimated``, or more."""

    count: int = 0
    exact: bool = True
    estimated: bool = False

    def __add__(self, other):
        parts = [number for number in (self, other) if not number.exact]
        return Number(
            self.count + other.count,
            not parts,
            # A sum of which one part is only the least is the least itself.
            bool(parts) and all(number.estimated for number in parts),
        )

    @property
    def text(self):
        """The number as the screens write it: ``12``, ``500+`` or ``≈ 40000``."""
        if self.exact:
            return str(self.count)
        return f"≈ {self.count}" if self.estimated else f"{self.count}+"

    def or_about(self, estimate):
        """Return the estimate, where the count stopped before it."""
        if self.exact or estimate <= self.count:
            return self
        return Number(round(estimate), False, True)


class Estimates:
    """Numbers that ANALYZE and VACUUM last found; each part is read when first asked for."""

    def __init__(self, env):
        self.env = env

    def _fetch(self, statement):
        self.env.cr.execute(statement)
        return self.env.cr.fetchall()

    def of(self, state, channel):
        """Return about how many jobs are in a state and a channel, 0 when unknown."""
        return self._by_pair.get((state, channel), 0)

    def channels_in(self, state):
        """Return ``{channel: number}`` of a state."""
        return {
            channel: number
            for (of, channel), number in self._by_pair.items()
            if of == state
        }

    @cached_property
    def _by_pair(self):
        rows = self._fetch(sql.estimates_of_pairs)
        values, shares, total, changed = rows[0] if rows else ((), (), 0, 0)
        estimates = {
            tuple(pair): round(share * max(total, 0))
            for pair, share in zip(values or (), shares or (), strict=True)
        }
        # Each job that changed since may have been one of them, or be one now.
        return {
            pair: number for pair, number in estimates.items() if number > 2 * changed
        }

    @cached_property
    def share_without_eta(self):
        """Return which part of the pending jobs has no eta, by the indexes."""
        entries = dict(self._fetch(sql.entries_of_pending))
        plain = entries.get("queue_job_candidates_index", 0)
        both = plain + entries.get("queue_job_eta_index", 0)
        return plain / both if both else 1
