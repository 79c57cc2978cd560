/* classes.js - classes by name: a list that typing filters, several to be chosen, all by keyboard as well. */

const MOST = 200; // rows at a time: of a thousand classes nobody reads all

const $ = (id) => document.getElementById(id);

/** How well a name answers what was typed: less is better, Infinity: not at all. */
function rank(name, typed) {
    const at = name.toLowerCase().indexOf(typed);
    if (at < 0) return Infinity;
    return at === 0 || /[^a-z0-9]/i.test(name[at - 1]) ? at : 100 + at;
}

export class Classes {
    /** all: [{label, name}], names missing where the model has none. */
    constructor(all) {
        this.all = all.map(({ label, name }) => ({ label, name: name || `class ${label}`, told: name }));
        this.chosen = [];
        this.at = 0;
        const search = $("class-search");
        search.addEventListener("input", () => this.filter());
        search.addEventListener("keydown", (event) => this.onKey(event));
        $("class-list").addEventListener("click", (event) => {
            const option = event.target.closest("[role=option]");
            if (option) this.toggle(this.shown[Number(option.dataset.at)]);
        });
        $("class-list").addEventListener("pointerdown", (event) => event.preventDefault()); // the search keeps the focus
        this.filter();
    }

    filter() {
        const typed = $("class-search").value.trim().toLowerCase();
        const ranked = this.all.map((one) => [typed ? Math.min(rank(one.name, typed), String(one.label) === typed ? 0 : Infinity) : 0, one]);
        this.shown = ranked.filter(([r]) => r < Infinity).sort((a, b) => a[0] - b[0]).slice(0, MOST).map(([, one]) => one);
        this.at = 0;
        this.draw();
    }

    draw() {
        $("class-list").replaceChildren(...this.shown.map((one, i) => this.optionOf(one, i)));
        if (!this.shown.length) {
            const none = document.createElement("li");
            none.textContent = "No class of that name.";
            none.className = "none";
            none.setAttribute("role", "option");
            none.setAttribute("aria-disabled", "true");
            $("class-list").append(none);
        }
        $("class-chosen").replaceChildren(...this.chosen.map((one) => this.chipOf(one)));
        this.mark(false);
    }

    optionOf(one, i) {
        const option = document.createElement("li");
        option.id = `class-${i}`;
        option.dataset.at = i;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", this.chosen.includes(one));
        option.textContent = one.name;
        const number = document.createElement("small");
        number.textContent = one.label;
        option.append(number);
        return option;
    }

    chipOf(one) {
        const chip = document.createElement("li"), button = document.createElement("button");
        button.type = "button";
        button.textContent = one.name;
        button.setAttribute("aria-label", `Remove ${one.name}`);
        button.addEventListener("click", () => {
            this.toggle(one);
            $("class-search").focus();
        });
        chip.append(button);
        return chip;
    }

    /** The option that keys are at. */
    mark(scroll = true) {
        document.querySelectorAll("#class-list .at").forEach((other) => other.classList.remove("at"));
        const option = $(`class-${this.at}`), search = $("class-search");
        if (!option) {
            search.removeAttribute("aria-activedescendant");
            return;
        }
        option.classList.add("at");
        search.setAttribute("aria-activedescendant", option.id);
        if (scroll) option.scrollIntoView({ block: "nearest" });
    }

    toggle(one) {
        const at = this.chosen.indexOf(one);
        if (at < 0) this.chosen.push(one);
        else this.chosen.splice(at, 1);
        this.draw();
    }

    onKey(event) {
        const last = this.shown.length - 1, typed = $("class-search").value;
        const to = { ArrowDown: this.at + 1, ArrowUp: this.at - 1 }[event.key];
        if (to !== undefined) {
            this.at = Math.min(Math.max(to, 0), last);
            this.mark();
        } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && this.shown[this.at]) {
            this.toggle(this.shown[this.at]);
            if (typed) {
                $("class-search").value = "";
                this.filter();
            }
        } else if (event.key === "Backspace" && !typed && this.chosen.length) {
            this.toggle(this.chosen[this.chosen.length - 1]);
            return;
        } else if (event.key === "Escape" && typed) {
            $("class-search").value = "";
            this.filter();
            event.stopPropagation();
        } else return;
        event.preventDefault();
    }

    /** A name where it means this class alone and has no comma, which would part it; else the number. */
    wordOf(one) {
        const alone = one.told && !/[,\s]\s*$|^\s|,/.test(one.told) && this.all.filter((other) => other.told === one.told).length === 1;
        return alone && !/^\d+$/.test(one.told) && !["random", "all", "uncond"].includes(one.told) ? one.told : String(one.label);
    }

    /** The class of a number alone: its name may be another's as well. */
    choose(label) {
        this.chosen = this.all.filter((one) => one.label === label);
        this.draw();
    }

    get prompt() {
        return this.chosen.length ? this.chosen.map((one) => this.wordOf(one)).join(",") : "random";
    }

    set prompt(prompt) {
        const words = prompt === "random" ? [] : prompt.split(",");
        this.chosen = words.map((word) => this.all.find((one) => this.wordOf(one) === word)).filter(Boolean);
        this.draw();
    }
}
