# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import models


class QueueJob(models.Model):
    """What makes the screens fast with a million jobs.

    These two index all rows, the ended ones too, for those are looked at; so
    each version of a row costs an entry in both. More such indexes would cost
    the jobs more than they give the screens.
    """

    _inherit = "queue.job"

    # The first page of any list, and of each column of a kanban: the newest jobs.
    _newest_index = models.Index("(date_created, date_done)")
    # Counts and groups, with the company that the rules ask for and the time that is
    # averaged: read from the index alone.
    _counts_index = models.Index("(state, channel, company_id) INCLUDE (exec_time)")
