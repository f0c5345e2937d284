// Surfaces of masks: a mesh by surface nets, drawn by a small rasteriser with a depth buffer.
// No WebGL: it works in every browser, on every machine and in tests, and needs no library.

// Millimetres between samples of the mesh; finer ones cost time and show the same.
const STEP_MM = 3;
// A sample is inside from here on, after smoothing.
const INSIDE = 0.2;
// Parts that stay below the first number get the second, or smoothing would make them vanish: a
// false speck far away decides the Hausdorff distance.
const SOLID = 0.5, SPECK = 0.6;

// Share of a class in cells of about STEP_MM, cropped to the class and padded by two cells.
function sampled(data, bit, shape, spacing) {
  const factor = spacing.map((mm) => Math.max(1, Math.round(STEP_MM / mm)));
  const low = [Infinity, Infinity, Infinity], high = [-1, -1, -1];
  const each = (visit) => {
    for (let z = 0, at = 0; z < shape[0]; z++) {
      for (let y = 0; y < shape[1]; y++) {
        for (let x = 0; x < shape[2]; x++, at++) {
          if (data[at] & bit) visit([z, y, x].map((n, axis) => Math.floor(n / factor[axis])));
        }
      }
    }
  };
  each((cell) => cell.forEach((n, axis) => {
    low[axis] = Math.min(low[axis], n);
    high[axis] = Math.max(high[axis], n);
  }));
  if (high[0] < 0) return null;
  const first = low.map((n) => n - 2);
  const size = high.map((n, axis) => n - low[axis] + 5);
  const share = new Float32Array(size[0] * size[1] * size[2]);
  const whole = 1 / (factor[0] * factor[1] * factor[2]);
  each(([z, y, x]) => {
    share[((z - first[0]) * size[1] + y - first[1]) * size[2] + x - first[2]] += whole;
  });
  return { share, size, first, cell: spacing.map((mm, axis) => mm * factor[axis]) };
}

// Average every sample with its two neighbours along each axis; the border stays as it is.
function smoothed({ share, size }, centre) {
  const strides = [size[1] * size[2], size[2], 1];
  const side = (1 - centre) / 2;
  let from = share;
  for (const stride of strides) {
    const to = Float32Array.from(from);
    for (let i = stride; i < from.length - stride; i++) {
      to[i] = centre * from[i] + side * (from[i - stride] + from[i + stride]);
    }
    from = to;
  }
  return from;
}

// Raise samples that hold voxels where nothing around them is solid.
function withSpecks(smooth, { share, size }) {
  const strides = [size[1] * size[2], size[2], 1];
  const steps = [-1, 0, 1];
  const near = steps.flatMap((z) => steps.flatMap((y) => steps.map(
    (x) => z * strides[0] + y * strides[1] + x)));
  const found = Float32Array.from(smooth);
  share.forEach((part, at) => {
    if (part && near.every((step) => smooth[at + step] < SOLID)) found[at] = SPECK;
  });
  return found;
}

// One vertex in every cell that the surface crosses, in the middle of its crossings.
function vertices(share, size) {
  const strides = [size[1] * size[2], size[2], 1];
  const number = new Int32Array(share.length).fill(-1);
  const points = [];
  for (let z = 0; z < size[0] - 1; z++) {
    for (let y = 0; y < size[1] - 1; y++) {
      for (let x = 0; x < size[2] - 1; x++) {
        const at = z * strides[0] + y * strides[1] + x;
        const sum = [0, 0, 0];
        let crossings = 0;
        for (let corner = 0; corner < 8; corner++) {
          const place = [corner >> 2, (corner >> 1) & 1, corner & 1];
          const here = share[at + place[0] * strides[0] + place[1] * strides[1] + place[2]];
          for (let axis = 0; axis < 3; axis++) {
            if (place[axis]) continue;
            const there = share[at + place.reduce((s, n, a) => s + n * strides[a], strides[axis])];
            if (here >= INSIDE === there >= INSIDE) continue;
            crossings++;
            place.forEach((n, a) => (sum[a] += n));
            sum[axis] += (INSIDE - here) / (there - here);
          }
        }
        if (!crossings) continue;
        number[at] = points.length / 3;
        points.push(...[z, y, x].map((n, axis) => n + sum[axis] / crossings));
      }
    }
  }
  return { number, points };
}

