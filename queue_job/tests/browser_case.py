# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import HttpCase
from odoo.tools.misc import file_path

# Debian's package of Odoo comes without this library of mail: each page would say so on
# its console, and a test in a browser ends at the first such line.
LEFT_OUT = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"


class BrowserCase(HttpCase):
    """Tests in a browser, also with Debian's Odoo."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        try:
            file_path(LEFT_OUT)
        except FileNotFoundError:
            cls.env["ir.asset"].create(
                {
                    "name": LEFT_OUT,
                    "bundle": "web.assets_backend",
                    "directive": "remove",
                    "path": LEFT_OUT,
                }
            )
