# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How many jobs were done and failed, by minute and by function, kept as they go.

Nothing is counted when a job ends: that would cost every job. Whoever looks at
the overview, and a scheduled action every ten minutes, adds up the jobs that
ended since the last time, by index, and a job is read once for that. So a day
of a million jobs is read as some thousand rows.
"""

from datetime import datetime, timedelta

from odoo import api, fields, models
from odoo.tools import SQL

from .queue_job_companies import belongs_to

# Jobs whose end is not yet committed may end before others that are.
LAG = timedelta(seconds=5)
# How far back the first look goes, and what is kept.
KEPT = timedelta(hours=26)
# Jobs that one look adds up, about; the next look goes on.
BUDGET = 3_000
CRON_BUDGET = 100_000

# The channels that jobs have: one step of the index each.
CHANNELS = SQL(
    """
    WITH RECURSIVE seen(channel) AS (
        (SELECT channel FROM queue_job WHERE channel IS NOT NULL ORDER BY channel LIMIT 1)
        UNION ALL
        SELECT (SELECT channel FROM queue_job WHERE channel > seen.channel
                ORDER BY channel LIMIT 1)
        FROM seen WHERE seen.channel IS NOT NULL
    )
    SELECT channel FROM seen WHERE channel IS NOT NULL LIMIT 1000
    """
)

# What ended in a span. The index on channel and date finds those that are done (a job that
# is requeued loses the date), the attempts tell those that failed.
_ENDED = """
SELECT job.* FROM (%(channels)s) AS asked CROSS JOIN LATERAL (
    SELECT date_done AS ended, company_id, channel_method_name AS function,
        false AS has_failed, exec_time AS seconds
    FROM queue_job WHERE queue_job.channel = asked.channel
      AND date_done > %(since)s AND date_done <= %(until)s
) AS job
UNION ALL
SELECT date_done, company_id, channel_method_name, false, exec_time
FROM queue_job WHERE channel IS NULL AND date_done > %(since)s AND date_done <= %(until)s
UNION ALL
SELECT date_ended, job.company_id, job.channel_method_name, true, NULL
FROM queue_job_attempt attempt JOIN queue_job job ON job.id = attempt.job_id
WHERE date_ended > %(since)s AND date_ended <= %(until)s
  AND (outcome = 'failed' OR outcome = 'dead' AND job.state = 'failed')
