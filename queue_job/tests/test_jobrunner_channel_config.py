# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
from unittest.mock import patch

from odoo.tests import BaseCase

from ..channels import settings
from ..jobrunner.channels import ChannelManager

CHANNELS_LOGGER = "odoo.addons.queue_job.jobrunner.channels"


class TestParse(BaseCase):
    def test_grammar(self):
        root = {"name": "root", "capacity": 1}
        for text, expected in (
            ("", []),
            (" , \n", []),
            ("root", [root]),
            ("root:4", [{"name": "root", "capacity": 4}]),
            (
                "root:4,sub:2",
                [{"name": "root", "capacity": 4}, {"name": "sub", "capacity": 2}],
            ),
            (
                "root:4\n\n sub : 2 ",
                [{"name": "root", "capacity": 4}, {"name": "sub", "capacity": 2}],
            ),
            ("a b.c:3", [{"name": "a b.c", "capacity": 3}]),
            (
                "root:4,sub:2:sequential:k=v",
                [
                    {"name": "root", "capacity": 4},
                    {"name": "sub", "capacity": 2, "sequential": True, "k": "v"},
                ],
            ),
            ("t:1: throttle = 0.5 ", [{"name": "t", "capacity": 1, "throttle": "0.5"}]),
            ("n:-1", [{"name": "n", "capacity": -1}]),
        ):
            with self.subTest(text):
                self.assertEqual(ChannelManager.parse_simple_config(text), expected)

    def test_errors_say_what_is_wrong(self):
        for text, reason in (
            (":2", "missing channel name"),
            ("root:x", "invalid capacity x"),
            ("root:", "invalid capacity "),
            ("root:paused", "invalid capacity paused"),
            ("sub:2:k=v=w", "incorrect config item k=v=w"),
            ("sub:2:k:k=1", "duplicate key k"),
            ("sub:2:capacity=3", "duplicate key capacity"),
            ("sub:2:name=x", "duplicate key name"),
        ):
            with self.subTest(text), self.assertRaises(ValueError) as raised:
                ChannelManager.parse_simple_config(text)
            self.assertEqual(
                str(raised.exception), f"Invalid channel config {text}: {reason}"
            )

    def test_throttle_takes_fractions_of_a_second(self):
        for value, seconds in (
            (True, 1),
            ("2", 2),
            ("0.25", 0.25),
            (3, 3),
            (0, 0),
            (None, 0),
        ):
            with self.subTest(value):
                self.assertEqual(settings.as_seconds(value), seconds)
        for value in ("x", "-1", "inf", "nan"):
            with self.subTest(value), self.assertRaises(ValueError):
                settings.as_seconds(value)


class TestStated(BaseCase):
    def test_what_an_entry_states(self):
        self.assertEqual(
            settings.stated_by("root:4,sub,s.t:2:paused=0:throttle=0.5:other=1"),
            {
                "root": {"capacity": 4},
                "root.sub": {"capacity": 1},
                "root.s.t": {"capacity": 2, "paused": False, "throttle": 0.5},
            },
        )

    def test_fixed_settings_are_those_of_now(self):
        with patch.dict("os.environ", {"ODOO_QUEUE_JOB_CHANNELS": "root:3"}):
            self.assertEqual(settings.fixed_settings(), {"root": {"capacity": 3}})
        with (
            patch.dict("os.environ", {"ODOO_QUEUE_JOB_CHANNELS": ""}),
            patch(
                "odoo.addons.queue_job.configuration.queue_job_section",
                return_value={},
            ),
        ):
            self.assertEqual(settings.fixed_settings(), {})

    def test_fixed_settings_that_cannot_be_read_are_none(self):
        with (
            patch.dict("os.environ", {"ODOO_QUEUE_JOB_CHANNELS": "root:x"}),
            self.assertLogs("odoo.addons.queue_job.jobrunner", "ERROR") as logs,
        ):
            self.assertEqual(settings.fixed_settings(), {})
        self.assertIn("invalid capacity x", logs.output[0])


