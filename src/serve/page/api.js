/* api.js - words to the server: requests with the key, where one is needed, and a job's events as they come. */

const KEY = "variant-key"; // in sessionStorage: gone with the tab

/** What the server refused: one sentence, and the member that is meant. */
export class Fault extends Error {
    constructor(status, error) {
        super(error.message || `The server answered ${status}.`);
        this.status = status;
        this.param = error.param || "";
        this.code = error.code || "";
    }
}

export const keys = {
    get: () => sessionStorage.getItem(KEY) || "",
    set: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
    ask: async () => false, // main.js puts the dialog here: true once there is another key
};

async function faultOf(response) {
    const body = await response.json().catch(() => ({}));
    return new Fault(response.status, body.error || {});
}

/** The response, once it is a success. Asks for the key where one is missing, and tries again. */
async function request(path, options = {}) {
    for (;;) {
        const headers = { ...options.headers };
        if (keys.get()) headers.Authorization = `Bearer ${keys.get()}`;
        let response;
        try {
            response = await fetch(path, { ...options, headers });
        } catch (error) {
            if (error.name === "AbortError") throw error;
            throw new Fault(0, { message: "The server does not answer." });
        }
        if (response.ok) return response;
        const fault = await faultOf(response);
        if (fault.status !== 401 || !(await keys.ask(fault))) throw fault;
    }
}

export const get = async (path) => (await request(path)).json();

/** body: an object, sent as JSON, or FormData. */
export async function post(path, body) {
    const form = body instanceof FormData;
    const response = await request(path, {
        method: "POST",
        body: form ? body : JSON.stringify(body),
        headers: form ? {} : { "Content-Type": "application/json" },
    });
    return response.json();
}

/** "event: a\ndata: {}" to [name, data]; null: a comment. */
function eventOf(text) {
    let name = "", data = "";
    for (const line of text.split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        if (line.startsWith("data: ")) data += line.slice(6);
    }
    return data ? [name, JSON.parse(data)] : null;
}

/** Events of a stream, until it ends. EventSource cannot send a key. */
export async function* events(path) {
    const reader = (await request(path)).body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        text += value;
        const pieces = text.split("\n\n");
        text = pieces.pop();
        for (const piece of pieces) {
            const event = eventOf(piece);
            if (event) yield event;
        }
    }
}
