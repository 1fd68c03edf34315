import {beforeEach, expect, test} from "@odoo/hoot";
import {click, queryAllTexts} from "@odoo/hoot-dom";
import {advanceTime, animationFrame} from "@odoo/hoot-mock";
import {
    defineModels,
    getService,
    makeMockEnv,
    makeServerError,
    models,
    mountWithCleanup,
    onRpc,
    patchWithCleanup,
} from "@web/../tests/web_test_helpers";
import {defineMailModels} from "@mail/../tests/mail_test_helpers";

import {WebClient} from "@web/webclient/webclient";
import {formatAge, formatNumber} from "@queue_job/views/queue_job_formats";
import {QueueJobOverview} from "@queue_job/views/overview/overview";
import {ThroughputChart} from "@queue_job/views/overview/throughput_chart";

class Overview extends models.Model {
    _name = "queue.job.overview";
}
class Channel extends models.Model {
    _name = "queue.job.channel";
}
defineMailModels();
defineModels([Overview, Channel]);

const count = (number, exact = true, estimated = false) => ({
    count: number,
    exact,
    estimated,
});

function channel(name, values = {}) {
    return {
        name,
        id: name.length,
        label: name.split(".").pop(),
        depth: name.split(".").length - 1,
        capacity: 0,
        sequential: false,
        throttle: 0,
        paused: false,
        stopped: false,
        has_fixed_pause: false,
        age: null,
        running: count(0),
        sent: count(0),
        waiting: count(0),
        later: count(0),
        depending: count(0),
        failed: count(0),
        ...values,
    };
}

function figures(values = {}) {
    return {
        problems: [],
        runner: {
            is_alive: true,
            node: "odoo1",
            pid: "42",
            address: "",
            age: 90,
            checks: [],
        },
        channels: [
            channel("root", {
                capacity: 4,
                running: count(3),
                waiting: count(998000, false, true),
                age: 61,
            }),
            channel("root.sub", {waiting: count(2000, false), failed: count(2)}),
            channel("root.some", {waiting: count(0, false), later: count(0, false)}),
        ],
        series: {
            width: 1,
            points: Array.from({length: 60}, () => [2, 1]),
            is_complete: true,
        },
        functions: {
            slowest: [
                {function: "<a>.b", done: 3, failed: 1, average: 1.5, longest: 130},
            ],
            failing: [
                {function: "<a>.b", done: 3, failed: 1, average: 1.5, longest: 130},
            ],
        },
        has_jobs: true,
        seconds: 0.01,
        ...values,
    };
}

let answer, reads;

beforeEach(() => {
    reads = [];
    answer = figures();
    patchWithCleanup(ThroughputChart.prototype, {setup() {}});
    onRpc("queue.job.overview", "read_overview", ({args}) => {
        reads.push(args[0]);
        if (!answer) {
            throw makeServerError();
        }
        return answer;
    });
});

async function open() {
    await mountWithCleanup(WebClient);
    await getService("action").doAction({
        type: "ir.actions.client",
        tag: "queue_job.overview",
    });
    await animationFrame();
}

test("tells the state of the queue", async () => {
    await open();
    expect(".o_queue_job_alive").toHaveText(/alive on odoo1/);
    expect(".o_queue_job_tile_running .o_queue_job_figure").toHaveText("3 / 4");
    expect(".o_queue_job_tile_waiting").toHaveText(
        /≈ 998,000\s*Waiting, the oldest for 1 min/
    );
    expect(".o_queue_job_tile_done .o_queue_job_figure").toHaveText("120");
    expect(".o_queue_job_tile_done").toHaveText(/in the last hour\s*\+ 60 failed/);
    expect("tr[data-channel='root.sub'] .o_queue_job_waiting").toHaveText("2,000+");
    expect("tr[data-channel='root.some'] .o_queue_job_waiting").toHaveText("0+");
    expect("tr[data-channel='root.some'] .o_queue_job_later").toHaveText("0+");
    expect("tr[data-channel='root'] .o_queue_job_later").toHaveText("");
    expect(".o_queue_job_empty").toHaveCount(0);
});

test("claims nothing about what it has not added up yet", async () => {
    const points = Array.from({length: 60}, () => [0, 0]);
    answer = figures({
        series: {width: 1, points, is_complete: false},
        functions: {slowest: [], failing: []},
    });
    await open();
    expect(".o_queue_job_tile_done .o_queue_job_figure").toHaveText("0+");
    expect(".o_content").not.toHaveText(/No job/);
    // The chart and both cards say it, as the tile does.
    expect(".card-header:contains(adding up)").toHaveCount(3);
    answer.series.is_complete = true;
    await advanceTime(2100);
    await animationFrame();
    expect(".o_queue_job_tile_done .o_queue_job_figure").toHaveText("0");
    expect(".o_content").toHaveText(/No job was done.[^]*No job failed./);
    expect(".card-header:contains(adding up)").toHaveCount(0);
});

