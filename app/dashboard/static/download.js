/** Files that the page makes and the browser saves. */

/**
 * Have the browser save a file.
 * @param {string} name
 * @param {readonly string[]} texts  its parts
 * @param {string} type
 */
export function download(name, texts, type) {
  const address = URL.createObjectURL(new Blob([...texts], { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name.replace(/[^\w.-]+/g, "_").slice(0, 100);
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
