# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Where the runner's settings come from.

Environment over the ``[queue_job]`` section over Odoo's own options over
defaults. Nothing is read at import: the section is read when it is first
asked for, so that ``-c file`` counts in every way of starting.
"""

import os
from configparser import ConfigParser
from functools import lru_cache

import odoo.sql_db
from odoo.tools import config

try:
    from odoo.addons.server_environment import serv_config
except ImportError:
    serv_config = None

SECTION = "queue_job"
DEFAULT_CHANNELS = "root:1"
CONNECTION_SETTINGS = ("host", "port", "user", "password")


def queue_job_section():
    """Return the ``[queue_job]`` section as a dict, empty when there is none.

    The same dict is returned until Odoo uses another file.
    """
    if serv_config is not None:
        return _section_of_server_environment()
    return _section_of_file(config["config"] or "")


@lru_cache(maxsize=1)
def _section_of_server_environment():
    return dict(serv_config[SECTION]) if serv_config.has_section(SECTION) else {}


@lru_cache(maxsize=1)
def _section_of_file(path):
    parser = ConfigParser(interpolation=None)
    parser.read([path])
    return dict(parser[SECTION]) if parser.has_section(SECTION) else {}


def setting(key):
    """Return a setting of environment or file, None when neither has it."""
    return os.environ.get(f"ODOO_QUEUE_JOB_{key.upper()}") or queue_job_section().get(
        key
    )


def channels_setting():
    """Return the channel configuration of the server, None if there is none."""
    return setting("channels")


def _channels():
    """Return the channel configuration in use."""
    return channels_setting() or DEFAULT_CHANNELS


def _is_runner_enabled():
    """Return whether servers start a runner: not when root has capacity 0."""
    return not _channels().strip().startswith("root:0")


def runner_settings():
    """Return the keyword arguments of ``QueueJobRunner`` that are configured."""
    port = setting("port") or config["http_port"] or 8069
    return {
        "scheme": setting("scheme") or "http",
        "host": setting("host") or config["http_interface"] or "localhost",
        "port": port,
        "user": setting("http_auth_user"),
        "password": setting("http_auth_password"),
        "channel_config_string": channels_setting(),
    }


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
