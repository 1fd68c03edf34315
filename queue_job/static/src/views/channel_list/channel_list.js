import {Component} from "@odoo/owl";

import {_t} from "@web/core/l10n/translation";
import {registry} from "@web/core/registry";
import {charField, CharField} from "@web/views/fields/char/char_field";
import {integerField, IntegerField} from "@web/views/fields/integer/integer_field";
import {formatInteger} from "@web/views/fields/formatters";
import {standardFieldProps} from "@web/views/fields/standard_field_props";
import {ListController} from "@web/views/list/list_controller";
import {listView} from "@web/views/list/list_view";

import {usePoll} from "../poll_hook";

// Milliseconds between two looks at the figures.
const REFRESH = 3000;

/** The channels as a tree, with figures that stay up to date. */
export class ChannelListController extends ListController {
    setup() {
        super.setup();
        usePoll(() => this.refresh(), REFRESH);
    }

    /** A new channel needs a parent and a name of its own: it is made in the form. */
    async createRecord() {
        await this.props.createRecord();
    }

    /** Read the figures anew, unless somebody is at work on the list. */
    async refresh() {
        const {root} = this.model;
        const dialog = document.querySelector(
            ".modal, .o_popover, .dropdown-menu.show"
        );
        if (
            !root ||
            root.editedRecord ||
            root.selection.length ||
            root.isGrouped ||
            dialog
        ) {
            return;
        }
        await this.show(await this.model.orm.silent.call(...this.probe()));
    }

    /** The call that reads what is shown, without the loading bar. */
    probe() {
        const {root} = this.model;
        const names = Object.keys(root.activeFields).filter((name) =>
            ["char", "integer", "float", "boolean"].includes(root.fields[name].type)
        );
        return [
            "queue.job.channel",
            "read",
            [root.records.map((record) => record.resId), names],
        ];
    }

    async show(rows) {
        const {root} = this.model;
        if (root.editedRecord) {
            return;
        }
        const byId = Object.fromEntries(rows.map((row) => [row.id, row]));
        const isChanged = root.records.some((record) => {
            const row = byId[record.resId];
            return (
                !row ||
                Object.keys(row).some((name) => differs(record.data[name], row[name]))
            );
        });
        if (isChanged) {
            await root.load();
        }
    }
}

function differs(shown, read) {
    return shown !== undefined && (shown || false) !== (read || false);
}

/** The name of a channel below its parent. */
export class ChannelNameField extends Component {
    static template = "queue_job.ChannelName";
    static components = {CharField};
    static props = {...standardFieldProps, placeholder: {type: String, optional: true}};

    get data() {
        return this.props.record.data;
    }

    get isNew() {
        return !this.props.record.resId;
    }

    /** What is not the name of the parent. */
    get label() {
        const name = this.data.complete_name || "";
        return this.data.name || name.slice(name.lastIndexOf(".") + 1);
    }

    get note() {
        if (this.data.has_fixed_pause) {
            return _t("Paused in the configuration");
        }
        if (this.data.is_paused) {
            return this.data.pause_text
                ? _t("Paused %s", this.data.pause_text)
                : _t("Paused");
        }
        return this.data.is_stopped ? _t("Paused above") : "";
    }
}

/** A capacity that may be empty: no limit of its own. */
export class CapacityField extends IntegerField {
    static template = "queue_job.Capacity";

    get isSet() {
        return this.value !== false && this.value !== null && this.value !== undefined;
    }

    get words() {
        if (this.props.record.data.has_fixed_capacity) {
            return _t("in the configuration");
        }
        if (!this.isSet) {
            const {default_capacity: applied} = this.props.record.data;
            return applied ? formatInteger(applied) : _t("not set");
        }
        return this.value ? this.formattedValue : _t("no limit");
    }
}

registry.category("fields").add("queue_job_channel_name", {
    ...charField,
    component: ChannelNameField,
    extractProps: () => ({}),
});
registry.category("fields").add("queue_job_capacity", {
    ...integerField,
    component: CapacityField,
});
registry.category("views").add("queue_job_channel_list", {
    ...listView,
    Controller: ChannelListController,
});
