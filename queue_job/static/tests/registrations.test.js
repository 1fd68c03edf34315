import {describe, expect, test} from "@odoo/hoot";

import {validate} from "@odoo/owl";
import {registry} from "@web/core/registry";

describe.current.tags("headless");

// Only developer mode validates: there one that is not valid leaves all pages empty.
test("each field widget is one that developer mode accepts", () => {
    const fields = registry.category("fields");
    const ours = fields
        .getEntries()
        .filter(([name]) => /^(job_|queue_job_)/.test(name));
    expect(ours.length).toBeGreaterThan(7);
    for (const [, widget] of ours) {
        validate(widget, fields.validationSchema);
    }
});
