/* pixels.js - pictures as numbers: decoding, differences, masks. */

/** The picture of an address of its bytes, decoded. */
export async function load(url) {
    const image = new Image();
    image.src = url;
    await image.decode();
    return image;
}

/** Its pixels, four numbers each. */
export function pixelsOf(image) {
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** Absolute differences of two pictures of one size, `gain` times, put into the canvas; the mean of them (of 255) and the share of
 * pixels that differ. */
export function drawDifference(canvas, a, b, gain) {
    canvas.width = a.width;
    canvas.height = a.height;
    const context = canvas.getContext("2d", { willReadFrequently: true }), out = context.createImageData(a.width, a.height);
    let sum = 0, differ = 0;
    for (let i = 0; i < a.data.length; i += 4) {
        let most = 0;
        for (let c = 0; c < 3; ++c) {
            const difference = Math.abs(a.data[i + c] - b.data[i + c]);
            sum += difference;
            most = Math.max(most, difference);
            out.data[i + c] = Math.min(255, gain * difference);
        }
        out.data[i + 3] = 255;
        if (most) ++differ;
    }
    context.putImageData(out, 0, 0);
    const pixels = a.data.length / 4;
    return { mean: sum / (3 * pixels), share: differ / pixels };
}

/** "data:image/png;base64,..." to a file of the same bytes. fetch() of it is what the page's policy forbids. */
export function blobOf(url) {
    const [head, base64] = url.split(",");
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return new Blob([bytes], { type: head.slice(5, head.indexOf(";")) });
}
