# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
from unittest.mock import patch

from odoo.tests import BaseCase, tagged

from ..channels import ChannelRecord, DatabaseTree, database_capacity
from ..channels.limits import lower, parse_database_capacities
from ..channels.settings import stated_by
from ..configuration import default_root_capacity, max_capacity
from ..jobrunner.config import _is_runner_enabled
from ..jobrunner.runner import QueueJobRunner

NOW = 1000.0


@tagged("standard", "at_install")
class TestLimits(BaseCase):
    def configure(self, **settings):
        variables = {f"ODOO_QUEUE_JOB_{key.upper()}": v for key, v in settings.items()}
        self.startPatcher(patch.dict(os.environ, variables))
        if "channels" not in settings:
            os.environ.pop("ODOO_QUEUE_JOB_CHANNELS", None)

    def test_patterns(self):
        for text, expected in (
            (None, []),
            ("", []),
            ("4", [("*", 4)]),
            ("prod_*:20,*:5", [("prod_*", 20), ("*", 5)]),
            (" prod_* : 20 \n 5, ", [("prod_*", 20), ("*", 5)]),
            ("a:b:0", [("a:b", 0)]),
        ):
            with self.subTest(text=text):
                self.assertEqual(parse_database_capacities(text), expected)
        for text in ("prod_*", "prod_*:", "*:-1", "*:many"):
            with self.subTest(text=text), self.assertRaises(ValueError):
                parse_database_capacities(text)

    def test_first_pattern_that_matches_counts(self):
        self.configure(db_max_capacity="prod_*:20,*_b:2,Prod_a:1")
        found = [database_capacity(n) for n in ("prod_a", "prod_b", "x_b", "x")]
        self.assertEqual(found, [20, 20, 2, None])

    def test_what_cannot_be_read_is_logged_and_no_limit(self):
        self.configure(db_max_capacity="many")
        logger = "odoo.addons.queue_job.jobrunner.channels"
        with self.assertLogs(logger, "ERROR"):
            self.assertIsNone(database_capacity("prod_a"))

    def test_lower(self):
        cases = (((4, None), 4), ((4, 2), 2), ((2, 4), 2), ((0, 3), 3), ((5, 0), -1))
        for arguments, expected in cases:
            self.assertEqual(lower(*arguments), expected)

    def test_limit_of_all_databases(self):
        for settings, root in (
            ({"max_capacity": "3"}, 3),
            ({"max_capacity": "3", "channels": "root:8"}, 3),
            ({"max_capacity": "30", "channels": "root:8"}, 8),
        ):
            with self.subTest(settings):
                self.configure(**settings)
                runner = QueueJobRunner(port=1)
                channel = runner.channel_manager.get_channel_by_name("root")
                self.assertEqual(channel.capacity, root)
        runner._stated = {}
        runner._max_capacity = 3
        runner._roots = {"a": 9}
        runner._share_root_capacity()
        self.assertEqual(channel.capacity, 8)

    def test_it_is_the_capacity_of_root_where_nothing_states_one(self):
        self.configure(max_capacity="6")
        self.assertEqual(default_root_capacity(), 6)

    def test_none_at_all_starts_no_runner(self):
        self.configure(max_capacity="0")
        self.assertFalse(_is_runner_enabled())
        self.configure(max_capacity="1")
        self.assertTrue(_is_runner_enabled())

    def test_limit_that_is_no_number(self):
        self.configure(max_capacity="many")
        with self.assertRaisesRegex(ValueError, "Invalid max_capacity: many"):
            max_capacity()

    def test_limit_of_a_database_holds_beside_channels_and_records(self):
        for config, record, limit, expected in (
            ("root:8", None, 2, 2),
            ("root:8", None, None, 8),
            ("root:2", None, 4, 2),
            ("", 9, 4, 4),
        ):
            tree = DatabaseTree(
                None, stated_by(config), [ChannelRecord("root", record)], limit=limit
            )
            self.assertEqual(tree.root.capacity, expected)

    def test_job_that_it_holds_is_explained_by_the_rule(self):
        tree = DatabaseTree(None, stated_by("root:8"), limit=1)
        for number, state in enumerate(("started", "pending")):
            job = tree.place("db", "root", str(number), number, None, 10, None, state)
        reason = tree.root.why_not(job, NOW)
        self.assertEqual((reason.rule, reason.channel), ("full", tree.root))
        self.assertIsNone(tree.root.best(NOW))

    def test_database_that_may_run_none(self):
        tree = DatabaseTree(None, stated_by("root:8"), limit=0)
        tree.place("db", "root", "a", 1, None, 10, None, "pending")
        self.assertIsNone(tree.root.best(NOW))
