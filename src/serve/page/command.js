/* command.js - the line of `variant generate` that makes a picture of the page again, to the byte. */

/** As a shell takes it for one word. */
export const quoted = (text) => (/^[A-Za-z0-9_./:,=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

const slug = (text) => text.toLowerCase().normalize("NFKD").replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 30) || "picture";

/** Options of what was not left at its default. */
function sampling(wish, defaults) {
    const options = [];
    if (wish.bridge !== undefined) options.push("--bridge", wish.bridge);
    if (wish.cfg_scale !== defaults.cfg_scale) options.push("--cfg-scale", wish.cfg_scale);
    if (wish.top_k !== defaults.top_k) options.push("--top-k", wish.top_k);
    if (wish.top_p !== defaults.top_p) options.push("--top-p", wish.top_p);
    return options;
}

/** Of a picture: what it is of, its seed, its depth, and what it came of. */
export function fileName(picture) {
    const { wish, parent } = picture;
    if (!parent || picture.kind === "edit") {
        const own = `${slug(picture.name)}-s${wish.seed}-d${wish.depth}${picture.index ? `-${picture.index}` : ""}`;
        return `${own}${picture.kind === "edit" ? `-edit${picture.number}` : ""}.png`;
    }
    return fileName(parent).replace(/\.png$/, `-k${picture.keep}s${wish.seed}d${wish.depth}.png`);
}

export const maskName = (picture) => fileName(picture).replace(/\.png$/, "-mask.png");

function line(picture, options, model) {
    const words = ["variant", "generate", model.arguments || "-m MODEL", ...options.map((word) => quoted(String(word)))];
    return [...words, "-o", quoted(fileName(picture))].join(" ");
}

/** Lines joined with &&: what a picture came of is made first. */
export function commandOf(picture, model, defaults) {
    const { wish, parent } = picture, own = sampling(wish, defaults);
    if (picture.kind === "refine" || picture.kind === "vary") {
        const options = ["--refine", fileName(parent), "--keep-scales", picture.keep, "-s", wish.seed, "--depth", wish.depth, ...own];
        return `${commandOf(parent, model, defaults)} && ${line(picture, options, model)}`;
    }
    const drawn = ["--class", wish.prompt, "-n", 1, ...(picture.index ? ["--first", picture.index] : []), "-s", wish.seed, "--depth", wish.depth, ...own];
    if (picture.kind !== "edit") return line(picture, drawn, model);
    const edit = line(picture, ["--init-img", parent ? fileName(parent) : picture.upload, "--mask", maskName(picture), ...drawn], model);
    return parent ? `${commandOf(parent, model, defaults)} && ${edit}` : edit;
}
