# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What the arguments of jobs look like in the database, and read again."""

import datetime
import enum
import json
from decimal import Decimal

from lxml import etree

from odoo import models
from odoo.tests import TransactionCase, tagged
from odoo.tools import mute_logger
from odoo.tools.func import lazy

from ..fields import (
    JobDecoder,
    JobEncoder,
    JobSerialized,
    NotStorableError,
    encode_arguments,
)


class Colour(enum.Enum):
    RED = "red"
    ODD = object()


class ColourEncoder(JobEncoder):
    def default(self, o):
        if o is Colour.ODD:
            return {"mine": 1}
        return super().default(o)


class FieldsCase(TransactionCase):
    def dumps(self, value):
        return json.dumps(value, cls=JobEncoder)

    def loads(self, text, env=None):
        return json.loads(text, cls=JobDecoder, env=env or self.env)

    def round_trip(self, value):
        return self.loads(self.dumps(value))

    def document(self, value):
        """The JSON document without the meaning of its tags."""
        return json.loads(self.dumps(value))


@tagged("post_install", "-at_install")
class TestWireFormat(FieldsCase):
    """The shapes that other code of this interface writes and reads."""

    def test_recordset(self):
        user = self.env.ref("base.user_admin")
        partners = self.env(user=user, context={"lang": "en_US", "secret": 1})[
            "res.partner"
        ]
        partners = partners.browse([1, 2])
        self.assertEqual(
            self.document(partners),
            {
                "_type": "odoo_recordset",
                "model": "res.partner",
                "ids": [1, 2],
                "uid": user.id,
                "su": False,
                "context": {"lang": "en_US"},
            },
        )

    def test_recordset_comes_back_as_its_user(self):
        user = self.env.ref("base.user_admin")
        partners = self.env["res.partner"].with_user(user).browse([1, 2])
        found = self.round_trip(["a", partners])[1]
        self.assertEqual(found, partners)
        self.assertEqual((found.env.uid, found.env.su), (user.id, False))

    def test_superuser_mode_is_kept(self):
        self.assertTrue(self.round_trip(self.env["res.partner"].sudo()).env.su)

    def test_stored_context_is_on_top_of_the_readers(self):
        partner = self.env["res.partner"].with_context(tz="Europe/Brussels").browse(1)
        env = self.env(context={"tz": "UTC", "other": 1})
        context = self.loads(self.dumps(partner), env).env.context
        self.assertEqual(context["tz"], "Europe/Brussels")
        self.assertEqual(context["other"], 1)

    def test_record_without_user_keeps_the_readers(self):
        reader = self.env(user=self.env.ref("base.user_admin"), su=True)
        text = '{"_type": "odoo_recordset", "model": "res.users", "ids": [1]}'
        found = self.loads(text, reader)
        self.assertEqual((found.env.uid, found.env.su), (reader.uid, True))

    def test_record_of_old_series_has_no_superuser_mode(self):
        text = '{"_type": "odoo_recordset", "model": "res.users", "ids": [1], "uid": 1}'
        found = self.loads(text, self.env(user=2, su=True))
        self.assertEqual(found.env.uid, 1)
        text = text.replace('"uid": 1', '"uid": 2')
        self.assertFalse(self.loads(text).env.su)

    def test_unsaved_records_are_refused(self):
        """A job of a record without id ran on nothing, and was done."""
        partners = self.env["res.partner"]
        unsaved = partners.new({})
        for records in (unsaved, partners.browse(1) | unsaved, [unsaved]):
            with (
                self.subTest(records),
                self.assertRaisesRegex(NotStorableError, "save the record first"),
            ):
                self.dumps(records)

    def test_record_of_a_form_is_the_saved_one(self):
        partner = self.env["res.partner"].create({"name": "saved"})
        shown = self.env["res.partner"].new(origin=partner)
        self.assertEqual(self.document(shown)["ids"], partner.ids)

    def test_dates(self):
        moment = datetime.datetime(2017, 4, 19, 8, 48, 50, 1)
        self.assertEqual(
            self.document(["a", moment, moment.date()]),
            [
                "a",
                {"_type": "datetime_isoformat", "value": "2017-04-19T08:48:50.000001"},
                {"_type": "date_isoformat", "value": "2017-04-19"},
            ],
        )
        self.assertEqual(
            self.round_trip([moment, moment.date()]), [moment, moment.date()]
        )

    def test_dates_are_read_leniently(self):
        text = '{"_type": "datetime_isoformat", "value": "19 April 2017 08:48"}'
        self.assertEqual(self.loads(text), datetime.datetime(2017, 4, 19, 8, 48))

    def test_etree(self):
        value = etree.fromstring("<a><b>é</b></a>")
        self.assertEqual(
            self.document(value), {"_type": "etree_element", "value": "<a><b>é</b></a>"}
        )
        self.assertEqual(etree.tostring(self.round_trip(value)), etree.tostring(value))

    def test_element_inside_a_text_is_stored_without_that_text(self):
        value = etree.fromstring("<a>x<b/>tail</a>")[0]
        self.assertEqual(etree.tostring(self.round_trip(value)), b"<b/>")

    def test_lazy(self):
        self.assertEqual(self.round_trip([lazy(lambda: {"a": (1,)})]), [{"a": [1]}])

    def test_tuples_become_lists_and_keys_text(self):
        self.assertEqual(self.dumps((1, (2,), {3: 4})), '[1, [2], {"3": 4}]')

    def test_context_method_may_be_replaced(self):
        class Encoder(JobEncoder):
            def _get_record_context(self, obj):
                return {"a": 1}

        text = json.dumps(self.env["res.partner"], cls=Encoder)
        self.assertEqual(json.loads(text)["context"], {"a": 1})

    def test_default_may_be_extended(self):
        text = json.dumps([Colour.ODD], cls=ColourEncoder)
        self.assertEqual(text, '[{"mine": 1}]')

    def test_unknown_model(self):
        with self.assertRaises(KeyError):
            self.loads(
                '{"_type": "odoo_recordset", "model": "no.such.model", "ids": []}'
            )


