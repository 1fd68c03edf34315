# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import random

from odoo.tests import BaseCase

from ..channels import ChannelRecord, DatabaseTree
from ..jobrunner.channels import ChannelManager
from ..jobrunner.pending_window import PendingJobs
from ..jobrunner.rows import Row

LIMIT = 5


class FakeDatabase:
    """Answers the queries of the window from a list of rows."""

    db_name = "db"

    def __init__(self):
        self.rows = {}
        self.reads = 0

    def add(self, channel, number, priority=10, eta=None):
        row = Row(channel, f"j{number}", number, number, priority, eta, "pending", "f")
        self.rows[row.uuid] = row
        return row

    def fail_unusable(self, job_id, reason):
        raise AssertionError(reason)

    def waiting_channels(self):
        return list({row.channel for row in self.rows.values()})

    def candidates(self, names, limit, after=None):
        return self._first(names, limit, False, lambda row: row.rank, after)

    def timed_candidates(self, names, limit, after=None):
        return self._first(names, limit, True, lambda row: (row.eta, row.id), after)

    def _first(self, names, limit, timed, key, after):
        self.reads += 1
        found = []
        for name in names:
            rows = [
                row
                for row in self.rows.values()
                if row.channel == name
                and bool(row.eta) == timed
                and (after is None or key(row) > after)
            ]
            found += sorted(rows, key=key)[:limit]
        return found


class PendingJobsCase(BaseCase):
    def setUp(self):
        super().setUp()
        self.db = FakeDatabase()
        shared = ChannelManager()
        shared.simple_configure("root:1")
        self.tree = DatabaseTree(shared, {})
        self.tree.apply([ChannelRecord("root", 1)])
        self.in_flight = {}
        self.pending = PendingJobs(self.db, self.tree, self.in_flight, limit=LIMIT)

    def drain(self, now=1000, count=10**6):
        """Run waiting jobs one by one; return their numbers."""
        done = []
        while len(done) < count:
            self.pending.refill(now)
            job = self.tree.root.best(now)
            if job is None:
                break
            done.append(job.seq)
            job.channel.remove(job)
            del self.db.rows[job.uuid]
        return done

    def held(self):
        return sum(len(channel._queue) for channel in self.tree.channels())


class TestPendingJobs(PendingJobsCase):
    def test_holds_a_window_and_yields_everything_in_order(self):
        dice = random.Random(1)
        rows = [
            self.db.add(
                dice.choice(("root.a", "a", "root.b", None)), number, dice.randrange(3)
            )
            for number in range(200)
        ]
        self.pending.load()
        self.assertLessEqual(self.held(), 4 * LIMIT)
        expected = [row.id for row in sorted(rows, key=lambda row: row.rank)]
        self.assertEqual(self.drain(), expected)

    def test_window_is_read_on_not_again(self):
        for number in range(100):
            self.db.add("root", number)
        self.pending.load()
        self.db.reads = 0
        self.assertEqual(len(self.drain()), 100)
        self.assertLessEqual(self.db.reads, 100 // LIMIT + 1)

    def test_what_is_told_of_is_held_if_it_ranks_within(self):
        for number in range(20):
            self.db.add("root", number, priority=10)
        self.pending.load()
        self.pending.add(self.db.add("root", 100, priority=99))
        self.assertEqual(self.held(), LIMIT)
        self.pending.add(self.db.add("root", 101, priority=0))
        self.assertEqual(self.drain(count=2), [101, 0])
        self.assertEqual(self.drain()[-1], 100)

    def test_window_that_grew_is_cut(self):
        self.pending.load()
        for number in range(10 * LIMIT):
            self.pending.add(self.db.add("root", number))
            self.assertLessEqual(self.held(), 2 * LIMIT)
        self.assertEqual(self.drain(), list(range(10 * LIMIT)))

    def test_job_moved_behind_the_window_is_forgotten_and_found_later(self):
        for number in range(20):
            self.db.add("root", number)
        self.pending.load()
        self.pending.add(self.db.add("root", 0, priority=50))
        self.assertEqual(self.drain(), [*range(1, 20), 0])

    def test_load_forgets_what_no_longer_waits(self):
        for number in range(3):
            self.db.add("root", number)
        self.pending.load()
        del self.db.rows["j1"]
        self.pending.load()
        self.assertEqual(self.drain(), [0, 2])

    def test_carried_jobs_are_not_touched(self):
        for number in range(3):
            self.db.add("root", number)
        self.in_flight["j1"] = object()
        self.pending.load()
        self.assertEqual(self.held(), 2)

    def test_next_eta_is_known_among_many(self):
        for number in range(50):
            self.db.add("root", number, eta=2000 - number)
        self.pending.load()
        self.assertEqual(self.held(), LIMIT)
        self.assertEqual(self.tree.get_wakeup_time(), 1951)

    def test_due_jobs_beyond_the_window_are_found(self):
        for number in range(50):
            self.db.add("root", number, eta=100 + number)
        self.db.add("root", 99, eta=5000)
        self.pending.load()
        self.assertEqual(sorted(self.drain()), list(range(50)))
        self.assertEqual(self.tree.get_wakeup_time(), 5000)

    def test_due_and_plain_jobs_compete(self):
        for number in range(30):
            self.db.add("root", number, priority=10)
        for number in range(30, 60):
            self.db.add("root", number, priority=5, eta=500)
        self.pending.load()
        order = self.drain()
        self.assertEqual(sorted(order), list(range(60)))
        self.assertEqual(sorted(order[:30]), list(range(30, 60)))

    def test_timed_window_that_grew_is_cut(self):
        self.pending.load()
        for number in range(10 * LIMIT):
            self.pending.add(self.db.add("root", number, eta=3000 - number))
            self.assertLessEqual(self.held(), 2 * LIMIT)
        self.assertEqual(sorted(self.drain(now=4000)), list(range(10 * LIMIT)))
