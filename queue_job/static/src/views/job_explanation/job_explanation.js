import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

import {Component} from "@odoo/owl";

const ICONS = {
    danger: "fa-exclamation-circle",
    warning: "fa-exclamation-triangle",
    info: "fa-info-circle",
};

/** Why a job is not running, with links to the jobs that the sentence names. */
export class JobExplanationField extends Component {
    static template = "queue_job.JobExplanation";
    static props = {...standardFieldProps};

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
    }

    get explanation() {
        return this.props.record.data[this.props.name] || null;
    }

    get icon() {
        return ICONS[this.explanation.level] || ICONS.info;
    }

    async open(job) {
        const action = await this.orm.call("queue.job", "get_formview_action", [
            [job.id],
        ]);
        await this.action.doAction(action);
    }

    async refresh() {
        await this.props.record.load();
    }
}

export const jobExplanationField = {
    component: JobExplanationField,
    displayName: _t("Why a Job Is Not Running"),
    supportedTypes: ["json"],
    isEmpty: (record, name) => !record.data[name],
};

registry.category("fields").add("job_explanation", jobExplanationField);
