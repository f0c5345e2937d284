// The controls beside the picture: their markup, the table of organs, the strip of slices.

const VIEWS = ["Axial", "Coronal", "Sagittal", "3-D"];
const SURFACE = 3;
// what voxels are counted of
const KINDS = ["truth", "prediction", "both"];

const MARKUP = `
<div class="gsv-row">
  <label>Scan <select class="gsv-scan"></select></label>
  <span class="gsv-group" role="group" aria-label="View">${VIEWS.map(
    (name) => `<button type="button" class="gsv-view">${name}</button>`).join("")}</span>
</div>
<div class="gsv-body">
  <div class="gsv-left">
    <div class="gsv-stage" tabindex="0" role="group"
      aria-label="Image: wheel, arrow keys or a sideways swipe change the slice">
      <canvas class="gsv-canvas" role="img"></canvas>
      <span class="gsv-where"></span><span class="gsv-note"></span>
    </div>
    <div class="gsv-row gsv-slide">
      <button type="button" class="gsv-back">−</button>
      <div class="gsv-track"><canvas class="gsv-strip" aria-hidden="true"></canvas>
        <input type="range" class="gsv-slice" min="1" step="1"></div>
      <button type="button" class="gsv-on">+</button>
    </div>
  </div>
  <div class="gsv-side">
    <fieldset class="gsv-layers"><legend>Show</legend>
      <label><input type="checkbox" data-layer="truth" checked>
        Truth <i class="gsv-line"></i></label>
      <label data-needs="prediction"><input type="checkbox" data-layer="prediction" checked>
        Prediction <i class="gsv-fill"></i></label>
      <label data-needs="both"><input type="checkbox" data-layer="difference"> Difference:
        <i class="gsv-missed"></i> missed, <i class="gsv-false"></i> false alarm</label>
      <label data-needs="both"><input type="checkbox" data-layer="witness" checked>
        Largest error <i class="gsv-ring"></i></label>
    </fieldset>
    <div class="gsv-scroll" tabindex="0" role="group" aria-label="Organs">
      <table><thead></thead><tbody></tbody></table></div>
    <fieldset class="gsv-ranges"><legend>Adjust</legend>
      <label>Opacity <input type="range" data-range="opacity" min="0" max="100">
        <output></output></label>
      <label class="gsv-grey">Window
        <input type="range" data-range="window" min="2" max="256">
        <output></output></label>
      <label class="gsv-grey">Level <input type="range" data-range="level" min="0" max="255">
        <output></output></label>
      <label class="gsv-tilt">Tilt <input type="range" data-range="tilt" min="-90" max="90">
        <output></output></label>
      <button type="button" class="gsv-reset">Reset</button>
    </fieldset>
    <details><summary>Keys and gestures</summary><dl>
      <dt>wheel, ↑ ↓, sideways swipe</dt><dd>next or previous slice</dd>
      <dt>Page Up, Page Down; Home, End</dt><dd>ten slices; first, last</dd>
      <dt>1 2 3 4</dt><dd>axial, coronal, sagittal, 3-D</dd>
      <dt>t p d w</dt><dd>truth, prediction, difference, largest error</dd>
      <dt>e</dt><dd>jump to the next organ's largest error</dd>
      <dt>n b</dt><dd>next, previous scan</dd>
      <dt>drag with the mouse</dt><dd>window (sideways) and level (up and down); in 3-D, turn</dd>
    </dl></details>
  </div>
</div>`;

function element(kind, text = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  return made;
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

function total(counts) {
  return counts.reduce((sum, n) => sum + n, 0);
}

function share(value) {
  return Number.isNaN(value) ? "–" : value.toFixed(2);
}

function volumes(scan, c) {
  const ml = scan.spacing.reduce((product, mm) => product * mm, 1) / 1000;
  const text = (kind) => (total(scan.counts[c][0][kind]) * ml).toFixed(0);
  return [scan.truth && text("truth"), scan.prediction && text("prediction")]
    .filter((one) => one !== null).join(" → ");
}

// Under the slider: how much truth each slice has, what was missed and what is false.
function drawStrip(canvas, scan, state) {
  const count = scan.shape[state.axis];
  const sums = (kind) => Array.from({ length: count }, (_, i) => scan.counts.reduce(
    (sum, found, c) => sum + (state.classes & (1 << c) ? found[state.axis][kind][i] : 0), 0));
  const [truth, prediction, both] = KINDS.map(sums);
  const high = 24;
  Object.assign(canvas, { width: 4 * count, height: high });
  const pen = canvas.getContext("2d");
  const most = Math.max(1, ...truth, ...prediction);
  const bar = (i, colour, from, to) => {
    pen.fillStyle = colour;
    pen.fillRect(4 * i, high * (1 - to / most), 4, (high * (to - from)) / most);
  };
  const compared = scan.truth && scan.prediction;
  for (let i = 0; i < count; i++) {
    bar(i, "#8a8a8a", 0, Math.max(truth[i], compared ? 0 : prediction[i]));
    if (!compared) continue;
    const missed = truth[i] - both[i], wrong = prediction[i] - both[i];
    bar(i, MISSED, 0, missed);
    bar(i, FALSE_ALARM, missed, Math.min(missed + wrong, most));
  }
}

// Rows of a table, its head first. Per class: shown or not, largest error with a button that calls
// jump(class), agreement on this slice and in the scan, volume.
function organTable(scan, jump) {
  const both = scan.truth && scan.prediction;
  const heads = ["Organ", ...(both ? ["Hausdorff", "Dice\nhere", "Dice\nscan"] : []), "ml"];
  const rows = scan.classes.map((organ, c) => {
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: true });
    box.dataset.class = c;
    const swatch = element("i");
    swatch.className = "gsv-swatch";
    swatch.style.background = organ.colour;
    const label = element("label");
    label.append(box, swatch, organ.label);
    const cells = [element("td")];
    cells[0].append(label);
    if (both) {
      const here = element("td");
      here.dataset.here = c;
      const [t, p, b] = KINDS.map((kind) => total(scan.counts[c][0][kind]));
      cells.push(errorCell(scan, c, t, p, jump), here, element("td", share(diceOf(t, p, b))));
    }
    return row([...cells, element("td", volumes(scan, c))]);
  });
  return [row(heads.map((text) => element("th", text))), ...rows];
}

function errorCell(scan, c, truth, prediction, jump) {
  const cell = element("td"), witness = scan.farthest[c];
  if (!witness) {
    const missing = !prediction ? "all missed" : "0 mm";
    cell.textContent = !truth && !prediction ? "–" : !truth ? "all false" : missing;
    return cell;
  }
  const button = element("button", `${witness.mm.toFixed(1)} mm`);
  const kind = witness.in === "truth" ? "missed" : "false";
  button.type = "button";
  button.className = "gsv-jump";
  button.title = `go to the farthest ${kind} voxel, in slice ${witness.voxel[0] + 1}`;
  button.setAttribute("aria-label",
    `${scan.classes[c].label}: ${button.textContent}, ${button.title}`);
  button.addEventListener("click", () => jump(c));
  cell.append(button);
  return cell;
}
