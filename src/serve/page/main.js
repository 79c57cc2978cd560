/* main.js - the page as a whole: asks the server what it has, reads the settings, sends requests, shows what comes of them.
 *
 *     api.js       words to the server, the key          run.js       one job, scale by scale
 *     classes.js   which classes                         depth.js     how deep, and what that costs
 *     draw.js      the drawing that is looked at         compare.js   several depths side by side
 *     paint.js     the part that is drawn again          history.js   what was made
 *     command.js   the same on a command line            pixels.js    pictures as numbers */
import { Fault, get, keys } from "./api.js";
import { Classes } from "./classes.js";
import { fileName } from "./command.js";
import { Compare } from "./compare.js";
import { Depth } from "./depth.js";
import { Draw } from "./draw.js";
import { History } from "./history.js";
import { Paint } from "./paint.js";
import { blobOf } from "./pixels.js";
import { Run } from "./run.js";

const $ = (id) => document.getElementById(id);
const on = (id, name, what) => $(id).addEventListener(name, what);
const page = { model: null, classes: null, depth: null, draw: null, compare: null, paint: null, history: null, run: null, edits: 0 };

// ---- what went wrong, and where the server is

const FIELDS = { prompt: "class-search", n: "count", seed: "seed", depth: "depth", bridge: "bridge", cfg_scale: "cfg", top_k: "top-k", top_p: "top-p", image: "upload", mask: "mask" };

function showFault(fault) {
    $("fault-text").textContent = fault.message;
    $("fault").hidden = false;
    const field = $(FIELDS[fault.param]);
    if (!field) return;
    field.setAttribute("aria-invalid", "true");
    field.setAttribute("aria-errormessage", "fault-text");
    field.closest("details")?.setAttribute("open", "");
    field.focus();
}

function hideFault() {
    $("fault").hidden = true;
    for (const field of document.querySelectorAll("[aria-invalid]")) {
        field.removeAttribute("aria-invalid");
        field.removeAttribute("aria-errormessage");
    }
}

function say(text) {
    $("status").textContent = text;
}

/** where: of what, in words; at: the job's progress. */
function showProgress(at, where = "") {
    const { state, queue_position: place, scale, scales, pictures_done: done, pictures } = at;
    const several = pictures > 1 ? `${done} of ${pictures} pictures done` : "";
    const text = state === "queued" ? (place > 1 ? `Waiting: place ${place} in the queue` : "Waiting: next in the queue") : `Scale ${Math.min(scale + 1, scales)} of ${scales}`;
    const last = $("progress-text").textContent;
    $("progress-text").textContent = [where, text, state === "queued" ? "" : several].filter(Boolean).join(" · ");
    $("bar").max = scales * (pictures || 1);
    $("bar").value = state === "queued" ? 0 : Math.min(scale + done * scales, scales * (pictures || 1));
    if (state === "queued" && last !== $("progress-text").textContent) say($("progress-text").textContent);
}

/** While something is at work the button that ends it is there. */
function busy(is) {
    $("progress").hidden = !is;
    $("cancel").hidden = !is;
    $("go").disabled = is;
    for (const id of ["refine", "vary"]) $(id).disabled = is;
    document.body.classList.toggle("busy", is);
    if (is) {
        if (matchMedia("(max-width: 860px)").matches) $("stage").scrollIntoView();
        $("progress-text").textContent = "Asking …";
        $("bar").value = 0;
    }
}

/** Runs it alone; a fault is shown, and the end told. */
async function work(what) {
    if (page.run) return;
    const before = page.draw.shown, focused = document.activeElement;
    hideFault();
    page.run = { cancel: () => { page.run.cancelled = true; }, cancelled: false };
    busy(true);
    try {
        await what();
    } catch (fault) {
        if (fault.code === "cancelled") say("Cancelled.");
        else if (fault instanceof Fault) showFault(fault);
        else {
            showFault({ message: `The page failed: ${fault.message}` });
            console.error(fault);
        }
        page.draw.giveUp(before);
    } finally {
        page.run = null;
        busy(false);
        if (focused === $("cancel") || document.activeElement === document.body) $("go").focus({ preventScroll: true });
    }
}

/** The run that Cancel ends from now on. */
function running(run) {
    if (page.run?.cancelled) run.cancel();
    page.run = run;
}

// ---- settings

const newSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0]);

/** As it stands there; nothing, or -1, is one that is drawn. */
function askedSeed() {
    const text = $("seed").value.trim();
    return text === "" || text === "-1" ? null : text;
}

/** The request that the controls say; what is left at its default is not said. */
function readWish(depth = page.depth.value) {
    const { defaults } = page.model, wish = { prompt: page.classes.prompt, n: Number($("count").value || 1), seed: askedSeed() ?? newSeed(), depth };
    $("seed").value = wish.seed;
    const numbers = { cfg_scale: "cfg", top_k: "top-k", top_p: "top-p" };
    for (const [name, id] of Object.entries(numbers)) wish[name] = $(id).value === "" ? defaults[name] : Number($(id).value);
    if (page.depth.bridge !== page.depth.ownBridge) wish.bridge = page.depth.bridge;
    return wish;
}

