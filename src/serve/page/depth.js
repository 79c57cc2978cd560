/* depth.js - how deep: the slider, the layers of each scale, and what they cost. */
import { get } from "./api.js";

const $ = (id) => document.getElementById(id);
const QUICK = 0.2; // seconds of a picture: below, times are measured without being asked, which is some dozen pictures

/** 0.0123 to "12 ms". */
export function secondsText(seconds) {
    if (seconds < 0.0995) return `${(1000 * seconds).toPrecision(2)} ms`;
    if (seconds < 0.9995) return `${Math.round(1000 * seconds)} ms`;
    return `${seconds < 9.95 ? seconds.toPrecision(2) : Math.round(seconds)} s`;
}

export const bytesText = (bytes) => (bytes < 1e9 ? `${(bytes / 1e6).toPrecision(2)} MB` : `${(bytes / 1e9).toPrecision(2)} GB`);

/** A figure, and in small letters what belongs to it. */
function tell(id, figure, small) {
    $(id).replaceChildren(figure, Object.assign(document.createElement("small"), { textContent: small ? ` ${small}` : "" }));
}

/** "12,12,12,6,6" to "12 layers × 3, 6 × 2". */
export function layersText(depths) {
    const runs = [];
    for (const depth of depths.split(",")) {
        const last = runs[runs.length - 1];
        if (last?.depth === depth) ++last.times;
        else runs.push({ depth, times: 1 });
    }
    return runs.map(({ depth, times }, i) => `${depth}${i ? "" : " layers"}${times > 1 ? ` × ${times}` : ""}`).join(", ");
}

/** Depths to choose from, the shallowest first: those trained for, or all. */
function depthsOf(model) {
    const all = model.supernet ? [...model.depths, model.depth] : Array.from({ length: model.depth }, (_, i) => i + 1);
    return [...new Set(all)].sort((a, b) => a - b);
}

export class Depth {
    constructor(model) {
        this.model = model;
        this.depths = depthsOf(model);
        this.costs = null;
        const slider = $("depth"), bridge = $("bridge");
        slider.max = this.depths.length - 1;
        slider.value = slider.max;
        bridge.max = model.scales;
        this.ownBridge = Math.min(model.bridge, model.scales);
        bridge.value = this.ownBridge;
        slider.addEventListener("input", () => this.show());
        bridge.addEventListener("input", () => this.show());
        $("count").addEventListener("input", () => this.show());
        $("measure").addEventListener("click", () => this.ask(true).catch((fault) => this.onFault(fault)));
        this.drawMarks();
        this.drawPicks();
        this.drawLayers();
        this.show();
    }

    get value() {
        return this.depths[Number($("depth").value)];
    }

    set value(depth) {
        const at = this.depths.indexOf(depth);
        $("depth").value = at < 0 ? this.depths.length - 1 : at;
        this.show();
    }

    get bridge() {
        return $("bridge").value === "" ? this.ownBridge : Number($("bridge").value);
    }

    step(by) {
        $("depth").value = Number($("depth").value) + by;
        this.show();
    }

    /** Those that are to be compared, the shallowest first. */
    get picked() {
        return [...document.querySelectorAll("#depths input:checked")].map((box) => Number(box.value));
    }

    drawMarks() {
        const few = this.depths.length <= 8 ? this.depths : [this.depths[0], this.depths[this.depths.length - 1]];
        $("depth-marks").replaceChildren(...few.map((depth) => Object.assign(document.createElement("span"), { textContent: depth })));
    }

    drawPicks() {
        const { depths } = this, most = depths.length - 1;
        const first = new Set(depths.length <= 6 ? depths : [0.25, 0.5, 0.75, 1].map((part) => depths[Math.round(part * most)]));
        $("depths").replaceChildren(...depths.map((depth) => {
            const label = document.createElement("label"), box = document.createElement("input");
            Object.assign(box, { type: "checkbox", value: depth, checked: first.has(depth) });
            label.append(box, Object.assign(document.createElement("span"), { textContent: depth }));
            return label;
        }));
    }

    drawLayers() {
        $("layers").replaceChildren(...this.model.sides.map((side) => {
            const column = document.createElement("div");
            column.append(document.createElement("i"), Object.assign(document.createElement("span"), { textContent: side }));
            return column;
        }));
    }

    /** The row of the server's table for this depth. */
    costOf(depth) {
        const full = depth === this.model.depth;
        return this.costs?.schedules.find((one) => one.depth === depth && (full || one.bridge === this.bridge));
    }

    show() {
        const depth = this.value, full = this.model.depth;
        $("depth-value").textContent = depth === full ? `${depth} of ${full} layers: all` : `${depth} of ${full} layers`;
        $("depth").setAttribute("aria-valuetext", `${depth} of ${full} layers`);
        document.querySelectorAll("#layers i").forEach((bar, k) => {
            const layers = k < this.bridge ? full : depth;
            bar.style.height = `${Math.max(4, (100 * layers) / full)}%`;
            bar.classList.toggle("late", k >= this.bridge);
        });
        this.showCosts();
    }

    showCosts() {
        const cost = this.costOf(this.value), all = this.costOf(this.model.depth), count = Math.max(1, Number($("count").value) || 1);
        const share = (a, b) => (a && b && a !== b ? `${Math.round((100 * a) / b)} % of full depth` : "");
        if (!this.costs || !cost) {
            $("cost-time").textContent = $("cost-memory").textContent = $("cost-quality").textContent = "–";
            return;
        }
        tell("cost-time", cost.seconds ? `${this.costs.disturbed ? "≈ " : ""}${secondsText(cost.seconds)}` : "not measured", share(cost.seconds, all?.seconds));
        $("cost-time").title = count > 1 ? `one picture alone; ${count} at once take less than ${count} times as long` : "one picture alone";
        tell("cost-memory", bytesText(cost.bytes), share(cost.bytes, all?.bytes));
        $("cost-score").textContent = this.costs.score ? this.costs.score.replace(/\(.*/, "") : "quality";
        $("cost-score").title = this.costs.score ? `${this.costs.score}, as a sweep measured it: less is better` : "variant serve --sweep shows what a sweep measured";
        tell("cost-quality", cost.distance ? cost.distance.toPrecision(2) : "not swept", cost.distance_spread ? `± ${cost.distance_spread.toPrecision(1)}` : "");
        $("measure").hidden = Boolean(cost.seconds);
    }

    /** A picture took so long: with a model that is as quick as that, its times are measured. */
    async learn(seconds) {
        const { costs } = this;
        if (costs && !costs.timed && seconds < QUICK) await this.ask(true).catch(() => {});
    }

    /** The table; measured first where that is asked for. */
    async ask(measure = false) {
        $("measure").disabled = measure;
        if (measure) $("cost-time").textContent = "measuring …";
        try {
            this.costs = await get(`/api/schedules${measure ? "?measure=true" : ""}`);
        } finally {
            $("measure").disabled = false;
            this.showCosts();
        }
    }
}
