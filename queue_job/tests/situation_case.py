# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A queue without other jobs, for what tells why a job is not running."""

from odoo.tests import TransactionCase

from .alone import rename_channels_of_others


class SituationCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env.cr.execute("DELETE FROM queue_job")
        cls.env.cr.execute(
            "UPDATE ir_module_module SET state = 'installed' WHERE state LIKE 'to %'"
        )
        cls.root = cls.env.ref("queue_job.channel_root")
        rename_channels_of_others(cls.env)

    def job(self, channel="root", description="job", **values):
        delayed = self.env["res.partner"].with_delay(
            channel=channel, description=description
        )
        row = delayed.create_company().db_record().with_env(self.env)
        if values:
            row.with_context(_job_edit_sentinel=row.EDIT_SENTINEL).write(values)
        return row

    def explain(self, job):
        self.env.flush_all()
        self.env.invalidate_all()
        return job.explanation
