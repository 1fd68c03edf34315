import {expect, test} from "@odoo/hoot";
import {click, queryAllRects, queryAllTexts, queryOne} from "@odoo/hoot-dom";
import {animationFrame, mockDate} from "@odoo/hoot-mock";
import {
    contains,
    defineModels,
    fields,
    makeMockEnv,
    mockService,
    models,
    mountView,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

import {browser} from "@web/core/browser/browser";
import {localization} from "@web/core/l10n/localization";
import {formatDuration} from "@queue_job/views/queue_job_formats";

const TRACEBACK =
    "Traceback (most recent call last):\n  File x, line 1\nValueError: wrong\n";

class QueueJob extends models.Model {
    _name = "queue.job";

    name = fields.Char();
    ran = fields.Float();
    timeline = fields.Json();
    explanation = fields.Json();
    exc_info = fields.Text();

    _records = [
        {
            id: 1,
            name: "waits",
            ran: 0,
            timeline: [
                {
                    kind: "created",
                    label: "Created",
                    date: "2026-01-01 10:00:00",
                    seconds: 90,
                },
            ],
            explanation: {
                kind: "full",
                level: "info",
                sentence: "The only slot is taken.",
                text: "The only slot is taken. other",
                jobs: [{id: 2, name: "other", state: "started"}],
                more: 3,
            },
            exc_info: false,
        },
        {
            id: 2,
            name: "failed",
            ran: 3725.4,
            timeline: [
                {
                    kind: "created",
                    label: "Created",
                    date: "2026-01-01 10:00:00",
                    seconds: 1,
                },
                {
                    kind: "started",
                    label: "Started",
                    date: "2026-01-01 10:00:01",
                    seconds: 2,
                },
                {
                    kind: "failed",
                    label: "Failed",
                    date: "2026-01-01 10:00:03",
                    seconds: null,
                },
            ],
            explanation: false,
            exc_info: TRACEBACK,
        },
        {
            id: 3,
            name: "tried often",
            timeline: [...Array(30).keys()].map((number) => ({
                kind: "postponed",
                label: `Try ${number}`,
                date: "2026-01-01 10:00:00",
                seconds: 1,
            })),
        },
    ];
}

defineMailModels();
defineModels([QueueJob]);

function mountForm(resId, arch) {
    return mountView({
        resModel: "queue.job",
        resId,
        type: "form",
        arch: `<form>${arch}</form>`,
    });
}

test("durations are read by people", async () => {
    await makeMockEnv();
    const cases = [
        [0, ""],
        [false, ""],
        [-3, ""],
        [0.0004, "1 ms"],
        [0.05, "50 ms"],
        [0.25, "0.3 s"],
        [9.94, "9.9 s"],
        [59.4, "59 s"],
        [60, "1 min"],
        [61, "1 min 1 s"],
        [3599.4, "59 min 59 s"],
        [3600, "1 h"],
        [86399, "23 h 59 min"],
        [86400, "1 d"],
        [90000 * 10, "10 d 10 h"],
    ];
    for (const [seconds, text] of cases) {
        expect(String(formatDuration(seconds))).toBe(text);
    }
});

test("durations are written as the language writes numbers", async () => {
    await makeMockEnv();
    patchWithCleanup(localization, {decimalPoint: ","});
    expect(String(formatDuration(2.5))).toBe("2,5 s");
});

test("duration in a list", async () => {
    await mountView({
        resModel: "queue.job",
        type: "list",
        arch: `<list><field name="name"/><field name="ran" widget="job_duration"/></list>`,
    });
    expect(".o_data_row:eq(0) [name=ran]").toHaveText("");
    expect(".o_data_row:eq(1) [name=ran]").toHaveText("1 h 2 min");
});

test("timeline shows steps, dates and durations", async () => {
    mockDate("2026-01-01 12:00:00", 0);
    await mountForm(2, `<field name="timeline" widget="job_timeline"/>`);
    expect(".o_job_timeline_step").toHaveCount(3);
    expect(".o_job_timeline_step:eq(1)").toHaveText(/2 s\s+Started\s+10:00:01/);
    expect(".o_job_timeline_step[data-kind=failed] .text-bg-danger").toHaveCount(1);
    expect(".o_job_timeline_step:eq(2) .o_job_timeline_line").toHaveCount(0);
    // The dots stand in line, with and without a duration beside them.
    const tops = queryAllRects(".o_job_timeline_dot").map(({top}) => Math.round(top));
    expect(new Set(tops).size).toBe(1);
});

test("timeline tells the day where it changes", async () => {
    mockDate("2026-01-02 12:00:00", 0);
    await mountForm(2, `<field name="timeline" widget="job_timeline"/>`);
    expect(queryAllTexts(".o_job_timeline time")).toEqual([
        "01/01/2026 10:00:00",
        "10:00:01",
        "10:00:03",
    ]);
});

test("timeline tells the time as the language does", async () => {
    mockDate("2026-01-01 20:00:00", 0);
    await makeMockEnv();
    patchWithCleanup(localization, {timeFormat: "hh:mm:ss a"});
    await mountForm(2, `<field name="timeline" widget="job_timeline"/>`);
    expect(".o_job_timeline time:first").toHaveText("10:00:00 AM");
});

test("explanation and timeline are as wide as the form", async () => {
    await mountForm(
        1,
        `<sheet><field name="explanation" widget="job_explanation"/>
        <field name="timeline" widget="job_timeline"/></sheet>`
    );
    const [first] = queryAllRects(".o_field_job_explanation");
    const [second] = queryAllRects(".o_field_job_timeline");
    expect(second.top).toBeGreaterThan(first.bottom - 1);
    expect(second.width).toBe(first.width);
});

test("timeline of many tries is folded", async () => {
    await mountForm(3, `<field name="timeline" widget="job_timeline"/>`);
    expect(".o_job_timeline_step").toHaveCount(11);
    expect(".o_job_timeline_step:eq(5)").toHaveText("20 more steps");
    await contains(".o_job_timeline_step:eq(5) button").click();
    expect(".o_job_timeline_step").toHaveCount(30);
});

test("explanation names jobs, and a click opens one", async () => {
    mockService("action", {
        doAction: (action) => expect.step(`open ${action.res_id}`),
    });
    onRpc("queue.job", "get_formview_action", ({args}) => ({res_id: args[0][0]}));
    await mountForm(1, `<field name="explanation" widget="job_explanation"/>`);
    expect(".o_job_explanation.alert-info").toHaveAttribute("data-kind", "full");
    expect(".o_job_explanation_text").toHaveText("The only slot is taken.");
    expect(".o_job_explanation").toHaveText(/and 3 more/);
    await contains(".o_job_explanation button:contains(other)").click();
    expect.verifySteps(["open 2"]);
});

test("explanation can be asked for again", async () => {
    onRpc("queue.job", "web_read", () => expect.step("read"));
    await mountForm(1, `<field name="explanation" widget="job_explanation"/>`);
    expect.verifySteps(["read"]);
    await contains(".o_job_explanation button[title='Look again']").click();
    expect.verifySteps(["read"]);
});

test("nothing to explain shows nothing", async () => {
    await mountForm(2, `<field name="explanation" widget="job_explanation"/>`);
    expect(".o_job_explanation").toHaveCount(0);
});

test("traceback is folded, and can be copied as it is", async () => {
    await mountForm(2, `<field name="exc_info" widget="job_traceback"/>`);
    expect(".o_job_traceback_text").toHaveCount(0);
    await contains(".o_job_traceback_toggle").click();
    expect(queryOne(".o_job_traceback_text").textContent).toBe(TRACEBACK.trimEnd());
    expect(".o_job_traceback_toggle").toHaveAttribute("aria-expanded", "true");
    await click(".o_job_traceback_toggle");
    await animationFrame();
    expect(".o_job_traceback_text").toHaveCount(0);
    expect(".o_job_traceback button:contains(Copy)").toHaveCount(1);
});

test("the copy button copies the whole traceback", async () => {
    patchWithCleanup(browser.navigator.clipboard, {
        writeText: async (text) => expect.step(text),
    });
    await mountForm(2, `<field name="exc_info" widget="job_traceback"/>`);
    await contains(".o_job_traceback button:contains(Copy)").click();
    expect.verifySteps([TRACEBACK.trimEnd()]);
});

test("traceback can begin unfolded", async () => {
    await mountForm(
        2,
        `<field name="exc_info" widget="job_traceback" options="{'open': true}"/>`
    );
    expect(".o_job_traceback_text").toHaveCount(1);
});
