// Runs course_utils in Pyodide, once for all explorers of a page, beside the page so that it never waits.
import { loadPyodide } from "./pyodide/pyodide.mjs";

const here = new URL(".", import.meta.url);
const fetched = self.fetch.bind(self);
let loaded = 0;
let total = 1;

// What arrives is counted for the page's progress bar.
self.fetch = async (...request) => {
  const response = await fetched(...request);
  if (!response.ok) throw new Error(`${response.status} for ${response.url}`);
  const count = new TransformStream({
    transform(chunk, passed) {
      loaded += chunk.length;
      self.postMessage({ progress: Math.min(loaded / total, 1) });
      passed.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), { headers: response.headers });
};

function read(name) {
  const request = new XMLHttpRequest();
  request.open("GET", new URL(`live/data/${name}`, here), false); // Python waits for its data
  request.send();
  if (request.status !== 200) throw new Error(`${request.status} for ${name}`);
  return request.responseText;
}

async function start() {
  total = (await (await fetched(new URL("live/sizes.json", here))).json()).total;
  const archive = self.fetch(new URL("live/course.zip", here)).then((response) => response.arrayBuffer());
  const pyodide = await loadPyodide({ indexURL: new URL("pyodide/", here).href });
  pyodide.unpackArchive(await archive, "zip");
  const live = pyodide.pyimport("live");
  pyodide.pyimport("gc").freeze(); // what is there stays: not to be looked through at each move
  return { live, data: live.Files(read), json: pyodide.pyimport("json"), explorers: new Map() };
}

function answer({ live, data, json, explorers }, { id, name, settings, link, control, value }) {
  let shown;
  if (name) {
    const made = live.Live(name, data, json.loads(settings));
    explorers.set(id, made);
    shown = made.open(json.loads(link));
  } else {
    shown = explorers.get(id).move(control, value);
  }
  const text = json.dumps(shown);
  shown.destroy();
  return text;
}

// Pyodide waits for ever where a file of its own does not come, or its WebAssembly does not compile, and tells nobody.
let fail;
const broken = new Promise((_, reject) => (fail = reject));
self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});
const compile = WebAssembly.instantiateStreaming;
WebAssembly.instantiateStreaming = async (...given) => {
  try {
    return await compile(...given);
  } catch (error) {
    fail(error);
    throw error;
  }
};

const ready = Promise.race([start(), broken]);
self.onmessage = async ({ data: asked }) => {
  try {
    self.postMessage({ id: asked.id, shown: answer(await ready, asked) });
  } catch (error) {
    self.postMessage({ id: asked.id, failed: String(error?.message ?? error).trim().split("\n").pop() });
  }
};
