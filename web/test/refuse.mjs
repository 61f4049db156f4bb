// What is said of files: node web/test/refuse.mjs WASM FILE... Prints a JSON list; null of one that decodes.
import { readFileSync } from "node:fs";
import { Core, compile } from "../src/core.js";
import { decodeWith } from "../src/decode.js";

const [wasm, ...files] = process.argv.slice(2), core = new Core(await compile(readFileSync(wasm))), said = [];
for (const file of files) said.push(await decodeWith(core, new Uint8Array(readFileSync(file))).then(() => null, (fault) => fault.message));
console.log(JSON.stringify(said));
