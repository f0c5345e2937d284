// Draws one plane of a scan: image, prediction filled, truth outlined, differences hatched.

// Okabe-Ito, none of them the colour of an organ; direction of the hatching tells them apart too.
const MISSED = "#CC79A7", FALSE_ALARM = "#F0E442";

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function sheet(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

// A colour as the bytes of a pixel, red first in memory as on every machine with a browser.
function pixel(red, green, blue, alpha) {
  const [r, g, b, a] = [red, green, blue, alpha].map(Math.round);
  return ((a << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

// Fill a sheet pixel by pixel; colour returns what `pixel` does for pixel i, 0 for nothing.
function painted(columns, rows, colour) {
  const canvas = sheet(columns, rows);
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colour(i);
  context.putImageData(image, 0, 0);
  return canvas;
}

// Where a plane lies on a canvas: a millimetre is as long down as across, and what is worth seeing
// (scan.box: first and last + 1 voxel of each axis) fills the canvas.
function placed(canvas, scan, axis) {
  const [down, across] = ACROSS[axis].map((n) => {
    const [from, to] = scan.box[n];
    return { mm: scan.spacing[n], count: scan.shape[n], middle: (from + to) / 2, seen: to - from };
  });
  const scale = Math.min(
    canvas.width / (across.seen * across.mm), canvas.height / (down.seen * down.mm));
  const width = across.mm * scale, height = down.mm * scale; // of a voxel
  const left = canvas.width / 2 - across.middle * width;
  const top = canvas.height / 2 - down.middle * height;
  const [row, column] = ACROSS[axis];
  return {
    left, top, rows: down.count, columns: across.count,
    width: width * across.count, height: height * down.count,
    point: (voxel) => [left + (voxel[column] + 0.5) * width, top + (voxel[row] + 0.5) * height],
  };
}

function drawImage(context, box, scan, state) {
  const { data, shape, reduce } = scan.image;
  const by = [1, reduce, reduce]; // the last column may reach beyond the slice
  const index = Math.floor(state.index / by[state.axis]);
  const grey = plane(data, shape, state.axis, index);
  const [rows, columns] = ACROSS[state.axis].map((n) => shape[n]);
  const darkest = state.level - state.window / 2;
  const table = Uint32Array.from({ length: 256 }, (_, v) => {
    const value = Math.min(Math.max((255 * (v - darkest)) / state.window, 0), 255);
    return pixel(value, value, value, 255);
  });
  const picture = painted(columns, rows, (i) => table[grey[i]]);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  const [high, wide] = ACROSS[state.axis].map((n) => by[n]);
  const part = [box.columns / wide, box.rows / high];
  context.drawImage(picture, 0, 0, ...part, box.left, box.top, box.width, box.height);
}

// Each pixel takes the mean colour of the classes that cover it, so that an overlap is seen.
function drawFilled(context, box, scan, bits, state) {
  const mixed = Array.from({ length: 1 << scan.classes.length }, (_, value) => {
    const inside = scan.classes.filter((_, c) => value & (1 << c)).map((one) => rgb(one.colour));
    if (!inside.length) return 0;
    const mean = [0, 1, 2].map((n) => inside.reduce((sum, one) => sum + one[n], 0) / inside.length);
    return pixel(...mean, 255 * state.opacity);
  });
  const picture = painted(box.columns, box.rows, (i) => mixed[bits[i] & state.classes]);
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, box.left, box.top, box.width, box.height);
}

// The sides of pixels where a mask ends, neighbouring ones as one line.
function outline(bits, bit, box) {
  const { rows, columns } = box;
  const path = new Path2D();
  const x = (column) => box.left + (column * box.width) / columns;
  const y = (row) => box.top + (row * box.height) / rows;
  const inside = (row, column) =>
    row >= 0 && row < rows && column >= 0 && column < columns && bits[row * columns + column] & bit;
  const lines = (across, along, differs, draw) => {
    for (let i = 0; i <= across; i++) {
      for (let from = 0, j = 0; j <= along; j++) {
        if (j < along && differs(i, j)) continue;
        if (from < j) draw(i, from, j);
        from = j + 1;
      }
    }
  };
  lines(rows, columns, (row, column) => !inside(row - 1, column) !== !inside(row, column),
    (row, from, to) => { path.moveTo(x(from), y(row)); path.lineTo(x(to), y(row)); });
  lines(columns, rows, (column, row) => !inside(row, column - 1) !== !inside(row, column),
    (column, from, to) => { path.moveTo(x(column), y(from)); path.lineTo(x(column), y(to)); });
  return path;
}

function drawOutlines(context, box, scan, bits, state, ratio) {
  context.lineCap = "square";
  scan.classes.forEach(({ colour }, c) => {
    if (!(state.classes & (1 << c))) return;
    const path = outline(bits, 1 << c, box);
    const lighter = `color-mix(in srgb, ${colour}, white 35%)`;
    for (const [style, width] of [["rgb(0 0 0 / 65%)", 3.6], [lighter, 1.8]]) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.stroke(path);
    }
  });
}

// Stripes over a faint ground; they keep their width on the screen whatever the scan's size.
function hatch(context, colour, rising, ratio) {
  const side = Math.round(8 * ratio);
  const tile = sheet(side, side);
  const pen = tile.getContext("2d");
  pen.fillStyle = `${colour}59`;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = colour;
  pen.lineWidth = 2 * ratio;
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift - 1, rising ? side + 1 : -1);
    pen.lineTo(shift + side + 1, rising ? -1 : side + 1);
  }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

function drawDifference(context, box, truth, prediction, state, ratio) {
  const kinds = [
    [MISSED, true, (i) => truth[i] & ~prediction[i]],
    [FALSE_ALARM, false, (i) => prediction[i] & ~truth[i]],
  ];
  for (const [colour, rising, differs] of kinds) {
    const mask = painted(box.columns, box.rows, (i) =>
      differs(i) & state.classes ? pixel(0, 0, 0, 255) : 0);
    const layer = sheet(context.canvas.width, context.canvas.height);
    const pen = layer.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(mask, box.left, box.top, box.width, box.height);
    pen.globalCompositeOperation = "source-in";
    pen.fillStyle = hatch(pen, colour, rising, ratio);
    pen.fillRect(0, 0, layer.width, layer.height);
    context.drawImage(layer, 0, 0);
  }
}

// The farthest voxel ringed, a square at the nearest one of the other mask, a line between them.
// line: text so many lines away, where several could cover each other.
function drawWitness(context, from, to, witness, ratio, line = 0) {
  const [x, y] = from, [u, v] = to;
  const radius = 9 * ratio, half = 4 * ratio;
  const text = `${witness.mm.toFixed(1)} mm`;
  context.font = `600 ${13 * ratio}px system-ui, sans-serif`;
  const path = new Path2D();
  path.arc(x, y, radius, 0, 2 * Math.PI);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + dx * radius, y + dy * radius);
    path.lineTo(x + 2 * dx * radius, y + 2 * dy * radius);
  }
  path.rect(u - half, v - half, 2 * half, 2 * half);
  const long = Math.hypot(u - x, v - y), cut = radius / long;
  if (cut < 1) { // from the ring on: the voxel itself stays to be seen
    path.moveTo(x + cut * (u - x), y + cut * (v - y));
    path.lineTo(u, v);
  }
  context.lineCap = "butt";
  for (const [style, width] of [["#000", 4], ["#fff", 1.7]]) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    context.stroke(path);
  }
  const wide = context.measureText(text).width;
  const left = Math.min(Math.max(x + 1.3 * radius, 0), context.canvas.width - wide - radius);
  const above = y - 1.3 * radius - 22 * line * ratio;
  const base = above > 20 * ratio ? above : y + 3 * radius + 22 * line * ratio;
  context.lineWidth = 4 * ratio;
  context.strokeStyle = "#000";
  context.lineJoin = "round";
  context.strokeText(text, left, base);
  context.fillStyle = "#fff";
  context.fillText(text, left, base);
}

