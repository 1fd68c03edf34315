import {registry} from "@web/core/registry";

const tours = registry.category("web_tour.tours");

/** Choose all jobs of the list, and a wizard of the Actions menu. */
function chooseInActionMenu(label) {
    return [
        {trigger: "thead .o_list_record_selector input", run: "click"},
        {
            trigger: ".o_cp_action_menus .dropdown-toggle:contains(Actions)",
            run: "click",
        },
        {
            trigger: `.o-dropdown--menu .o-dropdown-item:contains(${label})`,
            run: "click",
        },
    ];
}

tours.add("queue_job_open_and_filter", {
    steps: () => [
        {
            content: "The default filters leave out what is done",
            trigger:
                ".o_list_view:not(:contains(tour done)) .o_data_row:contains(tour failed)",
        },
        {trigger: ".o_facet_remove", run: "click"},
        {trigger: ".o_data_row:contains(tour done)"},
        {trigger: ".o_searchview_dropdown_toggler", run: "click"},
        {trigger: ".o_filter_menu .o_menu_item:contains(Failed)", run: "click"},
        {trigger: ".o_list_view:not(:contains(tour done))"},
        {
            content: "Why it failed is told in the list",
            trigger: ".o_data_row:contains(tour failed):contains(ValueError: It broke)",
        },
        {trigger: ".o_data_row:contains(tour failed) [name=name]", run: "click"},
        {trigger: ".o_form_view .alert-danger:contains(It broke)"},
        {trigger: ".o_job_timeline_step[data-kind=failed]"},
        {trigger: ".o_job_traceback_toggle", run: "click"},
        {trigger: ".o_job_traceback_text:contains(Traceback)"},
        {trigger: ".nav-link[name=attempts]", run: "click"},
        {trigger: "[name=attempt_ids] .o_data_cell:contains(no answer)", run: "click"},
        {trigger: ".modal .o_job_traceback_text:contains(first traceback)"},
        {trigger: ".modal .btn-close", run: "click"},
        {trigger: "body:not(:has(.modal)) button[name=requeue]", run: "click"},
        {trigger: ".o_arrow_button_current:contains(Pending)"},
        {trigger: ".o_job_explanation"},
        {trigger: ".o_form_view:not(:has(button[name=requeue]:visible))"},
    ],
});

tours.add("queue_job_requeue_selection", {
    steps: () => [
        {trigger: ".o_data_row:contains(tour failed)"},
        ...chooseInActionMenu("Requeue Jobs"),
        {
            trigger:
                ".modal:contains(3 jobs will go back):contains(Left alone):contains(1)",
        },
        {trigger: ".modal button[name=requeue]", run: "click"},
        {
            trigger:
                "body:not(:has(.modal)) .o_list_view:not(:has(.o_field_badge:contains(Failed)))",
        },
    ],
});

tours.add("queue_job_cancel_selection", {
    steps: () => [
        {trigger: ".o_data_row:contains(tour failed)"},
        ...chooseInActionMenu("Cancel jobs"),
        {trigger: ".modal:contains(4 jobs will be cancelled)"},
        {trigger: ".modal button[name=set_cancelled]", run: "click"},
        {trigger: "body:not(:has(.modal)) .o_view_nocontent:contains(No job here)"},
    ],
});

tours.add("queue_job_stop", {
    steps: () => [
        {trigger: ".o_data_row:contains(tour runs) [name=name]", run: "click"},
        {trigger: ".o_form_view button[name=button_stop]", run: "click"},
        {
            trigger: ".modal:contains(Stop this job) .modal-footer .btn-primary",
            run: "click",
        },
        {trigger: ".o_arrow_button_current:contains(Cancelled)"},
        {trigger: ".o_form_view:not(:has(button[name=button_stop]:visible))"},
        {trigger: ".nav-link[name=attempts]", run: "click"},
        {trigger: "[name=attempt_ids] .o_data_cell:contains(Stopped by)"},
    ],
});

tours.add("queue_job_set_done_selection", {
    steps: () => [
        {trigger: ".o_data_row:contains(tour failed)"},
        ...chooseInActionMenu("Set jobs to done"),
        {trigger: ".modal:contains(4 jobs will be set to done)"},
        {trigger: ".modal button[name=set_done]", run: "click"},
        {trigger: "body:not(:has(.modal)) .o_view_nocontent:contains(No job here)"},
    ],
});

tours.add("queue_job_failures", {
    steps: () => [
        {trigger: ".o_data_row:contains(ValueError) [name=last_hour]:contains(3)"},
        {
            trigger: ".o_data_row:contains(ValueError) button[name=action_cancel]",
            run: "click",
        },
        {trigger: ".modal:contains(3 jobs will be cancelled)"},
        {trigger: ".modal button[name=set_cancelled]", run: "click"},
        {
            trigger:
                "body:not(:has(.modal)) .o_view_nocontent:contains(Nothing has failed)",
        },
    ],
});

tours.add("queue_job_kanban", {
    steps: () => [
        {trigger: ".o_switch_view.o_kanban", run: "click"},
        {
            trigger:
                ".o_kanban_group:contains(Failed) .o_kanban_record:contains(It broke)",
        },
        {
            trigger:
                ".o_kanban_group:contains(Pending) .o_kanban_record:contains(tour waits)",
            run: "click",
        },
        {trigger: ".o_form_view .o_job_explanation"},
    ],
});
