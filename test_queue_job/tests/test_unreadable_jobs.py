# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Jobs about models that are gone, and arguments that JSON has no word for."""

import json

from odoo.exceptions import UserError
from odoo.tests import tagged

from .common import JobCase

NAMES = ["records", "args", "kwargs"]


@tagged("post_install", "-at_install")
class TestUnreadableJobs(JobCase):
    def stored(self, *args, **kwargs):
        return self.row(self.record.with_delay().testing_method(*args, **kwargs))

    def set_column(self, row, name, text):
        self.env.flush_all()
        self.env.cr.execute(
            f"UPDATE queue_job SET {name} = to_jsonb(%s::text) WHERE id = %s",
            (text, row.id),
        )
        self.env.invalidate_all()

    def of_gone_model(self, names=NAMES):
        """Return a job whose columns name a model that was uninstalled."""
        row = self.stored(self.record, 1, k=(self.record, 2))
        self.env.flush_all()
        self.env.cr.execute(
            "UPDATE queue_job SET model_name = 'gone.model', "
            + ", ".join(
                f"{name} = replace({name}::text, 'test.queue.job', 'gone.model')::jsonb"
                for name in names
            )
            + " WHERE id = %s",
            (row.id,),
        )
        self.env.invalidate_all()
        return row

    def test_lists_show_what_is_stored(self):
        """One such row, and each list with the column *Args* was a KeyError."""
        row, other = self.of_gone_model(), self.stored("other")
        values = (row | other).read(NAMES)
        tag = values[0]["records"]
        self.assertEqual((tag["model"], tag["ids"]), ("gone.model", self.record.ids))
        self.assertEqual(values[0]["args"], [tag, 1])
        self.assertEqual(values[0]["kwargs"], {"k": [tag, 2]})
        self.assertEqual(values[1]["args"], ["other"])
        found = (row | other).web_read({name: {} for name in NAMES})
        self.assertEqual(found[0]["args"], values[0]["args"])

    def test_export_is_the_stored_document(self):
        [[records, args, kwargs]] = self.of_gone_model().export_data(NAMES)["datas"]
        self.assertFalse(records)
        self.assertEqual(json.loads(args)[0]["model"], "gone.model")
        self.assertIn("gone.model", kwargs)

    def test_code_reads_no_records_and_the_tag(self):
        row = self.of_gone_model()
        self.assertEqual((row.records._name, row.records.ids), ("base", []))
        self.assertEqual(row.args[0]["model"], "gone.model")

    def test_related_says_that_there_is_no_action(self):
        row = self.of_gone_model()
        with self.assertRaisesRegex(UserError, "No action available"):
            row.open_related_action()

    def test_related_of_arguments_that_are_gone(self):
        action = self.of_gone_model(["args"]).open_related_action()
        self.assertEqual(action["res_id"], self.record.id)

    def test_job_fails_with_the_name_of_the_model(self):
        for names in (NAMES, ["args"], ["kwargs"]):
            with self.subTest(names):
                row = self.of_gone_model(names)
                job = self.load(row)
                with self.assertRaisesRegex(Exception, "gone.model"):
                    job.perform()

    def test_another_user_leaves_such_records_as_they_are(self):
        row = self.of_gone_model()
        row.write({"user_id": self.make_user("of_gone_model").id})
        self.env.flush_all()
        self.env.invalidate_all()
        self.assertEqual(row.read(["records"])[0]["records"]["model"], "gone.model")

    def test_buttons_move_it(self):
        row = self.of_gone_model()
        row.button_cancelled()
        row.requeue()
        row.button_done()
        self.assertEqual(row.state, "done")

    def test_answers_are_json_whatever_numbers_they_hold(self):
        """A browser reads no NaN: the whole list was an error of the client."""
        values = [float("nan"), float("inf"), -float("inf"), {"a": (float("nan"),)}]
        row = self.stored(*values, k=float("nan"))
        found = row.read(NAMES)[0]
        json.dumps(found, allow_nan=False)
        self.assertEqual(
            found["args"], ["NaN", "Infinity", "-Infinity", {"a": ["NaN"]}]
        )
        self.assertEqual(found["kwargs"], {"k": "NaN"})
        self.assertEqual(repr(self.load(row).args[0]), "nan")
        self.assertEqual(repr(self.load(row).args[1]), "inf")

    def test_column_that_is_no_document_is_shown(self):
        row = self.stored(1)
        for text in ("no json", "[1", "[" * 100_000):
            with self.subTest(text[:10]):
                for name in NAMES:
                    self.set_column(row, name, text)
                for value in row.read(NAMES)[0].values():
                    self.assertIn(value, (row.id, text))
                row.export_data(NAMES)
                with self.assertRaisesRegex(UserError, "No action available"):
                    row.open_related_action()
