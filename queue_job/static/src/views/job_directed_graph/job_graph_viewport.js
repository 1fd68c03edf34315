import {onMounted, onWillUnmount} from "@odoo/owl";

const SMALLEST = 0.02;
const LARGEST = 2.5;
// Pixels that the pointer may move in a click.
const CLICK_SLACK = 4;

/**
 * Zoom and pan of an SVG, without rendering anything anew.
 *
 * Drag moves, the wheel zooms at the pointer, two fingers do both. A drag is
 * never taken for a click.
 *
 * @param {{el: SVGSVGElement}} svgRef
 * @param {{el: SVGGElement}} sceneRef what is moved and scaled
 */
export function useViewport(svgRef, sceneRef) {
    const view = {x: 0, y: 0, scale: 1};
    const pointers = new Map();
    let travelled = 0;

    function apply() {
        const {x, y, scale} = view;
        sceneRef.el?.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
        svgRef.el?.classList.toggle("o_job_graph_far", scale < 0.4);
    }

    function size() {
        const {width, height} = svgRef.el.getBoundingClientRect();
        return {width: width || 600, height: height || 400};
    }

    function zoomAt(x, y, factor) {
        const scale = Math.min(Math.max(view.scale * factor, SMALLEST), LARGEST);
        view.x = x - ((x - view.x) * scale) / view.scale;
        view.y = y - ((y - view.y) * scale) / view.scale;
        view.scale = scale;
        apply();
    }

    function zoom(factor) {
        const {width, height} = size();
        zoomAt(width / 2, height / 2, factor);
    }

    /**
     * Show a point in the middle, or as near as goes without an empty margin.
     *
     * @param {{width: number, height: number}} [scene]
     */
    function show({x, y}, scale = view.scale, scene = undefined) {
        const {width, height} = size();
        const within = (offset, seen, whole) =>
            whole > seen ? Math.min(0, Math.max(offset, seen - whole)) : offset;
        view.scale = Math.min(Math.max(scale, SMALLEST), LARGEST);
        view.x = width / 2 - x * view.scale;
        view.y = height / 2 - y * view.scale;
        if (scene) {
            view.x = within(view.x, width, scene.width * view.scale);
            view.y = within(view.y, height, scene.height * view.scale);
        }
        apply();
    }

    function fit(scene) {
        const {width, height} = size();
        const scale = Math.min(width / scene.width, height / scene.height, 1);
        show({x: scene.width / 2, y: scene.height / 2}, scale);
        return scale;
    }

    function local(ev) {
        const box = svgRef.el.getBoundingClientRect();
        return {x: ev.clientX - box.left, y: ev.clientY - box.top};
    }

    function onWheel(ev) {
        ev.preventDefault();
        const {x, y} = local(ev);
        const lines = ev.deltaMode ? 20 : 1;
        zoomAt(x, y, Math.exp(-Math.max(-200, Math.min(200, ev.deltaY * lines)) / 400));
    }

    function onPointerDown(ev) {
        if (ev.button) {
            return;
        }
        if (!pointers.size) {
            travelled = 0;
        }
        pointers.set(ev.pointerId, local(ev));
    }

    function onPointerMove(ev) {
        const before = pointers.get(ev.pointerId);
        if (!before) {
            return;
        }
        const now = local(ev);
        travelled += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
        if (pointers.size === 2) {
            const [other] = [...pointers]
                .filter(([id]) => id !== ev.pointerId)
                .map((p) => p[1]);
            const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
            zoomAt(other.x, other.y, distance(now, other) / distance(before, other));
        } else if (travelled > CLICK_SLACK) {
            view.x += now.x - before.x;
            view.y += now.y - before.y;
            apply();
        }
        pointers.set(ev.pointerId, now);
        svgRef.el.classList.toggle("o_job_graph_dragged", travelled > CLICK_SLACK);
    }

    function onPointerEnd(ev) {
        pointers.delete(ev.pointerId);
        if (!pointers.size) {
            svgRef.el?.classList.remove("o_job_graph_dragged");
        }
    }

    onMounted(() => {
        const svg = svgRef.el;
        svg.addEventListener("wheel", onWheel, {passive: false});
        svg.addEventListener("pointerdown", onPointerDown);
        window.addEventListener("pointermove", onPointerMove);
        window.addEventListener("pointerup", onPointerEnd);
        window.addEventListener("pointercancel", onPointerEnd);
    });
    onWillUnmount(() => {
        window.removeEventListener("pointermove", onPointerMove);
        window.removeEventListener("pointerup", onPointerEnd);
        window.removeEventListener("pointercancel", onPointerEnd);
    });
    return {view, fit, show, zoom, wasDragged: () => travelled > CLICK_SLACK};
}
