# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The failures page: groups, their counts, and what is done to a whole group."""

from datetime import datetime, timedelta

from odoo.exceptions import AccessError
from odoo.tests import Form, TransactionCase, new_test_user, tagged


class FailuresCase(TransactionCase):
    def setUp(self):
        super().setUp()
        self.env.cr.execute("DELETE FROM queue_job")
        self.groups = self.env["queue.job.failure"]

    def failed(
        self, count, method="create_company", error="ValueError", age=0, **values
    ):
        date = datetime.now() - timedelta(hours=age)
        jobs = self.env["queue.job"]
        for _number in range(count):
            job = getattr(self.env["res.partner"].with_delay(), method)()
            jobs |= job.db_record().with_env(self.env)
        jobs.write(
            {
                "exc_name": error,
                "exc_message": f"{error} happened",
                "date_started": date,
                "to_report": False,
                **values,
            }
        )
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET state = 'failed' WHERE id = ANY(%s)", (jobs.ids,)
        )
        self.env.invalidate_all()
        return jobs


@tagged("post_install", "-at_install")
class TestFailures(FailuresCase):
    def open_wizard(self, action):
        model = self.env[action["res_model"]].with_context(**action["context"])
        return Form(model, view=action["view_id"][0]).save()

    def test_groups_and_periods(self):
        self.failed(2)
        self.failed(3, age=5)
        self.failed(1, age=24 * 3)
        self.failed(4, age=24 * 10)
        self.failed(2, error="KeyError", age=24)
        self.failed(1, method="copy")
        group = self.groups.search(
            [("exc_name", "=", "ValueError"), ("function", "like", "create_comp")]
        )
        self.assertEqual(
            (group.last_hour, group.last_day, group.last_week, group.jobs_count),
            (2, 5, 6, 10),
        )
        self.assertAlmostEqual(
            (group.last_seen - group.first_seen).total_seconds(), 864000, delta=60
        )
        self.assertEqual(group.exc_message, "ValueError happened")
        self.assertEqual(len(self.groups.search([])), 3)
        self.assertEqual(len(self.groups.search([("last_seen", ">=", "now -1H")])), 2)

    def test_jobs_out_of_tries_are_grouped_by_the_cause(self):
        """All of them were one group, FailedJobError, whatever had happened."""
        by_cause = {"exc_cause": "KeyError", "error": "x.FailedJobError"}
        jobs = self.failed(2, **by_cause) | self.failed(1, error="KeyError")
        other = self.failed(1, error="x.FailedJobError", exc_cause="OSError")
        self.failed(1, error="x.FailedJobError")
        groups = self.groups.search([])
        self.assertEqual(
            sorted(groups.mapped(lambda group: (group.exc_name, group.jobs_count))),
            [("KeyError", 3), ("OSError", 1), ("x.FailedJobError", 1)],
        )
        for name, expected in (("KeyError", jobs), ("OSError", other)):
            group = groups.filtered(lambda group, name=name: group.exc_name == name)
            found = self.env["queue.job"].search(group._jobs_domain())
            self.assertEqual(set(found.ids), set(expected.ids))
        both = groups.filtered(lambda group: group.exc_name != "OSError")
        self.assertEqual(self.env["queue.job"].search_count(both._jobs_domain()), 4)

    def test_other_states_are_not_failures(self):
        self.failed(1).button_done()
        self.env.flush_all()
        self.assertFalse(self.groups.search([]))

    def test_act_on_a_group(self):
        jobs = self.failed(3) + self.failed(2, age=50)
        other = self.failed(1, error="KeyError")
        domain = [("exc_name", "=", "ValueError")]
        for action, method, state in (
            ("action_cancel", "set_cancelled", "cancelled"),
            ("action_requeue", "requeue", "pending"),
            ("action_set_done", "set_done", "done"),
        ):
            with self.subTest(action=action):
                self.env.flush_all()
                self.env.cr.execute(
                    "UPDATE queue_job SET state = 'failed', exc_name = 'ValueError' "
                    "WHERE id = ANY(%s)",
                    (jobs.ids,),
                )
                self.env.invalidate_all()
                wizard = self.open_wizard(getattr(self.groups.search(domain), action)())
                self.assertEqual((wizard.moved_count, wizard.left_count), (5, 0))
                getattr(wizard, method)()
                self.assertEqual(set(jobs.mapped("state")), {state})
                self.assertEqual(other.state, "failed")

    def test_open_the_jobs_of_several_groups(self):
        jobs = self.failed(2) + self.failed(1, error="KeyError")
        self.failed(1, error="TypeError")
        groups = self.groups.search([("exc_name", "in", ("ValueError", "KeyError"))])
        action = groups.action_open_jobs()
        self.assertEqual(self.env["queue.job"].search(action["domain"]), jobs.sorted())

    def test_failure_without_error(self):
        jobs = self.failed(2, exc_name=False)
        group = self.groups.search([])
        self.assertFalse(group.exc_name)
        self.assertEqual(
            self.env["queue.job"].search_count(group._jobs_domain()), len(jobs)
        )

    def test_companies_and_rights(self):
        other = self.env["res.company"].create({"name": "other"})
        self.failed(1, company_id=self.env.company.id)
        self.failed(1, company_id=other.id)
        manager = new_test_user(
            self.env, "m", "base.group_user,queue_job.group_queue_job_manager"
        )
        groups = self.groups.with_user(manager).search([])
        self.assertEqual(groups.company_id, self.env.company)
        user = new_test_user(
            self.env, "u", "base.group_user,queue_job.group_queue_job_user"
        )
        with self.assertRaises(AccessError):
            self.groups.with_user(user).search([])
