/* history.js - pictures that were made in this page, the newest first; a bounded number of them, and nowhere else. */

const MOST = 60, MOST_LETTERS = 96e6; // pictures, and letters of their data addresses

const $ = (id) => document.getElementById(id);
const sizeOf = (picture) => picture.url.length + picture.scales.reduce((sum, url) => sum + (url?.length || 0), 0);

export class History {
    /** onChoose(picture): it is to be looked at. */
    constructor(onChoose) {
        this.pictures = [];
        this.onChoose = onChoose;
        $("forget").addEventListener("click", () => {
            this.pictures = [];
            this.draw();
        });
    }

    add(pictures) {
        this.pictures.unshift(...pictures);
        let letters = 0;
        this.pictures = this.pictures.filter((picture, i) => {
            letters += sizeOf(picture);
            return i < MOST && (i === 0 || letters < MOST_LETTERS);
        });
        this.draw();
    }

    /** Which one is looked at. */
    mark(picture) {
        this.shown = picture;
        for (const button of document.querySelectorAll("#history-list button"))
            button.setAttribute("aria-pressed", String(this.pictures[Number(button.dataset.at)] === picture));
    }

    draw() {
        $("history").hidden = !this.pictures.length;
        $("history-list").replaceChildren(...this.pictures.map((picture, i) => this.itemOf(picture, i)));
        this.mark(this.shown);
    }

    itemOf(picture, i) {
        const item = document.createElement("li"), button = document.createElement("button"), image = document.createElement("img");
        const how = { refine: "refined", vary: "varied", edit: "edited" }[picture.kind];
        Object.assign(image, { src: picture.url, alt: "", className: "pixels" });
        Object.assign(button, { type: "button", title: `${picture.name}, seed ${picture.wish.seed}, depth ${picture.wish.depth}${how ? `, ${how}` : ""}` });
        button.setAttribute("aria-label", button.title);
        button.dataset.at = i;
        const text = document.createElement("span");
        text.textContent = `${picture.name} · ${picture.wish.depth}`;
        button.append(image, text);
        button.addEventListener("click", () => this.onChoose(picture));
        item.append(button);
        return item;
    }
}
