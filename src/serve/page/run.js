/* run.js - one job from its request to its pictures: sent, watched, shown scale by scale or timed unseen, cancelled. */
import { Fault, events, get, post } from "./api.js";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const REVEAL = 600; // milliseconds that a picture takes to grow, where the server is faster

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const pictureUrl = (data) => `data:image/${data.output_format || "png"};base64,${data.b64_json}`;

/** A request under way. cancel() ends it between two scales. */
export class Run {
    constructor(path, body) {
        this.path = path;
        this.body = body;
        this.cancelled = false;
        this.job = null;
    }

    cancel() {
        this.cancelled = true;
        if (this.job) post(`/api/jobs/${this.job}/cancel`, {}).catch(() => {});
    }

    /** show.progress({state, queue_position, scale, scales}), show.preview(picture, scale, url); the job once completed. */
    async finish(show) {
        const made = await post(this.path, this.body);
        this.job = made.id;
        if (this.cancelled) this.cancel();
        show.progress(made);
        const step = calm.matches ? 0 : REVEAL / made.scales;
        let shown = 0, shownAt = 0;
        for await (const [name, data] of events(made.events_url)) {
            if (name === "progress") show.progress(data);
            if (name === "preview") {
                if (data.scale > shown && step) {
                    await pause(Math.max(0, shownAt + step - performance.now()));
                    shownAt = performance.now();
                }
                shown = Math.max(shown, data.scale);
                show.preview(data.picture, data.scale, pictureUrl(data));
            }
            if (name === "completed") {
                if (step && shown) await pause(Math.max(0, shownAt + step - performance.now()));
                return withUrls(data);
            }
            if (name === "failed" || name === "cancelled") throw faultOf(data);
        }
        return this.lookAgain();
    }

    /** Likewise without pictures on the way, which take time themselves: it is looked at now and then. */
    async finishUnseen(progress) {
        const made = await post(this.path, this.body);
        this.job = made.id;
        if (this.cancelled) this.cancel();
        for (let wait = 20; ; wait = Math.min(1.5 * wait, 500)) {
            const job = await get(made.poll_url);
            progress(job);
            if (job.state === "completed") return withUrls(job);
            if (job.error) throw faultOf(job);
            await pause(wait);
        }
    }

    /** The stream broke off: the job may be over all the same. */
    async lookAgain() {
        const job = await get(`/api/jobs/${this.job}`);
        if (job.state === "completed") return withUrls(job);
        throw new Fault(0, { message: "The connection broke off while the picture was drawn." });
    }
}

const faultOf = (job) => new Fault(job.state === "cancelled" ? 409 : 500, job.error || {});

function withUrls(job) {
    for (const data of job.data) data.url = pictureUrl({ ...data, output_format: job.output_format });
    return job;
}
