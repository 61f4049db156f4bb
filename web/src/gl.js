// Pixels by WebGL2: splats as instances, added into a float target for each layer, composited, clamped last.
import { SplatError } from "./bytes.js";
import { straightBytes } from "./raster.js";

// A splat is the parallelogram that a triangular root of its covariance makes of a square: as tight as a box along its
// axes. It is a little larger, because corners are moved to a raster of fractions of pixels; for the same reason pixels
// take q from their own place, and not from what is interpolated between corners.
const SPLAT = `#version 300 es
precision highp float;
layout(location = 0) in vec4 place;  // centre; longer axis times its deviation
layout(location = 1) in vec4 rest;   // ratio of deviations, precision in time, time
layout(location = 2) in vec4 color;
layout(location = 3) in vec4 speed;
uniform vec4 matrix;                 // row by row
uniform vec4 origin;                 // of the canvas, px: what comes to stand at the offset; high and low parts
uniform vec2 offset;
uniform vec3 extra;                  // xx, xy, yy that are added to the covariance
uniform vec4 moment;                 // time, shift, gain
uniform vec2 size;
uniform float outline;
flat out vec2 centre;
flat out vec3 inverse;  // of the root
flat out float cutoff;
flat out vec4 tone;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  gl_Position = vec4(2.0, 2.0, 0.0, 1.0);
  cutoff = 12.25;
  float gain = moment.w;
  vec2 mean = place.xy + moment.yz;
  if (rest.y > 0.0) {
    float apart = moment.x - rest.z, q = apart * apart * rest.y;
    if (!(q < cutoff)) return;
    cutoff -= q;
    gain *= exp(-0.5 * q);
    mean += speed.xy * apart;
  }
  mean = (mean - origin.xy) - origin.zw;
  mean = vec2(dot(matrix.xy, mean), dot(matrix.zw, mean)) + offset;
  vec2 u = vec2(dot(matrix.xy, place.zw), dot(matrix.zw, place.zw));
  vec2 other = rest.x * vec2(-place.w, place.z), v = vec2(dot(matrix.xy, other), dot(matrix.zw, other));
  float area = u.x * v.y - u.y * v.x, before = area * area;
  vec3 s = vec3(u.x * u.x + v.x * v.x, u.x * u.y + v.x * v.y, u.y * u.y + v.y * v.y);
  float after = before + extra.x * s.z + extra.z * s.x - 2.0 * extra.y * s.y + extra.x * extra.z - extra.y * extra.y;
  if (!(after > 0.0)) return;
  s += extra;
  tone = color * (gain * sqrt(before / after));
  float root = sqrt(s.x), rise = s.y / root, deep = sqrt(after);
  centre = mean;
  inverse = vec3(1.0 / root, -rise / deep, root / deep);
  vec2 at = corner * (vec2(outline > 0.0 ? outline : sqrt(cutoff)) + (outline > 0.0 ? 1.5 : 0.1) * vec2(1.0 / root, length(vec2(root, rise)) / deep));
  vec2 p = mean + vec2(root * at.x, rise * at.x + deep / root * at.y);
  gl_Position = vec4(p / size * 2.0 - 1.0, 0.0, 1.0);
}`;

const ADD = `#version 300 es
precision highp float;
flat in vec2 centre;
flat in vec3 inverse;
flat in float cutoff;
flat in vec4 tone;
out vec4 sum;
void main() {
  vec2 p = gl_FragCoord.xy - centre, at = vec2(inverse.x * p.x, inverse.y * p.x + inverse.z * p.y);
  float q = dot(at, at);
  if (q > cutoff) discard;
  sum = tone * exp(-0.5 * q);
}`;

const RING = `#version 300 es
precision highp float;
flat in vec2 centre;
flat in vec3 inverse;
uniform float outline;
out vec4 seen;
void main() {
  vec2 p = gl_FragCoord.xy - centre, at = vec2(inverse.x * p.x, inverse.y * p.x + inverse.z * p.y);
  float d = length(at), w = max(fwidth(d), 1e-6), a = 1.0 - clamp(abs(d - outline) / w, 0.0, 1.0);
  seen = vec4(vec3(1.0, 0.85, 0.2) * a, a) * 0.7;
}`;

const FULL = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