// Bars at both edges beside the slices that no network predicted.
function markUnseen(context, box, scan, ratio) {
  const high = box.height / box.rows, wide = 6 * ratio;
  context.fillStyle = "#8a8a8a";
  for (const z of scan.unseen) {
    for (const left of [0, context.canvas.width - wide]) {
      context.fillRect(left, box.top + z * high, wide, high);
    }
  }
}

// Draw what the state asks for; ratio: pixels of the canvas per pixel of the page.
function drawSlice(canvas, scan, state, ratio) {
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const box = placed(canvas, scan, state.axis);
  drawImage(context, box, scan, state);
  const bits = (data) => data && plane(data, scan.shape, state.axis, state.index);
  const truth = bits(scan.truth), prediction = bits(scan.prediction);
  if (state.prediction && prediction) drawFilled(context, box, scan, prediction, state);
  if (state.difference && truth && prediction) {
    const known = hidingUnseen(truth, scan, state, box);
    drawDifference(context, box, known, prediction, state, ratio);
  }
  if (state.truth && truth) drawOutlines(context, box, scan, truth, state, ratio);
  if (state.axis !== 0) markUnseen(context, box, scan, ratio);
  scan.farthest.forEach((witness, c) => {
    if (!witness || !state.witness || !(state.classes & (1 << c))) return;
    if (witness.voxel[state.axis] !== state.index) return;
    drawWitness(context, box.point(witness.voxel), box.point(witness.nearest), witness, ratio);
  });
}

// Nothing is missed on slices that no network predicted.
function hidingUnseen(truth, scan, state, box) {
  if (!scan.unseen.size) return truth;
  if (state.axis === 0) return scan.unseen.has(state.index) ? new Uint8Array(truth.length) : truth;
  return truth.map((value, i) => (scan.unseen.has(Math.floor(i / box.columns)) ? 0 : value));
}
