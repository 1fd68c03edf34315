# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The logger of the worker, under the name that administrators and test suites know."""

import logging

logger = logging.getLogger("odoo.addons.queue_job.controllers.main")
