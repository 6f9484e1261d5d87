// The demo's worker: from an image file to the network's input, and from its output to a mask and objects. It
// computes what segzoo computes: the model's facts come from its config, see docs/_ext/try_it.py.
"use strict";

// A whole image up to this many pixels is computed at once; larger images in tiles, which overlap.
const WHOLE = 1.5e6;
const TILE = 960;
const MARGIN = 96; // both are multiples of the network's stride, 32
const MOST = 40e6;

let about; // addresses, sizes and the model's facts
let ready; // promise of the session
let latest = 0; // the last request; an earlier one ends at its next tile
let found; // the last image and the network's output for it

class Problem extends Error {
  constructor(word, values = {}) {
    super(word);
    Object.assign(this, { word, values });
  }
}

onmessage = async ({ data }) => {
  const { id } = data;
  try {
    if (data.about) about = data.about;
    if (data.file) {
      latest = id;
      await segment(id, data.file, data.name);
    }
    if (id === latest && found && found.id === id) answer(id, data);
  } catch (error) {
    if (id !== latest) return;
    const memory = error instanceof RangeError || /memory|alloc/i.test(error.message);
    const word = error.word || (memory ? "memory" : "failed");
    postMessage({ id, word, values: error.values || { error: error.message } });
  }
};

async function segment(id, file, name) {
  found = undefined;
  const image = await decoded(file, name);
  const tables = scaled(image.values);
  ready ||= session(id).catch((error) => {
    ready = undefined; // try again with the next image
    throw error;
  });
  const network = await ready;
  const { width, height } = image;
  const start = performance.now();
  const scores = new Float32Array(width * height);
  const apart = new Uint16Array(width * height);
  const parts = tiles(width, height);
  for (const [done, part] of parts.entries()) {
    postMessage({ id, word: "running", share: parts.length > 1 ? done / parts.length : undefined });
    await new Promise((go) => setTimeout(go)); // a newer image or a stop may have arrived
    if (id !== latest) return;
    await compute(network, image, tables.input, part, scores, apart);
  }
  const shown = new Uint8ClampedArray(4 * width * height);
  for (let at = 0, to = 0; to < shown.length; to += 4) {
    for (let band = 0; band < 3; band++) shown[to + band] = tables.shown[image.values[at++]];
    shown[to + 3] = 255;
  }
  const seconds = (performance.now() - start) / 1000;
  found = { id, width, height, shown, scores, apart, seconds, threshold: NaN };
}

// ---- files

async function session(id) {
  const { base, sizes, version } = about;
  const packed = Object.keys(sizes).filter((name) => name.endsWith(".gz"));
  const total = packed.reduce((sum, name) => sum + sizes[name], 0);
  let loaded = 0;
  const fetched = async (name) => {
    const response = await fetch(`${base}${name}?${version}`).catch(() => undefined);
    if (!response || !response.ok) throw new Problem("network");
    const count = new TransformStream({
      transform(chunk, to) {
        loaded += chunk.length;
        postMessage({ id: latest, word: "loading", share: Math.min(loaded / total, 1) });
        to.enqueue(chunk);
      },
    });
    const bytes = await new Response(response.body.pipeThrough(count)).arrayBuffer().catch(() => {
      throw new Problem("network");
    });
    // Some web servers let the browser unpack the file.
    const [first, second] = new Uint8Array(bytes);
    return first === 0x1f && second === 0x8b ? unpacked(bytes, "gzip") : bytes;
  };
  postMessage({ id, word: "loading", share: 0 });
  const files = Promise.all(["onnxruntime.wasm.gz", "model.onnx.gz"].map(fetched));
  files.catch(() => {});
  const ort = await import(`${base}onnxruntime.mjs?${version}`).catch(() => {
    throw new Problem("network");
  });
  const [wasm, model] = await files;
  // More threads would need headers that plain web servers do not send.
  Object.assign(ort.env.wasm, { numThreads: 1, wasmBinary: wasm });
  const made = await ort.InferenceSession.create(new Uint8Array(model), { executionProviders: ["wasm"] });
  return async (values, shape) => {
    const input = new ort.Tensor("float32", values, shape);
    const [output] = Object.values(await made.run({ [made.inputNames[0]]: input }));
    return output.data;
  };
}

function unpacked(bytes, format) {
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream(format))).arrayBuffer();
}

// ---- images: red, green and blue in the file's own values, as Python reads them

