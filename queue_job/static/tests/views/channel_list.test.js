import {beforeEach, expect, test} from "@odoo/hoot";
import {queryAllTexts} from "@odoo/hoot-dom";
import {advanceTime, animationFrame} from "@odoo/hoot-mock";
import {
    contains,
    defineModels,
    fields,
    makeServerError,
    models,
    mountView,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

class QueueJobChannel extends models.Model {
    _name = "queue.job.channel";

    name = fields.Char();
    complete_name = fields.Char();
    depth = fields.Integer();
    capacity = fields.Integer();
    default_capacity = fields.Integer();
    waiting_text = fields.Char();
    is_paused = fields.Boolean();
    pause_text = fields.Char();
    is_stopped = fields.Boolean();
    has_fixed_capacity = fields.Boolean();
    has_fixed_pause = fields.Boolean();

    _records = [
        {id: 1, name: "root", complete_name: "root", default_capacity: 2, capacity: 0},
        {
            id: 2,
            name: "a",
            complete_name: "root.a",
            depth: 1,
            capacity: 0,
            is_paused: true,
        },
        {id: 3, name: "b", complete_name: "root.a.b", depth: 2, capacity: 5},
        {id: 4, name: "c", complete_name: "root.c", depth: 1, capacity: 0},
        {
            id: 5,
            name: "d",
            complete_name: "root.d",
            depth: 1,
            has_fixed_pause: true,
        },
    ];
}

defineMailModels();
defineModels([QueueJobChannel]);

let reads, waiting;

beforeEach(() => {
    reads = 0;
    waiting = "7";
    // An empty capacity is not 0, and the mock server knows no such field.
    const capacities = {1: false, 2: false, 3: 5, 4: 0, 5: false};
    const complete = (row) => ({
        ...row,
        capacity: capacities[row.id],
        is_stopped: [2, 3].includes(row.id),
        has_fixed_capacity: false,
        waiting_text: row.id === 3 ? waiting : false,
    });
    onRpc("web_search_read", ({parent}) => {
        const result = parent();
        return {...result, records: result.records.map(complete)};
    });
    onRpc("queue.job.channel", "read", ({parent}) => {
        reads++;
        return parent().map(complete);
    });
});

async function open() {
    await mountView({
        resModel: "queue.job.channel",
        type: "list",
        arch: `<list js_class="queue_job_channel_list" editable="bottom">
            <field name="depth" column_invisible="1"/>
            <field name="name" column_invisible="1"/>
            <field name="default_capacity" column_invisible="1"/>
            <field name="is_paused" column_invisible="1"/>
            <field name="pause_text" column_invisible="1"/>
            <field name="is_stopped" column_invisible="1"/>
            <field name="has_fixed_capacity" column_invisible="1"/>
            <field name="has_fixed_pause" column_invisible="1"/>
            <field name="complete_name" widget="queue_job_channel_name"/>
            <field name="waiting_text"/>
            <field name="capacity" widget="queue_job_capacity"/>
        </list>`,
    });
    await animationFrame();
}

test("channels stand below each other, and tell what stops them", async () => {
    await open();
    expect(queryAllTexts(".o_queue_job_channel_name")).toEqual([
        "root",
        "aPaused",
        "bPaused above",
        "c",
        "dPaused in the configuration",
    ]);
    const indents = [...document.querySelectorAll(".o_queue_job_channel_name")].map(
        (element) => element.style.paddingLeft
    );
    expect(indents).toEqual(["0em", "1.5em", "3em", "1.5em", "1.5em"]);
});

test("a capacity that is not set tells what applies", async () => {
    await open();
    expect(queryAllTexts(".o_data_row td[name=capacity]")).toEqual([
        "2",
        "not set",
        "5",
        "no limit",
        "not set",
    ]);
});

test("figures stay up to date, but not under the hands of an editor", async () => {
    await open();
    expect(".o_data_row:eq(2) [name=waiting_text]").toHaveText("7");
    waiting = "8";
    await advanceTime(3100);
    await animationFrame();
    expect(".o_data_row:eq(2) [name=waiting_text]").toHaveText("8");
    const before = reads;
    await contains(".o_data_row:eq(2) [name=capacity]").click();
    await advanceTime(3100);
    expect(reads).toBe(before);
});

test("figures that cannot be read are asked for again, without a dialog", async () => {
    await open();
    patchWithCleanup(console, {warn: () => expect.step("warned")});
    let isDown = true;
    onRpc("web_search_read", () => {
        if (isDown) {
            throw makeServerError();
        }
    });
    waiting = "8";
    await advanceTime(3100);
    await animationFrame();
    expect.verifySteps(["warned"]);
    expect(".modal").toHaveCount(0);
    isDown = false;
    await advanceTime(10100);
    await animationFrame();
    expect(".o_data_row:eq(2) [name=waiting_text]").toHaveText("8");
});
