# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the runner's settings come from.

Environment over the ``[queue_job]`` section over Odoo's own options over
defaults; see ``configuration.py``.
"""

import odoo.sql_db
from odoo.tools import config

from ..configuration import default_root_capacity, max_capacity, setting
from .job_workers import address_of_job_workers

# Metrics name functions and channels: they are for this machine unless configured.
METRICS_INTERFACE = "127.0.0.1"
CONNECTION_SETTINGS = ("host", "port", "user", "password")


def channels_setting():
    """Return the channel configuration of the server, None if there is none."""
    return setting("channels")


def _channels():
    """Return the channel configuration in use."""
    return channels_setting() or f"root:{default_root_capacity()}"


def _is_runner_enabled():
    """Return whether servers start a runner: not when root, or all together, has capacity 0."""
    return max_capacity() != 0 and not _channels().strip().startswith("root:0")


def runner_settings():
    """Return the keyword arguments of ``QueueJobRunner`` that are configured."""
    host, port = address_of_job_workers()
    return {
        "scheme": setting("scheme") or "http",
        "host": setting("host") or host or config["http_interface"] or "localhost",
        "port": setting("port") or port or config["http_port"] or 8069,
        "user": setting("http_auth_user"),
        "password": setting("http_auth_password"),
        "channel_config_string": channels_setting(),
    }


def metrics_address():
    """Return ``(interface, port)`` at which metrics are served, None when they are not.

    :raise ValueError: for a port that is no number
    """
    port = setting("metrics_port")
    interface = setting("metrics_interface") or METRICS_INTERFACE
    return (interface, int(port)) if port else None


def connection_info_for(db_name):
    """Return the psycopg2 parameters of the runner's connection to a database.

    Odoo's own, with the ``jobrunner_db_*`` settings over them: a pooler that
    Odoo goes through does not pass notifications on.
    """
    info = dict(odoo.sql_db.connection_info_for(db_name)[1])
    for key in CONNECTION_SETTINGS:
        value = setting(f"jobrunner_db_{key}")
        if value:
            info[key] = value
    return info
