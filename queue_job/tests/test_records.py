# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The jobs of a record, for the models that ask for it."""

from unittest import mock

from lxml import etree

from odoo.tests import TransactionCase, new_test_user, tagged

from .alone import without_extensions


@tagged("post_install", "-at_install")
class TestRecords(TransactionCase):
    def setUp(self):
        super().setUp()
        self.jobs = self.env["queue.job"]
        self.partners = self.env["res.partner"].create(
            [{"name": str(n)} for n in range(4)]
        )

    def delay(self, records):
        return records.with_delay().create_company().db_record().with_env(self.env)

    def jobs_of(self, records):
        return self.jobs.search(
            self.jobs._action_open_jobs_of(records)["domain"], order="id"
        )

    def test_nothing_is_kept_for_models_that_did_not_ask(self):
        job = self.delay(self.partners[0])
        self.assertFalse(job.record_id or job.record_ids)

    def test_jobs_of_one_and_of_several(self):
        before = self.delay(self.partners[3])
        self.jobs._offer_on_records("res.partner")
        one = self.delay(self.partners[0])
        several = self.delay(self.partners[:3])
        self.delay(self.env["res.partner"])
        self.assertEqual((one.record_id, one.record_ids), (self.partners[0].id, []))
        self.assertEqual(
            (several.record_id, several.record_ids), (0, self.partners[:3].ids)
        )
        self.assertEqual(self.jobs_of(self.partners[0]), one | several)
        self.assertEqual(self.jobs_of(self.partners[1]), several)
        self.assertEqual(self.jobs_of(self.partners[3]), before)
        self.assertEqual(self.jobs_of(self.partners), before | one | several)

    def test_ids_of_other_models_are_others(self):
        self.jobs._offer_on_records("res.partner")
        self.jobs._offer_on_records("res.users")
        user = self.env.user
        partner = self.env["res.partner"].browse(user.id)
        self.delay(partner)
        self.assertFalse(self.jobs_of(user))
        self.assertTrue(self.jobs_of(partner))

    def test_offered_once_in_the_action_menu(self):
        for _time in range(2):
            self.jobs._offer_on_records("res.partner")
        bindings = self.env["ir.actions.actions"].get_bindings("res.partner")["action"]
        self.assertEqual([b["name"] for b in bindings].count("Jobs"), 1)
        action = self.env.ref("queue_job.action_open_jobs_of_res_partner")
        self.assertIn(action.id, [binding["id"] for binding in bindings])
        result = action.with_context(
            active_model="res.partner",
            active_ids=self.partners[:1].ids,
            active_id=self.partners[0].id,
        ).run()
        self.assertEqual(result["res_model"], "queue.job")

    def test_offer_goes_with_the_addon(self):
        """Without it the action would fail, and be offered to everybody."""
        self.jobs._offer_on_records("res.partner")
        action = self.env.ref("queue_job.action_open_jobs_of_res_partner")
        (xmlid,) = self.env["ir.model.data"].search(
            [("model", "=", action._name), ("res_id", "=", action.id)]
        )
        # An update of the addon alone keeps it.
        self.assertEqual((xmlid.module, xmlid.noupdate), ("queue_job", True))

    def test_offered_in_the_languages_that_are_installed(self):
        self.env["res.lang"]._activate_lang("es_ES")
        self.jobs._offer_on_records("res.partner")
        action = self.env["ir.actions.server"].search(
            [("model_name", "=", "res.partner"), ("name", "=", "Jobs")]
        )
        self.assertEqual(action.with_context(lang="es_ES").name, "Trabajos")

    def test_delaying_stays_one_query(self):
        asked = mock.patch.object(
            type(self.jobs), "_recorded_models", lambda jobs: frozenset({"res.partner"})
        )
        without_extensions(self.addCleanup, self.jobs, "create")
        self.delay(self.partners[0])  # fills the caches
        self.env.flush_all()
        with asked, self.assertQueryCount(1):
            job = self.partners[1].with_delay().create_company()
            self.env.flush_all()
        self.assertEqual(job.db_record().record_id, self.partners[1].id)

    def test_search_uses_the_indexes(self):
        query = self.jobs._search(self.jobs._concerned_domain(self.partners[:1]))
        self.env.cr.execute("SET LOCAL enable_seqscan = off")
        self.env.cr.execute("EXPLAIN %s" % self.env.cr.mogrify(query.select()).decode())
        plan = "\n".join(line for (line,) in self.env.cr.fetchall())
        self.assertIn("queue_job_record_index", plan)
        self.assertIn("queue_job_records_index", plan)