@tagged("post_install", "-at_install")
class TestMoreTypes(FieldsCase):
    def test_types_come_back(self):
        for value in (
            b"\x00\xff",
            b"",
            Decimal("1.10"),
            Decimal("NaN"),
            {1, "a", (1, (2,))},
            set(),
            frozenset((datetime.date(2020, 2, 29),)),
            {frozenset((1,))},
            datetime.time(1, 2, 3, 4),
            datetime.timedelta(days=-1, microseconds=5),
            datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
            "text with \x00 and \ud800",
            float("inf"),
        ):
            with self.subTest(value=value):
                found = self.round_trip([{"a": value}])[0]["a"]
                self.assertEqual(type(found), type(value))
                self.assertEqual(str(found), str(value))

    def test_set_of_records(self):
        partner = self.env["res.partner"].browse(1)
        self.assertEqual(self.round_trip({partner}), {partner})

    def test_error_names_the_argument_and_its_type(self):
        cases = [
            (
                (1, {"a": [object()]}),
                {},
                r"positional argument 2 .*args\[1\]\['a'\]\[0\].*object",
            ),
            (
                (),
                {"who": {"x": self}},
                r"argument 'who' .*kwargs\['who'\]\['x'\].*TestMoreTypes",
            ),
            (({(1, 2): 3},), {}, r"positional argument 1 .*dict: keys must be"),
            ((Colour.ODD,), {}, r"positional argument 1 .*Colour"),
            (({object()},), {}, r"positional argument 1 .*builtins\.set"),
        ]
        for args, kwargs, message in cases:
            with (
                self.subTest(message=message),
                self.assertRaisesRegex(TypeError, message),
            ):
                encode_arguments("args", args)
                encode_arguments("kwargs", kwargs)

    def test_value_inside_itself(self):
        value = []
        value.append(value)
        with self.assertRaisesRegex(
            NotStorableError, "positional argument 1 .*inside itself"
        ):
            encode_arguments("args", (value,))


