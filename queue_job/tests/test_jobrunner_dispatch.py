# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import base64
import os
import socket
import threading
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

from odoo.tests import BaseCase

from ..jobrunner import dispatch, runner
from ..jobrunner.dispatch import (
    ANSWERED,
    BROKEN,
    GATEWAY,
    UNREACHABLE,
    Address,
    Dispatcher,
    Request,
)
from ..protocol import RUNJOB_PATH, signature, split_uuids
from .fake_odoo import REPORT, BesideFakeOdoo


class DispatchCase(BesideFakeOdoo, BaseCase):
    def ask(self, request=None, **address):
        address = Address(**{"host": "127.0.0.1", "port": self.odoo.port, **address})
        with dispatch.new_http_session(address) as http:
            return dispatch.ask(http, address, request or Request("db", ("a",)))


class TestRequest(DispatchCase):
    def test_single_job_is_asked_as_ever(self):
        url = Address("https", "example.com", "8069").url(RUNJOB_PATH, ["a"])
        self.assertEqual(url, "https://example.com:8069/queue_job/runjob?job_uuid=a")

    def test_run(self):
        url = Address().url(RUNJOB_PATH, ["a", "b&", "c"], sequential=True)
        query = parse_qs(urlsplit(url).query)
        self.assertEqual(split_uuids(query.pop("run")[0]), ["b&", "c"])
        self.assertEqual(query, {"job_uuid": ["a"], "sequential": ["1"]})

    def test_ipv6(self):
        self.assertIn("http://[::1]:8069/", Address(host="::1").url(RUNJOB_PATH, ["a"]))

    def test_headers(self):
        answer = self.ask(
            Request("my db", ("a", "b"), secret="s3"), user="me", password="pw"
        )
        self.assertEqual(answer.report.left, ["b"])
        _path, headers = self.odoo.asked[0]
        self.assertEqual(headers["X-Odoo-Database"], "my db")
        self.assertEqual(headers["Accept"], "application/json")
        self.assertEqual(
            headers["X-Queue-Job-Signature"], signature("s3", "my db", ("a", "b"))
        )
        self.assertEqual(
            headers["Authorization"], "Basic " + base64.b64encode(b"me:pw").decode()
        )

    def test_without_user_and_secret(self):
        self.ask()
        _path, headers = self.odoo.asked[0]
        self.assertNotIn("Authorization", headers)
        self.assertNotIn("X-Queue-Job-Signature", headers)

    def test_async_http_get_asks_for_one_job(self):
        runner._async_http_get(
            "http", "127.0.0.1", self.odoo.port, None, None, "db", "u"
        )
        self.assertTrue(self.odoo.came.acquire(timeout=10))
        self.assertEqual(self.odoo.asked[0][0], "/queue_job/runjob?job_uuid=u")

    def test_async_http_get_tells_of_a_failure(self):
        self.odoo.status = 500
        before = set(threading.enumerate())
        with self.assertLogs(runner._logger, "ERROR") as logs:
            runner._async_http_get(
                "http", "127.0.0.1", self.odoo.port, "me", "pw", "db", "u"
            )
            for thread in set(threading.enumerate()) - before:
                if thread.name.endswith("(ask)"):
                    self.assertTrue(thread.daemon)
                    thread.join(10)
        self.assertIn(
            f"exception in GET http://127.0.0.1:{self.odoo.port}/queue_job/runjob"
            "?job_uuid=u",
            logs.output[0],
        )
        self.assertTrue(logs.records[0].exc_info)
        _path, headers = self.odoo.asked[0]
        self.assertEqual(headers["X-Odoo-Database"], "db")
        self.assertTrue(headers["Authorization"].startswith("Basic "))


