# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The function in the database is shared by code of two releases during an update."""

from odoo.tests import TransactionCase, tagged

from odoo.addons.queue_job.tests.test_update_functions import KeptFunctions


@tagged("post_install", "-at_install")
class TestUpdateFunctions(KeptFunctions, TransactionCase):
    released = {
        "queue_job_cron_claim": (
            "uuids character varying[], in_order boolean, OUT claimed character varying, "
            "OUT version character varying",
            "record",
        ),
    }
