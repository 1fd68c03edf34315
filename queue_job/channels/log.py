# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The logger of channels, under the name that administrators know."""

import logging

logger = logging.getLogger("odoo.addons.queue_job.jobrunner.channels")
