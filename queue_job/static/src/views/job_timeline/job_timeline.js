import {_t} from "@web/core/l10n/translation";
import {localization} from "@web/core/l10n/localization";
import {deserializeDateTime, formatDateTime} from "@web/core/l10n/dates";
import {registry} from "@web/core/registry";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {formatDuration} from "../queue_job_formats";

import {Component, useState} from "@odoo/owl";

// More steps are folded: those at the ends tell most.
const SHOWN_AT_ENDS = 5;

const COLORS = {
    created: "secondary",
    requeued: "secondary",
    pending: "secondary",
    enqueued: "info",
    started: "warning",
    done: "success",
    cancelled: "secondary",
    failed: "danger",
    postponed: "danger",
    dead: "danger",
};

/** The states that a job went through, with dates, and how long it was in each. */
export class JobTimelineField extends Component {
    static template = "queue_job.JobTimeline";
    static props = {...standardFieldProps};

    setup() {
        this.state = useState({unfolded: false});
    }

    get steps() {
        const steps = this.props.record.data[this.props.name] || [];
        // The day is told where it changes.
        let day = luxon.DateTime.local();
        return steps.map((step, index) => {
            const date = deserializeDateTime(step.date);
            const isSameDay = date.hasSame(day, "day");
            day = date;
            return {
                ...step,
                key: index,
                color: COLORS[step.kind] || "secondary",
                time: isSameDay
                    ? date.toFormat(localization.timeFormat)
                    : formatDateTime(date, {showSeconds: true}),
                duration: formatDuration(step.seconds),
                isLast: index === steps.length - 1,
            };
        });
    }

    get shownSteps() {
        const steps = this.steps;
        const hidden = steps.length - 2 * SHOWN_AT_ENDS;
        if (this.state.unfolded || hidden < 2) {
            return steps;
        }
        const fold = {
            key: "fold",
            isFold: true,
            label: _t("%s more steps", hidden),
        };
        return [...steps.slice(0, SHOWN_AT_ENDS), fold, ...steps.slice(-SHOWN_AT_ENDS)];
    }

    unfold() {
        this.state.unfolded = true;
    }
}

export const jobTimelineField = {
    component: JobTimelineField,
    displayName: _t("Timeline of a Job"),
    supportedTypes: ["json"],
    isEmpty: (record, name) => !record.data[name]?.length,
};

registry.category("fields").add("job_timeline", jobTimelineField);
