/** Images that are attached to a message. They are made smaller until a request with them is small enough. */

import { html } from "../../html.js";

/** @typedef {{ mime: string, base64: string, name: string }} Image */

const KINDS = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** Characters of base64 in all images of a message. A server takes a request of 1 MiB unless it is told otherwise. */
const MOST = 900_000;

const SIDES = [1600, 1200, 800, 500];

/** @param {{ image: Image }} props */
export function Picture({ image: { mime, base64, name } }) {
  if (!KINDS.includes(mime)) return html`<p class="quiet">[image: ${mime}]</p>`;
  return html`<img class="picture" src="data:${mime};base64,${base64}" alt=${name} />`;
}

/**
 * Return the image of a file, smaller if it has more than `room` characters. Throws an Error that says what to do.
 * @param {File} file
 * @param {readonly Image[]} others  that are attached already
 * @returns {Promise<Image>}
 */
export async function imageOf(file, others) {
  const { name, type } = file;
  if (!KINDS.includes(type)) throw new Error(`${name} cannot be attached. Use a PNG, JPEG, GIF or WebP image.`);
  const room = MOST - others.reduce((sum, { base64 }) => sum + base64.length, 0);
  if (file.size * 1.34 < room) return { name, mime: type, base64: await base64Of(file) };
  for (const side of SIDES) {
    const base64 = await base64Of(await smaller(file, side));
    if (base64.length < room) return { name, mime: "image/jpeg", base64 };
  }
  throw new Error(`There is no room for ${name} beside the other images. Remove one, or send it in a message of its own.`);
}

/** @param {Blob} file @param {number} side  pixels of the longer side, at most @returns {Promise<Blob>} */
async function smaller(file, side) {
  const picture = await createImageBitmap(file).catch(() => {
    throw new Error("The file is no image that this browser can read.");
  });
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return new Promise((done, fail) => {
    canvas.toBlob((blob) => (blob ? done(blob) : fail(new Error("The image cannot be made smaller."))), "image/jpeg", 0.85);
  });
}

/** @param {Blob} blob @returns {Promise<string>} */
function base64Of(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(String(reader.result).replace(/^[^,]*,/, ""));
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}
