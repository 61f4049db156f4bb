// Files that are dropped, pasted, loaded, and encoded by the local server.
import { SplatError, joined } from "../src/bytes.js";

/** A file or an address in what was dropped or pasted. */
export async function offered(transfer) {
  const file = transfer.files[0] ?? [...transfer.items].find(({ kind }) => kind === "file")?.getAsFile();
  if (file) return { file };
  const text = (transfer.getData("text/uri-list") || transfer.getData("text/plain")).trim().split("\n")[0];
  return { url: /^https?:\/\/|\.splat$/i.test(text) ? text : null };
}

/** Whether a file is a picture that is to be encoded. */
export async function isPicture(file) {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  return head[0] !== 0xc2 && (file.type.startsWith("image/") || /\.(jpe?g|png|webp|avif|tiff?|bmp|gif)$/i.test(file.name));
}

/** @param {string} url @param {AbortSignal} signal */
export async function fetched(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal });
  } catch {
    signal.throwIfAborted();
    throw new SplatError(`${url} cannot be loaded: no connection, or its host does not allow other pages to read it`);
  }
  if (!response.ok) throw new SplatError(`${url} cannot be loaded: ${response.status} ${response.statusText}`);
  return response;
}

/**
 * Have the local server fit something. Its answer is a line of JSON now and then, and behind the last the file's bytes.
 *
 * @param {{token: string}} server
 * @param {string} path What is asked for, with its query.
 * @param {Blob} body
 * @param {(share: number, text: string) => void} progress
 */
export async function fitOnServer(server, path, body, progress) {
  const response = await fetch(path, { method: "POST", body, headers: { "X-Splat2d": server.token } });
  if (!response.ok) throw new SplatError(`the server refuses: ${(await response.text()) || response.statusText}`);
  const reader = response.body.getReader();
  let held = new Uint8Array(), size = null;
  for (;;) {
    const { done, value } = await reader.read();
    if (value) held = joined([held, value]);
    for (let end; size === null && (end = held.indexOf(10)) >= 0; held = held.subarray(end + 1)) {
      const line = JSON.parse(new TextDecoder().decode(held.subarray(0, end)));
      if (line.error) throw new SplatError(`it cannot be done: ${line.error}`);
      if (line.size !== undefined) size = line.size;
      else progress(line.share, line.text ? `: ${line.text}` : "");
    }
    if (done) break;
  }
  if (size === null || held.length !== size) throw new SplatError("the server went away while it worked");
  return held;
}
