# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Company filter for counts in SQL."""

from odoo.tools import SQL

from ..sql import statements as sql


def companies_seen(env):
    """Return the ids of the companies whose jobs the reader sees, None when that is all."""
    if env.su:
        return None
    # An archived company has jobs too.
    companies = env["res.company"].sudo().with_context(active_test=False)
    if companies.search_count([("id", "not in", env.companies.ids)], limit=1):
        return env.companies.ids
    return None


def belongs_to(companies):
    """Return the condition on rows with a company: of one of these, or of none.

    :param companies: as :func:`companies_seen` returns them
    """
    if companies is None:
        return SQL("TRUE")
    return SQL(sql.is_of_companies, companies=list(companies))
