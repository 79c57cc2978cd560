/* paint.js - the part of a picture that is to be drawn again, painted with a brush: by pointer or by keys, taken back, inverted. */
import { load } from "./pixels.js";

const $ = (id) => document.getElementById(id);
const UNDO_BYTES = 64e6, UNDO_MOST = 50;
const PAINT = "#d6336c"; // what CSS makes see-through; any opaque colour

export class Paint {
    constructor() {
        this.canvas = $("mask");
        this.context = this.canvas.getContext("2d", { willReadFrequently: true });
        this.source = null; // {file, name, picture}
        this.undone = [];
        this.cursor = { x: 0, y: 0 };
        this.listen();
    }

    listen() {
        const { canvas } = this;
        canvas.addEventListener("pointerdown", (event) => this.down(event));
        canvas.addEventListener("pointermove", (event) => this.move(event));
        for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.up());
        canvas.addEventListener("pointerleave", () => { $("cursor").hidden = document.activeElement !== canvas; });
        canvas.addEventListener("keydown", (event) => this.onKey(event));
        canvas.addEventListener("focus", () => this.showCursor());
        canvas.addEventListener("blur", () => { $("cursor").hidden = true; });
        $("brush").addEventListener("input", () => this.showBrush());
        $("undo").addEventListener("click", () => this.undo());
        $("invert").addEventListener("click", () => this.invert());
        $("clear").addEventListener("click", () => this.change(() => this.context.clearRect(0, 0, canvas.width, canvas.height)));
        $("paint-areas").addEventListener("click", (event) => {
            if (event.target.dataset.area) this.area(event.target.dataset.area.split(",").map(Number));
        });
    }

    /** file: the bytes that are sent; name: of the file; picture: of the page, or null. */
    async take(url, file, name, picture) {
        const image = await load(url);
        this.source = { file, name, picture, url };
        $("canvas-picture").src = url;
        $("canvas-picture").alt = `The picture that is painted over: ${picture ? picture.name : name}`;
        this.canvas.width = image.naturalWidth;
        this.canvas.height = image.naturalHeight;
        this.undone = [];
        this.cursor = { x: image.naturalWidth / 2, y: image.naturalHeight / 2 };
        const side = Math.max(image.naturalWidth, image.naturalHeight);
        $("brush").max = Math.max(4, Math.round(side / 2));
        $("brush").value = Math.max(1, Math.round(side / 6));
        $("easel").classList.toggle("pixels", side <= 256);
        $("easel").style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
        for (const id of ["easel", "paint-tools", "paint-areas", "mask-hint"]) $(id).hidden = false;
        this.showBrush();
        this.tell();
    }

    // ---- the brush

    get brush() {
        return Number($("brush").value);
    }

    /** From pixels of the screen to those of the picture. */
    at(event) {
        const box = this.canvas.getBoundingClientRect();
        return { x: ((event.clientX - box.left) * this.canvas.width) / box.width, y: ((event.clientY - box.top) * this.canvas.height) / box.height };
    }

    /** Whole pixels whose middle lies in the brush: masks have no half ones. */
    dab(x, y) {
        const { context, brush } = this, radius = brush / 2;
        context.globalCompositeOperation = $("erase").checked ? "destination-out" : "source-over";
        context.fillStyle = PAINT;
        for (let row = Math.floor(y - radius); row <= y + radius; ++row) {
            const half = Math.sqrt(Math.max(0, radius * radius - (row + 0.5 - y) ** 2));
            const from = Math.ceil(x - half - 0.5), to = Math.floor(x + half - 0.5);
            if (to >= from && half > 0) context.fillRect(from, row, to - from + 1, 1);
        }
        if (brush === 1) context.fillRect(Math.floor(x), Math.floor(y), 1, 1);
        context.globalCompositeOperation = "source-over";
    }

    stroke(from, to) {
        const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(0.5, this.brush / 4)));
        for (let i = 1; i <= steps; ++i) this.dab(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps);
    }

    down(event) {
        if (event.button !== 0) return;
        this.remember();
        this.canvas.setPointerCapture(event.pointerId);
        this.last = this.at(event);
        this.dab(this.last.x, this.last.y);
        event.preventDefault();
        this.canvas.focus({ preventScroll: true });
        this.cursor = this.last;
        this.showCursor();
    }

    move(event) {
        const here = this.at(event);
        this.cursor = here;
        this.showCursor();
        if (!this.last) return;
        this.stroke(this.last, here);
        this.last = here;
    }

    up() {
        if (!this.last) return;
        this.last = null;
        this.tell();
    }

    onKey(event) {
        const step = event.shiftKey ? 8 : 1, { cursor, canvas } = this;
        const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
        if (by) {
            cursor.x = Math.min(Math.max(cursor.x + by[0], 0), canvas.width - 0.5);
            cursor.y = Math.min(Math.max(cursor.y + by[1], 0), canvas.height - 0.5);
            this.showCursor();
        } else if (event.key === " ") this.change(() => this.dab(cursor.x, cursor.y));
        else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.undo();
        else return;
        event.preventDefault();
    }

    showCursor() {
        const circle = $("cursor"), { canvas } = this;
        circle.hidden = false;
        circle.style.left = `${(100 * this.cursor.x) / canvas.width}%`;
        circle.style.top = `${(100 * this.cursor.y) / canvas.height}%`;
        circle.style.width = `${(100 * this.brush) / canvas.width}%`;
    }

    showBrush() {
        $("brush-value").textContent = `${this.brush} pixel${this.brush > 1 ? "s" : ""}`;
        if (!$("cursor").hidden) this.showCursor();
    }

    // ---- what is painted

    get whole() {
        return this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    }

    remember() {
        this.undone.push(this.whole);
        while (this.undone.length > UNDO_MOST || (this.undone.length > 1 && this.undone.length * this.undone[0].data.length > UNDO_BYTES)) this.undone.shift();
    }

    change(how) {
        this.remember();
        how();
        this.tell();
    }

    undo() {
        const before = this.undone.pop();
        if (before) this.context.putImageData(before, 0, 0);
        this.tell();
    }

    invert() {
        this.change(() => {
            this.context.globalCompositeOperation = "source-out";
            this.context.fillStyle = PAINT;
            this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
            this.context.globalCompositeOperation = "source-over";
        });
    }

    area([left, top, right, bottom]) {
        const { width, height } = this.canvas, x = Math.round(left * width), y = Math.round(top * height);
        this.change(() => {
            this.context.fillStyle = PAINT;
            this.context[$("erase").checked ? "clearRect" : "fillRect"](x, y, Math.round(right * width) - x, Math.round(bottom * height) - y);
        });
    }

    /** The share of the picture that is painted. */
    get share() {
        const { data } = this.whole;
        let painted = 0;
        for (let i = 3; i < data.length; i += 4) if (data[i]) ++painted;
        return painted / (data.length / 4);
    }

    tell() {
        const percent = Math.round(100 * this.share);
        this.canvas.setAttribute("aria-label", `Mask: ${percent ? `${percent} % of the picture is painted` : "nothing is painted"}`);
        $("undo").disabled = !this.undone.length;
    }

    /** The mask as the server and `variant generate --mask` take it: what is painted is see-through, all else black. */
    async mask() {
        const canvas = document.createElement("canvas"), context = canvas.getContext("2d");
        canvas.width = this.canvas.width;
        canvas.height = this.canvas.height;
        context.fillRect(0, 0, canvas.width, canvas.height);
        context.globalCompositeOperation = "destination-out";
        context.drawImage(this.canvas, 0, 0);
        return new Promise((done) => canvas.toBlob(done, "image/png"));
    }
}
