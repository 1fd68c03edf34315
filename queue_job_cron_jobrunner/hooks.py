# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).


def uninstall_hook(env):
    """Remove the function that claims jobs for cron workers."""
    env.cr.execute("DROP FUNCTION IF EXISTS queue_job_cron_claim")
