# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of one request."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class SentBundle:
    """Jobs of one channel that are sent to a worker in one request.

    ``slot`` is the job that holds the slot of the whole bundle; ``dirty`` are the
    uuids whose rows changed while the request was open.
    """

    db_name: str
    jobs: list
    slot: object
    sent_at: float
    dirty: set = field(default_factory=set)

    @property
    def uuids(self):
        return [job.uuid for job in self.jobs]

    @property
    def channel(self):
        return self.jobs[0].channel
