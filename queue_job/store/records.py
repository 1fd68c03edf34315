# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The records that jobs are about, as indexed columns.

A module asks for it with one line: in Python, ``_inherit = ["x.y",
"queue.job.record.mixin"]``, which gives the model ``action_open_jobs`` and
``jobs_count``; or in XML, which puts "Jobs" into the Actions menu of a model::

    <function model="queue.job" name="_offer_on_records" eval="('sale.order',)" />

The columns are filled, in the INSERT of the job, for those models alone: the jobs of
others pay nothing.
"""

from ..sql import statements as sql

# Code of the server action of a model, by which it is found again.
OFFER = "action = env['queue.job']._action_open_jobs_of(records)"


def models_with_records(env):
    """Return the names of the models whose jobs know their records."""
    by_action = env["ir.actions.server"].sudo().search([("code", "=", OFFER)])
    mixin = env.registry["queue.job.record.mixin"]
    return frozenset(by_action.mapped("model_name")).union(
        name
        for name, model in env.registry.items()
        if issubclass(model, mixin) and not model._abstract
    )


def values_of(job):
    """Return the columns of the records of a job."""
    ids = job.recordset.ids
    return {"record_id": ids[0]} if len(ids) == 1 else {"record_ids": ids}


def offer(jobs, model_name):
    """Put "Jobs" into the Actions menu of a model, and fill the columns of its jobs."""
    env = jobs.env
    actions = env["ir.actions.server"].sudo()
    model = env["ir.model"]._get(model_name)
    domain = [("code", "=", OFFER), ("model_id", "=", model.id)]
    action = actions.search(domain, limit=1)
    if not action:
        group = env.ref("queue_job.group_queue_job_user")
        action = actions.create(
            {
                "name": "Jobs",
                "model_id": model.id,
                "binding_model_id": model.id,
                "state": "code",
                "code": OFFER,
                "group_ids": [(4, group.id)],
            }
        )
        for lang, _name in env["res.lang"].get_installed():
            reader = jobs.with_context(lang=lang)
            action.with_context(lang=lang).name = reader.env._("Jobs")
    # So the action goes with this addon, and not before.
    xmlid = f"queue_job.action_open_jobs_of_{model_name.replace('.', '_')}"
    env["ir.model.data"].sudo()._update_xmlids(
        [{"xml_id": xmlid, "record": action, "noupdate": True}]
    )
    fill(jobs, model_name)


def fill(jobs, model_name):
    """Fill the columns of the jobs that were stored before the model asked."""
    jobs.flush_model(["model_name", "records"])
    jobs.env.cr.execute(sql.fill_records, {"model": model_name})
    jobs.invalidate_model(["record_id", "record_ids"])
