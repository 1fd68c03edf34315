import {Component} from "@odoo/owl";

import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {formatDuration, formatNumber} from "../queue_job_formats";

/** How long the jobs of a function take, as numbers and as bars. */
export class JobFunctionFiguresField extends Component {
    static template = "queue_job.JobFunctionFigures";
    static props = {...standardFieldProps};

    get figures() {
        return this.props.record.data[this.props.name];
    }

    get numbers() {
        const {count, mean, longest, percentiles, waiting} = this.figures;
        const [half, most, nearly] = percentiles;
        return [
            [_t("Waiting now"), formatNumber({count: waiting, exact: true})],
            [_t("Mean"), formatDuration(mean)],
            [_t("50 % within"), formatDuration(half)],
            [_t("95 % within"), formatDuration(most)],
            [_t("99 % within"), formatDuration(nearly)],
            [_t("Longest"), formatDuration(longest)],
            [_t("Jobs looked at"), formatNumber({count, exact: true})],
        ].map(([label, text]) => ({label, text: text || "–"}));
    }

    get durations() {
        const {edges, histogram} = this.figures;
        const most = Math.max(...histogram, 1);
        return histogram.map((count, place) => ({
            label: place
                ? _t("from %s", formatDuration(edges[place - 1]))
                : _t("below %s", formatDuration(edges[0])),
            count,
            height: (100 * count) / most,
        }));
    }

    get hours() {
        const {hours} = this.figures;
        const most = Math.max(...hours.map(([done, failed]) => done + failed), 1);
        return hours.map(([done, failed], place) => ({
            label: _t("%(age)s h ago: %(done)s done, %(failed)s failed", {
                age: hours.length - 1 - place,
                done,
                failed,
            }),
            done: (100 * done) / most,
            failed: (100 * failed) / most,
        }));
    }
}

registry.category("fields").add("job_function_figures", {
    component: JobFunctionFiguresField,
    displayName: _t("Figures of a Job Function"),
    supportedTypes: ["json"],
});
