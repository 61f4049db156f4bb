// Decoding off the main thread.
import { SplatError, joined } from "./bytes.js";
import { compile } from "./core.js";
import { glimpse, reachOf } from "./decode.js";

const ownWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

const MOST_HANDS = 4; // workers
const SOON = 150; // ms

// A worker, which answers calls one after another.
class Hand {
  #waiting = new Map();
  #next = 0;
  #worker;

  constructor(worker) {
    this.#worker = worker;
    worker.onmessage = ({ data: { id, result, fault, expected } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (fault === undefined) resolve(result);
      else reject(expected ? new SplatError(fault) : new Error(fault));
    };
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#end(`the decoder stopped: ${event.message ?? "it does not load"}`);
    };
  }
  call(message) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...message });
    });
  }
  close() {
    this.#worker.terminate();
    this.#end("the decoder was closed");
  }
  #end(why) {
    for (const { reject } of this.#waiting.values()) reject(new SplatError(why));
    this.#waiting.clear();
  }
}

/** Workers with a decoder in each; the first does all but the parts of large layers, where the others help. */
export class Decoder {
  #hands = [];
  #make;
  #module;
  #opened = null;

  /** @param {{wasm?: any, worker?: () => Worker}} [options] Where decoder and worker are, if not beside this module. */
  constructor({ wasm, worker = ownWorker } = {}) {
    this.#make = worker;
    this.#module = compile(wasm);
    this.#hand(0).catch(() => {});
  }

  // A worker that has the decoder.
  #hand(number) {
    this.#hands[number] ??= (() => {
      const hand = new Hand(this.#make());
      const ready = this.#module.then((module) => hand.call({ call: "start", module })).then(() => hand);
      return { hand, ready };
    })();
    return this.#hands[number].ready;
  }
  async #call(message) {
    return (await this.#hand(0)).call(message);
  }

  /** Decode a whole file; options as of `decodeWith`. */
  decode(bytes, options = {}) {
    return this.#call({ call: "decode", bytes, options });
  }

  /**
   * Decode a file but for a clip's segments, which `segment` then decodes, and the parts of large layers, which `fill`
   * does; one file at a time.
   */
  open(bytes, options = {}) {
    this.#opened = { bytes, options };
    return this.#call({ call: "open", bytes, options });
  }

  /**
   * Decode the parts of large layers in the file that was opened last, those that are seen first.
   *
   * @param {object} file As `open` gives it; its parts are filled.
   * @param {{window?: () => number[]|null, arrived?: () => void}} [options] What is seen now, left, top, right, bottom,
   *   px; and what is told of each part.
   * @returns {Promise<boolean>} False when another file was opened before all parts were there.
   */
  async fill(file, { window = () => null, arrived = () => {} } = {}) {
    const opened = this.#opened, waiting = [];
    file.layers.forEach((layer, number) => {
      for (const field of [layer, layer.matte])
        field?.parts?.forEach((part, i) => (part.splats && !part.coarser) || waiting.push({ part, call: { call: "part", layer: number, matte: field !== layer, number: i + 1 } }));
    });
    const work = async (number) => {
      const hand = await this.#hand(number);
      if (number) await hand.call({ call: "keep", bytes: opened.bytes, options: { limits: opened.options.limits } });
      while (waiting.length && opened === this.#opened) {
        const { part, call } = waiting.splice(nearest(waiting, window()), 1)[0];
        Object.assign(part, { splats: await hand.call(call), coarser: false });
        arrived();
      }
    };
    const hands = Math.min(MOST_HANDS, globalThis.navigator?.hardwareConcurrency ?? 1, Math.ceil(waiting.length / 2));
    await Promise.all([...Array(hands).keys()].map(work));
    return opened === this.#opened;
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
   * @param {object} [options] As of `decodeWith`, and `core`, an instance here (or a promise of one), which decodes the
   *   coarsest picture sooner than a worker has started.
   * @returns {Promise<{bytes: Uint8Array, file: object}>} The file as `open` gives it.
   */
  async read(stream, shown = () => {}, { core = null, ...options } = {}) {
    const parts = [], reader = stream.getReader();
    let size = 0, looked = 0, since = 0, tried = 0, busy = false, ended = false, last = null;
    const show = (file) => {
      since = reachOf(file);
      shown((last = file));
    };
    // A file that is there soon is decoded once.
    let rest = performance.now() + SOON;
    const attempt = async () => {
      if (busy || ended || size < 1.3 * tried + 2048 || performance.now() < rest) return;
      busy = true;
      const hand = await this.#hand(0);
      if (ended) return;
      tried = size;
      const begin = performance.now(), file = await hand.call({ call: "partial", bytes: joined(parts), options, since });
      // Pictures on the way take at most a third of the time.
      const pause = 2 * (performance.now() - begin);
      rest = performance.now() + pause;
      busy = false;
      setTimeout(again, pause + 1);
      if (!file || ended) return;
      show(file);
    };
    // What fails stays busy, and is told of by the whole file.
    const again = () => attempt().catch(() => {});
    setTimeout(again, SOON + 1);
    // What came before a connection was lost is shown yet, but nothing of what nobody waits for.
    const next = () => reader.read().catch((fault) => {
      ended = fault.name === "AbortError";
      throw fault;
    });
    for (;;) {
      const { done, value } = await next();
      if (done) break;
      parts.push(value);
      size += value.length;
      if (size > (options.limits?.maxBytes ?? 2 ** 31)) {
        await reader.cancel();
        throw new SplatError(`the file is over the limit of ${options.limits.maxBytes} bytes`);
      }
      if (core && !since && size >= 2 * looked) {
        looked = size;
        const file = await glimpse(await core, joined(parts), options.limits);
        if (file) show(file);
      }
      again();
    }
    ended = true;
    const bytes = joined(parts), file = await this.open(bytes, options);
    lend(last, file);
    return { bytes, file };
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
    this.#opened = null;
    for (const { hand } of this.#hands) hand.close();
  }
}

// The parts of large layers as a coarser picture of the same file has them, until they are filled.
function lend(coarser, file) {
  coarser?.layers.forEach((layer, i) => {
    for (const [from, to] of [[layer, file.layers[i]], [layer.matte, file.layers[i].matte]])
      from?.parts?.forEach(({ splats }, p) => splats && Object.assign(to.parts[p], { splats, coarser: true }));
  });
}

// Of the parts that wait the one that is nearest to the middle of a window, those first that it meets.
function nearest(waiting, window) {
  if (!window) return 0;
  const [left, top, right, bottom] = window, x = (left + right) / 2, y = (top + bottom) / 2;
  const cost = ({ part: { box } }) => {
    const meets = box[0] < right && left < box[2] && box[1] < bottom && top < box[3];
    return Math.hypot((box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y) + (meets ? 0 : 1e6);
  };
  return waiting.reduce((best, one, i) => (cost(one) < cost(waiting[best]) ? i : best), 0);
}
