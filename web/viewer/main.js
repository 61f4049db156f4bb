// The viewer and editor: one page, which works from any host, from `splat2d view`, and as a single file.
import { SplatError } from "../src/bytes.js";
import { Decoder } from "../src/client.js";
import { Core, compile } from "../src/core.js";
import { hasAlpha } from "../src/draw.js";
import { Camera } from "./camera.js";
import { Compare } from "./compare.js";
import { Document, operation } from "./document.js";
import { fetched, fitOnServer, isPicture, offered } from "./files.js";
import { Handles } from "./handles.js";
import { Lens } from "./lens.js";
import { Painter } from "./painter.js";
import { Adjust, showFacts, showLayers } from "./panels.js";
import { Player } from "./player.js";
import { Selection } from "./select.js";

const $ = (id) => document.getElementById(id);

/** @param {{wasm?: any, worker?: () => Worker, server?: object|null, data?: {name: string, bytes: Uint8Array}|null}} [host] */
export async function start({ wasm, worker, server = null, data = null } = {}) {
  const stage = $("stage"), query = new URLSearchParams(location.search);
  const status = (text, fault = false) => {
    $("status").textContent = text;
    $("status").classList.toggle("fault", fault);
  };
  const failed = (fault) => {
    if (!(fault instanceof SplatError || fault instanceof TypeError || fault instanceof DOMException)) console.error(fault);
    busy(null);
    status(fault.message ?? String(fault), true);
  };
  const busy = (text, share) => {
    $("busy").hidden = text === null;
    if (text === null) return;
    $("busy").querySelector("span").textContent = text;
    const bar = $("busy").querySelector("progress");
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
  };
  const compiling = compile(wasm), decoder = new Decoder({ wasm: compiling, worker }), making = compiling.then((module) => new Core(module));
  // A file on its way, or decoded: coarser pictures of it are told to whoever listens.
  const load = (url) => {
    const loading = { coarse: null, shown: () => {}, stop: new AbortController() };
    loading.result = fetched(url, loading.stop.signal).then((response) => decoder.read(response.body, (file) => loading.shown((loading.coarse = file)), { core: making }));
    loading.result.catch(() => {});
    return loading;
  };
  const wanted = query.get("src") ?? server?.open, coming = !data && wanted ? load(wanted) : null;
  let core;
  try {
    core = await making;
  } catch (fault) {
    return failed(fault);
  }
  let doc = null, selected = 0, picked = false, bits = null, opening = 0, arrived = 0, loaded = coming;

  const camera = new Camera(stage, () => painter?.request(true, true));
  const handles = new Handles($("handles"), camera);
  const compare = new Compare({ layer: $("other"), canvas: $("reference"), divider: $("divider"), stage, camera, core, say: status });
  const state = () => doc?.stack.find(({ number }) => number === selected);
  // What nobody picked, or lies behind all and covers all, is not moved by accident.
  const placeable = () => {
    const s = picked && state();
    return s && (s.number !== doc.stack[0].number || hasAlpha(doc.layerOf(s))) ? s : null;
  };
  const painter = new Painter($("picture"), camera, core, {
    renderer: query.get("renderer"),
    fault: (text) => status(text, Boolean(text)),
    drawn: () => {
      $("zoom").value = camera.zoom >= 10 ? `${Math.round(camera.zoom)}×` : `${(100 * camera.zoom).toFixed(camera.zoom < 0.1 ? 1 : 0)}%`;
      handles.draw(doc, placeable());
      compare.draw(doc);
      selection.draw(doc);
    },
  });
  const selection = new Selection({
    canvas: $("selection"), tools: $("select"), camera, painter,
    changed: () => {
      $("cut").disabled = $("unselect").disabled = !selection.active;
      if (doc) selection.draw(doc);
    },
  });
  const player = new Player($("player"), decoder, {
    show: (time) => {
      painter.time = time;
      painter.request(player.playing);
    },
    fault: (text) => status(text, true),
  });

  const lens = new Lens($("lens"), { stage, document: () => doc, changed: (moving) => {
    painter.lens = lens.options;
    painter.request(moving);
  } });

  // What is open

  function show(next, { keep = false } = {}) {
    const first = !keep || !doc;
    painter.renderer.forget();
    doc = painter.document = next;
    if (first) {
      selected = doc.stack.at(-1)?.number ?? 0;
      picked = false;
      $("pixel").value = "";
      painter.time = 0;
      closeComparison();
      selection.clear();
      lens.open();
      camera.fit(doc.file);
    }
    $("empty").hidden = true;
    document.title = `${doc.name} - splat2d`;
    const { width, height } = doc.file;
    $("picture").setAttribute("aria-label", `${doc.name}, ${width} by ${height} pixels, ${doc.clip ? "a clip" : doc.file.eyes ? "a light field" : "a picture"}`);
    changed();
  }

  function closeComparison() {
    if (compare.beside) actions.beside();
    compare.close();
    $("compare").setAttribute("aria-pressed", "false");
    $("beside").hidden = true;
  }

  // The decoder reads one file at a time.
  function turnTo(loading) {
    if (loaded !== loading) loaded?.stop.abort();
    loaded = loading;
    return ++opening;
  }
  async function openBytes(name, bytes) {
    const turn = turnTo(null);
    busy(`Decoding ${name}`);
    const file = await decoder.open(bytes);
    if (turn === opening) opened(name, bytes, file);
  }
  // A coarser picture, while the rest is on its way; who looks around in it is not brought back.
  function arriving(name, file, bytes = null) {
    const keep = arrived === opening;
    arrived = bytes ? 0 : opening;
    show(new Document(name, bytes, file), { keep });
    player.open(doc, { keep });
  }
  function opened(name, bytes, file) {
    busy(null);
    bits = reference = null;
    arriving(name, file, bytes);
    status(`${name}: ${bytes.length.toLocaleString("en")} bytes`);
    const own = doc;
    // The first picture comes first.
    own.filled = painted().then(() => decoder.fill(file, { window: () => camera.window, arrived: () => doc === own && painter.arrived() }));
    own.filled.then(async (whole) => {
      if (!whole || doc?.bytes !== bytes) return;
      changed();
      performance.mark("splat2d-whole");
      if (doc.clip || bytes.length >= 2 ** 22) return;
      const found = await decoder.bits(bytes);
      if (doc?.bytes !== bytes) return;
      bits = found;
      showFacts($("facts"), doc, bits);
    }).catch(failed);
  }
  async function openUrl(url, loading = load(url)) {
    const turn = turnTo(loading), name = decodeURIComponent(new URL(url, location.href).pathname.split("/").at(-1)) || "file.splat";
    busy(`Loading ${name}`);
    loading.shown = (file) => turn === opening && arriving(name, file);
    if (loading.coarse) loading.shown(loading.coarse);
    try {
      const { bytes, file } = await loading.result;
      if (turn === opening) opened(name, bytes, file);
    } catch (fault) {
      if (turn === opening) throw fault;
    }
  }
  async function openFile(file) {
    if (await isPicture(file)) {
      if (!server?.encode) throw new SplatError(`${file.name} is a picture; only the page of \`splat2d view\` encodes it`);
      const quality = await ask(`Encode ${file.name} at quality (1 to 100)`, "75", "number");
      if (quality === null) return;
      busy(`Encoding ${file.name}`, 0);
      const bytes = await fitOnServer(server, `${server.encode}?quality=${encodeURIComponent(quality)}`, file, (share, text) => busy(`Encoding ${file.name}${text}`, share));
      await openBytes(file.name.replace(/\.\w+$/, "") + ".splat", bytes);
      reference = file;
      return;
    }
    await openBytes(file.name, new Uint8Array(await file.arrayBuffer()));
  }
  let reference = null;

  function ask(text, value, type = "text") {
    const dialog = $("ask"), input = dialog.querySelector("input");
    dialog.querySelector("label").textContent = text;
    input.setAttribute("aria-label", text);
    Object.assign(input, { type, value });
    dialog.returnValue = "";
    dialog.showModal();
    input.select();
    return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "ok" ? input.value : null), { once: true }));
  }
  function choose(accept) {
    const chooser = $("chooser");
    Object.assign(chooser, { accept, value: "" });
    return new Promise((done) => {
      chooser.onchange = () => done(chooser.files[0] ?? null);
      chooser.click();
    });
  }
  function download(blob, name) {
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
  const stem = () => doc.name.replace(/\.splat$/i, "");

  // Edits

  function changed() {
    const whole = Boolean(doc?.bytes);
    $("undo").disabled = !doc?.steps.length && !doc?.before;
    $("select").hidden = !server?.group || !doc || doc.clip || doc.names.length > 1;
    $("grain").hidden = !doc?.file.layers.some(({ texture }) => texture);
    $("redo").disabled = !doc?.redone.length;
    $("save").disabled = $("export").disabled = $("compare").disabled = !whole;
    if (doc && !state()) selected = doc.stack.at(-1)?.number ?? 0;
    showLayers($("layers"), doc, selected, { select, toggle: (s) => act([operation(s.visible ? "hide" : "show", s.number)]) });
    for (const button of document.querySelectorAll("[data-layer]")) button.disabled = !state();
    adjust.disabled = !state();
    showFacts($("facts"), doc, bits);
    // The first picture of a file that is still decoded is there sooner when it is coarser.
    painter.request(pending());
  }
  const painted = () => new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, 500); // of a page that nobody sees no frame is drawn
  });
  const pending = () => Boolean(doc?.file.layers.some((layer) => [layer, layer.matte].some((field) => field?.parts?.some(({ splats }) => !splats))));
  const guarded = (work) => {
    try {
      return work();
    } catch (fault) {
      failed(fault);
    }
  };
  const act = (step) => guarded(() => {
    doc.apply(step);
    changed();
  });
  const attempt = (step) => guarded(() => {
    doc.try(step);
    painter.request(true);
  });
  const adjust = new Adjust($("adjust"), { number: () => selected, attempt, keep: act });
  function select(number) {
    selected = number;
    picked = true;
    changed();
  }
  const layerActions = {
    raise: (s) => [operation("raise", s.number)],
    lower: (s) => [operation("lower", s.number)],
    duplicate: (s) => [operation("duplicate", s.number, [], doc.unique(`${s.name} copy`)), operation("move", copies(), [12, 12])],
    delete: (s) => [operation("delete", s.number)],
  };
  const copies = () => doc.names.length + doc.steps.flat().filter(({ kind }) => kind === "duplicate").length;
  async function layerAction(what) {
    const s = state();
    if (!s) return;
    if (what !== "rename") {
      const fresh = what === "duplicate" ? copies() : selected;
      act(guarded(() => layerActions[what](s)) ?? []);
      return select(fresh);
    }
    const name = await ask("Name of the layer", s.name);
    if (name && name !== s.name) act(guarded(() => [operation("rename", s.number, [], name)]) ?? []);
  }
  for (const button of document.querySelectorAll("[data-layer]")) button.onclick = () => layerAction(button.dataset.layer);
  $("layers").addEventListener("keydown", (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key], stack = doc?.stack ?? [];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = stack.findIndex(({ number }) => number === selected) + step;
    if (stack[at]) select(stack[at].number);
  });

  // Gestures

  camera.listen((from, event) => {
    if (!doc?.bytes) return null;
    const selecting = !$("select").hidden && guarded(() => selection.begin(from, event));
    if (selecting) return selecting;
    const s = placeable(), inside = s && !event.altKey && painter.pick(...camera.toCanvas(...from))?.number === selected;
    const drag = handles.begin(doc, s, event, from, inside);
    if (!drag) return lens.begin(from, event);
    let step = [];
    return {
      move: (to) => attempt((step = guarded(() => drag(to, event)) ?? step)),
      end: (moved) => {
        doc.preview = [];
        if (moved) act(step);
      },
    };
  });
  stage.addEventListener("picked", ({ detail }) => {
    if (!doc || selection.tool || lens.focus(...camera.toCanvas(...detail))) return;
    const found = painter.pick(...camera.toCanvas(...detail));
    if (found) select(found.number);
  });
  let reading;
  stage.addEventListener("pointermove", ({ clientX, clientY, buttons }) => {
    if (!doc || buttons) return;
    const { left, top } = stage.getBoundingClientRect(), [x, y] = camera.toCanvas(clientX - left, clientY - top);
    cancelAnimationFrame(reading);
    reading = requestAnimationFrame(() => {
      const { width, height } = doc.file, inside = x >= 0 && y >= 0 && x < width && y < height;
      const digits = Math.min(Math.max(Math.ceil(Math.log10(camera.zoom)), 0), 6);
      $("pixel").value = inside ? `${x.toFixed(digits)}, ${y.toFixed(digits)}: ${[...painter.colorAt(x, y)].slice(0, 4).join(" ")}` : "";
    });
  });
  stage.addEventListener("dragover", (event) => {
    event.preventDefault();
    stage.classList.add("drop");
  });
  stage.addEventListener("dragleave", () => stage.classList.remove("drop"));
  const offer = async (transfer) => {
    const { file, url } = await offered(transfer);
    if (file) await openFile(file);
    else if (url) await openUrl(url);
    else throw new SplatError("neither a file nor the address of one was given");
  };
  stage.addEventListener("drop", (event) => {
    event.preventDefault();
    stage.classList.remove("drop");
    offer(event.dataTransfer).catch(failed);
  });
  addEventListener("paste", (event) => {
    if (!event.target.closest("input")) offer(event.clipboardData).catch(failed);
  });
  new ResizeObserver(() => {
    if (doc && camera.fitted) camera.fit(doc.file);
    else painter.request();
  }).observe(stage);

  // Buttons and keys

  const actions = {
    open: async () => {
      const file = await choose(server?.encode ? ".splat,image/*" : ".splat");
      if (file) await openFile(file);
    },
    link: async () => {
      const url = await ask("Address of a .splat file", "https://", "url");
      if (url) await openUrl(url);
    },
    save: () => download(new Blob([doc.save()], { type: "application/octet-stream" }), `${stem()}.splat`),
    export: async () => {
      const scale = Number(await ask(`Scale of the PNG (1 is ${doc.file.width} × ${doc.file.height} px)`, "1"));
      if (!scale) return;
      if (!(scale > 0) || scale * scale * doc.file.width * doc.file.height > 2 ** 28) throw new SplatError("that picture would be empty or too large");
      busy("Drawing", 0);
      await doc.filled;
      const canvas = await painter.picture(scale, (share) => busy("Drawing", share));
      download(await canvas.convertToBlob({ type: "image/png" }), `${stem()}.png`);
      busy(null);
    },
    undo: () => {
      if (!doc.steps.length && doc.before) return show(doc.before);
      doc.undo();
      changed();
    },
    unselect: () => selection.clear(),
    cut: async () => {
      const name = await ask("Name of the new layer", "object");
      if (!name) return;
      const before = doc, bytes = doc.save(), body = new Blob([bytes, await selection.png()]);
      busy(`Cutting out ${name}`, 0);
      const made = await fitOnServer(server, `${server.group}?name=${encodeURIComponent(name)}&splat=${bytes.length}`, body, (share, text) => busy(`Cutting out ${name}${text}`, share));
      await openBytes(before.name, made);
      doc.before = before;
      doc.saved = -1;
      changed();
      status(`${name} is a layer of its own; both sides were fitted anew: ${bytes.length.toLocaleString("en")} bytes became ${made.length.toLocaleString("en")}`);
    },
    redo: () => {
      doc.redo();
      changed();
    },
    in: () => camera.zoomTo(camera.zoom * 1.5),
    out: () => camera.zoomTo(camera.zoom / 1.5),
    fit: () => doc && camera.fit(doc.file),
    one: () => camera.zoomTo(1 / devicePixelRatio),
    compare: async () => {
      if (compare.active) closeComparison();
      else {
        const file = reference ?? (await choose(".splat,image/*"));
        if (!file) return;
        if (await isPicture(file)) await compare.open({ blob: file, bytes: doc.bytes.length });
        else await compare.open({ file: await decoder.decode(new Uint8Array(await file.arrayBuffer())) });
      }
      $("compare").setAttribute("aria-pressed", String(compare.active));
      $("beside").hidden = !compare.active;
      painter.request();
    },
    beside: () => {
      compare.beside = !compare.beside;
      $("beside").setAttribute("aria-pressed", String(compare.beside));
      camera.share = compare.beside ? 0.5 : 1;
      if (doc) camera.fit(doc.file);
    },
    help: () => $("keys").showModal(),
    panels: () => {
      $("side").hidden = !$("side").hidden;
      $("panels").setAttribute("aria-expanded", String(!$("side").hidden));
    },
  };
  const run = (name) => Promise.resolve().then(() => !$(name)?.disabled && actions[name]()).catch(failed);
  for (const name of Object.keys(actions)) $(name).onclick = () => run(name);
  $("open-first").onclick = () => run("open");
  $("tiers").oninput = () => {
    painter.tiers = Number($("tiers").value);
    $("tier-count").value = painter.tiers;
    painter.request();
  };
  $("texture").oninput = () => {
    painter.texture = $("texture").value / 100;
    $("grain-share").value = `${$("texture").value}%`;
    painter.request();
  };
  $("ellipses").onchange = () => {
    painter.outlines = $("ellipses").checked ? 1 : 0;
    painter.request();
  };
  const keys = { o: "open", s: "save", e: "export", "+": "in", "=": "in", "-": "out", 0: "fit", 1: "one", c: "compare", p: "panels", "?": "help" };
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=range], [type=checkbox]), select, dialog");
    if (typing) return;
    const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    let done = true;
    const pan = { arrowleft: [60, 0], arrowright: [-60, 0], arrowup: [0, 60], arrowdown: [0, -60] }[key];
    if (command && key === "z") run(event.shiftKey ? "redo" : "undo");
    else if (command && key === "y") run("redo");
    else if (command && (key === "s" || key === "o")) run(keys[key]);
    else if (pan && event.shiftKey && event.target === stage && placeable()) act([operation("move", selected, pan.map((v) => -v / 60))]);
    else if (command || event.altKey) return;
    else if (pan && event.target === stage) camera.pan(...pan);
    else if (key === "delete" || key === "backspace") layerAction("delete");
    else if (key === "escape") {
      picked = false;
      selection.choose(null);
      painter.request();
    } else if (key === "d") layerAction("duplicate");
    else if (key === "f2") layerAction("rename");
    else if (key === "[") layerAction("lower");
    else if (key === "]") layerAction("raise");
    else if (key === " " && doc?.clip && !event.target.closest("button")) player.toggle();
    else if (doc?.clip && (key === "," || key === ".")) player.step(key === "," ? -1 : 1);
    else if (doc?.file.eyes && key === "v") lens.toggle();
    else if (keys[key]) run(keys[key]);
    else done = false;
    if (done) event.preventDefault();
  });
  addEventListener("beforeunload", (event) => doc?.bytes && doc.steps.length > doc.saved && event.preventDefault());

  window.splat2d = { get document() { return doc; }, painter, camera, lens, openBytes };
  $("encodes").hidden = !server?.encode;
  if (innerWidth <= 720) run("panels");
  changed();
  try {
    if (data) await openBytes(data.name, data.bytes);
    else if (wanted) await openUrl(wanted, coming);
  } catch (fault) {
    failed(fault);
  }
}
