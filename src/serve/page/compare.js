/* compare.js - one class and seed at several depths, side by side, and how they differ. */
import { Run } from "./run.js";
import { drawDifference, load, pixelsOf } from "./pixels.js";
import { secondsText } from "./depth.js";

const $ = (id) => document.getElementById(id);

function element(name, className, text = "") {
    return Object.assign(document.createElement(name), { className, textContent: text });
}

/** A column: a depth, its picture, its difference. */
class Column {
    constructor(depth) {
        this.depth = depth;
        this.figure = element("figure", "column");
        this.image = Object.assign(element("img", "pixels"), { alt: `Depth ${depth}: not drawn yet` });
        this.canvas = element("canvas", "pixels");
        this.canvas.setAttribute("role", "img");
        this.canvas.hidden = true;
        this.facts = element("p", "facts");
        this.same = Object.assign(element("p", "same", "the others are compared with this"), { hidden: true });
        this.difference = element("p", "facts");
        this.keep = Object.assign(element("button", "quiet", "Go on with it"), { type: "button", hidden: true });
        const frame = element("div", "frame");
        frame.append(this.image);
        this.figure.append(element("figcaption", "", `Depth ${depth}`), frame, this.facts, this.canvas, this.same, this.difference, this.keep);
    }

    async finish(picture) {
        this.picture = picture;
        this.image.src = picture.url;
        this.image.alt = `${picture.name}, seed ${picture.wish.seed}, depth ${this.depth}`;
        this.facts.textContent = `${secondsText(picture.seconds)}`;
        this.pixels = pixelsOf(await load(picture.url));
        this.keep.hidden = false;
    }

    showDifference(reference, gain) {
        this.canvas.hidden = !reference?.pixels || !this.pixels || reference === this;
        this.same.hidden = reference !== this || !this.pixels;
        this.difference.textContent = "";
        if (this.canvas.hidden) return;
        const { mean, share } = drawDifference(this.canvas, this.pixels, reference.pixels, gain);
        this.difference.textContent = `by ${mean.toFixed(1)} of 255, in ${Math.round(100 * share)} % of pixels`;
        this.canvas.setAttribute("aria-label", `Difference of depth ${this.depth} from depth ${reference.depth}, ${gain} times: ${this.difference.textContent}`);
    }
}

export class Compare {
    /** onKeep(picture): somebody goes on with one. */
    constructor(onKeep) {
        this.columns = [];
        this.onKeep = onKeep;
        $("against").addEventListener("change", () => this.showDifferences());
        $("gain").addEventListener("input", () => this.showDifferences());
    }

    start(depths) {
        this.columns = depths.map((depth) => new Column(depth));
        $("compare-welcome").hidden = true;
        $("compare").replaceChildren(...this.columns.map((column) => column.figure));
        $("against").replaceChildren(...[...depths].reverse().map((depth) => new Option(`depth ${depth}`, depth)));
        $("compare-tools").hidden = depths.length < 2;
        for (const column of this.columns) column.keep.addEventListener("click", () => this.onKeep(column.picture));
    }

    /** One after another, so that each one's time is its own. wishOf(depth): the request; pictureOf(job, wish): what history keeps.
     * running(run): the one at work. */
    async draw(depths, wishOf, pictureOf, show, running) {
        this.start(depths);
        for (const column of this.columns) {
            const wish = wishOf(column.depth), run = new Run("/api/jobs", wish);
            running(run);
            const job = await run.finishUnseen((at) => show(column.depth, at));
            await column.finish(pictureOf(job, wish));
            this.showDifferences();
        }
    }

    showDifferences() {
        const gain = Number($("gain").value), reference = this.columns.find((column) => column.depth === Number($("against").value));
        $("gain-value").textContent = gain;
        for (const column of this.columns) column.showDifference(reference, gain);
    }
}
