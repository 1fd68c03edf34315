# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import datetime, timedelta
from unittest.mock import patch

from lxml import etree

from odoo.tests import tagged

from ..insight import channel_counts
from .test_queue_job_overview import CONFIGURED, OverviewCase


@tagged("post_install", "-at_install")
class TestChannelScreen(OverviewCase):
    def channel(self, name, parent=None, **values):
        parent = parent or self.root
        return self.env["queue.job.channel"].create(
            {"name": name, "parent_id": parent.id, **values}
        )

    def test_figures(self):
        self.make(2)
        self.make(1, state="started")
        self.make(3, state="failed")
        self.make(1, eta=datetime.now() + timedelta(hours=1))
        self.make(1, state="wait_dependencies")
        self.assertEqual(self.sub.running_text, "1 / 3")
        self.assertEqual(self.sub.waiting_text, "2")
        self.assertEqual(self.sub.later_text, "2")
        self.assertEqual((self.sub.failed_text, self.sub.failed_count), ("3", 3))
        self.assertTrue(self.sub.oldest_text)

    def test_nothing_to_do(self):
        channel = self.channel("idle")
        self.assertEqual(channel.running_text, "0")
        texts = (
            channel.waiting_text,
            channel.later_text,
            channel.failed_text,
            channel.oldest_text,
        )
        self.assertFalse(any(texts))

    def test_new_channel(self):
        self.assertFalse(self.env["queue.job.channel"].new({"name": "x"}).running_text)

    def test_many_are_marked(self):
        self.make(4)
        with patch.multiple(channel_counts, BUDGET=3, MOST=3, LEAST=3):
            self.assertEqual(self.sub.waiting_text, "3+")
        self.assertEqual(
            self.sub._number_text(channel_counts.Number(12345, False, True)), "≈ 12,345"
        )

    def test_one_page_reads_the_load_once(self):
        channels = self.sub + self.channel("a") + self.channel("b")
        with patch.object(
            channel_counts.ChannelCounts, "channels", autospec=True, return_value={}
        ) as channels_of:
            channels.read(["running_text", "waiting_text", "failed_text", "is_stopped"])
        self.assertEqual(channels_of.call_count, 1)

    def test_tree_order(self):
        """The collations of most languages do not look at dots: ab would split a from a.b."""
        a = self.channel("zz")
        self.channel("zzb")
        self.channel("c", a)
        names = (
            self.env["queue.job.channel"]
            .search([("name", "!=", False)])
            .mapped("complete_name")
        )
        self.assertEqual(
            [name for name in names if name.startswith("root.zz")],
            ["root.zz", "root.zz.c", "root.zzb"],
        )
        self.assertEqual(names[0], "root")
        found = self.env["queue.job.channel"].search([], order="complete_name desc")
        self.assertEqual(found.filtered("name")[-1], self.root)

    def test_paused_above(self):
        deep = self.channel("deep", self.sub)
        self.sub.action_pause()
        self.assertTrue(deep.is_stopped)
        self.assertFalse(deep.paused)
        self.sub.action_resume()
        self.env.invalidate_all()
        self.assertFalse(deep.is_stopped)

    def test_what_the_configuration_fixes_is_not_edited_here(self):
        fixed = {"root.overview": {"capacity": 9, "paused": True}}
        with patch(CONFIGURED, return_value=fixed):
            self.assertTrue(self.sub.has_fixed_capacity)
            self.assertTrue(self.sub.has_fixed_pause)
            self.assertTrue(self.sub.is_stopped)
            self.assertEqual(self.sub.running_text, "0 / 9")
            self.assertFalse(self.root.has_fixed_capacity)

    def test_buttons_of_what_the_configuration_pauses_are_hidden(self):
        """They changed the record, and the channel stayed paused."""
        for name in ("form", "tree"):
            view = self.env.ref(f"queue_job.view_queue_job_channel_{name}")
            arch = etree.fromstring(view.arch)
            for button in ("action_pause", "action_resume"):
                (condition,) = arch.xpath(f"//button[@name='{button}']/@invisible")
                for paused in (True, False):
                    with self.subTest(view=name, button=button, paused=paused):
                        values = {"is_paused": paused, "has_fixed_pause": True, "id": 1}
                        self.assertTrue(eval(condition, values))
                        values["has_fixed_pause"] = False
                        is_hidden = paused == (button == "action_pause")
                        self.assertEqual(bool(eval(condition, values)), is_hidden)

    def test_jobs_of_a_channel(self):
        mine = self.make(1) + self.make(1, channel="root.overview.deep")
        self.make(1, channel="root.overviewed")
        action = self.sub.action_open_jobs()
        self.assertEqual(self.jobs.search(action["domain"], order="id"), mine)
        self.assertFalse(self.root.action_open_jobs().get("domain"))

    def test_jobs_of_a_channel_however_they_spell_it(self):
        """The figures counted them, and the list left them out."""
        mine = self.make(1, channel="overview") + self.make(1, channel="overview.deep")
        action = self.sub.action_open_jobs()
        self.assertEqual(self.jobs.search(action["domain"], order="id"), mine)

    def test_name_of_a_channel_is_no_pattern(self):
        channel = self.channel("a_b")
        mine = self.make(1, channel="root.a_b.deep")
        self.make(1, channel="root.axb.deep")
        domain = channel.action_open_jobs()["domain"]
        self.assertEqual(self.jobs.search(domain), mine)

    def test_list_is_edited_in_place_and_made_in_the_form(self):
        view = self.env.ref("queue_job.view_queue_job_channel_tree")
        arch = self.env["queue.job.channel"].get_view(view.id, "list")["arch"]
        for part in (
            'js_class="queue_job_channel_list"',
            'editable="bottom"',
            "action_pause",
        ):
            self.assertIn(part, arch)