// Two triangles around every edge of the grid that crosses the surface.
function triangles(share, size, number) {
  const strides = [size[1] * size[2], size[2], 1];
  const found = [];
  for (let z = 1; z < size[0] - 1; z++) {
    for (let y = 1; y < size[1] - 1; y++) {
      for (let x = 1; x < size[2] - 1; x++) {
        const at = z * strides[0] + y * strides[1] + x;
        for (let axis = 0; axis < 3; axis++) {
          if (share[at] >= INSIDE === share[at + strides[axis]] >= INSIDE) continue;
          const [u, v] = ACROSS[axis].map((other) => strides[other]);
          const [a, b, c, d] = [at - u - v, at - u, at, at - v].map((cell) => number[cell]);
          found.push(a, b, c, a, c, d);
        }
      }
    }
  }
  return found;
}

// A mesh in millimetres (x, y, z from the middle of the scan), with the direction outwards.
function mesh(data, bit, shape, spacing) {
  const grid = sampled(data, bit, shape, spacing);
  if (!grid) return null;
  const { size, first, cell } = grid;
  const share = withSpecks(smoothed(grid, 2 / 3), grid);
  const { number, points } = vertices(share, size);
  // smoother than the surface itself, so that the steps between slices are not seen
  const soft = smoothed({ share: smoothed({ share, size }, 0.4), size }, 0.4);
  const strides = [size[1] * size[2], size[2], 1];
  const positions = new Float32Array(points.length), normals = new Float32Array(points.length);
  for (let i = 0; i < points.length; i += 3) {
    const near = size.map((n, a) => Math.min(Math.max(Math.round(points[i + a]), 1), n - 2));
    const at = near.reduce((sum, n, a) => sum + n * strides[a], 0);
    const slope = strides.map((stride, a) => (soft[at - stride] - soft[at + stride]) / cell[a]);
    const long = Math.hypot(...slope) || 1;
    for (let a = 0; a < 3; a++) {
      const middle = (shape[a] * spacing[a]) / 2;
      // (z, y, x) turns into (x, y, z)
      positions[i + 2 - a] = (points[i + a] + first[a] + 0.5) * cell[a] - middle;
      normals[i + 2 - a] = slope[a] / long;
    }
  }
  return { positions, normals, triangles: Uint32Array.from(triangles(share, size, number)) };
}

// First and last + 1 voxel of each axis that hold all organs, and some voxels around them.
function organBox(scan) {
  const filled = scan.shape.map((n, axis) => Array.from({ length: n }, (_, i) =>
    scan.counts.some((found) => found[axis].truth[i] || found[axis].prediction[i])));
  if (!filled[0].includes(true)) return scan.box;
  return filled.map((one) => [one.indexOf(true) - 4, one.lastIndexOf(true) + 5]);
}

// Looking from the front: x to the right, z (slices) down, y away; turned about z, then tilted.
function camera({ turn, tilt }, scan, side) {
  const box = organBox(scan);
  const ends = [2, 1, 0].map((n) => box[n].map((i) => (i - scan.shape[n] / 2) * scan.spacing[n]));
  const lengths = ends.map(([from, to]) => to - from);
  const middle = ends.map(([from, to]) => (from + to) / 2);
  // all corners stay inside however it is turned about the body's axis, but for steep tilts
  const scale = side / Math.hypot(lengths[0], lengths[1], 0.4 * lengths[2]);

  const [a, b] = [turn, tilt].map((degrees) => (degrees * Math.PI) / 180);
  const across = [Math.cos(a), Math.sin(a), 0];
  const away = [-Math.sin(a) * Math.cos(b), Math.cos(a) * Math.cos(b), Math.sin(b)];
  const down = [Math.sin(a) * Math.sin(b), -Math.cos(a) * Math.sin(b), Math.cos(b)];
  const along = (axis, v, i) => axis[0] * v[i] + axis[1] * v[i + 1] + axis[2] * v[i + 2];
  const [x, y] = [across, down].map((axis) => side / 2 - scale * along(axis, middle, 0));
  return {
    ends,
    away,
    along,
    see: (v, i = 0) =>
      [x + scale * along(across, v, i), y + scale * along(down, v, i), along(away, v, i)],
  };
}

