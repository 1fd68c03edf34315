import {registry} from "@web/core/registry";

// The least ratio of the WCAG (AA) for text of the usual size.
const LEAST = 4.5;

/** Return a colour as the browser computes it: stylesheets write them in many ways. */
function computed(color) {
    const probe = document.createElement("span");
    probe.style.color = color;
    document.body.append(probe);
    const result = getComputedStyle(probe).color;
    probe.remove();
    return result;
}

function rgba(color) {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (
        color.match(/[\d.]+/g) || []
    ).map(Number);
    return color === "transparent" ? [0, 0, 0, 0] : [red, green, blue, alpha];
}

function over([r, g, b, alpha], [r2, g2, b2, alpha2]) {
    const mix = (top, bottom) => top * alpha + bottom * (1 - alpha);
    return [mix(r, r2), mix(g, g2), mix(b, b2), alpha + alpha2 * (1 - alpha)];
}

function luminance([...color]) {
    const [red, green, blue] = color.slice(0, 3).map((value) => {
        const part = value / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
    const [bright, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (bright + 0.05) / (dark + 0.05);
}

/** What is painted behind the text of an element. */
function behind(element) {
    const box = element.closest(".o_job_graph_node")?.querySelector(".o_job_graph_box");
    if (box) {
        return rgba(getComputedStyle(box).fill);
    }
    let color = [0, 0, 0, 0];
    for (let node = element; node && color[3] < 1; node = node.parentElement) {
        color = over(color, rgba(getComputedStyle(node).backgroundColor));
    }
    return over(color, [255, 255, 255, 1]);
}

function hasOwnText(element) {
    const texts = [...element.childNodes].filter((n) => n.nodeType === Node.TEXT_NODE);
    const style = getComputedStyle(element);
    return (
        texts.some((node) => node.textContent.trim()) &&
        style.display !== "none" &&
        style.visibility !== "hidden" &&
        element.getClientRects().length
    );
}

/** Fail on text that cannot be read on what is behind it. */
function check(selector) {
    const found = [...document.querySelectorAll(`${selector}, ${selector} *`)];
    const texts = found.filter(hasOwnText);
    if (!texts.length) {
        throw new Error(`Nothing to read in ${selector}`);
    }
    for (const element of texts) {
        const style = getComputedStyle(element);
        const back = behind(element);
        const front = over(
            rgba(element instanceof SVGElement ? style.fill : style.color),
            back
        );
        const ratio = contrast(front, back);
        if (ratio < LEAST) {
            throw new Error(
                `"${element.textContent.trim()}" (${element.className.baseVal ?? element.className}) ` +
                    `is ${front} on ${back}: ${ratio.toFixed(2)}`
            );
        }
    }
}

/** Fail unless a surface is as dark, or as bright, as the scheme that was asked for. */
function checkScheme(color) {
    const isDark = document.cookie.includes("color_scheme=dark");
    const value = luminance(color);
    if (isDark ? value > 0.1 : value < 0.7) {
        throw new Error(`${color} is not of the ${isDark ? "dark" : "bright"} scheme`);
    }
}

function checkSurface(selector, property = "backgroundColor") {
    for (const element of document.querySelectorAll(selector)) {
        checkScheme(rgba(getComputedStyle(element)[property]));
    }
}

function checkChart() {
    const canvas = document.querySelector(".o_queue_job_chart canvas");
    const {data, options} = Chart.getChart(canvas);
    const back = behind(canvas);
    const colors = [
        options.scales.x.ticks.color,
        options.scales.y.ticks.color,
        options.plugins.legend.labels.color,
        ...data.datasets.map((dataset) => dataset.backgroundColor),
    ];
    checkScheme(back);
    for (const color of colors) {
        const ratio = contrast(over(rgba(computed(color)), back), back);
        if (!(ratio > 2)) {
            throw new Error(`The chart has ${color} on ${back}: ${ratio}`);
        }
    }
}

// Every screen that has a stylesheet of its own, with jobs that wait and that failed.
registry.category("web_tour.tours").add("queue_job_contrast", {
    steps: () => [
        {
            trigger: ".o_queue_job_overview .o_queue_job_chart canvas",
            run() {
                check(".o_queue_job_overview");
                checkSurface(".o_queue_job_overview .card");
                checkChart();
            },
        },
        {trigger: ".o_queue_job_tile_failed", run: "click"},
        {trigger: ".o_data_row:contains(dark failed) [name=name]", run: "click"},
        {trigger: ".o_job_traceback_toggle", run: "click"},
        {
            trigger: ".o_job_traceback_text",
            run() {
                check(".o_field_job_traceback");
                check(".o_field_job_timeline");
                checkSurface(".o_job_traceback_text");
            },
        },
        {trigger: ".nav-link[name=dependencies]", run: "click"},
        {
            trigger: ".o_job_graph_node:contains(dark waits)",
            run() {
                check(".o_field_job_directed_graph");
                checkSurface(".o_job_graph_picture");
                checkSurface(".o_job_graph_box", "fill");
            },
        },
        {
            trigger: ".o_job_graph_node:contains(dark waits) .o_job_graph_box",
            run: "click",
        },
        {
            trigger: ".o_job_explanation:contains(dark failed)",
            run: () => check(".o_field_job_explanation"),
        },
    ],
});