class TestDefaults(BaseCase):
    def parsed(self, text):
        return settings.parse_simple_config(text)[-1]

    def test_entry_that_begins_with_an_option_has_no_capacity(self):
        self.assertEqual(
            self.parsed("root:4,seq:sequential_default"),
            {"name": "seq", "sequential_default": True},
        )
        self.assertEqual(
            self.parsed("s:throttle = 2:capacity_default=3"),
            {"name": "s", "throttle": "2", "capacity_default": 3},
        )
        for text in ("seq:other", "root:sequential_default", "seq:"):
            with (
                self.subTest(text),
                self.assertRaisesRegex(ValueError, "invalid capac"),
            ):
                self.parsed(text)

    def test_capacity_default_is_a_number(self):
        message = (
            "Invalid channel config s:1:capacity_default=x: invalid capacity_default x"
        )
        with self.assertRaisesRegex(ValueError, message):
            self.parsed("s:1:capacity_default=x")

    def test_sequential_without_capacity_is_refused(self):
        with self.assertRaisesRegex(ValueError, "must have a capacity of 1"):
            ChannelManager().simple_configure("seq:sequential")

    def test_sub_channel_takes_the_defaults_of_its_parent(self):
        manager = ChannelManager()
        manager.simple_configure(
            "root:4,sub:3:capacity_default=2,q:sequential_default,sub.own:7"
        )
        for name, expected in (
            ("sub.auto", (2, False)),
            ("sub.own", (7, False)),
            ("sub.auto.below", (None, False)),
            ("q", (None, False)),
            ("q.auto", (1, True)),
            ("other.auto", (None, False)),
        ):
            with self.subTest(name):
                channel = manager.get_channel_by_name(name, autocreate=True)
                self.assertEqual((channel.capacity, channel.sequential), expected)

    def test_defaults_apply_where_neither_entry_nor_record_has_a_capacity(self):
        stated = settings.stated_by("root:9,c:3:capacity_default=2,c.entry:5,e:paused")
        applied = settings.AppliedSettings(
            stated,
            [
                settings.ChannelRecord("root.c.record"),
                settings.ChannelRecord("root.c.limited", 4),
                settings.ChannelRecord("root.c.free", 0),
                settings.ChannelRecord("root.e", 6),
                settings.ChannelRecord("root.r", capacity_default=3),
                settings.ChannelRecord(
                    "root.s", capacity_default=1, sequential_default=True
                ),
            ],
        )
        for name, expected in (
            ("c.auto", (2, False)),
            ("c.record", (2, False)),
            ("c.limited", (4, False)),
            ("c.free", (0, False)),
            ("c.entry", (5, False)),
            ("c.auto.below", (0, False)),
            ("e", (6, False)),
            ("r.auto", (3, False)),
            ("s.auto", (1, True)),
            ("s", (0, False)),
        ):
            with self.subTest(name):
                found = applied.of(f"root.{name}")
                self.assertEqual((found.capacity, found.sequential), expected)


class TestWarnings(BaseCase):
    def configure(self, text):
        manager = ChannelManager()
        with self.assertLogs(CHANNELS_LOGGER, logging.INFO) as logs:
            manager.simple_configure(text)
        return manager, logs.output

    def test_channels_are_logged(self):
        _manager, lines = self.configure("root:4")
        self.assertEqual(
            lines, [f"INFO:{CHANNELS_LOGGER}:Configured channel: root(C:4,Q:0,R:0,F:0)"]
        )

    def test_b15_capacity_zero_of_a_sub_channel_is_no_limit_and_says_so(self):
        manager, lines = self.configure("root:4,z:0")
        for number in range(3):
            manager.notify("db", "z", str(number), number, 0, 10, None, "pending")
        self.assertEqual(len(list(manager.get_jobs_to_run(1))), 3)
        warnings = [line for line in lines if line.startswith("WARNING")]
        self.assertEqual(len(warnings), 1)
        self.assertIn("channel z has capacity 0, which means no limit", warnings[0])
        self.assertIn("paused", warnings[0])

    def test_b16_flags_with_a_false_value_are_off(self):
        for value in ("0", "false", "False", "no", "off"):
            manager, _lines = self.configure(
                f"P:2:paused={value},S:2:sequential={value}"
            )
            self.assertFalse(manager.get_channel_by_name("P").paused, value)
            self.assertFalse(manager.get_channel_by_name("S").sequential, value)
        manager, _lines = self.configure("P:2:paused,S:1:sequential=1")
        self.assertTrue(manager.get_channel_by_name("P").paused)
        self.assertTrue(manager.get_channel_by_name("S").sequential)

    def test_b17_misspelt_option_is_named(self):
        _manager, lines = self.configure("root:4,sub:2:thottle=5")
        warnings = [line for line in lines if line.startswith("WARNING")]
        self.assertEqual(len(warnings), 1)
        self.assertIn("thottle", warnings[0])
        self.assertIn("sub", warnings[0])
