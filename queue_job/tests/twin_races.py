# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What is promised to callers whose job may have a twin, whatever makes it one."""

import threading
from concurrent.futures import ThreadPoolExecutor

from .. import protocol
from ..job import Job

PATIENCE = 30  # seconds for a thread that should not wait at all


class TwinRaces:
    """Tests for a :class:`~.committed_case.CommittedCase`.

    Callers, claims and people are at work at the same time, each in a
    transaction of its own. The case has ``delay_twin(env, **properties)``, whose
    jobs are all twins of each other, and ``record_in(env)``, the record that they
    are jobs of.
    """

    # Odoo runs no inherited test methods otherwise.
    allow_inherited_tests_method = True

    def ask_for_twin(self, env=None, **properties):
        """Ask for a job in ``env``, or in a transaction of its own; return its uuid."""
        if env is not None:
            return self.delay_twin(env, **properties).uuid
        with self.new_env() as own:
            return self.delay_twin(own, **properties).uuid

    def callers_get_one_job(self, callers, rounds, ask, jobs=1):
        """Let many callers ask at the same moment, each time for another key.

        :param ask: called with an environment and the number of the round; all
            must get an equal answer
        :param jobs: how many are made in each round
        """
        barrier = threading.Barrier(callers, timeout=PATIENCE)

        def call(number):
            with self.new_env() as env:
                self.take_snapshot(env)
                barrier.wait()
                return ask(env, number)

        with ThreadPoolExecutor(callers) as pool:
            for number in range(rounds):
                answers = set(pool.map(call, [number] * callers))
                self.assertEqual(len(answers), 1, number)
        self.assertEqual(len(self.states()), rounds * jobs)

    def test_answer_is_a_job_newer_than_the_snapshot(self):
        with self.new_env() as late:
            self.take_snapshot(late)
            uuid = self.ask_for_twin(priority=3)
            job = self.delay_twin(late)
            self.assertIsInstance(job, Job)
            self.assertEqual((job.uuid, job.priority), (uuid, 3))

    def test_second_caller_waits_for_the_first_and_creates_when_it_rolls_back(self):
        second_asks = threading.Event()

        def second():
            with self.new_env() as env:
                second_asks.set()
                return self.ask_for_twin(env)

        with ThreadPoolExecutor(1) as pool, self.new_env() as first:
            lost = self.ask_for_twin(first)
            answer = pool.submit(second)
            second_asks.wait(PATIENCE)
            first.cr.rollback()
            created = answer.result(PATIENCE)
        self.assertEqual(self.states(), {created: "pending"})
        self.assertNotEqual(created, lost)

    def test_twin_waits_until_the_refused_caller_has_committed(self):
        """The promise: the change of a refused caller is seen by the run of the twin."""
        twin = self.ask_for_twin()
        with self.new_env() as caller:
            self.record_in(caller).name = "changed late"
            self.assertEqual(self.ask_for_twin(caller), twin)
            self.move(twin, "enqueued")
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, twin), protocol.HELD)
            self.assertEqual(self.states(), {twin: "pending"})
        self.move(twin, "enqueued")
        with self.new_env() as worker:
            self.assertEqual(self.claim(worker, twin), "claimed")
            self.assertEqual(self.record_in(worker).name, "changed late")
            worker.cr.rollback()

    def test_caller_that_comes_while_the_twin_starts_gets_a_job_of_its_own(self):
        twin = self.ask_for_twin()
        self.move(twin, "enqueued")
        caller_asks = threading.Event()

        def call():
            with self.new_env() as env:
                caller_asks.set()
                return self.ask_for_twin(env)

        with ThreadPoolExecutor(1) as pool:
            with self.new_env() as worker:
                self.assertEqual(self.claim(worker, twin), "claimed")
                answer = pool.submit(call)
                caller_asks.wait(PATIENCE)
                # The commit of the claim lets the caller go on.
            self.assertNotEqual(answer.result(PATIENCE), twin)

    def test_twin_that_ran_after_the_snapshot_does_not_refuse(self):
        twin = self.ask_for_twin()
        with self.new_env() as late:
            self.take_snapshot(late)
            self.move(twin, "started")
            self.move(twin, "done")
            self.assertNotEqual(self.ask_for_twin(late), twin)

    def test_retried_job_does_not_disturb_its_successor(self):
        first = self.ask_for_twin()
        self.move(first, "started")
        successor = self.ask_for_twin()
        self.move(first, "pending")
        self.assertEqual(self.states(), {first: "pending", successor: "pending"})
        self.move(successor, "started")
        again = self.ask_for_twin()
        self.assertEqual(again, first, "a job that waits without reservation blocks")

    def test_people_do_not_wait_for_a_refused_caller(self):
        twin = self.ask_for_twin()
        with self.new_env() as caller:
            self.assertEqual(self.ask_for_twin(caller), twin)
            with self.new_env() as person:
                person.cr.execute("SET LOCAL lock_timeout = '2s'")
                person["queue.job"].search([("uuid", "=", twin)]).button_cancelled()
        self.assertEqual(self.states(), {twin: "cancelled"})
