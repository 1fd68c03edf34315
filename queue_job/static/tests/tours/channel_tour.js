import {registry} from "@web/core/registry";

registry.category("web_tour.tours").add("queue_job_channel", {
    steps: () => [
        {
            content: "The channel shows what it has to do",
            trigger:
                ".o_data_row:contains(tour_channel) [name=waiting_text]:contains(2)",
        },
        {
            content: "Pause it",
            trigger: ".o_data_row:contains(tour_channel) .o_queue_job_pause",
            run: "click",
        },
        {
            content: "It is paused",
            trigger: ".o_data_row:contains(tour_channel) .badge:contains(Paused)",
        },
        {
            content: "Resume it",
            trigger: ".o_data_row:contains(tour_channel) .o_queue_job_resume",
            run: "click",
        },
        {
            content: "It is not paused any more",
            trigger: ".o_data_row:contains(tour_channel):not(:contains(Paused))",
        },
        {
            content: "Edit its capacity in place",
            trigger: ".o_data_row:contains(tour_channel) [name=capacity]",
            run: "click",
        },
        {
            trigger: ".o_data_row.o_selected_row [name=capacity] input",
            run: "edit 7",
        },
        {
            content: "Save",
            trigger: ".o_list_button_save",
            run: "click",
        },
        {
            content: "The new capacity applies",
            trigger:
                ".o_data_row:contains(tour_channel) [name=running_text]:contains(/ 7)",
        },
    ],
});
