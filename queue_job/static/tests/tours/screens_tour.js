import {registry} from "@web/core/registry";

async function openTabs() {
    for (const tab of document.querySelectorAll(".o_notebook .nav-link:not(.active)")) {
        tab.click();
        await new Promise(requestAnimationFrame);
    }
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
