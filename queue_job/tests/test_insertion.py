# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A row inserted past the ORM is the row that ``create`` makes."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch

from odoo.tests import TransactionCase, tagged
from odoo.tools import mute_logger

from ..delay import group
from ..job import identity_exact
from ..store.insertion import Insertion

OF_ONE_ROW = {"id", "uuid", "date_created"}


@tagged("post_install", "-at_install")
class TestInsertion(TransactionCase):
    def setUp(self):
        super().setUp()
        self.jobs = self.env["queue.job"]
        if not Insertion(self.jobs)._is_possible:
            self.skipTest("Another addon of this database extends create.")
        self.user = self.env["res.users"].create({"name": "Eve", "login": "eve.insert"})
        # Caches are warm.
        self._delay(self.env)

    def _delay(self, env, *args, **options):
        return env["queue.job"].with_delay(**options)._test_job(*args)

    def _inserted(self, delay):
        """Return what a call returns, and how many rows it inserted past the ORM."""
        count, insert = [], Insertion.insert

        def counted(insertion, *args):
            count.append(insert(insertion, *args))
            return count[-1]

        with patch.object(Insertion, "insert", counted):
            result = delay()
        return result, len([row_id for row_id in count if row_id])

    def _is_inserted(self, *args, **options):
        return self._inserted(lambda: self._delay(self.env, *args, **options))[1] == 1

    def _seen(self, job):
        """Return the columns of a row, what the cache holds of it, and what mail tracks."""
        self.env.flush_all()
        cached = {
            name: self.env.transaction.field_data[field][job.row_id]
            for name, field in self.jobs._fields.items()
            if job.row_id in self.env.transaction.field_data.get(field, {})
        }
        self.env.cr.execute("SELECT * FROM queue_job WHERE id = %s", (job.row_id,))
        row = self.env.cr.dictfetchone()
        tracked = self.env.cr.precommit.data["mail.tracking.queue.job"]
        self.assertEqual(cached["uuid"], job.uuid)
        return SimpleNamespace(
            row={name: row[name] for name in row.keys() - OF_ONE_ROW},
            cached={name: cached[name] for name in cached.keys() - OF_ONE_ROW},
            date=(row["date_created"], cached["date_created"])
            == (job.date_created,) * 2,
            tracked=tracked.get(job.row_id, "yes"),
            dirty=[
                f.name for f, ids in self.env._field_dirty.items() if job.row_id in ids
            ],
            stored=job.stored,
        )

    @mute_logger("odoo.addons.queue_job.models.queue_job_channel")
    def test_row_and_cache_are_those_of_create(self):
        partner = self.env["res.partner"].create({"name": "Ann"})
        people = self.env(user=self.user.id, context={"lang": "en_US", "tz": "UTC"})
        cases = [
            (self.env, (), {}),
            (self.env, (partner, datetime(2026, 5, 4), b"\x00"), {"priority": 3}),
            (self.env, ("a\x00b",), {"description": "c\x00d", "channel": "sub.one"}),
            (self.env, (), {"eta": "2026-05-04 03:02:01", "max_retries": 0}),
            (self.env, (), {"eta": timedelta(days=3), "description": "x" * 5000}),
            (
                people,
                (people["res.partner"],),
                {"channel": "root.two", "priority": "7"},
            ),
            (self.env(context={"company_id": False}), (), {}),
            (self.env(context={"default_channel": "nine", "lang": "xx"}), (), {}),
        ]
        for env, args, options in cases:
            with self.subTest(args=args, options=options), self._frozen():
                ours, count = self._inserted(lambda: self._delay(env, *args, **options))  # noqa: B023
                with patch.object(Insertion, "takes", return_value=False):
                    theirs = self._delay(env, *args, **options)
                self.assertEqual(count, 1)
                seen = self._seen(ours)
                self.assertEqual(vars(seen), vars(self._seen(theirs)))
                self.assertTrue(seen.date)
                self.assertEqual(ours.record.name, theirs.record.name)

    def _frozen(self):
        # The eta of a timedelta counts from now.
        class Frozen(datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime(2026, 5, 1, 12, 0, 0, 123456)

        return patch("odoo.addons.queue_job.job.datetime", Frozen)

    def test_job_with_key_is_inserted_and_refuses_twin(self):
        job, count = self._inserted(
            lambda: self._delay(self.env, identity_key=identity_exact)
        )
        self.assertEqual(count, 1)
        self.assertEqual(job.record.identity_key, job.identity_key)
        self.assertEqual(
            self._delay(self.env, identity_key=identity_exact).uuid, job.uuid
        )

    def test_row_takes_one_query(self):
        with self.assertQueryCount(1):
            self.assertTrue(self._is_inserted())

    def test_row_is_gone_after_rollback_to_savepoint(self):
        savepoint = self.env.cr.savepoint()
        job = self._delay(self.env)
        savepoint.rollback()
        self.assertFalse(job.record.exists())
        savepoint.close()

    def test_jobs_of_a_group_are_created(self):
        jobs = [self.jobs.delayable()._test_job() for _number in range(2)]
        self.assertEqual(self._inserted(group(*jobs).delay)[1], 0)

    def test_override_of_create_sees_the_row(self):
        create, seen = type(self.jobs).create, []

        def override(jobs, vals_list):
            seen.extend(vals_list)
            return create(jobs, vals_list)

        self.patch(type(self.jobs), "create", override)
        self.assertFalse(self._is_inserted())
        self.assertEqual(len(seen), 1)

    def test_override_of_a_step_of_create_is_called(self):
        for name in ("_create", "_validate_fields", "modified"):
            step, called = getattr(type(self.jobs), name), []

            def override(jobs, *args, step=step, called=called, **kwargs):
                called.append(jobs)
                return step(jobs, *args, **kwargs)

            with self.subTest(name), patch.object(type(self.jobs), name, override):
                self.assertFalse(self._is_inserted())
                self.assertTrue(called)
        self.assertTrue(self._is_inserted())

    def test_preferred_values_are_left_to_create(self):
        self.env["ir.default"].set("queue.job", "exc_name", "preferred")
        self.assertFalse(self._is_inserted())

    def test_value_of_no_plain_column_is_left_to_create(self):
        def values(_records, _job):
            return {"message_follower_ids": []}

        self.patch(type(self.jobs), "_job_store_values", values)
        self.assertFalse(self._is_inserted())

    def test_what_a_module_adds_is_left_to_create(self):
        fields, pool = self.jobs._fields, self.jobs.pool
        tree = pool.get_trigger_tree([])
        tree.root = (fields["exc_name"],)
        cases = {
            "a default": patch.object(fields["exc_name"], "default", lambda _jobs: "x"),
            "a stored computed field": patch.object(fields["exc_name"], "compute", "c"),
            "a precomputed field": patch.object(fields["exc_name"], "precompute", True),
            "a dependent": patch.object(pool, "get_trigger_tree", lambda _fields: tree),
            "a constraint": patch.object(type(self.jobs), "_constraint_methods", [id]),
            "rows with authors": patch.object(type(self.jobs), "_log_access", True),
        }
        for name, added in cases.items():
            with self.subTest(name), added:
                self.assertFalse(Insertion(self.jobs)._is_possible)