class TestAnswers(DispatchCase):
    def test_what_answers_mean(self):
        for status, body, kind in (
            (200, REPORT, None),
            (200, "", ANSWERED),
            (200, "<html>", ANSWERED),
            (200, "[]", ANSWERED),
            (200, '{"outcomes": null}', ANSWERED),
            (200, '{"outcomes": [["a", "done"]]}', ANSWERED),
            (200, '{"outcomes": [["a", "done", "soon"]]}', ANSWERED),
            (200, '{"outcomes": [["a", "done", null]]}', ANSWERED),
            (200, '{"outcomes": [], "left": 5}', ANSWERED),
            (303, "", ANSWERED),
            (401, "", ANSWERED),
            (404, "", ANSWERED),
            (500, "", ANSWERED),
            (502, "", GATEWAY),
            (503, "", GATEWAY),
            (504, "", GATEWAY),
            (None, "", BROKEN),
        ):
            with self.subTest(status=status, body=body):
                self.odoo.status, self.odoo.body = status, body
                answer = self.ask()
                self.assertEqual(answer.kind, kind)
                if kind:
                    self.assertIsNone(answer.report)
                    self.assertTrue(answer.error)

    def test_uuids_of_an_answer_are_texts(self):
        """Whatever it says: the loop looks them up among those it has sent."""
        self.odoo.body = '{"outcomes": [[["a"], {}, 1]], "left": [{"b": 1}]}'
        report = self.ask().report
        self.assertEqual(report.outcomes, [("['a']", "{}", 1.0)])
        self.assertEqual(report.left, ["{'b': 1}"])

    def test_host_that_vanishes_is_given_up_within_a_minute(self):
        """Also when the request was sent and is not acknowledged: no probe is sent then."""
        with dispatch.new_http_session(Address()) as http:
            pools = http.get_adapter("http://x/").poolmanager.connection_pool_kw
        options = {name: value for _level, name, value in pools["socket_options"]}
        probed = 30 + 3 * 10
        self.assertEqual(
            options[socket.TCP_KEEPIDLE]
            + options[socket.TCP_KEEPCNT] * options[socket.TCP_KEEPINTVL],
            probed,
        )
        self.assertEqual(options[socket.TCP_USER_TIMEOUT], probed * 1000)

    def test_answer_that_breaks_off(self):
        self.odoo.missing = 1
        self.assertEqual(self.ask().kind, BROKEN)

    def test_who_cannot_be_reached(self):
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            for address in ({"port": port}, {"host": "no-such-host.invalid"}):
                with self.subTest(**address):
                    answer = self.ask(**address)
                    self.assertEqual(answer.kind, UNREACHABLE)
                    self.assertIn("host", answer.hint)

    def test_https(self):
        """Certificates are checked, and those of an authority of one's own are found."""
        certificate = self.odoo.serve_https()
        self.addCleanup(os.unlink, certificate)
        with patch.dict("os.environ", {"REQUESTS_CA_BUNDLE": ""}):
            answer = self.ask(scheme="https")
            self.assertEqual((answer.kind, self.odoo.asked), (UNREACHABLE, []))
            self.assertIn("certificate", answer.hint)
        with patch.dict("os.environ", {"REQUESTS_CA_BUNDLE": certificate}):
            self.assertEqual(self.ask(scheme="https").report.left, ["b"])

    def test_https_where_nobody_speaks_it(self):
        answer = self.ask(scheme="https")
        self.assertEqual(answer.kind, UNREACHABLE)
        self.assertIn("check scheme", answer.hint)

    def test_hints_say_what_to_check(self):
        self.odoo.status = 401
        self.assertIn("http_auth_user", self.ask().hint)
        self.odoo.status = 404
        self.assertIn("server_wide_modules", self.ask().hint)


class TestDispatcher(DispatchCase):
    def dispatcher(self, **options):
        self.woken = threading.Semaphore(0)
        address = Address(host="127.0.0.1", port=self.odoo.port)
        dispatcher = Dispatcher(address, self.woken.release, **options)
        self.addCleanup(dispatcher.close)
        return dispatcher

    def wait(self, count):
        for _ in range(count):
            self.assertTrue(self.woken.acquire(timeout=10))

    def test_requests_stay_open_until_they_are_answered(self):
        self.odoo.hold.clear()
        dispatcher = self.dispatcher()
        requests = [Request("db", (str(number),)) for number in range(3)]
        for request in requests:
            dispatcher.send(request)
        for _ in requests:
            self.assertTrue(self.odoo.came.acquire(timeout=10))
        self.assertEqual((dispatcher.open_count, dispatcher.answers()), (3, []))
        self.odoo.hold.set()
        self.wait(3)
        answers = dispatcher.answers()
        self.assertEqual({answer.request for answer in answers}, set(requests))
        self.assertEqual(dispatcher.open_count, 0)

    def test_pool_is_bounded_and_used_again(self):
        dispatcher = self.dispatcher(limit=2)
        self.odoo.hold.clear()
        for number in range(5):
            dispatcher.send(Request("db", (str(number),)))
        self.assertEqual(dispatcher._threads, 2)
        self.assertLess(dispatcher.room, 1)
        self.odoo.hold.set()
        self.wait(5)
        self.assertEqual(len(dispatcher.answers()), 5)
        self.assertEqual(dispatcher._threads, 2)

    def test_idle_thread_is_used_before_a_new_one(self):
        dispatcher = self.dispatcher()
        for number in range(3):
            dispatcher.send(Request("db", (str(number),)))
            self.wait(1)
            dispatcher.answers()
        self.assertEqual(dispatcher._threads, 1)
