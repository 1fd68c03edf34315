import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {formatFloat} from "@web/views/fields/formatters";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {Component} from "@odoo/owl";

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/**
 * Return seconds as text with at most two units; nothing for no time at all.
 *
 * @param {number|false|null} seconds
 * @returns {string}
 */
export function formatDuration(seconds) {
    if (!seconds || seconds < 0) {
        return "";
    }
    if (seconds < 0.1) {
        return _t("%s ms", Math.max(Math.round(seconds * 1000), 1));
    }
    if (seconds < 10) {
        const digits = Number.isInteger(Math.round(seconds * 10) / 10) ? 0 : 1;
        return _t("%s s", formatFloat(seconds, {digits: [16, digits]}));
    }
    const whole = Math.round(seconds);
    if (whole < MINUTE) {
        return _t("%s s", whole);
    }
    if (whole < HOUR) {
        return _t("%(minutes)s min %(seconds)s s", {
            minutes: Math.floor(whole / MINUTE),
            seconds: whole % MINUTE,
        });
    }
    const minutes = Math.floor(whole / MINUTE);
    if (whole < DAY) {
        return _t("%(hours)s h %(minutes)s min", {
            hours: Math.floor(minutes / 60),
            minutes: minutes % 60,
        });
    }
    const hours = Math.floor(minutes / 60);
    return _t("%(days)s d %(hours)s h", {
        days: Math.floor(hours / 24),
        hours: hours % 24,
    });
}

/** Seconds, shown as a duration that people read. */
export class JobDurationField extends Component {
    static template = "queue_job.JobDuration";
    static props = {...standardFieldProps};

    get text() {
        return formatDuration(this.props.record.data[this.props.name]);
    }
}

export const jobDurationField = {
    component: JobDurationField,
    displayName: _t("Duration"),
    supportedTypes: ["float", "integer"],
    isEmpty: () => false,
    listViewWidth: [95, 110],
};

registry.category("fields").add("job_duration", jobDurationField);
