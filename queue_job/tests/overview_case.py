# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs in a channel of their own, for what counts them."""

from odoo.tests import TransactionCase


class OverviewCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.jobs = cls.env["queue.job"]
        cls.root = cls.env.ref("queue_job.channel_root")
        cls.sub = cls.env["queue.job.channel"].create(
            {"name": "overview", "parent_id": cls.root.id, "capacity": 3}
        )
        cls.tally = cls.env["queue.job.minute"]
        cls.overview = cls.env["queue.job.overview"]

    def make(self, count=1, channel="root.overview", **values):
        jobs = self.jobs.browse()
        for _number in range(count):
            delayed = (
                self.env["res.partner"].with_delay(channel=channel).create_company()
            )
            jobs |= delayed.db_record().with_env(self.env)
        if values:
            editor = jobs.with_context(_job_edit_sentinel=self.jobs.EDIT_SENTINEL)
            editor.write(values)
        self.env.flush_all()
        return jobs

    def done(self, count, ended, seconds=1.0, **values):
        values = {"state": "done", "date_done": ended, "exec_time": seconds, **values}
        return self.make(count, **values)

    def failed(self, ended):
        job = self.make(state="failed")
        self.env["queue.job.attempt"].create(
            {"job_id": job.id, "outcome": "failed", "date_ended": ended}
        )
        self.env.flush_all()
        return job
