import {Component, onWillStart, useEffect, useRef} from "@odoo/owl";

import {loadBundle} from "@web/core/assets";
import {_t} from "@web/core/l10n/translation";

const {DateTime} = luxon;

/** Jobs done and failed per minute, as bars. */
export class ThroughputChart extends Component {
    static template = "queue_job.ThroughputChart";
    static props = {series: Object};

    setup() {
        this.canvasRef = useRef("canvas");
        onWillStart(() => loadBundle("web.chartjs_lib"));
        useEffect(
            (canvas) => {
                this.chart = new Chart(canvas, this.config);
                return () => this.chart.destroy();
            },
            () => [this.canvasRef.el]
        );
        // The times below the bars go on when nothing else does.
        useEffect(
            () => this.update(),
            () => [JSON.stringify(this.data)]
        );
    }

    /** The colours are those of the stylesheet, which has a bright and a dark one. */
    color(name) {
        const style = getComputedStyle(this.canvasRef.el);
        return style.getPropertyValue(`--o-queue-job-${name}`).trim();
    }

    /** Each point as a number per minute. */
    get data() {
        const {points, width} = this.props.series;
        const end = DateTime.now().startOf("minute").plus({minutes: 1});
        const at = (index) => end.minus({minutes: (points.length - index) * width});
        const rate = (count) => Math.round((count / width) * 100) / 100;
        const bars = (label, side, color) => ({
            label,
            data: points.map((point) => rate(point[side])),
            backgroundColor: color,
            stack: "ended",
            barPercentage: 1,
            categoryPercentage: 0.9,
        });
        return {
            labels: points.map((_point, index) =>
                at(index).toLocaleString(DateTime.TIME_SIMPLE)
            ),
            datasets: [
                bars(_t("Done"), 0, this.color("done")),
                bars(_t("Failed"), 1, this.color("failed")),
            ],
        };
    }

    get config() {
        const text = this.color("text");
        const grid = this.color("grid");
        return {
            type: "bar",
            data: this.data,
            options: {
                animation: false,
                responsive: true,
                maintainAspectRatio: false,
                interaction: {mode: "index", intersect: false},
                scales: {
                    x: {
                        stacked: true,
                        grid: {display: false},
                        ticks: {color: text, maxTicksLimit: 8, maxRotation: 0},
                    },
                    y: {
                        stacked: true,
                        beginAtZero: true,
                        suggestedMax: 4,
                        grid: {color: grid},
                        ticks: {color: text, maxTicksLimit: 5},
                    },
                },
                plugins: {legend: {labels: {color: text, boxWidth: 12}}},
            },
        };
    }

    update() {
        this.chart.data = this.data;
        this.chart.update("none");
    }
}
