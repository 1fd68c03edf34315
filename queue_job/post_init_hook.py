# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from .store import triggers


def post_init_hook(env):
    """Create or replace the triggers that notify the runner."""
    triggers.install(env.cr, "queue_job", "queue_job_channel")