test("stays up to date while it is open", async () => {
    await open();
    expect(reads).toEqual(["hour"]);
    answer = figures({channels: [channel("root", {capacity: 4, running: count(1)})]});
    await advanceTime(2100);
    await animationFrame();
    expect(reads).toEqual(["hour", "hour"]);
    expect(".o_queue_job_tile_running .o_queue_job_figure").toHaveText("1 / 4");
});

test("asks a slow server less often", async () => {
    answer = figures({seconds: 0.2});
    await open();
    await advanceTime(2100);
    await advanceTime(2100);
    expect(reads).toEqual(["hour"]);
    await advanceTime(2100);
    await advanceTime(2100);
    expect(reads).toEqual(["hour", "hour"]);
});

test("asks even the slowest server now and then", async () => {
    answer = figures({seconds: 5});
    await open();
    for (let round = 0; round < 5; round++) {
        expect(reads).toEqual(["hour"]);
        await advanceTime(2100);
    }
    expect(reads).toEqual(["hour", "hour"]);
});

test("tells that its figures are old while the server does not answer", async () => {
    await open();
    const {console} = window;
    patchWithCleanup(console, {warn: () => expect.step("warned")});
    answer = null;
    await advanceTime(2100);
    await animationFrame();
    expect.verifySteps(["warned"]);
    expect(".alert-warning").toHaveText(/these figures are old/);
    expect(".o_queue_job_tile_running .o_queue_job_figure").toHaveText("3 / 4");
    answer = figures();
    await advanceTime(10100);
    await animationFrame();
    expect(".alert-warning").toHaveCount(0);
});

test("a page that nobody looks at asks nothing, and at once when it is shown", async () => {
    let isHidden = true;
    await open();
    patchWithCleanup(document, {
        get hidden() {
            return isHidden;
        },
    });
    await advanceTime(10000);
    expect(reads).toEqual(["hour"]);
    isHidden = false;
    document.dispatchEvent(new Event("visibilitychange"));
    await animationFrame();
    expect(reads).toEqual(["hour", "hour"]);
});

test("says that all is well", async () => {
    await open();
    expect(".o_queue_job_problems").toHaveText(/^All is well/);
    expect(".o_queue_job_problems button").toHaveCount(0);
});

test("names problems, and solves them with their buttons", async () => {
    onRpc("queue.job.channel", "action_resume", ({args}) => {
        expect.step(`resume ${args[0]}`);
        return true;
    });
    answer = figures({
        problems: [
            {
                kind: "paused",
                level: "warning",
                text: "root.sub is paused: 2 jobs wait.",
                buttons: [
                    {
                        label: "Resume",
                        model: "queue.job.channel",
                        method: "action_resume",
                        ids: [8],
                    },
                ],
            },
        ],
    });
    await open();
    expect(".o_queue_job_problems .card-header").toHaveText("1 problem needs you");
    answer = figures();
    await click(".o_queue_job_problems button");
    await animationFrame();
    expect.verifySteps(["resume 8"]);
    expect(".o_queue_job_problems").toHaveText(/^All is well/);
});

test("another period is read at once", async () => {
    await open();
    await click(".o_queue_job_day");
    await animationFrame();
    expect(reads).toEqual(["hour", "day"]);
    expect(".o_queue_job_day").toHaveClass("active");
});

test("pauses a channel in place", async () => {
    onRpc("queue.job.channel", "action_pause", ({args}) => {
        expect.step(`pause ${args[0]}`);
        return true;
    });
    await open();
    answer = figures({
        channels: [channel("root"), channel("root.sub", {paused: true, stopped: true})],
    });
    await click("tr[data-channel='root.sub'] .o_queue_job_pause");
    await animationFrame();
    expect.verifySteps(["pause 8"]);
    expect(reads).toEqual(["hour", "hour"]);
    expect("tr[data-channel='root.sub'] .o_queue_job_resume").toHaveCount(1);
});

test("without a runner it tells what to check", async () => {
    answer = figures({
        runner: {
            is_alive: false,
            checks: [
                {key: "server_wide_modules", is_right: false, text: "Add queue_job"},
                {key: "channels", is_right: true, text: "The channels are right"},
            ],
        },
    });
    await open();
    expect(".o_queue_job_dead").toHaveText(/No runner is alive/);
    expect(queryAllTexts(".o_queue_job_dead li.fw-bold")).toEqual(["Add queue_job"]);
});

