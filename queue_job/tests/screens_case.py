# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Open all screens of an addon in a browser."""

import json

from .browser_case import BrowserCase

OPENED_VIEWS = ("list", "form", "kanban", "pivot", "graph")


class ScreensCase(BrowserCase):
    """Derive the screens from the records of an addon, so that a new one is included.

    A screen is a view of a window action, a client action, or a view without an action.
    """

    addon = None
    # Selector that shows the content of a client action, by tag.
    client_selectors = {}
    # Further tour steps on a form, by model.
    form_steps = {}

    def records_of(self, model):
        """Return the records whose forms are opened; empty for a new record."""
        records = self.env[model]
        return records if records.is_transient() else records.search([], limit=1)

    def context_of(self, model):
        """Return the context that a form or dialog of a model is opened in."""
        return {}

    def screens(self):
        """Return the screens in the form that the tour queue_job_screens reads."""
        screens, seen = [], set()
        for action in self._addon_records("ir.actions.act_window"):
            for view_id, view_type in action.views:
                seen.add((action.res_model, view_type))
                screens += self._screens(action.res_model, view_type, action, view_id)
        for view in self._addon_records("ir.ui.view"):
            if (view.model, view.type) not in seen and view.type in OPENED_VIEWS:
                seen.add((view.model, view.type))
                screens += self._screens(view.model, view.type)
        for action in self._addon_records("ir.actions.client"):
            selector = self.client_selectors[action.tag]
            screens.append(
                {"name": action.name, "action": action.id, "selector": selector}
            )
        return screens

    def _addon_records(self, model):
        data = self.env["ir.model.data"].search(
            [("module", "=", self.addon), ("model", "=", model)]
        )
        return self.env[model].browse(data.mapped("res_id"))

    def _screens(self, model, view_type, action=None, view_id=False):
        ids = (self.records_of(model).ids if view_type == "form" else []) or [False]
        context = self.context_of(model)
        dialog = ".modal " if action and action.target == "new" else ""
        for res_id in ids:
            yield {
                "name": f"{view_type} of {model} {res_id or ''}",
                "action": action.id
                if action
                else {
                    "type": "ir.actions.act_window",
                    "res_model": model,
                    "res_id": res_id,
                    "views": [[view_id, view_type]],
                    "context": context,
                },
                "options": {
                    "viewType": view_type,
                    "props": {"resId": res_id} if res_id else {},
                    "additionalContext": context,
                },
                "selector": f"{dialog}.o_{view_type}_view, {dialog}.o_{view_type}_renderer",
                "steps": self.form_steps.get(model, []) if view_type == "form" else [],
            }

    def open_screens(self, debug):
        """Open all screens with a value of ``?debug=``; fail on any warning."""
        if debug == "assets":
            self.generate_debug_assets("web.assets_web", "web.assets_tests")
        self.env.flush_all()
        screens = self.screens()
        self.assertTrue(screens)
        options = {"stepDelay": 0, "startUrl": "/odoo"}
        self.start_tour(
            f"/odoo?debug={debug}",
            "queue_job_screens",
            login="admin",
            timeout=600,
            code=f"odoo.queueJobScreens = {json.dumps(screens)};"
            f"odoo.startTour('queue_job_screens', {json.dumps(options)})",
        )
