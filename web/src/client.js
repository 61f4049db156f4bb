// Decoding off the main thread.
import { SplatError, joined } from "./bytes.js";
import { compile } from "./core.js";

const ownWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

const LARGE = 1e5; // bytes

/** A worker with a decoder in it. */
export class Decoder {
  #waiting = new Map();
  #next = 0;
  #worker;
  #ready;

  /** @param {{wasm?: any, worker?: () => Worker}} [options] Where decoder and worker are, if not beside this module. */
  constructor({ wasm, worker = ownWorker } = {}) {
    this.#worker = worker();
    this.#worker.onmessage = ({ data: { id, result, fault, expected } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (fault === undefined) resolve(result);
      else reject(expected ? new SplatError(fault) : new Error(fault));
    };
    this.#worker.onerror = (event) => {
      event.preventDefault?.();
      for (const { reject } of this.#waiting.values()) reject(new SplatError(`the decoder stopped: ${event.message ?? "it does not load"}`));
      this.#waiting.clear();
    };
    this.#ready = compile(wasm).then((module) => this.#post({ call: "start", module }));
    this.#ready.catch(() => {});
  }

  #post(message, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message }, transfer);
    });
  }
  async #call(message, transfer) {
    await this.#ready;
    return this.#post(message, transfer);
  }

  /** Decode a whole file; options as of `decodeWith`. */
  decode(bytes, options = {}) {
    return this.#call({ call: "decode", bytes, options });
  }

  /** Decode a file but for a clip's segments, which `segment` then decodes; one file at a time. */
  open(bytes, options = {}) {
    return this.#call({ call: "open", bytes, options });
  }

  /** The same, with a coarser picture shown first where a file is so large that it takes a while. */
  async openCoarse(bytes, shown, options = {}) {
    if (bytes.length > LARGE) {
      const file = await this.open(bytes, { ...options, tiers: 3 });
      if (file.rate === null) shown(file);
    }
    return this.open(bytes, options);
  }

  /** Decode a segment of the clip that was opened last. */
  segment(index, tiers = 6) {
    return this.#call({ call: "segment", index, tiers });
  }

  /**
   * Read a file and decode it as it arrives.
   *
   * @param {ReadableStream<Uint8Array>} stream
   * @param {(file: object) => void} shown Called with coarser pictures while the rest is on its way.
   * @returns {Promise<{bytes: Uint8Array, file: object}>}
   */
  async read(stream, shown = () => {}, options = {}) {
    const parts = [], reader = stream.getReader();
    let size = 0, since = 0, tried = 0, busy = false, ended = false;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
      if (size > (options.limits?.maxBytes ?? 2 ** 31)) {
        await reader.cancel();
        throw new SplatError(`the file is over the limit of ${options.limits.maxBytes} bytes`);
      }
      if (busy || size < 1.3 * tried + 2048) continue;
      busy = true;
      tried = size;
      this.#call({ call: "partial", bytes: joined(parts), options, since }).then((file) => {
        busy = false;
        if (!file || ended) return;
        since = file.tiers;
        shown(file);
      }, () => (busy = true));
    }
    ended = true;
    const bytes = joined(parts);
    return { bytes, file: await (since < 3 ? this.openCoarse(bytes, shown, options) : this.open(bytes, options)) };
  }

  /** Bits of each attribute in each layer of a file. */
  bits(bytes) {
    return this.#call({ call: "bits", bytes });
  }

  /** Pixels [height, width, 4] of a plan, without a GPU. */
  pixels(drawn) {
    return this.#call({ call: "pixels", drawn });
  }

  close() {
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(new SplatError("the decoder was closed"));
    this.#waiting.clear();
  }
}
