import {registry} from "@web/core/registry";

registry.category("web_tour.tours").add("queue_job_graph", {
    steps: () => [
        {
            content: "Open the page of the dependencies",
            trigger: ".o_notebook .nav-link[name=dependencies]",
            run: "click",
        },
        {
            content: "The graph marks the job",
            trigger: ".o_job_graph_current:contains(First)",
        },
        {
            content: "Open the job that waits for it",
            trigger: ".o_job_graph_node:contains(Second) .o_job_graph_box",
            run: "click",
        },
        {
            content: "Its form is open",
            trigger:
                ".o_form_view h1:contains(Second), .o_form_view [name=name]:contains(Second)",
        },
        {
            content: "Open the page of its dependencies",
            trigger: ".o_notebook .nav-link[name=dependencies]",
            run: "click",
        },
        {
            content: "Now that job is marked",
            trigger: ".o_job_graph_current:contains(Second)",
        },
    ],
});
