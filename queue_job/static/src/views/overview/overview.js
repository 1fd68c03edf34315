import {Component, onWillStart, useState} from "@odoo/owl";

import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {Layout} from "@web/search/layout";
import {standardActionServiceProps} from "@web/webclient/actions/action_service";

import {usePoll} from "../poll_hook";
import {formatAge, formatDuration, formatNumber} from "../queue_job_formats";
import {ThroughputChart} from "./throughput_chart";

// Milliseconds between two looks.
const REFRESH = 2000;
// The server gets this many times as long a rest as its last answer took, but no longer
// than so many milliseconds: one slow answer tells little.
const REST = 40;
const LONGEST_REST = 10000;

// The jobs that each figure counts.
const COUNTED = {
    running: [["state", "in", ["started", "enqueued"]]],
    waiting: [
        ["state", "=", "pending"],
        "|",
        ["eta", "=", false],
        ["eta", "<=", "now"],
    ],
    later: [
        "|",
        ["state", "=", "wait_dependencies"],
        "&",
        ["state", "=", "pending"],
        ["eta", ">", "now"],
    ],
    failed: [["state", "=", "failed"]],
};
// What the cards of the functions count, as far as the jobs still tell.
const LAST_DAY = "now -24H";
const OF_THE_LAST_DAY = {
    done: [
        ["state", "=", "done"],
        ["date_done", ">=", LAST_DAY],
    ],
    failed: [
        ["state", "=", "failed"],
        ["date_started", ">=", LAST_DAY],
    ],
};

