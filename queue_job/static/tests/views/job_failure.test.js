import {expect, test} from "@odoo/hoot";
import {queryAllTexts} from "@odoo/hoot-dom";
import {mockDate} from "@odoo/hoot-mock";
import {defineModels, fields, models, mountView} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

class QueueJobFailure extends models.Model {
    _name = "queue.job.failure";

    exc_name = fields.Char();
    last_seen = fields.Datetime();

    _records = [
        {
            id: 1,
            exc_name: "requests.exceptions.ConnectTimeout",
            last_seen: "2026-01-01 11:55:00",
        },
        {id: 2, exc_name: "JobFoundDead", last_seen: "2025-12-29 12:00:00"},
        {id: 3, exc_name: false, last_seen: false},
    ];
}

defineMailModels();
defineModels([QueueJobFailure]);

test("a group of failures tells the error and how long ago it was", async () => {
    mockDate("2026-01-01 12:00:00", 0);
    await mountView({
        resModel: "queue.job.failure",
        type: "list",
        arch: `<list>
            <field name="exc_name" widget="job_error_name"/>
            <field name="last_seen" widget="job_ago"/>
        </list>`,
    });
    expect(queryAllTexts(".o_data_row td[name=exc_name]")).toEqual([
        "ConnectTimeout",
        "JobFoundDead",
        "",
    ]);
    expect(".o_data_row:eq(0) [name=exc_name] [title]").toHaveAttribute(
        "title",
        "requests.exceptions.ConnectTimeout"
    );
    expect(queryAllTexts(".o_data_row td[name=last_seen]")).toEqual([
        "5 minutes ago",
        "3 days ago",
        "",
    ]);
    expect(".o_data_row:eq(0) time").toHaveAttribute("title", /11:55:00/);
});