function writeWish(wish) {
    page.classes.prompt = wish.prompt;
    $("seed").value = wish.seed;
    $("count").value = wish.n;
    $("bridge").value = wish.bridge ?? page.depth.ownBridge;
    for (const [name, id] of [["cfg_scale", "cfg"], ["top_k", "top-k"], ["top_p", "top-p"]]) $(id).value = wish[name];
    page.depth.value = wish.depth;
}

function setDefaults() {
    const { defaults } = page.model;
    $("cfg").value = defaults.cfg_scale;
    $("top-k").value = defaults.top_k;
    $("top-p").value = defaults.top_p;
    $("bridge").value = page.depth.ownBridge;
    page.depth.show();
}

const mode = () => document.querySelector("input[name=mode]:checked").value;

function showMode() {
    const now = mode(), words = { draw: "Draw", compare: "Compare", paint: "Draw again" };
    for (const name of ["draw", "compare", "paint"]) $(`${name}-view`).hidden = name !== now;
    if (now === "paint") $("draw-view").hidden = !page.draw?.shown || page.draw.shown.kind !== "edit";
    $("depths-field").hidden = now !== "compare";
    $("depth-field").hidden = now === "compare";
    document.querySelector(".layers").hidden = $("costs").hidden = now === "compare";
    $("count-field").hidden = now === "compare";
    $("go").textContent = words[now];
}

function setMode(name) {
    document.querySelector(`input[name=mode][value=${name}]`).checked = true;
    showMode();
}

// ---- pictures

/** What is kept of a job's pictures. scales: addresses by picture and scale. */
function picturesOf(job, wish, scales, more) {
    const group = [];
    job.data.forEach(({ url, settings }, index) => {
        const name = settings.class || `class ${settings.label}`;
        group.push({ kind: "draw", job: job.id, index, count: job.data.length, name, wish, url, scales: scales[index] || [], seconds: job.request.seconds, settings, group, ...more(index) });
    });
    page.history.add(group);
    return group;
}

/** Sends, shows, keeps. more(index): what else there is to know of a picture. */
async function drawn(path, body, wish, count, more) {
    const run = new Run(path, body), scales = Array.from({ length: count }, () => []);
    page.draw.start(count);
    running(run);
    const job = await run.finish({
        progress: showProgress,
        preview: (index, scale, url) => {
            scales[index][scale - 1] = url;
            page.draw.preview(index, scale, url);
        },
    });
    const group = picturesOf(job, wish, scales, more);
    look(group[0]);
    page.depth.learn(job.request.seconds);
    say(`Done: ${group.length > 1 ? `${group.length} pictures` : group[0].name}, seed ${wish.seed}, depth ${wish.depth}.`);
}

function look(picture) {
    $("draw-view").hidden = false;
    page.draw.show(picture);
    page.history.mark(picture);
}

async function draw() {
    if ($("fresh").checked) $("seed").value = newSeed();
    const wish = readWish();
    await drawn("/api/jobs", { ...wish, every_scale: true }, wish, Math.min(Math.max(wish.n, 1), 10), () => ({}));
}

async function compare() {
    if ($("fresh").checked) $("seed").value = newSeed();
    const depths = page.depth.picked;
    if (!depths.length) throw new Fault(400, { message: "Choose the depths that are to be compared." });
    const wishOf = (depth) => ({ ...readWish(depth), n: 1 });
    await page.compare.draw(depths, wishOf, (job, wish) => picturesOf(job, wish, [], () => ({}))[0], (depth, at) => showProgress(at, `Depth ${depth}`), running);
    say(`Done: ${depths.length} depths.`);
}

function dataUrl(blob) {
    return new Promise((done, failed) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.onerror = () => failed(reader.error);
        reader.readAsDataURL(blob);
    });
}

async function paint() {
    const { source } = page.paint;
    if (!source) throw new Fault(400, { message: "Take a picture first: upload one, or paint over a made one.", param: "image" });
    if (!page.paint.share) throw new Fault(400, { message: "Paint what is to be drawn again.", param: "mask" });
    if ($("fresh").checked) $("seed").value = newSeed();
    const wish = readWish(), mask = await page.paint.mask(), form = new FormData();
    for (const [name, value] of Object.entries({ ...wish, every_scale: true })) form.append(name, value);
    form.append("image", source.file, source.name);
    form.append("mask", mask, "mask.png");
    const number = ++page.edits, maskUrl = await dataUrl(mask);
    $("draw-view").hidden = false;
    await drawn("/api/jobs/edits", form, wish, wish.n, () => ({ kind: "edit", parent: source.picture, upload: source.name, mask: maskUrl, number }));
}

