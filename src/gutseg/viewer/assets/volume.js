// Scans as arrays: what the page holds or the server sends, unpacked.

function fromBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

// Runs: a byte of class bits, then how many voxels have it, seven bits a byte, the lowest first.
function fromRuns(packed, size) {
  const voxels = new Uint8Array(size);
  let at = 0, filled = 0;
  while (at < packed.length) {
    const value = packed[at++];
    let length = 0, scale = 1, part;
    do {
      part = packed[at++];
      length += (part & 127) * scale;
      scale *= 128;
    } while (part > 127);
    if (value) voxels.fill(value, filled, filled + length);
    filled += length;
  }
  if (filled !== size) throw new Error(`masks of ${filled} voxels, expected ${size}`);
  return voxels;
}

// Pictures of some slices each, one below the other; `rows` of a picture are a slice and padding.
async function fromStrips({ strips, type, shape, reduce, rows }) {
  const [depth, height, width] = shape;
  const grey = new Uint8Array(depth * height * width);
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let z = 0;
  for (const strip of strips) {
    const file = new Blob([fromBase64(strip)], { type });
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    for (let top = 0; top < bitmap.height; top += rows, z++) {
      for (let y = 0; y < height; y++) {
        const from = (top + y) * bitmap.width * 4;
        const to = (z * height + y) * width;
        for (let x = 0; x < width; x++) grey[to + x] = pixels[from + 4 * x];
      }
    }
    bitmap.close();
  }
  return { data: grey, shape, reduce };
}

// Voxels of truth, of prediction and of both, by class, axis and plane: counts[c][axis].truth[i].
function tally({ shape, classes, truth, prediction, unseen }) {
  const [depth, height, width] = shape;
  const none = () => shape.map((n) => ({
    truth: new Uint32Array(n), prediction: new Uint32Array(n), both: new Uint32Array(n),
  }));
  const counts = classes.map(none);
  const add = (kind, c, place) => place.forEach((i, axis) => counts[c][axis][kind][i]++);
  for (let z = 0, at = 0; z < depth; z++) {
    if (unseen.has(z)) {
      at += height * width;
      continue;
    }
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const t = truth ? truth[at] : 0;
        const p = prediction ? prediction[at] : 0;
        if (!(t | p)) continue;
        const place = [z, y, x];
        for (let c = 0; c < classes.length; c++) {
          const bit = 1 << c;
          if (t & bit) add("truth", c, place);
          if (p & bit) add("prediction", c, place);
          if (t & p & bit) add("both", c, place);
        }
      }
    }
  }
  return counts;
}

async function openScan(sent) {
  const size = sent.shape.reduce((product, n) => product * n, 1);
  const masks = (text) => (text === null ? null : fromRuns(fromBase64(text), size));
  const scan = { ...sent, truth: masks(sent.truth), prediction: masks(sent.prediction) };
  scan.unseen = new Set(sent.unseen);
  scan.image = await fromStrips(sent.image);
  scan.counts = tally(scan);
  return scan;
}

// The axes that run down and across a plane which stands still along another.
const ACROSS = [[1, 2], [0, 2], [0, 1]];

// One plane of a volume: bytes, row by row.
function plane(data, shape, axis, index) {
  const [, height, width] = shape;
  if (axis === 0) return data.subarray(index * height * width, (index + 1) * height * width);
  const [rows, columns] = ACROSS[axis].map((n) => shape[n]);
  const found = new Uint8Array(rows * columns);
  for (let z = 0; z < rows; z++) {
    if (axis === 1) {
      const from = (z * height + index) * width;
      found.set(data.subarray(from, from + width), z * width);
    } else {
      const lines = z * height;
      for (let y = 0; y < height; y++) found[lines + y] = data[(lines + y) * width + index];
    }
  }
  return found;
}

function diceOf(truth, prediction, both) {
  return truth + prediction ? (2 * both) / (truth + prediction) : NaN;
}

// Scans inside the page, or asked from the server one by one.
function sourceOf(root) {
  if (root.dataset.scans) {
    const ask = async (address) => {
      const answer = await fetch(address);
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      return found;
    };
    return {
      names: () => ask(root.dataset.scans),
      load: async (name) => openScan(await ask(`scan/${encodeURIComponent(name)}`)),
    };
  }
  const parts = [...root.querySelectorAll("script[data-scan]")];
  return {
    names: async () => parts.map((part) => part.dataset.scan),
    load: async (name) => {
      const part = parts.find((one) => one.dataset.scan === name);
      return openScan(JSON.parse(part.textContent));
    },
  };
}
