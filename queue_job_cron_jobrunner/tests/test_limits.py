# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import threading
import time
from unittest import mock

from odoo.service.server import WorkerCron
from odoo.tests import BaseCase
from odoo.tools import config

from ..limits import LimitGuard, WorkerClock, watched


class FakeJob:
    uuid = "u"
    run_number = 1


class FakeClock:
    limit = (120, "limit_time_real_cron")
    seconds = 60

    def left(self):
        return self.seconds, self.limit


class TestClock(BaseCase):
    def clock(self, **options):
        """Return the clock of the work thread of a prefork cron worker."""
        self.worker = mock.create_autospec(WorkerCron, instance=True)
        self.worker.multi = mock.Mock()
        self.worker.watchdog_pipe = (0, 0)
        self.worker.alive = True
        patch = mock.patch.dict(
            config.options,
            {
                "limit_time_real": 120,
                "limit_time_real_cron": -1,
                "limit_time_cpu": 60,
                **options,
            },
        )
        patch.start()
        self.addCleanup(patch.stop)
        thread = threading.current_thread()
        with mock.patch.object(
            thread, "_target", mock.Mock(__self__=self.worker), create=True
        ):
            return WorkerClock()

    def test_no_limits_outside_of_a_server(self):
        with mock.patch(
            "odoo.addons.queue_job_cron_jobrunner.limits.Worker", type("W", (), {})
        ):
            thread = mock.Mock(spec=["type"], type=None)
            with mock.patch("threading.current_thread", return_value=thread):
                clock = WorkerClock()
        self.assertIsNone(clock.left())
        self.assertTrue(clock.restart())

    def test_limits_of_a_prefork_worker(self):
        self.assertEqual(self.clock().real_limit(), (120, "limit_time_real"))
        clock = self.clock(limit_time_real_cron=300)
        self.assertEqual(clock.real_limit(), (300, "limit_time_real_cron"))
        self.assertEqual(clock.cpu_limit(), (60, "limit_time_cpu"))
        self.assertIsNone(self.clock(limit_time_real_cron=0).real_limit())

    def test_limits_of_a_threaded_server(self):
        clock = self.clock(limit_time_real_cron=0)
        clock._worker, clock._thread = None, mock.Mock(type="cron", start_time=1)
        self.assertEqual(clock.real_limit(), (120, "limit_time_real"))
        self.assertIsNone(clock.cpu_limit())
        clock.restart()
        self.assertAlmostEqual(clock._thread.start_time, time.time(), delta=5)

    def test_restart_does_what_odoo_does_between_two_units_of_work(self):
        clock = self.clock()
        self.assertTrue(clock.restart())
        self.worker.check_limits.assert_called_once_with()
        self.worker.multi.pipe_ping.assert_called_once_with(self.worker.watchdog_pipe)
        self.worker.alive = False
        self.assertFalse(clock.restart())

    def test_the_nearer_limit_counts(self):
        clock = self.clock(limit_time_real_cron=30)
        far = 10**9
        module = "odoo.addons.queue_job_cron_jobrunner.limits.resource.getrlimit"
        with mock.patch(module, return_value=(far, far)):
            seconds, limit = clock.left()
        self.assertEqual(limit, (30, "limit_time_real_cron"))
        self.assertAlmostEqual(seconds, 27, delta=1)
        soon = time.process_time() + 10
        with mock.patch(module, return_value=(soon, far)):
            seconds, limit = clock.left()
        self.assertEqual(limit, (60, "limit_time_cpu"))
        self.assertAlmostEqual(seconds, 5, delta=1)


class TestGuard(BaseCase):
    def setUp(self):
        super().setUp()
        self.clock = FakeClock()
        self.told = []
        self.guard = LimitGuard(self.clock, lambda *args: self.told.append(args))
        # Looked at by hand.
        self.guard._thread = threading.current_thread()

    def test_tells_once_of_a_job_near_the_limit(self):
        job = FakeJob()
        with self.guard.watch(job):
            self.guard.look()
            self.assertFalse(self.told)
            self.clock.seconds = -1
            self.guard.look()
            self.guard.look()
        self.assertEqual(self.told, [(job, self.clock.limit)])

    def test_no_job_no_news(self):
        self.clock.seconds = -1
        with self.guard.watch(FakeJob()):
            pass
        self.guard.look()
        self.assertFalse(self.told)

    def test_looks_again_soon_enough(self):
        self.assertEqual(self.guard.look(), 5)
        self.clock.seconds = 2
        self.assertEqual(self.guard.look(), 2)

    def test_watches_the_jobs_of_the_thread_that_entered_it(self):
        self.clock.seconds = -1
        job = FakeJob()
        with watched(job):
            self.guard.look()
        self.assertFalse(self.told)
        with self.guard, watched(job):
            self.guard.look()
        self.assertEqual(self.told, [(job, self.clock.limit)])
