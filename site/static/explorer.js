// <course-explorer name="conv" settings='{"stride": 2}'>picture</course-explorer>
// Shows the stored picture; once asked, or at once with the attribute `live`, the controls of the same explorer
// in Python. Its own shadow root keeps the page's styles and ids away.
(() => {
  const here = new URL(".", document.currentScript.src);
  const STYLE = `
    :host { display: block; margin: 1rem 0; }
    .bar { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; margin: 0.4rem 0; }
    button, select { font: inherit; color: inherit; background: var(--jp-layout-color2); border: 1px solid var(--jp-border-color1);
      border-radius: 4px; padding: 0.25rem 0.7rem; max-width: 100%; min-height: 32px; }
    button { cursor: pointer; }
    button.start { background: #00588a; border-color: #00588a; color: #fff; font-weight: 600; }
    :is(button, select, input):focus-visible { outline: 3px solid #e69f00; outline-offset: 2px; }
    .controls { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(300px, 100%), 1fr)); gap: 2px 16px; }
    label { display: grid; grid-template-columns: 7.4em minmax(0, 1fr) 3.6em; gap: 0.5em; align-items: center;
      border-left: 3px solid transparent; padding-left: 4px; min-height: 36px; font-size: 0.9em; }
    label.switch { grid-template-columns: auto 1fr; }
    label.choice { grid-template-columns: 7.4em minmax(0, 1fr); }
    label.marked { border-left-color: #d55e00; }
    input { accent-color: #00588a; accent-color: light-dark(#00588a, #56b4e9); }
    input[type="range"] { width: 100%; height: 28px; }
    output { font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
    progress { width: 14rem; max-width: 60%; }
    .said { margin: 0.3rem 0; font-size: 0.9em; }
    .said:empty { display: none; }
    .turn { display: none; }
    @media (max-width: 480px) and (orientation: portrait) { .turn { display: block; margin: 0.3rem 0; font-size: 0.9em; } }
    @media (forced-colors: active) { label:not(.marked) { border-color: Canvas; } }
    @media print { .bar { display: none; } }
    a { color: inherit; }
    svg { min-width: 0 !important; max-width: 100% !important; height: auto; }`;
  const FROM_DISK =
    "The sliders need a web server: a browser starts nothing from a folder. You see the stored picture.";
  const NO_WASM = "The sliders need WebAssembly, which this browser lacks or forbids. You see the stored picture.";

  let worker = null;
  let count = 0;
  const open = new Map();

  function ask(message) {
    if (!worker) {
      worker = new Worker(new URL("worker.js", here), { type: "module" });
      worker.onmessage = ({ data }) => {
        if ("progress" in data) open.forEach((explorer) => explorer.onprogress(data.progress));
        else open.get(data.id)?.onanswer(data);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        worker = null; // which answers nobody any more
        open.forEach((explorer) => explorer.onanswer({ failed: event.message || "Python did not load" }));
      };
    }
    worker.postMessage(message);
  }

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  class CourseExplorer extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      this.uid = ++count;
      this.shown = null;
      this.busy = false;
      this.waiting = new Map();
      const root = this.attachShadow({ mode: "open" });
      this.bar = element("div", { className: "bar" });
      this.said = element("p", { className: "said" });
      this.said.setAttribute("role", "status");
      this.controls = element("div", { className: "controls" });
      this.picture = element("div", {}, element("slot"));
      const turn = element("p", { className: "turn", textContent: "Hold the phone sideways for a larger picture." });
      root.append(element("style", { textContent: STYLE }), this.bar, this.controls, this.said, turn, this.picture);
      // A deck and the page's search listen to keys: those of a control are its own.
      root.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
      if (location.protocol === "file:") this.said.textContent = FROM_DISK;
      else if (typeof WebAssembly !== "object") this.said.textContent = NO_WASM;
      else if (this.hasAttribute("live")) {
        this.start();
        addEventListener("hashchange", () => this.follow());
      } else this.offer();
    }

    // The page's own anchors (to its contents, to a heading, back to the top) are no settings.
    follow() {
      if (location.hash.includes("=") || !location.href.includes("#")) this.start();
      else if (this.shown) this.address();
    }

    offer() {
      const button = element("button", { className: "start", textContent: "Turn the sliders" });
      button.onclick = () => this.start();
      this.bar.replaceChildren(button);
    }

    start() {
      open.set(this.uid, this);
      if (!this.shown) {
        this.progress = element("progress", { max: 1, value: 0 });
        this.progress.setAttribute("aria-label", "Loading Python");
        this.byKeys = this.bar.querySelector(":focus-visible");
        this.bar.replaceChildren(element("span", { textContent: "Loading Python" }), this.progress);
      }
      const hash = this.hasAttribute("live") && location.hash.includes("=") ? location.hash.slice(1) : "";
      const link = JSON.stringify([...new URLSearchParams(hash)]);
      this.busy = true;
      clearTimeout(this.addressing);
      const settings = this.getAttribute("settings") || "{}";
      ask({ id: this.uid, name: this.getAttribute("name"), settings, link });
    }

    move(control, value) {
      this.waiting.set(control, value);
      if (!this.busy) this.send();
    }

    send() {
      const [[control, value]] = this.waiting;
      this.waiting.delete(control);
      this.busy = true;
      ask({ id: this.uid, control, value });
    }

    onprogress(share) {
      if (this.progress) this.progress.value = share;
    }

    onanswer({ shown, failed }) {
      this.busy = false;
      if (failed) {
        this.stop();
        if (!this.shown) this.bar.replaceChildren();
        const what = this.shown ? "This could not be shown" : "The sliders could not start";
        this.said.textContent = `${what} (${failed}). You see the picture as it was.`;
        return;
      }
      this.show(JSON.parse(shown));
      if (this.waiting.size) this.send();
    }

    show(shown) {
      const first = !this.shown;
      this.shown = shown;
      if (first) this.build(shown);
      for (const control of shown.controls) {
        const row = this.rows.get(control.name);
        const told = JSON.stringify(control);
        if (row.told !== told || Number(row.input.value) !== control.value) this.update(control);
        row.told = told;
      }
      this.said.textContent = shown.note;
      this.picture.innerHTML = shown.svg.replaceAll("__unique__", `live-${this.uid}`);
      if (!this.hasAttribute("live")) this.alone.hash = new URLSearchParams(shown.link);
      else if (!first || location.hash) this.address();
    }

    // Once the sliders rest: a browser takes longer to change its address than Python to draw.
    address() {
      const hash = "#" + new URLSearchParams(this.shown.link);
      clearTimeout(this.addressing);
      this.addressing = setTimeout(() => this.isConnected && history.replaceState(null, "", hash), 250);
    }

    build(shown) {
      this.rows = new Map();
      for (const control of shown.controls) {
        const row = this.row(control);
        this.rows.set(control.name, row);
        this.controls.append(row.label);
      }
      this.bar.replaceChildren();
      if (shown.play) {
        this.player = element("button", { textContent: `▶ play ${shown.play}` });
        this.player.onclick = () => (this.timer ? this.stop() : this.play());
        this.bar.append(this.player);
      }
      if (!this.hasAttribute("live")) {
        const page = new URL(`../explorers/${this.getAttribute("name")}.html`, here);
        this.alone = element("a", { href: page, textContent: "this setting on a page of its own" });
        this.bar.append(this.alone);
      }
      this.bar.hidden = !this.bar.children.length;
      // The button that was pressed is gone: who pressed it with a key goes on at the first control.
      if (this.byKeys && document.activeElement === document.body) this.controls.querySelector("input, select").focus();
    }

    row({ name, kind, label, at_rest }) {
      const input = element(kind === "choice" ? "select" : "input");
      input.name = name;
      const worth = element("output");
      if (kind === "switch") input.type = "checkbox";
      else if (kind !== "choice") input.type = "range";
      const words = element("span", { textContent: label });
      const parts = kind === "switch" ? [input, words] : kind === "choice" ? [words, input] : [words, input, worth];
      const send = () => {
        if (name !== this.shown.play) this.stop();
        this.move(name, kind === "switch" ? input.checked : Number(input.value));
      };
      input.addEventListener(at_rest || kind === "choice" ? "change" : "input", send);
      return { input, worth, kind, label: element("label", { className: kind }, ...parts) };
    }

    update({ name, value, min, max, step, options, marked }) {
      const { input, worth, kind, label } = this.rows.get(name);
      label.classList.toggle("marked", marked);
      input.toggleAttribute("aria-invalid", marked);
      if (kind === "switch") {
        input.checked = value;
        return;
      }
      if (kind === "choice") {
        const there = [...input.options].map((option) => option.textContent);
        if (there.join("\n") !== options.join("\n"))
          input.replaceChildren(...options.map((words, i) => element("option", { textContent: words, value: i })));
      } else if (options) Object.assign(input, { min: 0, max: options.length - 1, step: 1 });
      else Object.assign(input, { min, max, step });
      // A value that the reader has moved on from meanwhile does not pull the control back.
      if (!this.waiting.has(name)) input.value = value;
      worth.textContent = options ? options[value] : step % 1 ? value.toFixed(1) : value;
      if (kind !== "choice") input.setAttribute("aria-valuetext", worth.textContent);
    }

    play() {
      this.player.textContent = "❚❚ pause";
      this.timer = setInterval(() => {
        const { value, max, step } = this.shown.controls.find((control) => control.name === this.shown.play);
        if (value >= max) this.stop();
        else this.move(this.shown.play, value + step);
      }, 300);
    }

    stop() {
      clearInterval(this.timer);
      this.timer = null;
      if (this.player) this.player.textContent = `▶ play ${this.shown.play}`;
    }
  }
  customElements.define("course-explorer", CourseExplorer);
})();
