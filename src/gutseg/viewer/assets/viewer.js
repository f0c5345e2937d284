// What wheel, keys, pointer and buttons do, and when the picture is drawn again.

class Viewer {
  constructor(root) {
    this.root = root;
    this.source = sourceOf(root);
    this.state = {
      axis: 0, index: 0, places: [0, 0, 0], view: 0, classes: 255,
      truth: true, prediction: true, difference: false, witness: true,
      opacity: 0.45, window: 255, level: 128, turn: -25, tilt: -15,
    };
    const area = document.createElement("div");
    area.className = "gsv";
    area.innerHTML = MARKUP;
    root.append(area);
    this.area = area;
    this.listen();
    this.start();
  }

  one(selector) {
    return this.area.querySelector(selector);
  }

  all(selector) {
    return [...this.area.querySelectorAll(selector)];
  }

  async start() {
    try {
      this.names = await this.source.names();
      this.one(".gsv-scan").append(...this.names.map((name) => new Option(name)));
      await this.open(this.names[0]);
    } catch (error) {
      this.fail(error);
    }
  }

  async open(name) {
    this.wanted = name;
    this.one(".gsv-scan").value = name;
    this.area.setAttribute("aria-busy", "true");
    this.one(".gsv-note").removeAttribute("role");
    this.note(`loading ${name} …`);
    let scan;
    try {
      scan = await this.source.load(name);
    } catch (error) {
      if (this.wanted === name) this.fail(error);
      return;
    }
    if (this.wanted !== name) return; // another was picked in the meantime
    this.scan = scan;
    this.note("");
    this.area.removeAttribute("aria-busy");
    this.area.classList.toggle("gsv-no-prediction", !scan.prediction);
    this.area.classList.toggle("gsv-no-both", !scan.prediction || !scan.truth);
    this.state.places = scan.shape.map((_, axis) => this.fullest(axis));
    this.resetGreys();
    const [head, ...rows] = organTable(scan, (c) => this.jump(c));
    this.one("thead").replaceChildren(head);
    this.one("tbody").replaceChildren(...rows);
    this.look(this.state.view);
  }

  note(text) {
    this.one(".gsv-note").textContent = text;
  }

  // Nothing of the scan before stays under the name of the one that failed.
  fail(error) {
    this.scan = null;
    this.area.removeAttribute("aria-busy");
    this.one("tbody").replaceChildren();
    this.one(".gsv-where").textContent = "";
    for (const canvas of this.all("canvas")) canvas.width = canvas.width; // empties it
    this.one(".gsv-canvas").removeAttribute("aria-label");
    this.note(String(error.message ?? error));
    this.one(".gsv-note").setAttribute("role", "alert");
  }

  // Where most is to be seen: the first plane with the largest truth (or prediction).
  fullest(axis) {
    const sums = Array.from({ length: this.scan.shape[axis] }, (_, i) =>
      this.scan.counts.reduce((sum, c) => sum + (c[axis].truth[i] || c[axis].prediction[i]), 0));
    const most = sums.reduce((best, value) => Math.max(best, value), 0);
    return most ? sums.indexOf(most) : Math.floor(sums.length / 2);
  }

  look(view) {
    const { state, scan } = this;
    state.view = view;
    if (view !== SURFACE) state.axis = view;
    state.index = state.places[state.axis];
    const slider = this.one(".gsv-slice");
    [slider.min, slider.max] = view === SURFACE ? [-180, 180] : [1, scan.shape[state.axis]];
    slider.setAttribute("aria-label", view === SURFACE ? "Turn" : "Slice");
    const steps = view === SURFACE
      ? ["Turn back by 10 degrees", "Turn by 10 degrees"] : ["Previous slice", "Next slice"];
    [".gsv-back", ".gsv-on"].forEach((button, n) =>
      this.one(button).setAttribute("aria-label", steps[n]));
    this.all(".gsv-view").forEach((button, n) => button.setAttribute("aria-pressed", n === view));
    this.area.classList.toggle("gsv-3d", view === SURFACE);
    this.show();
  }

  // Go by some slices, or turn by ten degrees each; says whether anything changed.
  step(by) {
    if (!this.scan) return false;
    const { state } = this;
    if (state.view === SURFACE) {
      state.turn = ((state.turn + 10 * by + 540) % 360) - 180;
      this.show();
      return true;
    }
    return this.go(state.index + by);
  }

