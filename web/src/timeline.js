// When the frames of a clip are shown, and by which segments. docs/FORMAT.md, section 9.4.
import { SplatError } from "./bytes.js";
import { TICKS } from "./container.js";

/** The frames of a clip's first layer in time, and those of its others. */
export class Timeline {
  /** @param {object} file As `decode` gives it. */
  constructor(file) {
    this.rate = file.rate;
    this.tracks = new Map();
    file.segments.forEach((segment, index) => {
      const track = this.tracks.get(segment.layer) ?? [];
      this.tracks.set(segment.layer, track);
      const before = track.at(-1), { first, count, layer, clock } = segment;
      if (layer && before && first <= before.first) throw new SplatError(`segment ${index} does not follow those of its layer`);
      const part = { index, first, count, clock, last: first + count, start: 0, ends: null };
      if (!layer) {
        const least = before ? Math.max(before.last - 8, before.first + 1) : 0, most = before?.last ?? 0;
        if (first < least || first > most) throw new SplatError(`segment ${index} begins with frame ${first}, expected ${most}`);
        part.start = before ? this.#time(before, first) : 0;
        if (segment.ticks.length) {
          let end = part.start;
          part.ends = segment.ticks.map((t) => (end += t / TICKS));
        }
      }
      track.push(part);
    });
    this.parts = this.tracks.get(0) ?? [];
    if (!this.parts.length) throw new SplatError("the clip has no frames");
    this.count = this.parts.at(-1).last;
    this.duration = this.#time(this.parts.at(-1), this.count);
  }
  #time(part, frame) {
    const within = frame - part.first;
    if (!part.ends || within <= 0) return part.start + within / this.rate;
    const known = Math.min(within, part.count);
    return part.ends[known - 1] + (within - known) / this.rate;
  }

  /** When a frame begins, s. */
  timeOf(frame) {
    return this.#time(this.parts.findLast(({ first }) => first <= frame) ?? this.parts[0], frame);
  }

  /** The frame that is shown at a moment in s. */
  frameAt(time) {
    const [part, at] = this.#place(time);
    return Math.min(part.first + Math.floor(at - 0.5 + 1e-6), this.count - 1);
  }

  #place(time) {
    const part = this.parts.findLast(({ start }) => start <= time + 1e-9) ?? this.parts[0];
    if (!part.ends) return [part, Math.min((time - part.start) * this.rate, part.count - 1 + 0.999) + 0.5];
    let within = part.ends.findIndex((end) => end > time + 1e-9);
    if (within < 0) within = part.count - 1;
    const begin = within ? part.ends[within - 1] : part.start;
    return [part, within + Math.min(Math.max((time - begin) / (part.ends[within] - begin), 0), 0.999) + 0.5];
  }

  /** What a coded layer that moves shows at a time: numbers of segments, local times (moments) and weights. */
  shown(layer, time) {
    const track = this.tracks.get(layer) ?? [], [own, local] = this.#place(time);
    let part = own, at = local;
    if (layer) {
      const moment = own.first + local;
      part = track.findLast(({ first, last }) => first <= moment && moment < last);
      if (!part) return [];
      at = moment - part.first;
    }
    const before = track[track.indexOf(part) - 1], shared = before ? before.last - part.first : 0;
    if (at >= shared) return [{ segment: part.index, at: momentAt(part, at), weight: 1 }];
    const share = (at + 0.5) / (shared + 1);
    return [
      { segment: before.index, at: momentAt(before, at + part.first - before.first), weight: 1 - share },
      { segment: part.index, at: momentAt(part, at), weight: share },
    ];
  }

  /** Numbers of the segments that a moment needs. */
  needed(time) {
    return [...this.tracks.keys()].flatMap((layer) => this.shown(layer, time).map(({ segment }) => segment));
  }
}

/** The local time in moments at one in frames. docs/FORMAT.md, section 9.7. */
export function momentAt({ clock }, at) {
  if (!clock) return at;
  const last = clock.length - 1, frame = Math.min(Math.max(Math.floor(at - 0.5), 0), last), share = at - 0.5 - frame;
  const here = clock[frame], following = share < 0 || frame === last ? here + 1 : clock[frame + 1];
  return here + share * (following - here) + 0.5;
}

/** By how much a segment shows the world farther to the right and down at a local time in moments, px. */
export function shiftAt({ path, moments }, at) {
  const t = Math.min(Math.max(at - 0.5, 0), moments - 1), i = Math.min(Math.floor(t), Math.max(moments - 2, 0)), f = t - i;
  const next = Math.min(i + 1, moments - 1);
  return [0, 1].map((axis) => (path[2 * i + axis] * (1 - f) + path[2 * next + axis] * f) / 64);
}