async function decoded(file, name) {
  const head = new Uint8Array(await file.slice(0, 8).arrayBuffer());
  const starts = (...bytes) => bytes.every((byte, at) => head[at] === byte);
  try {
    const own = starts(0x89, 0x50, 0x4e, 0x47) && (await png(await file.arrayBuffer()));
    if (own) return own;
  } catch (error) {
    throw error.word ? error : new Problem("unreadable", { name });
  }
  const tiff = starts(0x49, 0x49, 42, 0) || starts(0x4d, 0x4d, 0, 42);
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new Problem(tiff ? "tiff" : "unreadable", { name });
  });
  const { width, height } = bitmap;
  check(width, height);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, values: coloured(context.getImageData(0, 0, width, height).data, 4) };
}

function check(width, height) {
  const pixels = Math.ceil(width * height / 1e6);
  if (width * height > MOST) throw new Problem("large", { pixels, most: MOST / 1e6 });
}

// Browsers reduce PNG files to 8 bits, and mix colours with alpha; this reads those files as they are. Nothing
// is returned for the rarer kinds, which browsers read exactly.
async function png(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer), data = [];
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (kind === "eXIf") return undefined;
    if (kind === "IDAT") data.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  const width = view.getUint32(16), height = view.getUint32(20);
  const [depth, colour, , , interlaced] = bytes.subarray(24, 29);
  const bands = { 0: 1, 2: 3, 4: 2, 6: 4 }[colour];
  if (!bands || depth < 8 || interlaced) return undefined;
  check(width, height);
  const step = bands * depth / 8, row = width * step;
  const raw = new Uint8Array(await unpacked(new Blob(data), "deflate"));
  if (raw.length < height * (row + 1)) throw new Error("the file ends early");
  const rows = new Uint8Array(height * row);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (row + 1)], from = y * (row + 1) + 1, to = y * row;
    for (let x = 0; x < row; x++) {
      const left = x >= step ? rows[to + x - step] : 0;
      const up = y ? rows[to + x - row] : 0;
      let guess = 0;
      if (filter === 1) guess = left;
      else if (filter === 2) guess = up;
      else if (filter === 3) guess = (left + up) >> 1;
      else if (filter === 4) {
        const corner = x >= step && y ? rows[to + x - row - step] : 0;
        const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
        guess = a <= b && a <= c ? left : b <= c ? up : corner;
      }
      rows[to + x] = raw[from + x] + guess;
    }
  }
  if (depth === 8) return { width, height, values: coloured(rows, bands) };
  const wide = new Uint16Array(rows.length / 2);
  for (let at = 0; at < wide.length; at++) wide[at] = (rows[2 * at] << 8) | rows[2 * at + 1];
  return { width, height, values: coloured(wide, bands) };
}

function coloured(values, bands) {
  if (bands === 3) return values;
  const pixels = values.length / bands;
  const found = new (values.BYTES_PER_ELEMENT === 2 ? Uint16Array : Uint8Array)(3 * pixels);
  for (let at = 0, to = 0; at < values.length; at += bands) {
    for (let band = 0; band < 3; band++) found[to++] = values[at + (bands < 3 ? 0 : band)];
  }
  return found;
}

// ---- intensity, as in segzoo/images/intensity.py: percentiles of all values become 0 and 1

function scaled(values) {
  const counts = new Uint32Array(values.BYTES_PER_ELEMENT === 2 ? 65536 : 256);
  for (const value of values) counts[value]++;
  const after = (place) => {
    let value = 0;
    for (let sum = counts[0]; sum <= place; sum += counts[value]) value++;
    return value;
  };
  const [low, high] = about.model.percentiles.map((percentile) => {
    const place = (percentile / 100) * (values.length - 1), before = Math.floor(place);
    const first = after(before);
    return first + (after(Math.min(before + 1, values.length - 1)) - first) * (place - before);
  });
  const share = (value) =>
    high > low ? Math.min(Math.max((value - low) / (high - low), 0), 1) : Number(value > low);
  const { mean, std } = about.model;
  const round = Math.fround;
  const input = [0, 1, 2].map((band) =>
    Float32Array.from(counts, (_, value) => {
      const [centre, spread] = [mean, std].map((one) => round(one[band % one.length]));
      return round(round(round(share(value)) - centre) / spread);
    }),
  );
  const shown = Uint8ClampedArray.from(counts, (_, value) => (counts.length > 256 ? 255 * share(value) : value));
  return { input, shown };
}

// ---- the network

function tiles(width, height) {
  if (width * height <= WHOLE) return [{ left: 0, top: 0, right: width, bottom: height }];
  const found = [];
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      found.push({ left, top, right: Math.min(left + TILE, width), bottom: Math.min(top + TILE, height) });
    }
  }
  return found;
}