  go(index) {
    const { state, scan } = this;
    const before = state.index;
    state.index = Math.min(Math.max(index, 0), scan.shape[state.axis] - 1);
    state.places[state.axis] = state.index;
    if (state.index !== before) this.show();
    return state.index !== before;
  }

  // To the slice that holds the farthest voxel of a class; the other views go there as well.
  jump(c) {
    const witness = this.scan.farthest[c];
    this.jumped = c;
    Object.assign(this.state, { witness: true, places: [...witness.voxel] });
    this.state.classes |= 1 << c;
    this.look(this.state.view);
  }

  jumpNext() {
    const count = this.scan.farthest.length;
    for (let n = 1; n <= count; n++) {
      const c = ((this.jumped ?? -1) + n) % count;
      if (this.scan.farthest[c]) return this.jump(c);
    }
  }

  resetGreys() {
    const { top, low, high } = this.scan.greys;
    this.state.window = Math.max(2, Math.round((255 * (high - low)) / top));
    this.state.level = Math.round((127.5 * (high + low)) / top);
    Object.assign(this.state, { opacity: 0.45, turn: -25, tilt: -15 });
  }

  neighbour(by) {
    const at = this.names.indexOf(this.wanted) + by;
    if (at >= 0 && at < this.names.length) this.open(this.names[at]);
  }

  toggle(layer) {
    this.state[layer] = !this.state[layer];
    this.show();
  }

