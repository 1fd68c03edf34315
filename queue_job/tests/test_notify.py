# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the trigger tells the runner, and what it keeps silent.

A commit that notifies keeps all other commits of the cluster waiting.
"""

from datetime import datetime

from odoo.tests import tagged

from ..states import (
    CANCELLED,
    DONE,
    ENQUEUED,
    FAILED,
    PENDING,
    STARTED,
    STATES,
    WAIT_DEPENDENCIES,
)
from .runner_case import RunnerCase

# What the runner holds, in memory or in a request.
KNOWN = {PENDING, ENQUEUED, STARTED, FAILED}
# Told besides what becomes pending: a job must be forgotten. The other moves are those
# of the runner itself, of the worker that answers it, or of jobs it does not hold.
FORGOTTEN = {
    *((PENDING, state) for state in (DONE, CANCELLED, FAILED, WAIT_DEPENDENCIES)),
    *((FAILED, state) for state in (DONE, CANCELLED, WAIT_DEPENDENCIES)),
    *((ENQUEUED, state) for state in (CANCELLED, WAIT_DEPENDENCIES)),
    *((STARTED, state) for state in (CANCELLED, WAIT_DEPENDENCIES)),
}


@tagged("post_install", "-at_install")
class TestDiet(RunnerCase):
    def told_until_now(self):
        """Return the uuids that were told since the last call, of jobs of this test."""
        db = self.database()
        last, uuids = self.job(), set()
        while last not in uuids:
            uuids |= self.heard(db)[0]
        return (uuids & self.mine) - {last}

    def told(self, statement, *values):
        self.told_until_now()
        self.sql(statement, *values)
        return self.told_until_now()

    def told_of_change(self, column, value, state=PENDING):
        uuid = self.job(state)
        told = self.told(
            f"UPDATE queue_job SET {column} = %s WHERE uuid = %s", value, uuid
        )
        self.assertLessEqual(told, {uuid})
        return bool(told)

    def test_moves(self):
        states = [state for state, _label in STATES]
        for before in states:
            for after in states:
                with self.subTest(before=before, after=after):
                    becomes_pending = after == PENDING != before
                    self.assertEqual(
                        self.told_of_change("state", after, before),
                        becomes_pending or (before, after) in FORGOTTEN,
                    )

    def test_new_and_deleted_jobs(self):
        for state, _label in STATES:
            with self.subTest(state):
                uuid = f"notify-{state}"
                self.mine.add(uuid)
                for statement in (
                    f"INSERT INTO queue_job (uuid, state) VALUES (%s, '{state}')",
                    "DELETE FROM queue_job WHERE uuid = %s",
                ):
                    told = self.told(statement, uuid)
                    self.assertEqual(told, {uuid} if state in KNOWN else set())

    def test_columns_that_choose(self):
        for column, value in (
            ("priority", 3),
            ("eta", datetime(2030, 1, 1)),
            ("channel", "root.other"),
        ):
            with self.subTest(column):
                self.assertTrue(self.told_of_change(column, value))
                self.assertFalse(self.told_of_change(column, value, DONE))

    def test_columns_that_no_scheduler_reads(self):
        for column, value in (
            ("name", "renamed"),
            ("result", "42"),
            ("retry", 2),
            ("date_enqueued", datetime(2030, 1, 1)),
            ("priority", 10),
        ):
            with self.subTest(column):
                self.assertFalse(self.told_of_change(column, value))
