# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The condition of the runner, as it has recorded it: the sentence of form and overview."""

from datetime import datetime

from odoo.fields import Datetime
from odoo.tools import format_datetime, format_time

from ..jobrunner.dispatch import GATEWAY, UNREACHABLE


def way_text(env, snapshot):
    """Return why the requests of the living runner do not reach a worker, "" if they do."""
    condition = snapshot.condition
    if not (snapshot.runner and condition and condition.trouble):
        return ""
    known = {
        "address": condition.address or "?",
        "since": time_text(env, condition.since),
        "status": condition.status or "",
    }
    if condition.status == 401:
        return env._(
            "The workers' address %(address)s has refused the runner since %(since)s (401): "
            "check http_auth_user and http_auth_password.",
            **known,
        )
    if condition.trouble == UNREACHABLE:
        return env._(
            "The runner has not reached the workers' address %(address)s since %(since)s: "
            "check scheme, host and port of the runner, and that Odoo runs there.",
            **known,
        )
    if condition.trouble == GATEWAY:
        return env._(
            "The proxy at the workers' address %(address)s has reached no worker since "
            "%(since)s (%(status)s): check that Odoo runs, and the timeout of the proxy.",
            **known,
        )
    return env._(
        "The workers' address %(address)s has not answered as a worker since %(since)s "
        "(%(status)s): check that it is Odoo's, serves this database, and has queue_job in "
        "server_wide_modules.",
        **known,
    )


def pooler_text(env, snapshot):
    """Return that the runner is, or the last one was, connected through a pooler."""
    condition = snapshot.condition
    if not (condition and condition.is_pooled):
        return ""
    return env._(
        "The runner on %s is connected to PostgreSQL through a pooler, which may pass neither "
        "session locks nor notifications on: set jobrunner_db_host and jobrunner_db_port to "
        "reach PostgreSQL past it.",
        condition.name,
    )


def time_text(env, date):
    """Return a date as its time of the day, for the reader, with the day unless today."""
    if not date:
        return "?"
    local = Datetime.context_timestamp(env["queue.job"], date)
    if (
        local.date()
        == Datetime.context_timestamp(env["queue.job"], datetime.now()).date()
    ):
        return format_time(env, date, time_format="short")
    return format_datetime(env, date)