  // One drawing a frame, however many events there were.
  show() {
    if (!this.scan || this.waiting) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = 0;
      this.draw();
    });
  }

  draw() {
    const { state, scan } = this;
    if (!scan) return;
    const canvas = this.one(".gsv-canvas");
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const sides = [canvas.clientWidth, canvas.clientHeight];
    const [width, height] = sides.map((n) => Math.round(n * ratio));
    if (!width || !height) return;
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    if (state.view === SURFACE) drawSurface(canvas, scan, state, ratio);
    else drawSlice(canvas, scan, state, ratio);
    this.controls();
    this.words();
    drawStrip(this.one(".gsv-strip"), scan, state);
  }

  controls() {
    const { state, scan } = this;
    this.one(".gsv-slice").value = state.view === SURFACE ? state.turn : state.index + 1;
    for (const box of this.all("[data-layer]")) box.checked = state[box.dataset.layer];
    for (const box of this.all("[data-class]")) {
      box.checked = state.classes & (1 << box.dataset.class);
    }
    const grey = (value) => Math.round((value * scan.greys.top) / 255).toLocaleString("en");
    const texts = {
      opacity: `${Math.round(100 * state.opacity)} %`, window: grey(state.window),
      level: grey(state.level), tilt: `${state.tilt}°`,
    };
    for (const range of this.all("[data-range]")) {
      const key = range.dataset.range;
      range.value = key === "opacity" ? 100 * state.opacity : state[key];
      range.nextElementSibling.textContent = texts[key];
      range.setAttribute("aria-valuetext", texts[key]);
    }
  }

  words() {
    const { state, scan } = this;
    const count = scan.shape[state.axis];
    const here = state.view === 0 && scan.unseen.has(state.index);
    const along = scan.unseen.size && (state.view === 1 || state.view === 2);
    const unseen = here ? ", not predicted" : along ? ", grey bars: slices not predicted" : "";
    const place = state.view === SURFACE
      ? `3-D, turned by ${state.turn}°` : `${VIEWS[state.view]} ${state.index + 1} / ${count}`;
    const organs = scan.classes.filter((_, c) => state.classes & (1 << c)).map((one) => one.label);
    const layers = [
      scan.truth && state.truth && "truth outlined",
      scan.prediction && state.prediction && "prediction filled",
      scan.prediction && scan.truth && state.difference && "differences hatched",
    ].filter(Boolean);
    this.one(".gsv-where").textContent = place + unseen;
    this.one(".gsv-slice").setAttribute("aria-valuetext", place);
    const shown = layers.length
      ? `${layers.join(", ")} of ${organs.join(", ") || "no organ"}` : "image alone";
    this.one(".gsv-canvas").setAttribute("aria-label",
      `${scan.name}, ${place}${unseen}: ${shown}`);
    this.all("[data-here]").forEach((cell, c) => {
      const found = scan.counts[c][state.axis];
      const [t, p, b] = KINDS.map((kind) => found[kind][state.index]);
      cell.textContent = state.view === SURFACE ? "" : share(diceOf(t, p, b));
    });
  }

  listen() {
    const on = (selector, kind, act) => this.all(selector).forEach((one, n) =>
      one.addEventListener(kind, (event) => act(one, n, event)));
    on(".gsv-scan", "change", (menu) => this.open(menu.value));
    on(".gsv-view", "click", (_, n) => this.scan && this.look(n));
    on(".gsv-back", "click", () => this.step(-1));
    on(".gsv-on", "click", () => this.step(1));
    on(".gsv-slice", "input", (slider) => {
      if (!this.scan) return;
      if (this.state.view !== SURFACE) return this.go(slider.value - 1);
      this.state.turn = Number(slider.value);
      this.show();
    });
    on("[data-layer]", "change", (box) => this.toggle(box.dataset.layer));
    on("tbody", "change", (_, __, { target }) => {
      this.state.classes ^= 1 << target.dataset.class;
      this.show();
    });
    on("[data-range]", "input", (range) => {
      const key = range.dataset.range;
      this.state[key] = key === "opacity" ? range.value / 100 : Number(range.value);
      this.show();
    });
    on(".gsv-reset", "click", () => {
      if (this.scan) this.resetGreys();
      this.show();
    });
    this.area.addEventListener("keydown", (event) => this.key(event));
    this.gestures(this.one(".gsv-stage"));
    new ResizeObserver(() => this.show()).observe(this.one(".gsv-canvas"));
  }

  key(event) {
    if (!this.scan || event.ctrlKey || event.metaKey || event.altKey) return;
    const letters = {
      t: () => this.toggle("truth"), p: () => this.toggle("prediction"),
      d: () => this.toggle("difference"), w: () => this.toggle("witness"),
      e: () => this.jumpNext(), n: () => this.neighbour(1), b: () => this.neighbour(-1),
      1: () => this.look(0), 2: () => this.look(1), 3: () => this.look(2), 4: () => this.look(3),
    };
    const moves = {
      ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1,
      PageUp: -10, PageDown: 10, Home: -1e6, End: 1e6,
    };
    // a menu takes letters, sliders and menus take arrows
    const inMenu = event.target.matches("select");
    const act = inMenu ? undefined : letters[event.key.toLowerCase()];
    const by = event.target.matches("select, input, summary") ? undefined : moves[event.key];
    if (act) act();
    else if (by !== undefined && !(this.state.view === SURFACE && Math.abs(by) > 10)) this.step(by);
    else return;
    event.preventDefault();
  }

  gestures(stage) {
    let rolled = 0, last = null;
    stage.addEventListener("wheel", (event) => {
      if (!this.scan || event.ctrlKey || this.state.view === SURFACE) return;
      // a wheel's click is some 100 pixels or 3 lines, a touchpad sends many small ones
      rolled += event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
      const by = Math.trunc(rolled / 40) && Math.sign(rolled);
      if (by) rolled = 0;
      const end = event.deltaY > 0 ? this.scan.shape[this.state.axis] - 1 : 0;
      if (this.state.index === end) return; // at the end the page scrolls on
      event.preventDefault();
      if (by) this.step(by);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      last = { x: event.clientX, y: event.clientY };
      stage.setPointerCapture(event.pointerId);
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      stage.addEventListener(kind, () => (last = null));
    }
    stage.addEventListener("pointermove", (event) => {
      if (!last || !this.scan) return;
      const dx = event.clientX - last.x, dy = event.clientY - last.y;
      const used = this.drag(dx, dy, event.pointerType === "touch");
      if (used) last = { x: event.clientX, y: event.clientY };
    });
  }

  // What dragging by some pixels does; false keeps them for the next movement.
  drag(dx, dy, touch) {
    const { state } = this;
    const clamp = (value, low, high) => Math.round(Math.min(Math.max(value, low), high));
    if (state.view === SURFACE) {
      state.turn = ((Math.round(state.turn - dx / 2) + 540) % 360) - 180;
      if (!touch) state.tilt = clamp(state.tilt - dy / 2, -90, 90);
    } else if (touch) {
      if (Math.abs(dx) < 9) return false;
      this.step(Math.sign(dx));
    } else {
      if (Math.abs(dx) + Math.abs(dy) < 2) return false;
      state.window = clamp(state.window + dx, 2, 256);
      state.level = clamp(state.level + dy, 0, 255);
    }
    this.show();
    return true;
  }
}

for (const root of document.querySelectorAll(".gsv-root")) {
  if (!root.querySelector(".gsv")) new Viewer(root);
}
