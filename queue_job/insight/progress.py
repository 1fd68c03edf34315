# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""How far jobs are, by what they say themselves."""

from ..sql import statements as sql


def progress_of(jobs):
    """Return ``{id: progress}`` of the jobs that have some.

    A progress is a dict of done, total, message, percent (a whole number, None without a
    total) and ``is_kept``: whether the next attempt goes on behind a step.
    """
    if not jobs.ids:
        return {}
    jobs.env.cr.execute(sql.progress_of, {"jobs": list(jobs.ids)})
    return {
        job_id: {
            "done": done,
            "total": total,
            "message": message or "",
            "percent": _percent(done, total),
            "is_kept": is_kept,
        }
        for job_id, done, total, message, is_kept in jobs.env.cr.fetchall()
    }


def _percent(done, total):
    if done is None or not total or total < 0:
        return None
    # A job that runs never shows as 100.
    percent = 100 if done >= total else min(99, int(100 * done / total))
    return max(0, percent)