@tagged("post_install", "-at_install")
class TestPlainDicts(FieldsCase):
    """S2: a dict of the caller is a dict, whatever it holds."""

    def test_s02_plain_dict_that_looks_like_a_tag(self):
        for value in (
            {
                "_type": "odoo_recordset",
                "model": "res.users",
                "ids": [1],
                "uid": 1,
                "su": True,
            },
            {"_type": "odoo_recordset", "model": "no.such.model", "ids": []},
            {"_type": "datetime_isoformat", "value": "2020-01-01"},
            {"_type": "date_isoformat", "value": "nonsense"},
            {"_type": "etree_element", "value": "<a/>"},
            {"_type": "queue_job:dict", "value": [["a", 1]]},
            {"_type": "queue_job:bytes", "value": "AA=="},
            {"_type": "queue_job:unknown"},
            {"_type": "order", "value": 1},
            {"_type": None},
            {"_type": ["list"]},
            {"_type": {"_type": "queue_job:tuple", "value": []}},
        ):
            with self.subTest(value=value):
                self.assertEqual(self.round_trip(value), value)
                nested = [{"a": [value, {"b": value}]}]
                self.assertEqual(self.round_trip(nested), nested)

    def test_s02_in_lazy_values_and_contexts(self):
        value = {"_type": "odoo_recordset", "model": "res.users", "ids": [1]}
        self.assertEqual(self.round_trip(lazy(lambda: value)), value)
        partner = self.env["res.partner"].with_context(tz=value)
        self.assertEqual(self.round_trip(partner).env.context["tz"], value)

    def test_s02_ordinary_dict_with_the_key_looks_as_ever(self):
        """The wire shape of what no reader takes for a tag stays."""
        self.assertEqual(self.dumps({"_type": "order"}), '{"_type": "order"}')

    def test_s02_old_rows_with_nearly_a_tag_are_plain_dicts(self):
        for value in (
            {"_type": "odoo_recordset", "total": 4},
            {"_type": "odoo_recordset", "model": "res.users", "ids": "1"},
            {"_type": "odoo_recordset", "model": "res.users", "ids": [1], "more": 1},
            {"_type": "odoo_recordset", "model": "res.users", "ids": [1], "uid": "x"},
            {"_type": "datetime_isoformat"},
            {"_type": "datetime_isoformat", "value": 1},
            {"_type": "date_isoformat", "value": "2020-99-99", "more": 1},
            {"_type": "date_isoformat", "value": "no date"},
            {"_type": "etree_element", "value": "no xml"},
            {"_type": "unknown", "value": 1},
        ):
            with self.subTest(value=value):
                self.assertEqual(self.loads(json.dumps(value)), value)

    def test_s02_xml_reads_no_files(self):
        text = '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'
        found = self.loads(json.dumps({"_type": "etree_element", "value": text}))
        self.assertFalse(found.text)
        self.assertNotIn(b"root:", etree.tostring(found))


