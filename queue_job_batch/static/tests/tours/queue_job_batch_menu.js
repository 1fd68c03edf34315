import {registry} from "@web/core/registry";

registry.category("web_tour.tours").add("queue_job_batch_menu", {
    steps: () => [
        {
            content: "Open the menu",
            trigger: ".o_queue_job_batch_menu",
            run: "click",
        },
        {
            content: "Two batches are unread",
            trigger: ".o_queue_job_batch_counter:contains(2)",
        },
        {
            content: "Mark the finished one as read",
            trigger: ".o_queue_job_batch:contains(Import) .o_queue_job_batch_read",
            run: "click",
        },
        {
            trigger: ".o_queue_job_batch_list:not(:contains(Import))",
            timeout: 60000,
        },
        {
            content: "Open the form of the other one",
            trigger: ".o_queue_job_batch:contains(Later) .btn-link",
            run: "click",
        },
        {
            content: "Open its jobs",
            trigger: ".o_form_view button[name='action_view_jobs']",
            run: "click",
            timeout: 60000,
        },
        {
            content: "There is one",
            trigger: ".o_list_view .o_data_row",
            timeout: 60000,
        },
    ],
});