async function compute(network, image, table, part, scores, apart) {
  const left = Math.max(part.left - MARGIN, 0), right = Math.min(part.right + MARGIN, image.width);
  const top = Math.max(part.top - MARGIN, 0), bottom = Math.min(part.bottom + MARGIN, image.height);
  const width = right - left, size = width * (bottom - top);
  const input = new Float32Array(3 * size);
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = left, at = 3 * (y * image.width + left); x < right; x++, to++) {
      for (let band = 0; band < 3; band++) input[band * size + to] = table[band][image.values[at++]];
    }
  }
  const logits = await network(input, [1, 3, bottom - top, width]);
  for (let y = part.top; y < part.bottom; y++) {
    for (let x = part.left; x < part.right; x++) {
      const at = (y - top) * width + x - left, to = y * image.width + x;
      scores[to] = logits[at];
      apart[to] = Math.round(65535 / (1 + Math.exp(about.model.sign * logits[size + at])));
    }
  }
}

// ---- the mask, its objects, and the picture

function answer(id, { threshold, opacity }) {
  if (threshold !== found.threshold) Object.assign(found, objects(threshold), { threshold });
  const picture = painted(opacity);
  const { width, height, count, inside, seconds } = found;
  postMessage({ id, picture, width, height, count, area: inside / (width * height), seconds }, [picture.buffer]);
}

// Objects, as in segzoo/prediction/splitting.py: a watershed of the output that separates them. Pixels are added
// from the inside of objects outwards, and join what they touch, unless both have a seed.
function objects(threshold) {
  const { width, height, scores, apart } = found;
  const level = Math.log(threshold / (1 - threshold));
  const { seed, smallest } = about.model;
  const first = new Uint32Array(65537);
  let inside = 0;
  scores.forEach((score, at) => {
    if (score > level) {
      first[apart[at] + 1]++;
      inside++;
    }
  });
  let seeds = 0;
  for (let value = 0; value < 65536; value++) {
    first[value + 1] += first[value];
    if (value < 65535 * seed) seeds = first[value + 1];
  }
  const order = new Uint32Array(inside);
  scores.forEach((score, at) => {
    if (score > level) order[first[apart[at]]++] = at;
  });
  const parent = new Int32Array(width * height).fill(-1);
  const sizes = new Uint32Array(width * height);
  const seeded = new Uint8Array(width * height);
  const root = (at) => {
    while (parent[at] !== at) at = parent[at] = parent[parent[at]];
    return at;
  };
  const near = new Uint32Array(8); // the neighbours that were added before, the innermost first
  const add = (at) => {
    parent[at] = at;
    sizes[at] = 1;
    const x = at % width, y = (at - x) / width;
    let found = 0;
    for (let row = Math.max(y - 1, 0); row <= Math.min(y + 1, height - 1); row++) {
      for (let column = Math.max(x - 1, 0); column <= Math.min(x + 1, width - 1); column++) {
        const beside = row * width + column;
        if (beside === at || parent[beside] < 0) continue;
        let place = found++;
        for (; place && apart[near[place - 1]] > apart[beside]; place--) near[place] = near[place - 1];
        near[place] = beside;
      }
    }
    for (let place = 0; place < found; place++) {
      let large = root(at), small = root(near[place]);
      if (large === small || (seeded[large] && seeded[small])) continue;
      if (sizes[large] < sizes[small]) [large, small] = [small, large];
      parent[small] = large;
      sizes[large] += sizes[small];
      seeded[large] |= seeded[small];
    }
  };
  order.subarray(0, seeds).forEach(add);
  for (const at of order.subarray(0, seeds)) if (sizes[root(at)] >= smallest) seeded[root(at)] = 1;
  order.subarray(seeds).forEach(add);
  let count = 0;
  for (const at of order) count += root(at) === at;
  const labels = new Int32Array(width * height).fill(-1);
  for (const at of order) labels[at] = root(at);
  return { labels, count, inside };
}

// The image, tinted where objects are, with their outlines in full colour.
function painted(opacity) {
  const { width, height, labels } = found;
  const { colour } = about.model;
  const picture = found.shown.slice();
  for (let at = 0; at < labels.length; at++) {
    if (labels[at] < 0) continue;
    const x = at % width;
    const edge =
      (x && labels[at - 1] !== labels[at]) || (x + 1 < width && labels[at + 1] !== labels[at]) ||
      (at >= width && labels[at - width] !== labels[at]) ||
      (at + width < labels.length && labels[at + width] !== labels[at]);
    const share = edge ? 1 : opacity;
    for (let band = 0; band < 3; band++) {
      picture[4 * at + band] += share * (colour[band] - picture[4 * at + band]);
    }
  }
  return picture;
}