const LAYER = `#version 300 es
precision highp float;
uniform sampler2D sums, covers, noise;
uniform vec4 base, coverBase;
uniform int kind;                 // 0 covers all, 1 coverage in the sum, 2 a matte
uniform bool bounded, recolored;  // by the canvas's edges
uniform bool grained;
uniform mat3 K;
uniform vec3 k;
uniform float opacity;
uniform vec3 normals[2];          // across an edge, and where it starts
uniform vec2 blurs[2];            // deviation, width
uniform float flip;               // rows of the target count from below
out vec4 seen;
float erfOf(float x) {
  float t = 1.0 / (1.0 + 0.3275911 * abs(x));
  float y = 1.0 - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * exp(-x * x);
  return x < 0.0 ? -y : y;
}
float integral(float z, float s) {
  return 0.5 * z * (1.0 + erfOf(z / (s * 1.41421356))) + s * exp(-0.5 * (z / s) * (z / s)) * 0.39894228;
}
float edge(float d, float s) {
  if (s == 0.0) return clamp(d + 0.5, 0.0, 1.0);
  if (abs(d) > 0.5 + 6.0 * s) return d > 0.0 ? 1.0 : 0.0;
  return integral(d + 0.5, s) - integral(d - 0.5, s);
}
void main() {
  vec2 p = vec2(gl_FragCoord.x, flip > 0.0 ? flip - gl_FragCoord.y : gl_FragCoord.y);
  float share = 1.0;
  if (bounded)
    for (int i = 0; i < 2; ++i) {
      float d = dot(normals[i].xy, p) - normals[i].z;
      share *= edge(d, blurs[i].x) - edge(d - blurs[i].y, blurs[i].x);
    }
  vec4 sum = texelFetch(sums, ivec2(p), 0) + base * (kind == 1 ? share : 1.0);
  float a = 1.0;
  vec3 c = sum.rgb;
  if (kind == 1) a = clamp(sum.a, 0.0, 1.0);
  if (kind == 2) a = clamp(texelFetch(covers, ivec2(p), 0).r + coverBase.r * share, 0.0, 1.0);
  if (grained) c = clamp(c, 0.0, 1.0) + texelFetch(noise, ivec2(p), 0).r * (kind == 1 ? a : 1.0);
  c = kind == 2 ? clamp(c, 0.0, 1.0) * a : clamp(c, 0.0, a);
  if (recolored) c = clamp(K * c + k * a, 0.0, a);
  seen = vec4(c, a) * opacity;
}`;

const COPY = `#version 300 es
precision highp float;
uniform sampler2D sums;
uniform float flip;
out vec4 seen;
void main() { seen = texelFetch(sums, ivec2(gl_FragCoord.x, flip > 0.0 ? flip - gl_FragCoord.y : gl_FragCoord.y), 0); }`;

const PROGRAMS = { add: [SPLAT, ADD], ring: [SPLAT, RING], layer: [FULL, LAYER], copy: [FULL, COPY] };
const MOST_HELD = 2 ** 28; // bytes of splats

/** Draws plans with WebGL2. */
export class GlRenderer {
  /**
   * @param {HTMLCanvasElement|OffscreenCanvas} canvas
   * @param {{half?: boolean, core?: import("./core.js").Core}} [options] With `half` sums have 16 bits, as where 32
   *   cannot be blended; without a `core` no textures are drawn, whose noise it makes.
   */
  constructor(canvas, { half = false, core = null } = {}) {
    this.canvas = canvas;
    this.core = core;
    this.kind = "webgl2";
    const gl = (this.gl = canvas.getContext("webgl2", { antialias: false, alpha: true, premultipliedAlpha: true, preserveDrawingBuffer: false, powerPreference: "high-performance" }));
    if (!gl) throw new SplatError("there is no WebGL2");
    if (!gl.getExtension("EXT_color_buffer_float")) throw new SplatError("WebGL2 draws into no floats here");
    this.format = gl.getExtension("EXT_float_blend") && !half ? gl.RGBA32F : gl.RGBA16F;
    this.most = Math.min(gl.getParameter(gl.MAX_TEXTURE_SIZE), gl.getParameter(gl.MAX_RENDERBUFFER_SIZE), 16384);
    this.#start();
  }

  /** What draws: the name of a GPU, or of what emulates one. */
  get name() {
    const { gl } = this, info = gl.getExtension("WEBGL_debug_renderer_info");
    return String(gl.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
  }
  get emulated() {
    return /swiftshader|llvmpipe|software|basic render/i.test(this.name);
  }
  get lost() {
    return this.gl.isContextLost();
  }

  #start() {
    const { gl } = this;
    this.programs = {};
    this.corners = gl.createVertexArray();
    this.buffers = new Map();
    this.held = 0;
    this.targets = new Map();
  }

  /** Begin anew after a lost context was restored. */
  restore() {
    this.gl.getExtension("EXT_color_buffer_float");
    this.gl.getExtension("EXT_float_blend");
    this.#start();
  }

