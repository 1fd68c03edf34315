# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta

from markupsafe import Markup

from odoo import api, fields, models

from ..sql import statements as sql

# Failures of one function with one error within an hour of which people are notified one
# by one.
NOTIFIED = 5
WINDOW = timedelta(hours=1)
# Failures that come together are counted together.
DELAY = timedelta(minutes=1)
KEPT = timedelta(days=1)


class QueueJobDigest(models.Model):
    """One message to one user about many equal failures, updated in place.

    Nothing is counted when a job fails, because the workers that record failures would wait
    for each other: a scheduled action counts the failed rows.
    """

    _name = "queue.job.digest"
    _description = "Digest of Failed Jobs"
    _log_access = False

    user_id = fields.Many2one(
        "res.users", required=True, ondelete="cascade", index=True
    )
    function = fields.Char(string="Job Function", required=True)
    exc_name = fields.Char(string="Exception", required=True)
    since = fields.Datetime(required=True)
    jobs_count = fields.Integer(string="Jobs")
    message_id = fields.Many2one("mail.message", ondelete="cascade", index=True)

    @api.model
    def _counts(self, job, now=None):
        """Return whether the failure of a job is one of many, which the digest counts."""
        if not (job.channel_method_name and job.exc_name):
            return False
        self.env.cr.execute(
            sql.count_equal_failures,
            {
                "function": job.channel_method_name,
                "error": job.exc_name,
                "since": (now or datetime.now()) - WINDOW,
                "limit": NOTIFIED,
            },
        )
        if self.env.cr.fetchone()[0] < NOTIFIED:
            return False
        self._request()
        return True

    @api.model
    def _request(self):
        """Let the scheduled action run soon, unless it will anyway."""
        cron = self.env.ref("queue_job.queue_job_digest_cron", raise_if_not_found=False)
        if not cron:
            return
        triggers = self.env["ir.cron.trigger"].sudo()
        if not triggers.search_count([("cron_id", "=", cron.id)], limit=1):
            cron._trigger(at=fields.Datetime.now() + DELAY)

    @api.model
    def _cron_send(self, now=None):
        """Bring the digests up to date, and forget old ones."""
        now = now or datetime.now()
        self.search([("since", "<", now - KEPT)]).unlink()
        self.env.cr.execute(sql.many_failures, {"since": now - WINDOW})
        totals = {}
        for function, error, job_id, count, since in self.env.cr.fetchall():
            for user in self._users(job_id):
                total, first = totals.get((user, function, error), (0, since))
                totals[user, function, error] = (total + count, min(first, since))
        for (user, function, error), (count, since) in totals.items():
            if count > NOTIFIED:
                self._update(user, function, error, count, since, now)

    def _users(self, job_id):
        job = self.env["queue.job"].browse(job_id)
        if job.job_function_id.failure_notice == "nobody":
            return self.env["res.users"]
        return self.env["res.users"].search(job._subscribe_users_domain())

    def _update(self, user, function, error, count, since, now):
        digest = self.search(
            [
                ("user_id", "=", user.id),
                ("function", "=", function),
                ("exc_name", "=", error),
                ("since", ">=", (now - WINDOW).replace(microsecond=0)),
            ],
            limit=1,
        )
        if not digest:
            digest = self.create(
                {
                    "user_id": user.id,
                    "function": function,
                    "exc_name": error,
                    "since": since.replace(microsecond=0),
                }
            )
        if count <= digest.jobs_count:
            return
        digest.jobs_count = count
        body = digest.with_context(lang=user.lang)._body()
        if digest.message_id:
            digest.message_id.body = body
        else:
            digest.message_id = self.env["mail.thread"].message_notify(
                partner_ids=user.partner_id.ids,
                subject=self.with_context(lang=user.lang).env._("Jobs failed"),
                body=body,
            )

    def _body(self):
        return Markup("<p>%s</p>") % self.env._(
            "%(count)s jobs of %(function)s failed with %(error)s within an hour.",
            count=self.jobs_count,
            function=self.function,
            error=self.exc_name,
        )
