# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A scheduled action whose code a test states, and its jobs."""

from datetime import datetime, timedelta

from odoo.tests import new_test_user

from odoo.addons.queue_job.tests.committed_case import DelayCase


class CronCase(DelayCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.user = new_test_user(cls.env, "planner", "base.group_user")
        cls.cron = cls.env["ir.cron"].create(cls.values_of_cron())
        cls.jobs = cls.env["queue.job"]

    @classmethod
    def values_of_cron(cls, **values):
        return {
            "name": "Nightly",
            "model_id": cls.env.ref("base.model_res_partner").id,
            "state": "code",
            "code": "action = {'count': 1}",
            "interval_number": 1,
            "interval_type": "days",
            "priority": 7,
            "user_id": cls.user.id,
            "run_as_queue_job": True,
            # The transaction of the test may have begun long before.
            "nextcall": datetime.now().replace(microsecond=0) - timedelta(hours=1),
            **values,
        }

    def jobs_of(self, cron=None):
        """Return the jobs of an action, oldest first."""
        self.env.flush_all()
        domain = [("ir_cron_id", "=", (cron or self.cron).id)]
        return self.jobs.search(domain, order="id")

    def schedule(self, cron=None):
        """Call as the scheduler does; return the jobs of the action."""
        cron = cron or self.cron
        as_scheduler = cron.with_user(cron.user_id).with_context(
            cron_id=cron.id, lastcall=cron.lastcall
        )
        as_scheduler._callback(cron.name, cron.ir_actions_server_id.id)
        return self.jobs_of(cron)