  #linking(name) {
    const { gl } = this, program = gl.createProgram();
    for (const [i, type] of [gl.VERTEX_SHADER, gl.FRAGMENT_SHADER].entries()) {
      const shader = gl.createShader(type);
      gl.shaderSource(shader, PROGRAMS[name][i]);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    return program;
  }
  // Programs are made when they are first used.
  #program(name, linking = null) {
    const { gl, programs } = this;
    if (programs[name]) return programs[name];
    const program = linking ?? this.#linking(name), at = {};
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new SplatError(`a shader does not link: ${gl.getProgramInfoLog(program)}`);
    for (let i = 0, n = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) ?? 0; i < n; ++i) {
      const { name } = gl.getActiveUniform(program, i);
      at[name.replace("[0]", "")] = gl.getUniformLocation(program, name);
    }
    return (programs[name] = { program, at });
  }

  /** Make the programs that pictures take; meanwhile other things go on, where the driver has threads for it. */
  async prepare() {
    const { gl } = this, parallel = gl.getExtension("KHR_parallel_shader_compile");
    const linking = ["add", "layer"].map((name) => [name, this.#linking(name)]);
    const waits = () => parallel && !this.lost && linking.some(([, program]) => !gl.getProgramParameter(program, parallel.COMPLETION_STATUS_KHR));
    while (waits()) await new Promise((done) => setTimeout(done, 5));
    for (const each of linking) this.#program(...each);
  }

  #target(name, width, height, format) {
    const { gl } = this, old = this.targets.get(name);
    if (old?.width === width && old.height === height && old.format === format) return old;
    if (old) {
      gl.deleteTexture(old.texture);
      gl.deleteFramebuffer(old.frame);
    }
    const texture = gl.createTexture(), frame = gl.createFramebuffer();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    const target = { texture, frame, width, height, format };
    this.targets.set(name, target);
    return target;
  }

  #array(splats) {
    const { gl } = this;
    let held = this.buffers.get(splats);
    if (held) return held.array;
    for (this.held += splats.shapes.byteLength; this.held > MOST_HELD && this.buffers.size; ) this.#drop(this.buffers.keys().next().value);
    held = { buffer: gl.createBuffer(), array: gl.createVertexArray() };
    gl.bindVertexArray(held.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, held.buffer);
    gl.bufferData(gl.ARRAY_BUFFER, splats.shapes, gl.STATIC_DRAW);
    for (let i = 0; i < 4; ++i) {
      gl.enableVertexAttribArray(i);
      gl.vertexAttribPointer(i, 4, gl.FLOAT, false, 64, 16 * i);
      gl.vertexAttribDivisor(i, 1);
    }
    this.buffers.set(splats, held);
    return held.array;
  }
  #drop(splats) {
    const held = this.buffers.get(splats);
    this.gl.deleteBuffer(held.buffer);
    this.gl.deleteVertexArray(held.array);
    this.buffers.delete(splats);
    this.held -= splats.shapes.byteLength;
  }

  /** Let go of all splats that are held, for example of a file that was closed. */
  forget() {
    for (const splats of [...this.buffers.keys()]) this.#drop(splats);
  }

  #splats(program, groups, { matrix, offset, extra }, view, outline = 0) {
    const { gl } = this, { at } = program;
    gl.useProgram(program.program);
    // The canvas point that comes to stand at the target's middle is taken from means first: they are exact there.
    const middle = [view.width / 2, view.height / 2], det = matrix[0] * matrix[3] - matrix[1] * matrix[2];
    const [x, y] = [middle[0] - offset[0], middle[1] - offset[1]];
    const origin = [(matrix[3] * x - matrix[1] * y) / det, (matrix[0] * y - matrix[2] * x) / det];
    const high = origin.map(Math.fround);
    gl.uniform4f(at.matrix, ...matrix);
    gl.uniform4f(at.origin, ...high, origin[0] - high[0], origin[1] - high[1]);
    gl.uniform2f(at.offset, ...middle);
    gl.uniform3f(at.extra, ...extra);
    gl.uniform2f(at.size, view.width, view.height);
    gl.uniform1f(at.outline, outline);
    for (const { splats, count, time, shift, gain } of groups) {
      if (!count) continue;
      gl.bindVertexArray(this.#array(splats));
      gl.uniform4f(at.moment, time, ...shift, gain);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
    }
  }

  #sum(name, { groups }, placement, view) {
    const { gl } = this, target = this.#target(name, view.width, view.height, this.format);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    gl.viewport(0, 0, view.width, view.height);
    gl.clearBufferfv(gl.COLOR, 0, [0, 0, 0, 0]);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE);
    this.#splats(this.#program("add"), groups, placement, view);
    return target;
  }

  #noise({ grain, placement }, view) {
    const noise = grain && this.core?.noise(grain.texture, placement, grain.gain, view);
    if (!noise) return null;
    const { gl } = this, target = this.#target("noise", view.width, view.height, gl.R32F);
    gl.bindTexture(gl.TEXTURE_2D, target.texture);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, view.width, view.height, gl.RED, gl.FLOAT, noise);
    return target;
  }

  #bind(unit, { texture }) {
    this.gl.activeTexture(this.gl.TEXTURE0 + unit);
    this.gl.bindTexture(this.gl.TEXTURE_2D, texture);
  }

  #layer(item, view, frame, flip) {
    const { gl } = this, { state, sum, cover, covered, edges } = item;
    const sums = this.#sum("sums", sum, item.placement, view), covers = cover && this.#sum("covers", cover, item.placement, view);
    const noise = this.#noise(item, view);
    const { program, at } = this.#program("layer");
    gl.useProgram(program);
    this.#bind(0, sums);
    this.#bind(1, covers ?? sums);
    this.#bind(2, noise ?? sums);
    gl.uniform1i(at.sums, 0);
    gl.uniform1i(at.covers, 1);
    gl.uniform1i(at.noise, 2);
    gl.uniform1i(at.grained, noise ? 1 : 0);
    gl.uniform4f(at.base, ...sum.base);
    gl.uniform4f(at.coverBase, ...(cover?.base ?? [0, 0, 0, 0]));
    gl.uniform1i(at.kind, cover ? 2 : covered ? 1 : 0);
    gl.uniform1i(at.bounded, edges && (cover ?? sum).base.some(Boolean) ? 1 : 0);
    gl.uniform1i(at.recolored, item.recolored ? 1 : 0);
    gl.uniformMatrix3fv(at.K, true, state.color);
    gl.uniform3f(at.k, ...state.shift);
    gl.uniform1f(at.opacity, state.opacity);
    gl.uniform1f(at.flip, flip ? view.height : 0);
    if (edges) {
      gl.uniform3fv(at.normals, edges.flatMap(({ normal, start }) => [...normal, start]));
      gl.uniform2fv(at.blurs, edges.flatMap(({ sigma, width }) => [sigma, width]));
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.viewport(0, 0, view.width, view.height);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.bindVertexArray(this.corners);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // Layers over each other in a frame that is clear; with `flip` its rows count from below.
  #compose({ view, items }, frame, flip) {
    const { gl } = this;
    if (items.length > 1) {
      // In floats, so that layers are rounded once.
      const over = this.#target("over", view.width, view.height, gl.RGBA16F === this.format ? gl.RGBA16F : this.format);
      gl.bindFramebuffer(gl.FRAMEBUFFER, over.frame);
      gl.clearBufferfv(gl.COLOR, 0, [0, 0, 0, 0]);
      for (const item of items) this.#layer(item, view, over.frame, false);
      gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
      gl.disable(gl.BLEND);
      const { program, at } = this.#program("copy");
      gl.useProgram(program);
      this.#bind(0, over);
      gl.uniform1i(at.sums, 0);
      gl.uniform1f(at.flip, flip ? view.height : 0);
      gl.viewport(0, 0, view.width, view.height);
      gl.bindVertexArray(this.corners);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.enable(gl.BLEND);
      return;
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.viewport(0, 0, view.width, view.height);
    gl.clearBufferfv(gl.COLOR, 0, [0, 0, 0, 0]);
    if (items.length) this.#layer(items[0], view, frame, flip);
  }

  /**
   * Draw on the canvas.
   *
   * @param {object} drawn Of `plan`.
   * @param {{outlines?: number}} [options] Ellipses at so many standard deviations over the picture; 0 for none.
   */
  draw(drawn, { outlines = 0 } = {}) {
    const { gl, canvas } = this, { view } = drawn;
    if (this.lost) return;
    if (canvas.width !== view.width) canvas.width = view.width;
    if (canvas.height !== view.height) canvas.height = view.height;
    this.#compose(drawn, null, true);
    if (!outlines) return;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    for (const { sum, placement: { matrix, offset, extra } } of drawn.items) {
      // Rows of the canvas count from below.
      const turned = {
        matrix: [matrix[0], matrix[1], -matrix[2], -matrix[3]],
        offset: [offset[0], view.height - offset[1]],
        extra: [extra[0], -extra[1], extra[2]],
      };
      this.#splats(this.#program("ring"), sum.groups, turned, view, outlines);
    }
  }

  /** Premultiplied colours and coverage [height, width, 4] in [0, 1]. */
  planes(drawn) {
    const { gl } = this, { width, height } = drawn.view;
    if (width > this.most || height > this.most) throw new SplatError(`a side is over ${this.most} px`);
    const target = this.#target("out", width, height, this.format);
    this.#compose(drawn, target.frame, false);
    gl.bindFramebuffer(gl.FRAMEBUFFER, target.frame);
    const out = new Float32Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, out);
    return out;
  }

  /** Bytes [height, width, 4], alpha straight. */
  pixels(drawn) {
    return straightBytes(this.planes(drawn));
  }
}