function drawMesh(layer, body, colour, view) {
  const { side, depth, pixels } = layer;
  const count = body.positions.length / 3;
  const seen = new Float32Array(3 * count), light = new Float32Array(count);
  for (let n = 0; n < count; n++) {
    seen.set(view.see(body.positions, 3 * n), 3 * n);
    light[n] = 0.25 + 0.75 * Math.abs(view.along(view.away, body.normals, 3 * n));
  }
  const [red, green, blue] = rgb(colour);
  const shade = (bright) => {
    const shine = 500 * Math.max(bright - 0.75, 0) ** 2;
    return pixel(...[red, green, blue].map((part) => Math.min(part * bright + shine, 255)), 255);
  };
  const shades = Uint32Array.from({ length: 256 }, (_, n) => shade(n / 255));
  for (let t = 0; t < body.triangles.length; t += 3) {
    const [i, j, k] = [body.triangles[t], body.triangles[t + 1], body.triangles[t + 2]];
    const ax = seen[3 * i], ay = seen[3 * i + 1];
    const bx = seen[3 * j] - ax, by = seen[3 * j + 1] - ay;
    const cx = seen[3 * k] - ax, cy = seen[3 * k + 1] - ay;
    const area = bx * cy - by * cx;
    if (!area) continue;
    const left = Math.max(Math.ceil(ax + Math.min(0, bx, cx)), 0);
    const right = Math.min(Math.floor(ax + Math.max(0, bx, cx)), side - 1);
    const top = Math.max(Math.ceil(ay + Math.min(0, by, cy)), 0);
    const bottom = Math.min(Math.floor(ay + Math.max(0, by, cy)), side - 1);
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const q = ((x - ax) * cy - (y - ay) * cx) / area;
        const r = ((y - ay) * bx - (x - ax) * by) / area;
        if (q < -1e-4 || r < -1e-4 || q + r > 1.0001) continue;
        const p = 1 - q - r, at = y * side + x;
        const far = p * seen[3 * i + 2] + q * seen[3 * j + 2] + r * seen[3 * k + 2];
        if (far >= depth[at]) continue;
        depth[at] = far;
        const bright = p * light[i] + q * light[j] + r * light[k];
        pixels[at] = shades[Math.round(255 * Math.min(Math.max(bright, 0), 1))];
      }
    }
  }
}

// Meshes are made when they are first looked at and kept with their scan.
function bodies(scan, kind, classes) {
  scan.meshes ??= {};
  return scan.classes.flatMap(({ colour }, c) => {
    if (!scan[kind] || !(classes & (1 << c))) return [];
    const key = `${kind}${c}`;
    scan.meshes[key] ??= mesh(scan[kind], 1 << c, scan.shape, scan.spacing) ?? false;
    return scan.meshes[key] ? [{ body: scan.meshes[key], colour }] : [];
  });
}

function rendered(scan, kind, state, view, side) {
  const canvas = sheet(side, side);
  const context = canvas.getContext("2d");
  const image = context.createImageData(side, side);
  const layer = { side, depth: new Float32Array(side * side).fill(Infinity) };
  layer.pixels = new Uint32Array(image.data.buffer);
  for (const { body, colour } of bodies(scan, kind, state.classes)) {
    drawMesh(layer, body, colour, view);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

// The twelve edges of the box around the organs, so that one sees how they are turned.
function drawFrame(context, view) {
  context.beginPath();
  for (let corner = 0; corner < 8; corner++) {
    const from = view.ends.map((pair, n) => pair[(corner >> n) & 1]);
    for (let n = 0; n < 3; n++) {
      if (corner & (1 << n)) continue;
      context.moveTo(...view.see(from).slice(0, 2));
      context.lineTo(...view.see(from.map((v, m) => (m === n ? view.ends[n][1] : v))).slice(0, 2));
    }
  }
  context.strokeStyle = "rgb(255 255 255 / 28%)";
  context.lineWidth = 1;
  context.stroke();
}

// Prediction solid, truth as glass over it; alone, either is solid.
function drawSurface(canvas, scan, state, ratio) {
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const side = Math.min(canvas.width, canvas.height, 720);
  const view = camera(state, scan, side);
  const zoom = Math.min(canvas.width, canvas.height) / side;
  const [left, top] = [canvas.width, canvas.height].map((size) => (size - side * zoom) / 2);
  context.save();
  context.translate(left, top);
  context.scale(zoom, zoom);
  drawFrame(context, view);
  const both = state.truth && state.prediction && scan.truth && scan.prediction;
  if (state.prediction) context.drawImage(rendered(scan, "prediction", state, view, side), 0, 0);
  if (state.truth) {
    context.globalAlpha = both ? 1 - state.opacity : 1;
    context.drawImage(rendered(scan, "truth", state, view, side), 0, 0);
    context.globalAlpha = 1;
  }
  context.restore();
  const millimetres = (voxel) => [2, 1, 0].map(
    (axis) => (voxel[axis] + 0.5 - scan.shape[axis] / 2) * scan.spacing[axis]);
  const point = (voxel) => {
    const [x, y] = view.see(millimetres(voxel));
    return [left + zoom * x, top + zoom * y];
  };
  scan.farthest.forEach((witness, c) => {
    if (!witness || !state.witness || !(state.classes & (1 << c))) return;
    drawWitness(context, point(witness.voxel), point(witness.nearest), witness, ratio, c);
  });
}
