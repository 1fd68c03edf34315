# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.http import request

from odoo.addons.mail.controllers.webclient import WebclientController
from odoo.addons.mail.tools.discuss import Store


class QueueJobBatchWebclientController(WebclientController):
    @classmethod
    def _process_request_for_internal_user(self, store: Store, name, params):
        if name == "systray_get_queue_job_batches":
            batches = request.env.user._get_queue_job_batches()
            store.add_global_values(
                queueJobBatches=batches,
                queueJobBatchCounter=len(batches),
                queueJobBatchCounterBusId=request.env["bus.bus"].sudo()._bus_last_id(),
            )
        return super()._process_request_for_internal_user(store, name, params)
