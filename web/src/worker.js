// The decoder in a worker: messages {id, call, ...} are answered by {id, result} or {id, fault}.
import { SplatError } from "./bytes.js";
import { parse } from "./container.js";
import { Core, compile } from "./core.js";
import { decodeSegment, decodeWith, reachOf } from "./decode.js";
import { RasterRenderer } from "./raster.js";

let core, kept;

const without = ({ data, ...part }) => ({ ...part, bytes: data?.length ?? 0, matte: part.matte && without(part.matte) });
const light = (file) => ({ ...file, layers: file.layers.map(without), segments: file.segments.map(without), textures: file.textures.map(without) });

const keep = (file) => {
  const coded = ({ data, header, matte }) => ({ data, header, matte: matte && coded(matte) });
  kept = { layers: file.layers.map(coded), segments: file.segments };
};

const calls = {
  async start({ module }) {
    core = new Core(await compile(module));
  },
  async decode({ bytes, options }) {
    return light(await decodeWith(core, bytes, options));
  },
  // Keeps the file, so that a clip's segments and the parts of large layers are decoded when they are shown.
  async open({ bytes, options }) {
    const file = await decodeWith(core, bytes, { ...options, segments: false, coarse: true });
    keep(file);
    return light(file);
  },
  // The same for a worker that helps with parts.
  async keep({ bytes, options }) {
    kept = await parse(bytes, options);
  },
  part({ layer, matte, number }) {
    const { data, header } = matte ? kept.layers[layer].matte : kept.layers[layer];
    return core.part(number, data, header);
  },
  // The beginning of a file, once it holds more tiers, or segments of a clip, than were shown.
  async partial({ bytes, options, since }) {
    const file = await decodeWith(core, bytes, { ...options, partial: true, segments: false, coarse: true, filled: since > 0 });
    if (reachOf(file) <= since) return null;
    if (file.rate !== null) keep(file);
    return light(file);
  },
  segment({ index, tiers }) {
    if (!kept?.segments[index]) throw new SplatError(`there is no segment ${index}`);
    return without(decodeSegment(core, kept.segments[index], tiers));
  },
  // Bits of each attribute, layer by layer, of a picture's file.
  async bits({ bytes }) {
    const { layers } = await parse(bytes);
    return layers.map((layer) => core.countBits(() => [layer, layer.matte].forEach((part) => part?.data && core.decode(part.data, part.header))));
  },
  // Pixels of a plan without a GPU.
  pixels({ drawn }) {
    return new RasterRenderer(null, core).pixels(drawn);
  },
};

const buffers = (value, found = new Set()) => {
  if (ArrayBuffer.isView(value)) found.add(value.buffer);
  else if (value && typeof value === "object") Object.values(value).forEach((inner) => buffers(inner, found));
  return found;
};

// One after another: the core does one thing at a time.
let turn = Promise.resolve();
self.onmessage = ({ data: { id, call, ...rest } }) => {
  turn = turn.then(async () => {
    try {
      const result = await calls[call](rest);
      // What is kept stays here.
      const given = call === "open" || call === "partial" ? result?.layers : result;
      self.postMessage({ id, result }, [...buffers(given)].filter((buffer) => buffer !== rest.bytes?.buffer));
    } catch (fault) {
      self.postMessage({ id, fault: fault.message, expected: fault instanceof SplatError });
    }
  });
};