@tagged("post_install", "-at_install")
class TestUserGroup(TransactionCase):
    """Who is no manager sees his own jobs, and changes none."""

    def setUp(self):
        super().setUp()
        self.user = new_test_user(
            self.env, "user_of_jobs", "base.group_user,queue_job.group_queue_job_user"
        )
        as_user = self.env["res.partner"].with_user(self.user)
        self.mine = as_user.with_delay().create_company().db_record()
        self.other = self.env["res.partner"].with_delay().create_company().db_record()
        self.jobs = self.env["queue.job"].with_user(self.user)

    def test_sees_own_jobs_only(self):
        self.assertEqual(self.jobs.search([]).ids, self.mine.ids)

    def test_nothing_of_other_companies(self):
        self.mine.company_id = self.env["res.company"].create({"name": "other"})
        self.assertFalse(self.jobs.search([]))

    def test_changes_nothing(self):
        for operation in ("write", "create", "unlink"):
            self.assertFalse(self.jobs.has_access(operation))
        for wizard in (
            "queue.requeue.job",
            "queue.jobs.to.done",
            "queue.jobs.to.cancelled",
        ):
            self.assertFalse(self.env[wizard].with_user(self.user).has_access("create"))

    def test_form_can_be_read(self):
        view = self.env.ref("queue_job.view_queue_job_form")
        arch = self.jobs.get_view(view.id)["arch"]
        for button in ("button_done", "button_cancelled"):
            self.assertNotIn(f'name="{button}"', arch)
        # Shown for jobs whose function lets their user requeue them.
        self.assertIn('invisible="not can_user_requeue"', arch)
        mine = self.mine.with_user(self.user)
        fields = (
            "explanation",
            "timeline",
            "reason",
            "waited",
            "ran",
            "tries",
            "attempt_ids",
        )
        self.assertTrue(mine.read(fields)[0]["explanation"])

    def test_link_to_the_job_function_is_shown_to_whoever_may_open_it(self):
        """A click on it was an access error."""
        manager = new_test_user(
            self.env, "m", "base.group_user,queue_job.group_queue_job_manager"
        )
        view = self.env.ref("queue_job.view_queue_job_form")
        for user, is_link in ((self.user, False), (manager, True)):
            arch = etree.fromstring(self.jobs.with_user(user).get_view(view.id)["arch"])
            (field,) = arch.xpath("//field[@name='job_function_id']")
            self.assertEqual("no_open" not in field.get("options", ""), is_link)

    def test_menus(self):
        visible = self.env["ir.ui.menu"].with_user(self.user)._visible_menu_ids()
        self.assertIn(self.env.ref("queue_job.menu_queue_job").id, visible)
        for name in ("channel", "function", "failure"):
            self.assertNotIn(
                self.env.ref(f"queue_job.menu_queue_job_{name}").id, visible
            )

    def test_managers_are_users_too(self):
        manager = new_test_user(
            self.env, "m", "base.group_user,queue_job.group_queue_job_manager"
        )
        self.assertTrue(manager.has_group("queue_job.group_queue_job_user"))
        jobs = self.env["queue.job"].with_user(manager)
        found = jobs.search([("id", "in", (self.mine | self.other).ids)])
        self.assertEqual(set(found.ids), {self.mine.id, self.other.id})
