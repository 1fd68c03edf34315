# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The statements of cron workers; those that the regular runner sends too are its own."""

from pathlib import Path

from odoo.addons.queue_job.jobrunner import statements as runner
from odoo.addons.queue_job.sql import load

statements = load(
    Path(__file__).parent,
    parts={"dead_jobs": runner.DEAD_JOBS, "readable_date": runner.READABLE_DATE},
)
