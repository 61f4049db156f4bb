// A clip's time: play, scrub, step; segments are decoded when they are needed.
export class Player {
  constructor(root, decoder, { show, fault }) {
    Object.assign(this, { root, decoder, show, fault, time: 0, playing: false, doc: null, asked: new Map() });
    const find = (id) => root.querySelector(`#${id}`);
    Object.assign(this, { button: find("play"), scrub: find("scrub"), moment: find("moment"), speed: find("speed"), loop: find("loop"), rate: find("rate") });
    this.button.onclick = () => this.toggle();
    find("back").onclick = () => this.step(-1);
    find("forth").onclick = () => this.step(1);
    this.scrub.oninput = () => this.seek((this.scrub.value / 1000) * this.doc.timeline.duration);
  }

  /** @param {object} doc @param {{keep?: boolean}} [options] With `keep` it is more of the clip that is open. */
  open(doc, { keep = false } = {}) {
    if (keep) this.doc.file.segments.forEach((segment, i) => segment.splats && (doc.file.segments[i] = segment));
    else {
      this.time = 0;
      this.pause();
    }
    Object.assign(this, { doc, asked: new Map() });
    this.root.hidden = !doc.clip;
    if (doc.clip) this.seek(this.time);
  }
  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }
  pause() {
    this.playing = false;
    this.#offer("Play", "M4 3v10l9-5z");
  }
  // What the button does next, and its icon.
  #offer(what, path) {
    this.button.setAttribute("aria-label", what);
    this.button.querySelector("path").setAttribute("d", path);
  }
  play() {
    if (!this.doc?.clip) return;
    this.playing = true;
    this.#offer("Pause", "M5 3v10M11 3v10");
    if (this.time >= this.doc.timeline.duration - 1e-6) this.time = 0;
    let before = performance.now(), at = this.time, shown = null;
    const tick = async (now) => {
      if (!this.playing) return;
      const { duration, rate } = this.doc.timeline;
      // Who moves the slider meanwhile goes on from there.
      if (shown !== null && this.time !== shown) at = this.time;
      let next = at + ((now - before) / 1000) * this.speed.value;
      before = now;
      if (next >= duration) {
        if (!this.doc.bytes) next = duration; // the rest is on its way
        else if (!this.loop.checked) {
          this.pause();
          next = duration;
        } else next %= duration;
      }
      at = next;
      const chosen = this.rate.value === "own" ? rate : Number(this.rate.value);
      const seeking = this.seek(chosen && this.playing ? Math.floor(at * chosen + 1e-6) / chosen : at);
      shown = this.time;
      await seeking;
      if (this.playing) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
  step(n) {
    this.pause();
    const { timeline } = this.doc, frame = timeline.frameAt(this.time) + n;
    return this.seek(timeline.timeOf(Math.min(Math.max(frame, 0), timeline.count - 1)));
  }

  async seek(time) {
    const { doc } = this, { timeline, file } = doc;
    this.time = Math.min(Math.max(time, 0), timeline.duration);
    try {
      await Promise.all(timeline.needed(this.time).map((index) => this.#decoded(doc, index)));
    } catch (fault) {
      return this.fault(fault.message);
    }
    if (doc !== this.doc) return;
    // The one after is got ready, and those that are far are let go.
    const last = Math.max(...timeline.needed(this.time));
    if (last + 1 < file.segments.length) this.#decoded(doc, last + 1).catch(() => {});
    const frame = timeline.frameAt(this.time);
    this.scrub.value = Math.round((1000 * this.time) / timeline.duration);
    this.moment.value = `${this.time.toFixed(2)} s, frame ${frame + 1} of ${timeline.count}`;
    this.show(this.time);
  }

  #decoded(doc, index) {
    const { file } = doc;
    if (file.segments[index].splats) return Promise.resolve();
    if (!this.asked.has(index))
      this.asked.set(index, this.decoder.segment(index).then((segment) => {
        file.segments[index] = { ...file.segments[index], ...segment };
        this.asked.delete(index);
        const held = file.segments.flatMap((s, i) => (s.splats ? [i] : []));
        for (const far of held.filter((i) => Math.abs(i - index) > 12)) file.segments[far] = { ...file.segments[far], splats: undefined, matte: file.segments[far].matte && { ...file.segments[far].matte, splats: undefined } };
      }));
    return this.asked.get(index);
  }
}
