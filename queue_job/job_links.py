# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What ties a job to others: the jobs it waits for, and those that wait for it."""

import json
from weakref import WeakSet

from .states import DONE, ENDED, WAIT_DEPENDENCIES

# What is stored of a job that lists no other.
_NO_LINKS = '{"depends_on": [], "reverse_depends_on": []}'


def lists_others(dependencies):
    """Return whether the text of the column ``dependencies`` names other jobs."""
    if not dependencies or dependencies == _NO_LINKS:
        return False
    try:
        return any(json.loads(dependencies).values())
    except (ValueError, AttributeError):
        return False


def link_through(joint):
    """Let all children of a joint of jobs wait for all its parents."""
    if any(known.is_like(joint) for known in joint.parents[0]._joints_after):
        return  # delayed again
    for parent in joint.parents:
        parent._joints_after.append(joint)
        parent._linked = True
    waits = any(parent.state != DONE for parent in joint.parents)
    for child in joint.children:
        child._joints_before.append(joint)
        child._linked = True
        if waits:
            child.state = WAIT_DEPENDENCIES


class LinkedJob:
    """The links of a job; :class:`~.job_row.StoredJob` is made of it."""

    def _init_links(self):
        self._depends_on = set()
        self._reverse_depends_on = WeakSet()
        self._joints_before = []
        self._joints_after = []
        self._linked = False
        # Whether the row of a job without graph lists other jobs.
        self._listed = False
        # It is known that nobody waits for this job alone.
        self.frees_nobody = False
        # What came after this job when it was read for a run, see ``_links_after``.
        self._links_read = None

    def add_depends(self, jobs):
        """Let this job wait for ``jobs``, a set; stored with the next ``store``.

        :raise ValueError: when this job is one of them
        """
        if self in jobs:
            raise ValueError(f"Job {self.uuid} cannot depend on itself")
        self._depends_on |= jobs
        self._linked = True
        for parent in jobs:
            parent._reverse_depends_on.add(self)
            parent._linked = True
        if any(parent.state != DONE for parent in jobs):
            self.state = WAIT_DEPENDENCIES

    @property
    def depends_on(self):
        """The jobs this one waits for, from memory or else from the edges."""
        return self._linked_jobs(
            self._depends_on, self._joints_before, "parents", "dependency_ids"
        )

    @property
    def reverse_depends_on(self):
        """The jobs that wait for this one, from memory or else from the edges."""
        return self._linked_jobs(
            self._reverse_depends_on, self._joints_after, "children", "dependent_ids"
        )

    def _linked_jobs(self, direct, joints, end, field):
        jobs = set(direct).union(*(getattr(joint, end) for joint in joints))
        if jobs:
            return jobs
        return self._load_from_db_records(self._record()[field])

    @classmethod
    def _read_links(cls, jobs):
        """Learn in one statement who waits for jobs that are about to run."""
        linked = {job._db_id: job for job in jobs if job._may_be_linked()}
        if not linked:
            return
        model = next(iter(linked.values())).env["queue.job"]
        links = model.browse(linked)._links_after()
        for job_id, job in linked.items():
            job._links_read = links.get(job_id, set())

    def seemed_to_free_nobody(self, next_job=None):
        """Return whether nobody was seen to wait for this job and not for the next one too."""
        links = self._links_read
        return links is not None and links <= (
            (next_job and next_job._links_read) or set()
        )

    def should_check_dependents(self):
        """Return whether any job waits for this one."""
        if self.frees_nobody:
            return False
        if self._reverse_depends_on or self._joints_after or self._links_read:
            return True
        return self._may_be_linked() and self._record()._has_dependents()

    def _may_be_linked(self):
        """Return whether it is worth a look for links: most jobs are alone."""
        return bool(self._linked or self._listed or self.graph_uuid)

    def _is_held_back(self):
        """Return whether a parent may still release this job.

        One that was cancelled will not, see ``models/queue_job_release.py``.
        """
        if not self._may_be_linked():
            return False
        if self._depends_on or self._joints_before:
            return any(parent.state not in ENDED for parent in self.depends_on)
        return bool(self._record()._held_back())

    def enqueue_waiting(self):
        """Make pending what waited for this job and for nothing else now.

        Locks the dependents in the order of their ids; the caller commits.
        """
        self._record()._release_dependents()

    def cancel_dependent_jobs(self):
        """Cancel what waits for this job, and what waits for that, and so on."""
        self._record()._cancel_dependents()

    def _dependencies_value(self):
        """Return the uuid lists of the column, left empty for large graphs."""
        if self._joints_before or self._joints_after:
            return {"depends_on": [], "reverse_depends_on": []}
        return {
            "depends_on": [job.uuid for job in self._depends_on],
            "reverse_depends_on": [job.uuid for job in self._reverse_depends_on],
        }

    def _forget_edges(self):
        """Let the joints be stored again: a rollback has undone that."""
        for joint in (*self._joints_before, *self._joints_after):
            joint.stored = False