"""

# When so many had ended, read from the index alone; nothing when there are fewer.
_EDGE = """
SELECT date_done FROM (%(channels)s) AS asked CROSS JOIN LATERAL (
    SELECT date_done FROM queue_job
    WHERE queue_job.channel = asked.channel
      AND date_done > %(since)s AND date_done <= %(until)s
    ORDER BY date_done LIMIT %(budget)s + 1
) AS job
ORDER BY date_done OFFSET %(budget)s LIMIT 1
"""


class QueueJobMinute(models.Model):
    """What ended in one minute, in one company."""

    _name = "queue.job.minute"
    _description = "Jobs Done and Failed in a Minute"
    _log_access = False
    _order = "minute"
    _rec_name = "minute"

    minute = fields.Datetime(required=True)
    company_id = fields.Many2one("res.company", ondelete="cascade")
    done = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    until = fields.Datetime(
        required=True, help="End of the last job that is added up here."
    )

    _minute_uniq = models.UniqueIndex("(minute, COALESCE(company_id, 0))")

    @api.model
    def _added_until(self, now):
        """Return the end of the last job that is added up."""
        self.env.cr.execute(
            "SELECT max(until) FROM queue_job_minute WHERE minute > %s", [now - KEPT]
        )
        return self.env.cr.fetchone()[0] or now - KEPT

    @api.model
    def _ended(self, since, until):
        """Return the statement that reads the jobs that ended in a span."""
        return SQL(_ENDED, channels=CHANNELS, since=since, until=until)

    @api.model
    def _add_up(self, now=None, budget=BUDGET):
        """Add up jobs that ended; return whether all of them are.

        One at a time: a second reader leaves it to the first, and learns whether more
        than one look is left. The caller commits.
        """
        self.env.cr.execute(
            "SELECT pg_try_advisory_xact_lock(hashtext('queue_job_minute'))"
        )
        is_ours = self.env.cr.fetchone()[0]
        now = now or datetime.now()
        since, until = self._added_until(now), now - LAG
        self.env.cr.execute(
            SQL(_EDGE, channels=CHANNELS, since=since, until=until, budget=budget)
        )
        edge = self.env.cr.fetchone()
        if not is_ours:
            return not edge
        self.env.cr.execute(
            SQL(
                """
                WITH added AS MATERIALIZED (%s), minutes AS (
                    INSERT INTO queue_job_minute (minute, company_id, done, failed, until)
                    SELECT date_trunc('minute', ended), company_id,
                        count(*) FILTER (WHERE NOT has_failed),
                        count(*) FILTER (WHERE has_failed), max(ended)
                    FROM added GROUP BY 1, 2
                    ON CONFLICT (minute, COALESCE(company_id, 0)) DO UPDATE SET
                        done = queue_job_minute.done + EXCLUDED.done,
                        failed = queue_job_minute.failed + EXCLUDED.failed,
                        until = GREATEST(queue_job_minute.until, EXCLUDED.until)
                )
                INSERT INTO queue_job_hour (
                    hour, company_id, function, done, failed, seconds, longest
                )
                SELECT date_trunc('hour', ended), company_id, COALESCE(function, ''),
                    count(*) FILTER (WHERE NOT has_failed), count(*) FILTER (WHERE has_failed),
                    COALESCE(sum(seconds), 0), COALESCE(max(seconds), 0)
                FROM added GROUP BY 1, 2, 3
                ON CONFLICT (hour, function, COALESCE(company_id, 0)) DO UPDATE SET
                    done = queue_job_hour.done + EXCLUDED.done,
                    failed = queue_job_hour.failed + EXCLUDED.failed,
                    seconds = queue_job_hour.seconds + EXCLUDED.seconds,
                    longest = GREATEST(queue_job_hour.longest, EXCLUDED.longest)
                """,
                self._ended(since, edge[0] if edge else until),
            )
        )
        return not edge

    @api.model
    def _cron_add_up(self):
        """Add up what ended, so that the overview has little left to add; drop what is old."""
        while not self._add_up(budget=CRON_BUDGET):
            self.env["ir.cron"]._commit_progress(1)
        deadline = datetime.now() - KEPT
        for table, column in (
            ("queue_job_minute", "minute"),
            ("queue_job_hour", "hour"),
        ):
            self.env.cr.execute(
                SQL(
                    "DELETE FROM %s WHERE %s < %s",
                    SQL.identifier(table),
                    SQL.identifier(column),
                    deadline,
                )
            )

    @api.model
    def _series(self, now, minutes, width, companies=None, *, with_newest=True):
        """Return ``[done, failed]`` of each span of ``width`` minutes, the oldest first.

        :param with_newest: count what is not added up yet; cheap only when
            that is little
        :param companies: ids to count, None for all; jobs of no company always count
        """
        now = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        start = now - timedelta(minutes=minutes)
        since = self._added_until(now) if with_newest else now
        self.env.cr.execute(
            SQL(
                """
                SELECT floor(extract(epoch FROM at - %(start)s) / %(seconds)s)::int AS span,
                    sum(done)::int, sum(failed)::int
                FROM (
                    SELECT minute AS at, done, failed FROM queue_job_minute
                    WHERE minute >= %(start)s AND %(visible)s
                    UNION ALL
                    SELECT ended, (NOT has_failed)::int, has_failed::int
                    FROM (%(ended)s) AS ended WHERE ended >= %(start)s AND %(visible)s
                ) AS counted GROUP BY 1
                """,
                start=start,
                seconds=width * 60,
                visible=belongs_to(companies),
                ended=self._ended(since, now),
            )
        )
        spans = minutes // width
        series = [[0, 0] for _span in range(spans)]
        for span, done, failed in self.env.cr.fetchall():
            if 0 <= span < spans:
                series[span] = [done, failed]
        return series


class QueueJobHour(models.Model):
    """What one function did in one hour, in one company."""

    _name = "queue.job.hour"
    _description = "Jobs of a Function in an Hour"
    _log_access = False
    _order = "hour"
    _rec_name = "hour"

    hour = fields.Datetime(required=True)
    company_id = fields.Many2one("res.company", ondelete="cascade")
    function = fields.Char(required=True)
    done = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    seconds = fields.Float(required=True, help="All runs together.")
    longest = fields.Float(required=True)

    _hour_uniq = models.UniqueIndex("(hour, function, COALESCE(company_id, 0))")

    @api.model
    def _functions(self, now, companies=None, *, with_newest=True):
        """Return the figures of each function over the last day.

        :param with_newest: count what is not added up yet, as the series does
        """
        minutes = self.env["queue.job.minute"]
        since = minutes._added_until(now) if with_newest else now
        self.env.cr.execute(
            SQL(
                """
                SELECT function, sum(done)::int AS done, sum(failed)::int AS failed,
                    sum(seconds) / NULLIF(sum(done), 0) AS average, max(longest) AS longest
                FROM (
                    SELECT function, done, failed, seconds, longest FROM queue_job_hour
                    WHERE hour >= %(start)s AND %(visible)s
                    UNION ALL
                    SELECT COALESCE(function, ''), (NOT has_failed)::int, has_failed::int,
                        COALESCE(seconds, 0), COALESCE(seconds, 0)
                    FROM (%(ended)s) AS ended WHERE ended >= %(start)s AND %(visible)s
                ) AS counted GROUP BY function
                """,
                start=now - timedelta(days=1),
                visible=belongs_to(companies),
                ended=minutes._ended(since, now),
            )
        )
        return self.env.cr.dictfetchall()