/** The late scales again: deeper, or with another seed. */
async function further(kind) {
    const parent = page.draw.shown, keep = Number($("keep").value);
    const wish = { ...parent.wish, n: 1, depth: Number($("further-depth").value), seed: kind === "vary" ? newSeed() : parent.wish.seed };
    const body = { picture: parent.index, keep_scales: keep, depth: wish.depth, seed: wish.seed, every_scale: true };
    await drawn(`/api/jobs/${parent.job}/refine`, body, wish, 1, () => ({ kind, parent, keep }));
}

async function takeMade(picture) {
    setMode("paint");
    await page.paint.take(picture.url, blobOf(picture.url), fileName(picture), picture);
    if (!page.classes.chosen.length) page.classes.choose(picture.settings.label);
    showMode();
    $("mask").focus();
}

let uploaded = null;
async function takeUploaded(file) {
    if (!file) return;
    hideFault();
    if (uploaded) URL.revokeObjectURL(uploaded);
    uploaded = URL.createObjectURL(file);
    try {
        await page.paint.take(uploaded, file, file.name, null);
    } catch {
        showFault({ message: `${file.name}: this browser cannot show it.`, param: "image" });
    }
}

// ---- the key

let asking = null;
function askForKey(fault) {
    if (asking) return asking;
    $("key-text").textContent = keys.get() ? "That is none of this server's keys." : "This server asks for a key. It is kept until this tab is closed.";
    $("key-button").hidden = false;
    $("key-button").dataset.why = fault?.message || "";
    $("key").value = "";
    asking = new Promise((done) => {
        on("key-dialog", "close", function closed() {
            $("key-dialog").removeEventListener("close", closed);
            asking = null;
            const key = $("key").value.trim(), used = $("key-dialog").returnValue === "use" && key !== "";
            if (used) keys.set(key);
            done(used);
        });
    });
    $("key-dialog").returnValue = "";
    $("key-dialog").showModal();
    return asking;
}

// ---- keys

function submit() {
    if (!page.model) return;
    work({ draw, compare, paint }[mode()]);
}

const LETTERS = {
    "/": () => $("class-search").focus(),
    n: () => { $("seed").value = newSeed(); say(`Seed ${$("seed").value}`); },
    "[": () => page.depth?.step(-1),
    "]": () => page.depth?.step(1),
    1: () => setMode("draw"),
    2: () => setMode("compare"),
    3: () => setMode("paint"),
    c: () => page.draw?.copy(),
    "?": () => $("help").showModal(),
};

function onKey(event) {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
    else if (event.key === "Escape" && page.run) page.run.cancel();
    else if ($("letters").checked && !event.ctrlKey && !event.metaKey && !event.altKey && LETTERS[event.key] && !event.target.matches("input:not([type=range], [type=radio], [type=checkbox]), select, textarea")) LETTERS[event.key]();
    else return;
    event.preventDefault();
}

// ---- the beginning

function listen() {
    on("controls", "submit", (event) => { event.preventDefault(); submit(); });
    on("cancel", "click", () => page.run?.cancel());
    on("new-seed", "click", () => { $("seed").value = newSeed(); say(`Seed ${$("seed").value}`); });
    on("defaults", "click", setDefaults);
    on("fault-close", "click", hideFault);
    on("help-button", "click", () => $("help").showModal());
    on("key-button", "click", () => askForKey().then((used) => used && begin()));
    for (const radio of document.querySelectorAll("input[name=mode]")) radio.addEventListener("change", showMode);
    on("refine", "click", () => work(() => further("refine")));
    on("vary", "click", () => work(() => further("vary")));
    on("reuse", "click", () => { writeWish(page.draw.shown.wish); say("The controls have these settings."); });
    on("to-paint", "click", () => takeMade(page.draw.shown));
    on("upload", "change", (event) => takeUploaded(event.target.files[0]));
    document.addEventListener("keydown", onKey);
}

function showModel(model) {
    page.model = model;
    document.title = `${model.name} · variant`;
    $("about").textContent = `${model.name}: ${model.picture_side} × ${model.picture_side} pixels, ${model.classes.length} classes, ${model.depth} layers, ${model.scales} scales`;
    page.classes = new Classes(model.classes);
    page.depth = new Depth(model);
    page.depth.onFault = showFault;
    page.draw = new Draw(model);
    page.paint = new Paint();
    page.compare = new Compare((picture) => { setMode("draw"); look(picture); });
    page.history = new History((picture) => { if (mode() !== "draw") setMode("draw"); look(picture); $("stage").scrollIntoView({ block: "nearest" }); });
    page.draw.onShow = (picture) => page.history.mark(picture);
    $("further-depth").replaceChildren(...[...page.depth.depths].reverse().map((depth) => new Option(depth, depth)));
    setDefaults();
    showMode();
}

async function begin() {
    keys.ask = askForKey;
    try {
        if (!page.model) showModel(await get("/api/model"));
        hideFault();
        document.body.classList.add("ready");
        await page.depth.ask();
    } catch (fault) {
        if (!page.model) $("about").textContent = fault.status === 401 ? "This server asks for a key." : "The server cannot be asked.";
        showFault(fault);
    }
}

listen();
begin();
