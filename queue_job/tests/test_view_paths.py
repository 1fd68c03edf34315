# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Views that modules wrote for OCA's queue_job apply to ours."""

from odoo.tests import TransactionCase, tagged


def named(tag, *names):
    return [f"//{tag}[@name='{name}']" for name in names]


STATES = "wait_dependencies pending enqueued started done failed cancelled".split()
WIZARD = ["/form/group/field[@name='job_ids']", "//form/group", "//footer"]
PATHS = {
    "view_queue_job_form": [
        "/form/header/field[@name='state']",
        "/form/header/button[@name='open_related_action']",
        "//div[@name='button_box']/button[@name='open_graph_jobs']",
        "/form/sheet/group/group",
        "/form/sheet/group/div/label",
        "/form/sheet/group/div/field[@name='retry']",
        "/form/sheet/group/div/field[@name='max_retries']",
        "/form/sheet/notebook/page",
        "//page[@name='results']/group[@name='result']/field[@name='result']",
        "//page[@name='results']/group[@name='exc_info']/div/label",
        "//page[@name='results']/group[@name='exc_info']/div/field[@name='exc_name']",
        "//group[@name='exc_info']/field[@name='exc_info']",
        "//page[@name='dependencies']/field[@name='dependency_graph']",
        "//h1/field[@name='name']",
        "//chatter",
        *named("button", "requeue", "button_done", "button_cancelled"),
        *named("field", "uuid", "graph_uuid", "func_string", "job_function_id"),
        *named("field", "channel", "priority", "eta", "company_id", "user_id"),
        *named("field", "worker_pid", "date_created", "date_enqueued", "date_started"),
        *named("field", "date_done", "exec_time", "graph_jobs_count"),
    ],
    "view_queue_job_tree": named(
        "field",
        *("name", "model_name", "state", "date_created", "eta", "date_done"),
        *("exec_time", "priority", "exc_name", "exc_message", "uuid", "channel"),
        "company_id",
    ),
    "view_queue_job_pivot": [
        "/pivot/field[@name='exec_time']",
        "/pivot/field[@name='job_function_id']",
        "/pivot/field[@name='date_done']",
    ],
    "view_queue_job_graph": [
        "/graph/field[@name='job_function_id']",
        "/graph/field[@name='exec_time']",
    ],
    "view_queue_job_search": [
        "/search/separator",
        *(f"/search/filter[@name='{state}']" for state in STATES),
        *(
            f"/search/filter[@name='{name}']"
            for name in ("retried", "last_24_hours", "last_7_days", "last_30_days")
        ),
        *(
            f"/search/filter[@name='group_by_{name}']"
            for name in (
                *("channel", "job_function_id", "state", "priority", "model_name"),
                *("exc_name", "exc_message", "graph", "date_created"),
            )
        ),
        *(
            f"/search/field[@name='{name}']"
            for name in (
                *("uuid", "graph_uuid", "name", "func_string", "channel"),
                *("job_function_id", "model_name", "priority", "exc_name"),
                *("exc_message", "exc_info", "result", "company_id"),
            )
        ),
    ],
    "view_queue_job_channel_form": [
        "//form/group",
        "/form/group[2]/field[@name='job_function_ids']",
        *(
            f"/form/group/field[@name='{name}']"
            for name in ("name", "parent_id", "complete_name", "removal_interval")
        ),
    ],
    "view_queue_job_channel_tree": ["/list/field[@name='complete_name']"],
    "view_queue_job_channel_search": [
        f"/search/field[@name='{name}']"
        for name in ("name", "complete_name", "parent_id")
    ],
    "view_queue_job_function_form": [
        "//form/group",
        "//field[@name='name']/..",
        *(
            f"/form/group/field[@name='{name}']"
            for name in (
                *("name", "model_id", "method", "channel_id", "allow_commit"),
                *("edit_retry_pattern", "edit_related_action"),
            )
        ),
    ],
    "view_queue_job_function_tree": [
        f"/list/field[@name='{name}']"
        for name in ("name", "channel_id", "allow_commit")
    ],
    "view_queue_job_function_search": [
        "/search/field[@name='name']",
        "/search/field[@name='channel_id']",
        "/search/separator",
        "/search/filter[@name='group_by_channel']",
    ],
    "view_requeue_job": [*WIZARD, *named("button", "requeue")],
    "view_set_jobs_done": [*WIZARD, *named("button", "set_done")],
    "view_set_jobs_cancelled": [*WIZARD, *named("button", "set_cancelled")],
}


@tagged("post_install", "-at_install")
class TestViewPaths(TransactionCase):
    def test_views_of_modules_for_oca_apply(self):
        """A released module adds to ``//form/group`` of the job function.

        Ours had a sheet in between, and the module could not be installed.
        """
        for xmlid, paths in PATHS.items():
            view = self.env.ref(f"queue_job.{xmlid}")
            for path in paths:
                with self.subTest(view=xmlid, path=path):
                    self.env["ir.ui.view"].create(
                        {
                            "name": f"extension of {xmlid}",
                            "model": view.model,
                            "inherit_id": view.id,
                            "arch": f'<xpath expr="{path}" position="attributes"/>',
                        }
                    ).unlink()

    def test_wizards_show_the_jobs_below_a_title(self):
        for xmlid in ("requeue_job", "set_jobs_done", "set_jobs_cancelled"):
            arch = self.env.ref(f"queue_job.view_{xmlid}")._get_combined_arch()
            self.assertTrue(all(group.get("string") for group in arch.xpath("//group")))
