# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).


def uninstall_hook(env):
    """Remove what Odoo does not know to be of this addon.

    That are the copies of the runner cron, which would call a method that is gone, and
    the function by which releases before claimed jobs.
    """
    crons = env["ir.cron"].with_context(active_test=False)
    runners = crons.search([("queue_job_runner", "=", True)])
    runners = runners.filtered(lambda cron: "_job_runner(" in (cron.code or ""))
    actions = runners.ir_actions_server_id
    runners.unlink()
    actions.unlink()
    env.cr.execute("DROP FUNCTION IF EXISTS queue_job_cron_claim")