/** The page that opens first: what the queue does, and whether it does. */
export class QueueJobOverview extends Component {
    static template = "queue_job.Overview";
    static components = {Layout, ThroughputChart};
    static props = {...standardActionServiceProps};

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
        this.display = {controlPanel: {}};
        this.state = useState({
            data: null,
            period: "hour",
            error: false,
            // Lines of the doctor; null before it was asked, and while it examines.
            doctor: null,
            isExamining: false,
        });
        this.formatAge = formatAge;
        this.formatDuration = formatDuration;
        this.formatNumber = formatNumber;
        onWillStart(() => this.load());
        usePoll(() => this.poll(), REFRESH);
    }

    async load() {
        const period = this.state.period;
        const data = await this.orm.silent.call("queue.job.overview", "read_overview", [
            period,
        ]);
        if (period === this.state.period) {
            this.state.data = data;
            this.state.error = false;
        }
    }

    async poll() {
        // A server that takes long to answer is asked less often.
        this.skipped = (this.skipped || 0) + 1;
        const seconds = this.state.data?.seconds || 0;
        const rest = Math.min(seconds * REST * 1000, LONGEST_REST);
        if (this.skipped * REFRESH < rest) {
            return;
        }
        this.skipped = 0;
        try {
            await this.load();
        } catch (error) {
            this.state.error = true;
            throw error;
        }
    }

    /** Ask the doctor what keeps the queue from working. */
    async examine() {
        this.state.isExamining = true;
        this.state.doctor = null;
        try {
            this.state.doctor = await this.orm.call(
                "queue.job.overview",
                "read_doctor",
                []
            );
        } finally {
            this.state.isExamining = false;
        }
    }

    closeDoctor() {
        this.state.doctor = null;
    }

    doctorIcon(line) {
        return {
            ok: "fa-check text-success",
            warning: "fa-exclamation-triangle text-warning",
            error: "fa-times text-danger",
        }[line.level];
    }

    async setPeriod(period) {
        this.state.period = period;
        await this.load();
    }

    // What is shown ----------------------------------------------------------

    get runner() {
        return this.state.data.runner;
    }

    get channels() {
        return this.state.data.channels;
    }

    get root() {
        return this.channels[0];
    }

    get functions() {
        return this.state.data.functions;
    }

    get hasJobs() {
        return this.state.data.has_jobs;
    }

    /** Whether all that ended is added up: the first look at many jobs takes a while. */
    get isComplete() {
        return this.state.data.series.is_complete;
    }

    get ended() {
        const {points} = this.state.data.series;
        const sum = (side) => ({
            count: points.reduce((total, point) => total + point[side], 0),
            exact: this.isComplete,
        });
        return {done: sum(0), failed: sum(1)};
    }

    get periodWords() {
        return this.state.period === "hour"
            ? {
                  chart: _t("Jobs per minute, in the last hour"),
                  done: _t("Done in the last hour"),
              }
            : {
                  chart: _t("Jobs per minute, in the last 24 hours"),
                  done: _t("Done in the last 24 hours"),
              };
    }

    get failedWords() {
        return _t("+ %s failed", formatNumber(this.ended.failed));
    }

    get runnerWords() {
        const {node, pid, address, age} = this.runner;
        const known = {node, pid, address, age: formatAge(age)};
        return address
            ? _t(
                  "The runner is alive on %(node)s (process %(pid)s, connected from %(address)s), for %(age)s.",
                  known
              )
            : _t(
                  "The runner is alive on %(node)s (process %(pid)s), for %(age)s.",
                  known
              );
    }

    get runningTile() {
        return this.root.sent.count
            ? _t("Running, %s sent to workers", formatNumber(this.root.sent))
            : _t("Running");
    }

    get waitingTile() {
        return this.root.age === null
            ? _t("Waiting")
            : _t("Waiting, the oldest for %s", formatAge(this.root.age));
    }

    throttleWords(channel) {
        return _t("Every %s", formatDuration(channel.throttle));
    }

    get problems() {
        return this.state.data.problems;
    }

    /** One sentence: whether all is well. */
    get headline() {
        if (this.problems.length) {
            return this.problems.length === 1
                ? _t("1 problem needs you")
                : _t("%s problems need you, the worst first", this.problems.length);
        }
        return _t("All is well: %(running)s running, %(waiting)s waiting", {
            running: formatNumber(this.root.running),
            waiting: formatNumber(this.root.waiting),
        });
    }

    async solve({action, model, method, ids}) {
        if (action) {
            await this.action.doAction(action, {onClose: () => this.load()});
        } else {
            await this.orm.call(model, method, [ids]);
            await this.load();
        }
    }

    /** What waits for its time, or for other jobs. */
    laterOf({later, depending}) {
        const parts = [later, depending].filter((number) => !number.exact);
        return {
            count: later.count + depending.count,
            exact: !parts.length,
            estimated: parts.length && parts.every((number) => number.estimated),
        };
    }

    /** Whether there are some, as far as is known. */
    mayBeSome({count, exact}) {
        return count || !exact;
    }

    /** How much of a channel so many jobs fill, in percent. */
    share(channel, count) {
        return Math.min(100, (100 * count) / channel.capacity);
    }

    runningWords({running, sent}) {
        return _t("%(running)s run, %(sent)s are sent and wait for a worker", {
            running: formatNumber(running),
            sent: formatNumber(sent),
        });
    }

    shareOfFailures(row) {
        return Math.round((100 * row.failed) / (row.failed + row.done));
    }

    // What is done -----------------------------------------------------------

    async pause(channel, isPaused) {
        const method = isPaused ? "action_pause" : "action_resume";
        await this.orm.call("queue.job.channel", method, [[channel.id]]);
        await this.load();
    }

    pausedWords(channel) {
        return channel.pause_text ? _t("Paused %s", channel.pause_text) : _t("Paused");
    }

    async runTestJob() {
        const action = await this.orm.call("queue.job.overview", "run_test_job", []);
        await this.action.doAction(action);
    }

    /** Ask for how long a channel is to be paused. */
    async pauseFor(channel) {
        const action = await this.orm.call("queue.job.channel", "action_pause_for", [
            [channel.id],
        ]);
        await this.action.doAction(action, {onClose: () => this.load()});
    }

    openChannel(channel) {
        this.action.doAction({
            type: "ir.actions.act_window",
            res_model: "queue.job.channel",
            res_id: channel.id,
            views: [[false, "form"]],
        });
    }

    async openJobs(name, domain) {
        // The address of the menu's action would open that one again.
        const action = {
            ...(await this.action.loadAction("queue_job.action_queue_job")),
            path: undefined,
        };
        await this.action.doAction({
            ...action,
            name,
            display_name: name,
            domain,
            context: {},
        });
    }

    /** Open the jobs of a channel, and of what is below it, that one of its figures counts. */
    openJobsOf(channel, figure) {
        const domain = [...COUNTED[figure]];
        if (channel.depth) {
            // Jobs may name their channel without the root.
            const names = [channel.name, channel.name.slice("root.".length)];
            domain.push(
                ...["|", "|"],
                ["channel", "in", names],
                ...names.map((name) => ["channel", "=like", `${escaped(name)}.%`])
            );
        }
        this.openJobs(
            channel.depth ? _t("Jobs of %s", channel.name) : _t("Jobs"),
            domain
        );
    }

    openFunction(row, state) {
        this.openJobs(_t("Jobs of %s", row.function), [
            ["channel_method_name", "=", row.function],
            ...OF_THE_LAST_DAY[state],
        ]);
    }

    openChannels() {
        this.action.doAction("queue_job.action_queue_job_channel");
    }
}

/** Return a name as a pattern that is like nothing else. */
function escaped(name) {
    return name.replace(/[\\%_]/g, "\\$&");
}

registry.category("actions").add("queue_job.overview", QueueJobOverview);