@tagged("post_install", "-at_install")
class TestJobSerialized(FieldsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        jobs = cls.env["queue.job"].with_context(
            _job_edit_sentinel=cls.env.registry["queue.job"].EDIT_SENTINEL
        )
        cls.job = jobs.create(
            {
                "uuid": "test-fields",
                "state": "pending",
                "records": cls.env["res.partner"].browse([1]),
                "args": (1, "a\x00", (2, 3)),
                "kwargs": {"a": (4,), "b": b"x"},
            }
        )

    def set_column(self, name, text):
        self.env.flush_all()
        self.env.cr.execute(
            f"UPDATE queue_job SET {name} = %s::jsonb WHERE id = %s",
            [text, self.job.id],
        )
        self.job.invalidate_recordset()

    def test_column_holds_a_string(self):
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT jsonb_typeof(records), jsonb_typeof(args), jsonb_typeof(kwargs), "
            "kwargs #>> '{}' FROM queue_job WHERE id = %s",
            [self.job.id],
        )
        *types, kwargs = self.env.cr.fetchone()
        self.assertEqual(types, ["string"] * 3)
        self.assertEqual(json.loads(kwargs)["b"]["value"], "eA==")

    def test_value_is_read(self):
        self.job.flush_recordset()
        self.job.invalidate_recordset()
        self.assertEqual(self.job.args, [1, "a\x00", (2, 3)])
        self.assertEqual(self.job.kwargs, {"a": (4,), "b": b"x"})
        self.assertEqual(self.job.records, self.env["res.partner"].browse([1]))

    def test_value_read_can_be_changed_without_harm(self):
        self.job.kwargs["a"] = "changed"
        self.assertEqual(self.job.kwargs["a"], (4,))

    def test_write_replaces_it(self):
        self.job.args = [{"_type": "date_isoformat", "value": "2020-01-01"}]
        self.job.flush_recordset()
        self.job.invalidate_recordset()
        self.assertEqual(
            self.job.args, [{"_type": "date_isoformat", "value": "2020-01-01"}]
        )

    def test_document_of_converted_rows_is_read(self):
        self.set_column(
            "args", '[1, {"_type": "date_isoformat", "value": "2020-01-01"}]'
        )
        self.set_column(
            "records", '{"_type": "odoo_recordset", "model": "res.users", "ids": [1]}'
        )
        self.assertEqual(self.job.args, [1, datetime.date(2020, 1, 1)])
        self.assertEqual(self.job.records, self.env["res.users"].browse(1))

    def test_unset_is_empty(self):
        for name in ("records", "args", "kwargs"):
            self.set_column(name, None)
        self.assertEqual((self.job.args, self.job.kwargs), ([], {}))
        self.assertEqual((self.job.records._name, self.job.records.ids), ("base", []))

    def test_create_encodes_each_value_once(self):
        calls = []
        original = JobEncoder.encode
        self.patch(
            JobEncoder, "encode", lambda enc, o: calls.append(o) or original(enc, o)
        )
        vals = {"uuid": "once", "state": "pending", "args": ("x",), "kwargs": {"k": 1}}
        jobs = self.env["queue.job"].with_context(**self.job.env.context)
        jobs.create(vals)
        self.assertEqual(calls, [vals["args"], vals["kwargs"]])

    def test_not_storable_argument_is_refused_at_creation(self):
        jobs = self.env["queue.job"].with_context(**self.job.env.context)
        with self.assertRaisesRegex(TypeError, r"argument 'what' .*builtins\.object"):
            jobs.create(
                {"uuid": "bad", "state": "pending", "kwargs": {"what": object()}}
            )

    def test_client_reads_json(self):
        values = self.job.read(["records", "args", "kwargs"])[0]
        self.assertEqual(values["records"]["model"], "res.partner")
        json.dumps(values)

    def test_export(self):
        text = self.job.export_data(["args"])["datas"][0][0]
        self.assertEqual(json.loads(text)[0], 1)
        self.set_column("args", None)
        self.assertEqual(self.job.export_data(["args"])["datas"], [[""]])

    @mute_logger("odoo.models")
    def test_base_type_must_be_known(self):
        for base_type in (str, int, None):
            field = JobSerialized(base_type=base_type)
            with self.assertRaisesRegex(ValueError, "is not a supported base type"):
                field._setup_attrs__(self.env.registry["queue.job"], "test")
        for base_type in (dict, list, tuple, models.BaseModel):
            JobSerialized(base_type=base_type)._setup_attrs__(
                self.env.registry["queue.job"], "test"
            )

    def test_described_as_a_field_type(self):
        field = self.env["ir.model.fields"]._get("queue.job", "args")
        self.assertEqual(field.ttype, "job_serialized")
