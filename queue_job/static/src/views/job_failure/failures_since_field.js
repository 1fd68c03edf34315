import {Component} from "@odoo/owl";

import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {useService} from "@web/core/utils/hooks";
import {formatInteger} from "@web/views/fields/formatters";
import {standardFieldProps} from "@web/views/fields/standard_field_props";

/** How many jobs of a group failed within some hours; opens them. */
export class FailuresSinceField extends Component {
    static template = "queue_job.JobFailuresSince";
    static props = {...standardFieldProps, hours: Number};

    setup() {
        this.orm = useService("orm");
        this.action = useService("action");
    }

    get count() {
        return this.props.record.data[this.props.name];
    }

    get text() {
        return formatInteger(this.count);
    }

    get label() {
        return _t("%(count)s failed within %(hours)s hours: open them", {
            count: this.text,
            hours: this.props.hours,
        });
    }

    async open() {
        const {resModel, resId} = this.props.record;
        const args = [[resId], this.props.hours];
        const action = await this.orm.call(resModel, "action_open_jobs_since", args);
        await this.action.doAction(action);
    }
}

export const failuresSinceField = {
    component: FailuresSinceField,
    displayName: _t("Failures Since"),
    supportedTypes: ["integer"],
    extractProps: ({options}) => ({hours: options.hours || 24}),
};

registry.category("fields").add("job_failures_since", failuresSinceField);
