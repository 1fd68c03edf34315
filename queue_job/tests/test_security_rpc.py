# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The doors that a browser, or anybody, can knock at: RPC and the routes."""

from unittest.mock import patch
from urllib.parse import urlencode

from odoo.tests import HttpCase, JsonRpcException, new_test_user, tagged
from odoo.tools import config, mute_logger

from .. import protocol


@tagged("post_install", "-at_install")
class TestRpc(HttpCase):
    """The same doors through the web client's route."""

    def call(self, model, method, args, kwargs=None):
        params = {
            "model": model,
            "method": method,
            "args": args,
            "kwargs": kwargs or {},
        }
        return self.make_jsonrpc_request(
            f"/web/dataset/call_kw/{model}/{method}", params
        )

    @mute_logger("odoo.http")
    def test_s01_create_and_write(self):
        groups = "base.group_user,queue_job.group_queue_job_manager"
        new_test_user(self.env, "qj_rpc", password="qj_rpc_password", groups=groups)
        job = self.env["res.partner"].with_delay().create_company().db_record()
        self.authenticate("qj_rpc", "qj_rpc_password")
        vals = {"uuid": "x", "state": "pending"}
        for method, args in (
            ("create", [[vals]]),
            ("write", [job.ids, {"method_name": "unlink"}]),
            ("write", [job.ids, {"user_id": 1}]),
            ("write", [job.ids, {"state": "done"}]),
            ("unlink", [job.ids]),
            ("_change_job_state", [job.ids, "done"]),
        ):
            with self.subTest(method=method):
                with self.assertRaises(JsonRpcException) as caught:
                    self.call("queue.job", method, args)
                self.assertIn("AccessError", str(caught.exception))
        self.assertTrue(self.call("queue.job", "button_cancelled", [job.ids]))

    @mute_logger("odoo.addons.queue_job.controllers.main")
    def test_s05_unknown_jobs_are_answered_alike(self):
        pending = self.env["res.partner"].with_delay().create_company()
        self.env.flush_all()
        with self.assertNoLogs("odoo.http", "ERROR"):
            answers = {
                (response.status_code, response.text)
                for uuid in ("unknown", pending.uuid, "x" * 5000, "%00", "' OR 1=1", "")
                for response in [self.url_open(f"/queue_job/runjob?job_uuid={uuid}")]
            }
        self.assertEqual(answers, {(200, "")})
        self.assertEqual(pending.db_record().state, "pending")

    def test_s05_signature_is_required_when_the_setting_says_so(self):
        parameters = self.env["ir.config_parameter"].sudo()
        parameters.set_param("queue_job.require_signature", "True")
        job = self.env["queue.job"].with_delay()._test_job()
        record = job.db_record()
        record.state = "enqueued"
        self.env.flush_all()
        answer = self.url_open(f"/queue_job/runjob?job_uuid={job.uuid}")
        self.assertEqual((answer.status_code, answer.text), (200, ""))
        record.invalidate_recordset()
        self.assertEqual(record.state, "enqueued")

    def test_s05_only_the_right_signature_of_all_jobs_is_accepted(self):
        parameters = self.env["ir.config_parameter"].sudo()
        parameters.set_param("queue_job.require_signature", "True")
        secret = parameters.get_param("database.secret")
        records = self.env["queue.job"]
        for _number in range(2):
            records |= self.env["queue.job"].with_delay()._test_job().db_record()
        records.state = "enqueued"
        self.env.flush_all()
        first, second = uuids = records.mapped("uuid")
        for signer, signed, state in (
            ("another secret", uuids, "enqueued"),
            (secret, [first], "enqueued"),
            (secret, [second, first], "enqueued"),
            (secret, uuids, "done"),
        ):
            with self.subTest(signed=signed, signer=signer):
                proof = protocol.signature(signer, self.env.cr.dbname, signed)
                for path in (protocol.REPORT_DEAD_PATH, protocol.RUNJOB_PATH):
                    answer = self.url_open(
                        f"{path}?job_uuid={first}&run={second}",
                        headers={
                            protocol.SIGNATURE_HEADER: proof,
                            "Accept": protocol.REPORT_TYPE,
                        },
                    )
                    self.assertEqual(answer.status_code, 200)
                records.invalidate_recordset()
                self.assertEqual(records.mapped("state"), [state] * 2)

    @mute_logger("odoo.addons.queue_job.controllers.main")
    def test_s05_unknown_jobs_are_reported_alike(self):
        pending = self.env["res.partner"].with_delay().create_company()
        self.env.flush_all()
        for uuid in ("unknown", pending.uuid, "x" * 5000, "a\x00b"):
            with self.subTest(uuid=uuid):
                answer = self.url_open(
                    protocol.RUNJOB_PATH + "?" + urlencode({"job_uuid": uuid}),
                    headers={"Accept": protocol.REPORT_TYPE},
                )
                self.assertEqual(answer.status_code, 200)
                [(told, outcome, _seconds)] = protocol.Report.loads(
                    answer.text
                ).outcomes
                self.assertEqual((told, outcome), (uuid, protocol.REFUSED))
        self.assertEqual(pending.db_record().state, "pending")

    def test_s05_death_is_announced_for_failed_jobs_only(self):
        row = self.env["res.partner"].with_delay().create_company().db_record()
        row.with_context(tracking_disable=True).write({"to_report": True})
        self.env.flush_all()
        subtype = self.env.ref("queue_job.mt_job_failed")

        def announced():
            for uuid in (row.uuid, "unknown", "", "x" * 5000):
                answer = self.url_open(f"{protocol.REPORT_DEAD_PATH}?job_uuid={uuid}")
                self.assertEqual((answer.status_code, answer.text), (200, ""))
            row.invalidate_recordset()
            return len(row.message_ids.filtered(lambda m: m.subtype_id == subtype))

        self.assertEqual(announced(), 0)
        self.env.cr.execute(
            "UPDATE queue_job SET state = 'failed' WHERE id = %s", (row.id,)
        )
        self.assertEqual((announced(), announced()), (1, 1))
        self.assertFalse(row.to_report)

    def test_s06_test_jobs_are_for_erp_managers(self):
        groups = "base.group_user,queue_job.group_queue_job_manager"
        new_test_user(self.env, "qj_rpc", password="qj_rpc_password", groups=groups)
        self.authenticate("qj_rpc", "qj_rpc_password")
        count = self.env["queue.job"].search_count([])
        self.assertEqual(self.url_open("/queue_job/create_test_job").status_code, 403)
        self.assertEqual(self.env["queue.job"].search_count([]), count)

    def test_s06_size_and_duration_are_bounded(self):
        self.authenticate("admin", "admin")
        for query in ("size=100000", "job_duration=1000000", "failure_rate=7"):
            with self.subTest(query=query):
                answer = self.url_open(f"/queue_job/create_test_job?{query}")
                self.assertEqual(answer.status_code, 400)

    def test_s06_off_unless_allowed(self):
        self.authenticate("admin", "admin")
        count = self.env["queue.job"].search_count([])
        production = {"test_enable": False, "dev_mode": []}
        with patch.dict(config._runtime_options, production):
            answer = self.url_open("/queue_job/create_test_job")
            self.assertEqual(answer.status_code, 404)
            self.assertEqual(self.env["queue.job"].search_count([]), count)
            parameters = self.env["ir.config_parameter"].sudo()
            parameters.set_param("queue_job.test_jobs", "True")
            answer = self.url_open("/queue_job/create_test_job")
            self.assertEqual(answer.status_code, 200)
        self.assertEqual(self.env["queue.job"].search_count([]), count + 1)
