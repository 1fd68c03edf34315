# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The job as its own method sees it: ``self._current_job()``.

A :class:`CurrentJob` belongs to the cursor of the job, not to the thread: on every other
cursor, and where the method was called without a job, an :class:`OutsideJob` stands for
it, so that a method can be called both ways.

The checkpoint is a row of ``queue_job_checkpoint``, written as the last statement before
the commit of a step: the work and the place where the next attempt goes on are one
commit. The progress in between is a row of ``queue_job_progress``, written over the side
connection: two tables, because a row that both wrote would be refused with 40001.
"""

import contextlib
import hashlib
import json
import math
import re
import time

from odoo import models
from odoo.sql_db import Cursor

from ..exception import JobError
from ..job import LEASE
from ..options import FREE, NEVER
from ..sql import statements as sql
from ..utils import storable_text
from .side import side_connection

# Characters of a message, bytes of a checkpoint.
MESSAGE_LENGTH = 500
CHECKPOINT_SIZE = 64 * 1024
# Seconds between two questions whether the job was stopped.
STOP_ASKED_EVERY = 1
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def current_job(env):
    """Return the job that is performed on the cursor of ``env``, or what stands for it."""
    lease = vars(env.cr).get(LEASE)
    return lease.current_on(env.cr) if lease else OUTSIDE


class OutsideJob:
    """Stands for the current job where there is none: does nothing, or simply iterates."""

    checkpoint = None

    def __bool__(self):
        return False

    def step(self, done=None, total=None, message=None, checkpoint=None):
        """Commit nothing."""

    def progress(self, done, total=None, message=None):
        """Show nothing."""

    def batches(self, items, size=100, key="items"):
        """Yield parts of ``items``."""
        return _parts(items, size)

    def should_stop(self):
        """Return False."""
        return False


OUTSIDE = OutsideJob()


class CurrentJob:
    """A job while it is performed, as its method sees it.

    :param cr: cursor on which the method is called
    :param lease: the claim of this worker
    """

    def __init__(self, cr, lease):
        self._cr = cr
        self._lease = lease
        self._job = lease.job
        self._mode = lease.job.commit_mode
        # Committed and seen by other sessions, unlike in tests.
        self._is_real = lease.commits and isinstance(cr, Cursor)
        self._row = None
        # Statements go over the side connection; to be removed when the job is done.
        self._is_shown = False
        # Another session moved the job; when that is asked again.
        self._was_stopped, self._ask_again_at = False, 0

    # Doors ------------------------------------------------------------------

    @property
    def job(self):
        """The :class:`~..job.Job` that is performed."""
        return self._job

    def step(self, done=None, total=None, message=None, checkpoint=None):
        """Commit the work so far, with the progress and the checkpoint.

        Cleans the cache of the environment, as each commit does. A value of None stays as it
        was.

        :param done: number of what is done, of ``total``
        :param message: text for people, of 500 characters
        :param checkpoint: any JSON up to 64 kB: where the next attempt goes on
        :raise RuntimeError: when the commit mode of the job function is Never, or inside
            an open savepoint
        :raise LostRunError: when the job is not started by this claim any more; nothing is
            committed then
        :raise JobSuspended: after the commit, when the server stops or the job comes near a
            limit of its worker
        """
        with self.undone_by_errors():
            self._set_progress(done, total, message)
            if checkpoint is not None:
                self._state["checkpoint"] = _as_json(checkpoint)
            if self._mode == FREE:
                self.keep_apart()
            self._cr.commit()
        if self._mode == FREE:
            self._lease.check_suspension()

    @property
    def checkpoint(self):
        """The last checkpoint, None at the beginning; a copy."""
        text = self._state["checkpoint"]
        return None if text is None else json.loads(text)

    def progress(self, done, total=None, message=None):
        """Show how far the job is, within two seconds, without a commit.

        At most once a second; the last call counts. Never waits and never fails.
        """
        self._set_progress(done, total, message)
        if not self._is_real:
            return
        self._is_shown = True
        values = {**self._state, "job": self._job.row_id, "run": self._lease.run}
        side_connection().post(
            self._side_key, self._cr.dbname, sql.write_progress, values
        )

    def batches(self, items, size=100, key="items"):
        """Yield ``items`` in parts, and make a step after each.

        The next attempt goes on behind the parts that are over.

        :param items: a recordset, or a list of JSON values; the order counts
        :param size: of a part
        :param key: of the checkpoint, which is a dict then; for several loops in one job
        :raise JobError: when the items before that point have changed
        """
        if self._mode == NEVER:
            # Refused before the first part is worked on.
            self._cr.commit()
        yield from self._batches(items, size, key)

    def _batches(self, items, size, key):
        digest = _Digest()
        over = self._over(items, key, digest)
        for part in _parts(items[over:], size):
            # The commit empties the caches of the part.
            values = _values_of(part)
            yield part
            digest.add(values)
            over += len(values)
            checkpoint = {**(self.checkpoint or {}), key: [over, digest.text()]}
            self.step(done=over, total=len(items), checkpoint=checkpoint)

    def should_stop(self):
        """Return whether the job should end soon, for a tidy end.

        True after the job was stopped, which is asked once a second over the side
        connection, while the server stops, and near a limit.
        """
        return self._lease.suspension.reason() is not None or self._is_stopped()

    def _is_stopped(self):
        """Return whether another session has moved the job; its own snapshot shows nothing."""
        now = time.monotonic()
        if self._is_real and not self._was_stopped and now >= self._ask_again_at:
            self._ask_again_at = now + STOP_ASKED_EVERY
            values = {"job": self._job.row_id, "run": self._lease.run}
            rows = side_connection().query(self._cr.dbname, sql.is_in_run, values)
            self._was_stopped = rows == []
        return self._was_stopped

    # Steps ------------------------------------------------------------------

    def is_kept_here(self):
        """Return whether the transaction of the worker has to remove the checkpoint."""
        return self._mode != FREE and self._has_row()

    def _has_row(self):
        """Return whether there is a checkpoint, as far as this attempt knows."""
        return bool(self._row and self._row["kept"])

    def values(self):
        """Return what a step keeps, by parameter."""
        return {**self._state}

    def kept(self):
        """Note that a step was kept."""
        self._state["kept"] = True

    def prepare_step(self, processed, remaining):
        """Count what a scheduled action has processed, before the commit of its step.

        :param remaining: None when it does not say so
        """
        if self._mode == NEVER:
            return
        done = (self._state["done"] or 0) + processed
        total = None if remaining is None else done + remaining
        self._set_progress(done, total, None)
        if self._mode == FREE:
            self.keep_apart()

    def end_step(self, left):
        """Return the seconds that are left to a scheduled action after its step.

        :param left: by its own limit
        """
        if self._mode == FREE:
            self._lease.check_suspension()
        return left

    @contextlib.contextmanager
    def undone_by_errors(self):
        """Read the checkpoint again when a step fails: the next must not keep what it said."""
        try:
            yield
        except BaseException:
            self._row = None
            raise

    def keep_apart(self):
        """Keep the checkpoint in the transaction of a job that commits by itself."""
        lease = self._lease
        self._cr.flush()
        lease.keep_apart(self._cr, self)

    def withdraw(self):
        """Show nothing that was said before the step that comes now."""
        if self._is_shown:
            side_connection().withdraw(self._side_key)

    def forget(self):
        """Remove what is shown of a job that is done."""
        is_apart = self._mode == FREE and self._has_row()
        if self._is_real and (self._is_shown or is_apart):
            statement = (
                sql.drop_progress_and_checkpoint if is_apart else sql.drop_progress
            )
            side_connection().post(
                self._side_key,
                self._cr.dbname,
                statement,
                {"job": self._job.row_id},
            )

    @property
    def _side_key(self):
        return ("progress", self._cr.dbname, self._job.row_id)

    @property
    def _state(self):
        if self._row is None:
            self._cr.execute(sql.read_checkpoint, {"job": self._job.row_id})
            row = self._cr.fetchone()
            names = ("done", "total", "message", "checkpoint")
            self._row = dict(zip(names, row or [None] * 4, strict=True))
            self._row["kept"] = row is not None
        return self._row

    def _set_progress(self, done, total, message):
        for name, value in (("done", done), ("total", total)):
            if value is not None:
                self._state[name] = _as_number(name, value)
        if message is not None:
            self._state["message"] = storable_text(message, MESSAGE_LENGTH)

    def _over(self, items, key, digest):
        """Return how many items are over, with their digest added."""
        checkpoint = self.checkpoint
        if checkpoint is not None and not isinstance(checkpoint, dict):
            raise JobError(
                "batches() keeps its place in a checkpoint that is a dict, and this job has "
                f"a {type(checkpoint).__name__}"
            )
        over, expected = (checkpoint or {}).get(key) or (0, None)
        digest.add(_values_of(items[:over]))
        if over and (len(items) < over or digest.text() != expected):
            raise JobError(
                f"The first {over} items of '{key}' are not those that earlier attempts have "
                "worked on: the job cannot go on behind them. Requeue it from the beginning."
            )
        return over


class _Digest:
    """Digest of a list that grows."""

    def __init__(self):
        self._hash = hashlib.sha256()

    def add(self, values):
        for value in values:
            self._hash.update(json.dumps(value, sort_keys=True).encode() + b"\n")

    def text(self):
        return self._hash.hexdigest()[:32]


def _parts(items, size):
    if size < 1:
        raise ValueError("The size of a part is 1 at least")
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _values_of(items):
    return items.ids if isinstance(items, models.BaseModel) else list(items)


def _as_number(name, value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}: {value!r} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} cannot be shown")
    return float(value)


def _as_json(value):
    """Return a checkpoint as text.

    :raise TypeError: for what is no JSON
    :raise ValueError: for what cannot be stored
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except TypeError as error:
        raise TypeError(f"A checkpoint must be JSON: {error}") from error
    except ValueError as error:
        raise ValueError(f"A checkpoint cannot be stored: {error}") from error
    if size > CHECKPOINT_SIZE:
        raise ValueError(
            f"A checkpoint has {CHECKPOINT_SIZE} bytes of JSON at most, not {size}: keep "
            "what is large in a record, and its id in the checkpoint"
        )
    if _NUL.search(text):
        raise ValueError("A checkpoint cannot be stored: it contains NUL")
    return text
