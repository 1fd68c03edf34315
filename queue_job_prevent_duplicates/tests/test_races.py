# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Callers, claims and people at the same time, each in a transaction of its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

from odoo.tests import tagged
from odoo.tools import mute_logger

from odoo.addons.queue_job import run

from .common import LOGGER, CommittedCase

PATIENCE = 30  # seconds for a thread that should not wait at all


@tagged("post_install", "-at_install")
class TestRaces(CommittedCase):
    def setUp(self):
        super().setUp()
        quiet = mute_logger(LOGGER)
        quiet.__enter__()
        self.addCleanup(quiet.__exit__)

    def test_many_callers_get_one_job(self):
        callers, rounds = 16, 25
        barrier = threading.Barrier(callers, timeout=PATIENCE)

        def call(value):
            with self.new_env() as env:
                self.take_snapshot(env)
                barrier.wait()
                return self.ask(env, value)

        with ThreadPoolExecutor(callers) as pool:
            for number in range(rounds):
                answers = set(pool.map(call, [str(number)] * callers))
                self.assertEqual(len(answers), 1, number)
        self.assertEqual(len(self.states()), rounds)

    def test_change_of_a_refused_caller_is_not_overtaken(self):
        """The known issue of the original addon does not exist here."""
        with self.new_env() as env:
            twin = self.ask(env)
        with self.new_env() as caller:
            self.partner(caller).name = "changed late"
            self.assertEqual(self.ask(caller), twin)
            self.move(twin, "enqueued")
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, twin), run.HELD)
        self.move(twin, "enqueued")
        with self.new_env() as worker:
            self.assertEqual(self.claim(worker, twin), "claimed")
            self.assertEqual(self.partner(worker).name, "changed late")
            worker.cr.rollback()

    def test_caller_that_comes_while_the_twin_starts_gets_a_job(self):
        with self.new_env() as env:
            twin = self.ask(env)
        self.move(twin, "enqueued")
        caller_asks = threading.Event()

        def call():
            with self.new_env() as env:
                caller_asks.set()
                return self.ask(env)

        with ThreadPoolExecutor(1) as pool:
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, twin), "claimed")
                answer = pool.submit(call)
                caller_asks.wait(PATIENCE)
                # The commit of the claim lets the caller go on.
            self.assertNotEqual(answer.result(PATIENCE), twin)

    def test_caller_whose_snapshot_is_older_than_the_run_gets_a_job(self):
        with self.new_env() as env:
            twin = self.ask(env)
        with self.new_env() as late:
            self.take_snapshot(late)
            self.move(twin, "started")
            self.move(twin, "done")
            self.assertNotEqual(self.ask(late), twin)

    def test_job_that_failed_after_the_snapshot_blocks(self):
        with self.new_env() as env:
            twin = self.ask(env)
        self.move(twin, "started")
        with self.new_env() as late:
            self.take_snapshot(late)
            self.move(twin, "failed")
            self.assertEqual(self.ask(late), twin)

    def test_answer_is_newer_than_the_snapshot(self):
        with self.new_env() as late:
            self.take_snapshot(late)
            with self.new_env() as first:
                twin = self.ask(first, priority=3)
            job = self.partner(late).with_delay().write({"ref": "x"})
            self.assertEqual((job.uuid, job.priority), (twin, 3))

    def test_retried_job_does_not_disturb_its_successor(self):
        with self.new_env() as env:
            first = self.ask(env)
        self.move(first, "started")
        with self.new_env() as env:
            successor = self.ask(env)
        self.move(first, "pending")
        self.assertEqual(self.states(), {first: "pending", successor: "pending"})
        self.move(successor, "started")
        with self.new_env() as env:
            self.assertEqual(self.ask(env), first)

    def test_second_caller_creates_when_the_first_rolls_back(self):
        second_asks = threading.Event()

        def second():
            with self.new_env() as env:
                second_asks.set()
                return self.ask(env)

        with ThreadPoolExecutor(1) as pool, self.new_env() as first:
            lost = self.ask(first)
            answer = pool.submit(second)
            second_asks.wait(PATIENCE)
            first.cr.rollback()
            created = answer.result(PATIENCE)
        self.assertEqual(self.states(), {created: "pending"})
        self.assertNotEqual(created, lost)

    def test_long_transaction_does_not_hold_up_other_jobs(self):
        """It makes more jobs than there are locks, and asks for each twice."""
        with self.new_env() as env:
            others = [self.ask(env, f"other {number}") for number in range(5)]
        with self.new_env() as caller:
            group = [
                self.partner(caller).delayable().write({"ref": str(number)})
                for number in range(3000)
            ]
            for delayable in group:
                delayable._build_job()
            jobs = [delayable._generated_job for delayable in group]
            model = caller["queue.job"].sudo()
            self.assertFalse(model._reserve_keys(jobs))
            again = [
                self.partner(caller).delayable().write({"ref": "0"}) for _n in range(2)
            ]
            refused = model._key_requests([d._build_job() for d in again])[-1]
            keys = caller["queue.job.key"].sudo()
            self.assertEqual(len(keys._reserve(refused[0], refused[2], refused[1])), 2)
            for other in others:
                self.move(other, "enqueued")
                with self.new_env() as worker:
                    self.assertEqual(self.claim(worker, other), "claimed")
                    worker.cr.rollback()
            caller.cr.rollback()

    def test_people_do_not_wait_for_a_refused_caller(self):
        with self.new_env() as env:
            twin = self.ask(env)
        with self.new_env() as caller:
            self.assertEqual(self.ask(caller), twin)
            with self.new_env() as person:
                person.cr.execute("SET LOCAL lock_timeout = '2s'")
                person["queue.job"].search([("uuid", "=", twin)]).button_cancelled()
        self.assertEqual(self.states(), {twin: "cancelled"})