test("an empty queue says what to do", async () => {
    answer = figures({
        channels: [channel("root")],
        functions: {slowest: [], failing: []},
        has_jobs: false,
    });
    await open();
    expect(".o_queue_job_empty").toHaveText(/with_delay/);
});

test("a queue where nothing happens is not an empty one", async () => {
    answer = figures({
        channels: [channel("root")],
        functions: {slowest: [], failing: []},
    });
    await open();
    expect(".o_queue_job_empty").toHaveCount(0);
    expect(".o_queue_job_chart").toHaveCount(1);
});

test("what the configuration pauses has no button that would not work", async () => {
    answer = figures({
        channels: [
            channel("root"),
            channel("root.sub", {paused: true, stopped: true, has_fixed_pause: true}),
        ],
    });
    await open();
    expect("tr[data-channel='root.sub'] .badge").toHaveText(
        "Paused in the configuration"
    );
    expect("tr[data-channel='root.sub'] button").toHaveCount(0);
    expect("tr[data-channel='root'] .o_queue_job_pause").toHaveCount(1);
});

test("a figure opens the jobs that it counts", async () => {
    patchWithCleanup(QueueJobOverview.prototype, {
        openJobs(name, domain) {
            expect.step([String(name), domain]);
        },
    });
    answer = figures({
        channels: [channel("root"), channel("root.a_b", {later: count(1)})],
    });
    await open();
    await click(".o_queue_job_tile_waiting");
    await click(".o_queue_job_tile_later");
    await click("tr[data-channel='root.a_b'] .o_queue_job_later a");
    const pending = ["state", "=", "pending"];
    const later = [
        ...["|", ["state", "=", "wait_dependencies"]],
        ...["&", pending, ["eta", ">", "now"]],
    ];
    expect.verifySteps([
        ["Jobs", [pending, "|", ["eta", "=", false], ["eta", "<=", "now"]]],
        ["Jobs", later],
        [
            "Jobs of root.a_b",
            [
                ...later,
                ...["|", "|", ["channel", "in", ["root.a_b", "a_b"]]],
                ["channel", "=like", "root.a\\_b.%"],
                ["channel", "=like", "a\\_b.%"],
            ],
        ],
    ]);
});

test("a function opens the jobs of the last 24 hours", async () => {
    patchWithCleanup(QueueJobOverview.prototype, {
        openJobs(name, domain) {
            expect.step([String(name), domain]);
        },
    });
    await open();
    const slowest = ".card:contains(Slowest functions) tbody a";
    const failing = ".card:contains(fail most) tbody a";
    await click(slowest);
    await click(failing);
    const ofFunction = ["channel_method_name", "=", "<a>.b"];
    const since = "now -24H";
    expect.verifySteps([
        [
            "Jobs of <a>.b",
            [ofFunction, ["state", "=", "done"], ["date_done", ">=", since]],
        ],
        [
            "Jobs of <a>.b",
            [ofFunction, ["state", "=", "failed"], ["date_started", ">=", since]],
        ],
    ]);
});

test("figures are written for people", async () => {
    // Texts can be read once the translations are there.
    await makeMockEnv();
    const age = (seconds) => String(formatAge(seconds));
    expect([0, 59, 60, 3599, 3600, 3660, 86400, 90000].map(age)).toEqual([
        ...["0 s", "59 s", "1 min", "59 min", "1 h", "1 h 1 min", "1 d", "1 d 1 h"],
    ]);
    expect(formatAge(null)).toBe("");
    expect(formatNumber(count(1234))).toBe("1,234");
    expect(formatNumber(count(1000, false))).toBe("1,000+");
    expect(formatNumber(count(1000, false, true))).toBe("≈ 1,000");
});

test("the doctor's lines are shown on request", async () => {
    onRpc("queue.job.overview", "read_doctor", () => [
        {
            key: "worker",
            level: "error",
            looked_at: "A request",
            found: "refused",
            advice: "Start it",
        },
        {key: "clock", level: "ok", looked_at: "Clocks", found: "equal", advice: ""},
    ]);
    await open();
    expect(".o_queue_job_doctor").toHaveCount(0);
    await click(".o_queue_job_examine");
    await animationFrame();
    expect(".o_queue_job_doctor_error").toHaveText(
        /A request\s*:\s*refused\s*Start it/
    );
    expect(".o_queue_job_doctor_ok").toHaveText(/Clocks\s*:\s*equal/);
    await click(".o_queue_job_doctor .btn-close");
    await animationFrame();
    expect(".o_queue_job_doctor").toHaveCount(0);
});
