# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Metrics from a worker, where no runner serves them."""

import hmac

from werkzeug.exceptions import NotFound, Unauthorized

from odoo import SUPERUSER_ID, http

from ..exposition import CONTENT_TYPES, OPENMETRICS
from ..insight.metrics import metrics_page


class MetricsController(http.Controller):
    @http.route(
        "/queue_job/metrics",
        type="http",
        auth="none",
        save_session=False,
        readonly=True,
    )
    def metrics(self, **_kw):
        """Return the page of metrics of the database to who has the bearer token.

        404 while no token is set, so that the route stays unknown.
        """
        if not http.request.db:
            raise NotFound()
        http.request.update_env(user=SUPERUSER_ID)
        env = http.request.env
        token = env["ir.config_parameter"].sudo().get_param("queue_job.metrics_token")
        if not token:
            raise NotFound()
        headers = http.request.httprequest.headers
        given = headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Unauthorized()
        is_openmetrics = OPENMETRICS in headers.get("Accept", "")
        return http.request.make_response(
            metrics_page(env, is_openmetrics),
            [("Content-Type", CONTENT_TYPES[is_openmetrics])],
        )
