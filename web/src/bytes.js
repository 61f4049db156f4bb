// Bytes with limits and checksums: docs/FORMAT.md, section 1.

/** What is wrong with a file, or with what was asked for. */
export class SplatError extends Error {
  constructor(message) {
    super(message);
    this.name = "SplatError";
  }
}

const TABLE = new Uint32Array(256).map((_, i) => {
  for (let bit = 0; bit < 8; ++bit) i = i & 1 ? (i >>> 1) ^ 0xedb88320 : i >>> 1;
  return i;
});

/** CRC-32 of zlib and PNG. */
export function crc32(data) {
  let crc = 0xffffffff;
  for (let i = 0; i < data.length; ++i) crc = TABLE[(crc ^ data[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Takes bytes from the front and says what is missing. */
export class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }
  get rest() {
    return this.data.subarray(this.at);
  }
  get done() {
    return this.at >= this.data.length;
  }
  take(count, what) {
    const have = this.data.length - this.at;
    if (count > have) throw new SplatError(`truncated in ${what}: need ${count} bytes at offset ${this.at}, have ${have}`);
    this.at += count;
    return this.data.subarray(this.at - count, this.at);
  }
  byte(what) {
    return this.take(1, what)[0];
  }
  varint(what, limit) {
    let value = 0;
    for (let power = 1, n = 0; ; power *= 128, ++n) {
      if (n === 5) throw new SplatError(`${what} does not end within five bytes`);
      const byte = this.byte(what);
      value += (byte & 127) * power;
      if (byte < 128) break;
    }
    if (value > limit) throw new SplatError(`${what} is ${value}, over the limit of ${limit}`);
    return value;
  }
  zigzag(what, limit) {
    const folded = this.varint(what, limit);
    return folded % 2 ? -(folded - 1) / 2 - 1 : folded / 2;
  }
  end(what) {
    if (!this.done) throw new SplatError(`${what} has ${this.data.length - this.at} bytes to spare`);
  }
}

/** Collects bytes. */
export class Writer {
  constructor() {
    this.bytes = [];
  }
  varint(value) {
    for (; value >= 128; value = Math.floor(value / 128)) this.bytes.push((value % 128) | 128);
    this.bytes.push(value);
    return this;
  }
  zigzag(value) {
    return this.varint(value >= 0 ? 2 * value : -2 * value - 1);
  }
  put(...bytes) {
    for (const byte of bytes) this.bytes.push(byte);
    return this;
  }
  word(value) {
    return this.put(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
  }
  done() {
    return Uint8Array.from(this.bytes);
  }
}

/** The bytes of several arrays, one behind another. */
export function joined(parts) {
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export async function inflated(data, most) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate"));
  const parts = [];
  let size = 0;
  for (const reader = stream.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) return joined(parts);
    size += value.length;
    if (size > most) throw new SplatError(`the notes are longer than ${most} bytes`);
    parts.push(value);
  }
}
