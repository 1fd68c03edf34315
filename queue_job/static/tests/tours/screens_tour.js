import {registry} from "@web/core/registry";

// What is ours on a screen; around it are controls of Odoo.
const OURS =
    ".o_queue_job_overview, .o_data_row, .o_kanban_record, .o_form_renderer, .modal-footer";

/** Return whether a screen reader has something to read out. */
function hasName(element) {
    const id = element.getAttribute("aria-labelledby");
    const named =
        element.getAttribute("aria-label") ||
        element.title ||
        element.textContent.trim() ||
        (id && document.getElementById(id)?.textContent.trim());
    return Boolean(named || element.querySelector("[aria-label], [alt]"));
}

/** Fail on a button or link of ours without a name, as axe does. */
function checkNames() {
    for (const area of document.querySelectorAll(OURS)) {
        for (const element of area.querySelectorAll("button, a[href]")) {
            // The controls of Odoo's own widgets are not ours.
            if (
                element.closest(
                    ".o_control_panel, .o_field_widget, .o-mail-Thread, .o-mail-Form-chatter"
                )
            ) {
                continue;
            }
            if (element.getClientRects().length && !hasName(element)) {
                throw new Error(`No name: ${element.outerHTML.slice(0, 200)}`);
            }
        }
    }
}

async function openTabs() {
    for (const tab of document.querySelectorAll(".o_notebook .nav-link:not(.active)")) {
        tab.click();
        await new Promise(requestAnimationFrame);
    }
    checkNames();
}

function stepsOf({name, action, options, selector, steps = []}) {
    return [
        {
            content: `Open ${name}`,
            trigger: "body",
            run: () =>
                odoo.__WOWL_DEBUG__.root.env.services.action.doAction(action, options),
        },
        {content: `See ${name}`, trigger: selector, run: openTabs},
        ...steps,
    ];
}

// The screens come from the test: see tests/screens_case.py.
registry.category("web_tour.tours").add("queue_job_screens", {
    steps: () => (odoo.queueJobScreens || []).flatMap(stepsOf),
});
