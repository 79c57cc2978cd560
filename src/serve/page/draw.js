/* draw.js - the drawing that is looked at: pictures as they grow, each scale of the chosen one, what made it, what can come of it. */
import { commandOf, fileName, maskName } from "./command.js";
import { layersText, secondsText } from "./depth.js";

const $ = (id) => document.getElementById(id);

/** What is kept of a picture: {kind: draw|refine|vary|edit, job, index, count, name, wish, url, scales, seconds, settings, parent, keep,
 * upload, mask, number, group}. wish is the request that made it; scales: addresses of the picture after each scale. */
export class Draw {
    constructor(model) {
        this.model = model;
        this.shown = null;
        this.tiles = [];
        $("keep").max = model.scales - 1;
        $("keep").value = Math.min(Math.max(1, model.bridge), model.scales - 1);
        $("keep").addEventListener("input", () => this.showKeep());
        $("grids").replaceChildren(...model.sides.map((side) => {
            const grid = document.createElement("i");
            grid.style.backgroundSize = `${100 / side}% ${100 / side}%`;
            return grid;
        }));
        $("copy").addEventListener("click", () => this.copy());
        this.showKeep();
    }

    /** How many scales are kept, and which: they are marked in the strip. */
    showKeep() {
        $("keep-value").textContent = $("keep").value;
        const edit = this.shown?.kind === "edit";
        document.querySelectorAll("#strip li").forEach((item, k) => item.classList.toggle("kept", !edit && k < Number($("keep").value)));
    }

    // ---- as it grows

    start(count) {
        $("welcome").hidden = true;
        $("result").hidden = true;
        this.shown = null;
        this.makeTiles(count);
    }

    makeTiles(count) {
        this.tiles = Array.from({ length: count }, (_, i) => {
            const tile = document.createElement("button"), image = document.createElement("img");
            tile.type = "button";
            tile.className = "tile frame";
            tile.disabled = true;
            image.alt = `Picture ${i + 1} of ${count}: not drawn yet`;
            image.className = this.model.picture_side <= 128 ? "pixels" : "";
            tile.append(image);
            return tile;
        });
        $("pictures").replaceChildren(...this.tiles);
        $("pictures").classList.toggle("several", count > 1);
    }

    preview(index, scale, url) {
        const image = this.tiles[index]?.firstChild;
        if (!image) return;
        image.src = url;
        image.alt = `Picture ${index + 1} after scale ${scale} of ${this.model.scales}`;
    }

    /** Nothing came of it: what was there before is shown again. */
    giveUp(before) {
        if (before) this.show(before);
        else {
            $("pictures").replaceChildren();
            $("welcome").hidden = false;
        }
    }

    // ---- as it is

    /** This picture among those that were drawn with it. */
    show(picture) {
        const group = picture.group;
        $("welcome").hidden = true;
        this.shown = picture;
        this.makeTiles(group.length);
        group.forEach((one, i) => this.fill(this.tiles[i], one));
        this.showStrip(picture);
        this.showFacts(picture);
        $("result").hidden = false;
    }

    fill(tile, picture) {
        const image = tile.firstChild, alone = picture.group.length === 1;
        image.src = picture.url;
        image.alt = `${picture.name}, seed ${picture.wish.seed}, depth ${picture.wish.depth}`;
        tile.disabled = alone;
        if (alone) return;
        tile.setAttribute("aria-pressed", String(picture === this.shown));
        tile.addEventListener("click", () => {
            if (this.shown === picture) return;
            this.show(picture);
            this.onShow?.(picture);
            this.tiles[picture.group.indexOf(picture)].focus();
        });
    }

    showStrip(picture) {
        const all = [...picture.scales, picture.url];
        $("strip").hidden = picture.scales.length === 0;
        $("strip").replaceChildren(...all.map((url, k) => (url ? this.scaleItem(picture, url, k, all.length) : null)).filter(Boolean));
        this.showKeep();
    }

    scaleItem(picture, url, k, count) {
        const item = document.createElement("li"), button = document.createElement("button"), image = document.createElement("img");
        const side = this.model.sides[k], last = k === count - 1;
        button.type = "button";
        button.setAttribute("aria-pressed", String(last));
        button.setAttribute("aria-label", `Scale ${k + 1} of ${count}, ${side} by ${side} cells`);
        Object.assign(image, { src: url, alt: "", className: this.model.picture_side <= 128 ? "pixels" : "" });
        button.append(image, Object.assign(document.createElement("span"), { textContent: `${side}×${side}` }));
        button.addEventListener("click", () => {
            const tile = this.tiles[picture.group.indexOf(picture)].firstChild;
            tile.src = url;
            for (const other of document.querySelectorAll("#strip button")) other.setAttribute("aria-pressed", String(other === button));
        });
        item.append(button);
        return item;
    }

    showFacts(picture) {
        const { wish, settings } = picture;
        const parts = [picture.name, `seed ${wish.seed}`, layersText(settings.depths), `${secondsText(picture.seconds)}${picture.scales.length ? " with all its scales" : ""}`];
        if (picture.keep) parts.splice(1, 0, `${picture.kind === "vary" ? "varied" : "refined"} from scale ${picture.keep + 1} on`);
        if (picture.kind === "edit") parts.splice(1, 0, "painted over");
        $("facts").textContent = parts.join(" · ");
        $("download").href = picture.url;
        $("download").download = fileName(picture);
        $("mask-download").hidden = !picture.mask;
        if (picture.mask) {
            $("mask-download").href = picture.mask;
            $("mask-download").download = maskName(picture);
        }
        $("command").textContent = commandOf(picture, this.model, this.model.defaults);
        const edit = picture.kind === "edit";
        $("further").hidden = edit || this.model.scales < 2;
        $("further-hint").hidden = !edit;
    }

    async copy() {
        if (!this.shown) return;
        const text = $("command").textContent;
        try {
            await navigator.clipboard.writeText(text);
            this.say("Copied.");
        } catch { // no permission, or no secure context: it is selected, to be copied by hand
            getSelection().selectAllChildren($("command"));
            this.say("Selected: copy it with the keys of your browser.");
        }
    }

    say(text) {
        $("status").textContent = text;
        $("copy").textContent = text;
        setTimeout(() => { $("copy").textContent = "Copy command line"; }, 1500);
    }
}
