# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta
from unittest.mock import patch

from psycopg2 import IntegrityError

from odoo.exceptions import UserError, ValidationError
from odoo.tests import Form, TransactionCase, tagged
from odoo.tools import mute_logger

from ..insight.snapshot import Snapshot
from .alone import rename_channels_of_others


class ChannelCase(TransactionCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.channels = cls.env["queue.job.channel"]
        cls.root = cls.env.ref("queue_job.channel_root")
        rename_channels_of_others(cls.env)

    def make(self, name="sub", parent=None, **vals):
        parent = parent or self.root
        return self.channels.create({"name": name, "parent_id": parent.id, **vals})


@tagged("post_install", "-at_install")
class TestTree(ChannelCase):
    def test_complete_name(self):
        sub = self.make()
        low = self.make("low", sub)
        self.assertEqual(low.complete_name, "root.sub.low")
        self.assertEqual(low.display_name, "root.sub.low")
        sub.name = "other"
        self.assertEqual(low.complete_name, "root.other.low")

    def test_complete_name_without_name(self):
        self.assertEqual(self.channels.new({}).complete_name, "")
        self.assertEqual(
            self.channels.new({"parent_id": self.root.id}).complete_name, ""
        )

    def test_name_may_hold_dots(self):
        self.assertEqual(
            self.make("queue.job.batch").complete_name, "root.queue.job.batch"
        )

    def test_unique(self):
        self.make()
        with mute_logger("odoo.sql_db"), self.assertRaises(IntegrityError):
            self.make()
        self.env.cr.execute(
            "SELECT 1 FROM pg_constraint WHERE conname = 'queue_job_channel_name_uniq'"
        )
        self.assertTrue(self.env.cr.rowcount)

    def test_parent_is_required(self):
        with self.assertRaises(ValidationError):
            self.channels.create({"name": "orphan"})

    def test_new_record_without_values(self):
        self.assertTrue(self.channels.create({}))

    def test_not_below_itself(self):
        sub = self.make()
        low = self.make("low", sub)
        with self.assertRaises(UserError):
            sub.parent_id = low

    def test_root_cannot_be_moved_renamed_or_deleted(self):
        with self.assertRaises(UserError):
            self.root.name = "leaf"
        with self.assertRaises(UserError):
            self.root.parent_id = self.make()
        with self.assertRaises(UserError):
            self.root.unlink()

    def test_root_may_be_declared_again(self):
        self.root.with_context(install_mode=True).write({"name": "root"})

    def test_default_of_functions(self):
        self.assertEqual(self.make().removal_interval, 30)


@tagged("post_install", "-at_install")
class TestDeclaration(ChannelCase):
    def declare(self, **vals):
        return self.channels.with_context(install_mode=True).create(vals)

    def test_same_channel_is_reused_and_updated(self):
        sub = self.make()
        again = self.declare(name="sub", parent_id=self.root.id, removal_interval=3)
        self.assertEqual(again, sub)
        self.assertEqual(sub.removal_interval, 3)

    def test_noupdate_is_kept(self):
        sub = self.make()
        self.env["ir.model.data"].create(
            {
                "module": "queue_job",
                "name": "test_channel",
                "model": "queue.job.channel",
                "res_id": sub.id,
                "noupdate": True,
            }
        )
        self.assertEqual(
            self.declare(name="sub", parent_id=self.root.id, capacity=3), sub
        )
        self.assertIs(sub.capacity, False)

    def test_root_is_reused(self):
        self.assertEqual(self.declare(name="root"), self.root)

    def test_other_parent_is_another_channel(self):
        sub = self.make()
        self.assertNotEqual(self.declare(name="sub", parent_id=sub.id), sub)


@tagged("post_install", "-at_install")
class TestSettings(ChannelCase):
    def column(self, channel, name="capacity"):
        self.env.flush_all()
        self.env.cr.execute(
            f"SELECT {name} FROM queue_job_channel WHERE id = %s", [channel.id]
        )
        return self.env.cr.fetchone()[0]

    def test_capacity_may_be_empty(self):
        channel = self.make()
        self.assertIsNone(self.column(channel))
        for written, read, stored in ((3, 3, 3), (0, 0, 0), (False, False, None)):
            channel.capacity = written
            self.assertEqual(self.column(channel), stored)
            channel.invalidate_recordset()
            self.assertIs(channel.capacity, read)
            self.assertEqual(channel.read(["capacity"])[0]["capacity"], read)

    def test_capacity_as_a_choice(self):
        channel = self.make()
        for capacity, choice in ((False, "default"), (0, "unlimited"), (2, "limited")):
            channel.capacity = capacity
            self.assertEqual(channel.limit_capacity, choice)
        channel.limit_capacity = "unlimited"
        self.assertIs(channel.capacity, 0)
        channel.limit_capacity = "limited"
        self.assertEqual(channel.capacity, 1)
        channel.write({"limit_capacity": "limited", "capacity": 4})
        self.assertEqual(channel.capacity, 4)
        channel.limit_capacity = "default"
        self.assertIs(channel.capacity, False)

    def test_form(self):
        with Form(self.channels) as form:
            form.name = "by_hand"
            form.parent_id = self.root
            form.limit_capacity = "limited"
            form.capacity = 7
        self.assertEqual(form.record.capacity, 7)
        with Form(form.record) as form:
            form.sequential = True
            self.assertEqual(form.capacity, 1)
            form.throttle = 0.5
        self.assertTrue(form.record.sequential)
        self.assertEqual((form.record.capacity, form.record.throttle), (1, 0.5))
        with Form(self.root) as form:
            form.removal_interval = 10
        self.assertEqual(self.root.removal_interval, 10)

    def test_defaults_of_sub_channels(self):
        channel = self.make("defaults")
        for values in (
            {"capacity_default": -1},
            {"sequential_default": True},
            {"sequential_default": True, "capacity_default": 2},
        ):
            with self.subTest(values), self.assertRaises(ValidationError):
                channel.write(values)
        channel.write({"sequential_default": True, "capacity_default": 1})
        settings = Snapshot(self.env).settings("root.defaults.auto")
        self.assertEqual((settings.capacity, settings.sequential), (1, True))

    def test_sequential_needs_capacity_one(self):
        channel = self.make(capacity=1, sequential=True)
        for capacity in (2, 0, False):
            with self.subTest(capacity=capacity), self.assertRaises(ValidationError):
                channel.capacity = capacity

    def test_refused_values(self):
        for vals in (
            {"capacity": -1},
            {"throttle": -0.1},
            {"removal_interval": -1},
            {"removal_interval_failed": -1},
        ):
            with self.subTest(vals=vals), self.assertRaises(ValidationError):
                self.make("bad", **vals)
        with self.assertRaises(ValidationError):
            self.root.capacity = 0

    def test_pause_and_resume(self):
        channels = self.make("a") + self.make("b")
        channels.action_pause()
        self.assertEqual(channels.mapped("paused"), [True, True])
        channels.action_resume()
        self.assertEqual(channels.mapped("paused"), [False, False])

    def test_note_says_what_the_configuration_states(self):
        channel = self.make()
        fixed = {
            "root": {"capacity": 4},
            "root.sub": {"capacity": 2, "sequential": True},
        }
        path = "odoo.addons.queue_job.channels.settings.fixed_settings"
        with patch(path, return_value=fixed):
            self.assertEqual(self.root.configuration_note, "capacity = 4")
            self.assertEqual(
                channel.configuration_note, "capacity = 2, sequential = True"
            )
            self.assertFalse(self.make("other").configuration_note)

    def test_change_tells_the_runner(self):
        """After an update as well: OCA's addon has no such trigger."""
        self.env.cr.execute(
            "DROP TRIGGER queue_job_channel_notify ON queue_job_channel"
        )
        self.channels.init()
        self.env.cr.execute(
            "SELECT count(*) FROM information_schema.triggers "
            "WHERE event_object_table = 'queue_job_channel' "
            "AND trigger_name = 'queue_job_channel_notify'"
        )
        self.assertEqual(self.env.cr.fetchone()[0], 3)

    def test_removal_deadlines(self):
        now = datetime(2026, 1, 31)
        channel = self.make(removal_interval=0, removal_interval_failed=5)
        deadlines = self.channels._removal_deadlines(now)
        self.assertEqual(deadlines["root.sub"], now)
        self.assertEqual(deadlines["root"], now - timedelta(days=30))
        self.assertEqual(
            self.channels._removal_deadlines(now, "removal_interval_failed"),
            dict.fromkeys((channel.complete_name, "sub"), now - timedelta(days=5)),
        )
