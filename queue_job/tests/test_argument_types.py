# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Arguments come back as they were, or are refused: nothing changes silently."""

import datetime
import enum
import json
import zoneinfo
from collections import Counter, OrderedDict, UserString, defaultdict, namedtuple
from decimal import Decimal

import dateutil.tz
import pytz
from freezegun import freeze_time
from lxml import etree, objectify
from markupsafe import Markup

from odoo import Command
from odoo.tests import TransactionCase, tagged
from odoo.tools.misc import frozendict

from ..fields import JobDecoder, NotStorableError, encode_arguments
from ..job import bound_to


class Level(enum.IntEnum):
    LOW = 1


class Right(enum.IntFlag):
    READ = 1
    WRITE = 2


class Colour(enum.Enum):
    RED = "red"


class Text(str):
    pass


class Number(int):
    pass


class Ratio(float):
    pass


class Items(list):
    pass


class Pair(tuple):
    pass


class Mapping(dict):
    pass


class Price(Decimal):
    pass


class Moment(datetime.datetime):
    pass


class Span(datetime.timedelta):
    pass


class Names(set):
    pass


Point = namedtuple("Point", ("x", "y"))
Hidden = namedtuple("Elsewhere", ("x",))


class ArgumentsCase(TransactionCase):
    def read(self, text, **options):  # pylint: disable=method-required-super # of no model
        return json.loads(text, cls=JobDecoder, env=self.env, **options)

    def round_trip(self, value):
        return self.read(encode_arguments("args", (value,)))[0]


@tagged("post_install", "-at_install")
class TestArgumentTypes(ArgumentsCase):
    def test_values_come_back_as_they_were(self):
        """A body of Markup was sent to customers with its tags as text."""
        zones = zoneinfo.ZoneInfo("Europe/Brussels"), pytz.timezone("Europe/Brussels")
        winter = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
        for value in (
            Markup("<p>a &amp; b</p>"),
            {"body": Markup("<p/>"), "plain": "<p/>"},
            Level.LOW,
            Right.READ | Right.WRITE,
            Colour.RED,
            Command.create({"name": "x"}),
            [Command.link(3), Command.clear()],
            Point(1, Point("a", [2])),
            OrderedDict([("b", 1), ("a", (2,))]),
            defaultdict(list, {"a": [1]}),
            defaultdict(None, {"a": 1}),
            frozendict(lang="en_US", ids=(1, 2)),
            {1: "a"},
            {1: "a", "1": "b"},
            {True: "a", None: "b", 1.5: "c"},
            {"a": {2: {3: "x"}}},
            {"_type": "odoo_recordset", 1: 2},
            {1: {"_type": "queue_job:markup", "value": "x"}},
            {Decimal("1.0")},
            winter.replace(tzinfo=zones[0]),
            zones[1].localize(winter),
            pytz.utc.localize(winter),
            datetime.date(2026, 1, 2),
            datetime.time(1, 2, 3),
        ):
            with self.subTest(repr(value)):
                found = self.round_trip(value)
                self.assertEqual(repr(found), repr(value))
                self.assertIs(type(found), type(value))

    def test_missing_key_of_a_defaultdict_has_its_default(self):
        self.assertEqual(self.round_trip(defaultdict(list))["new"], [])

    def test_markup_inside_escapes_what_is_put_into_it(self):
        body = self.round_trip([Markup("<b>%s</b>")])[0]
        self.assertEqual(body % "<i>", "<b>&lt;i&gt;</b>")

    def test_moment_of_the_second_hour_when_clocks_go_back(self):
        zone = zoneinfo.ZoneInfo("Europe/Brussels")
        moment = datetime.datetime(2026, 10, 25, 2, 30, tzinfo=zone, fold=1)
        found = self.round_trip(moment)
        self.assertEqual((found.fold, found.utcoffset()), (1, moment.utcoffset()))

    def test_fixed_offset_keeps_the_wire_shape_of_old_rows(self):
        for zone in (
            datetime.timezone(datetime.timedelta(hours=2)),
            pytz.FixedOffset(120),
            dateutil.tz.tzoffset(None, 7200),
        ):
            with self.subTest(zone):
                moment = datetime.datetime(2026, 1, 2, tzinfo=zone)
                text = encode_arguments("args", (moment,))
                self.assertEqual(json.loads(text)[0]["_type"], "datetime_isoformat")
                self.assertEqual(self.read(text)[0], moment)

    def test_frozen_time_of_tests_is_time(self):
        with freeze_time("2026-01-02 03:04:05"):
            values = [datetime.datetime.now(), datetime.date.today()]
        found = self.round_trip(values)
        self.assertEqual(found, values)

    def test_what_would_come_back_as_something_else_is_refused(self):
        for value in (
            Text("a"),
            Number(1),
            Ratio(1.5),
            Items([1]),
            Pair((1,)),
            Mapping(a=1),
            Counter("aa"),
            defaultdict(lambda: 1),
            Price("1"),
            Moment(2026, 1, 2),
            Span(1),
            Names((1,)),
            Hidden(1),
            UserString("a"),
            {Text("a"): 1},
            {Level.LOW: 1},
            {(1, 2): 3},
            objectify.fromstring("<a>1</a>"),
            etree.Comment("x"),
            datetime.datetime(2026, 1, 2, tzinfo=dateutil.tz.gettz("Europe/Brussels")),
        ):
            for nested in (value, [value], {"k": (value,)}):
                with (
                    self.subTest(repr(nested)),
                    self.assertRaisesRegex(NotStorableError, "positional argument 1"),
                ):
                    encode_arguments("args", (nested,))

    def test_error_says_what_to_give(self):
        with self.assertRaisesRegex(TypeError, "come back as str, give it as str"):
            encode_arguments("args", (Text("a"),))

    def test_deep_and_cyclic_values_are_refused(self):
        deep = cyclic = []
        for _level in range(900):
            deep = [deep]
        cyclic = {"a": []}
        cyclic["a"].append(cyclic)
        for value in (deep, cyclic, {"k": deep}, (cyclic,)):
            with self.assertRaisesRegex(NotStorableError, "nested too deeply"):
                encode_arguments("args", (value,))

    def test_tag_of_a_class_that_is_gone(self):
        """A job of it fails with the name; a list of jobs shows the tag."""
        text = encode_arguments("args", (Level.LOW,)).replace("Level", "Gone")
        with self.assertRaisesRegex(KeyError, "Gone"):
            self.read(text)
        self.assertEqual(self.read(text, strict=False), json.loads(text))

    def test_tag_imports_no_module_and_calls_no_function(self):
        for path in (["antigravity", "Any"], ["os", "system"], ["builtins", "dict"]):
            tag = {"_type": "queue_job:enum", "value": [*path, "x"]}
            with self.subTest(path), self.assertRaises(KeyError):
                self.read(json.dumps(tag))


@tagged("post_install", "-at_install")
class TestBoundTo(ArgumentsCase):
    def test_types_stay_what_they_are(self):
        for value in (
            OrderedDict(a=[1]),
            frozendict(a=1),
            defaultdict(list, a=[1]),
            Mapping(a=1),
            Items([1]),
            Pair((1,)),
            Point(1, 2),
            Markup("x"),
        ):
            with self.subTest(repr(value)):
                found = bound_to(value, self.env.cr)
                self.assertEqual(repr(found), repr(value))
                self.assertIs(type(found), type(value))
