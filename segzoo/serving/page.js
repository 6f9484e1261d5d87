"use strict";
const MOST = 2048, all = id => document.getElementById(id);
const [model, drop, file, told, shown, canvas, list, opacity, kind, save] =
  ["model", "drop", "file", "told", "shown", "canvas", "classes", "opacity", "kind", "save"].map(all);
const [camera, filming, video, snap, unfilm, unsure, objects, rows, counted] =
  ["camera", "filming", "video", "snap", "unfilm", "unsure", "objects", "rows", "counted"].map(all);
const [correct, painting, paint, brush, undo, keep, keepOn, kept] =
  ["correct", "painting", "paint", "brush", "undo", "keep", "keepon", "kept"].map(all);
const [settings, set, cutting, threshold, slide, classCuts, cuts, bands, bandsHelp, usual] =
  ["settings", "set", "cutting", "threshold", "slide", "classcuts", "cuts", "bands", "bands-help", "usual"].map(all);
const [intensity, numbering, numbers, perBand, eachBand, paging, pageNumber, pageHelp] =
  ["intensity", "numbering", "numbers", "perband", "each", "paging", "page", "page-help"].map(all);
const [pile, back, which, next, same] = ["pile", "back", "which", "next", "same"].map(all);
// Weights of each model, where the server loads weights and saves corrections (`segzoo demo`).
const sources = JSON.parse(document.documentElement.dataset.sources || "null");
const OWN = { "X-Segzoo-Page": "1" };
let chosen = null, bitmap = null, found = null, planes = [], running = null, scaled = 1;
let doubt = null, cursor = null, waiting = false, timer = 0;
let models = {}, files = [], at = 0, shownBands = [], shownFor = [];
// Strokes of the brush, which are painted again on the mask of other settings.
let strokes = [], stroke = null, unsaved = false, current = "";

function tell(text, wrong = false) { told.textContent = text; told.classList.toggle("wrong", wrong); }

// COCO's compressed run lengths: counts of pixels outside and inside in turns, column by column.
function runs(text) {
  const counts = [];
  for (let at = 0; at < text.length;) {
    let value = 0, place = 1, digit;
    do { digit = text.charCodeAt(at++) - 48; value += (digit & 31) * place; place *= 32; } while (digit & 32);
    if (digit & 16) value -= place;
    if (counts.length > 2) value += counts[counts.length - 2];
    counts.push(value);
  }
  return counts;
}

// Pixels of a class at the size of the canvas: 1 where it is.
function plane(rle, scale) {
  const [height, width] = rle.size, across = canvas.width, down = canvas.height;
  const inside = new Uint8Array(across * down), starts = [0];
  for (const count of runs(rle.counts)) starts.push(starts[starts.length - 1] + count);
  let run = 0;
  for (let x = 0; x < across; x++) {
    const column = Math.min(width - 1, Math.floor((x + .5) / scale)) * height;
    for (let y = 0; y < down; y++) {
      const pixel = column + Math.min(height - 1, Math.floor((y + .5) / scale));
      while (run + 1 < starts.length && starts[run + 1] <= pixel) run++;
      inside[y * across + x] = run & 1;
    }
  }
  return inside;
}

function draw() {
  if (!found) return;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const seen = unsure.checked && doubt ? doubt : bitmap;
  if (seen) context.drawImage(seen, 0, 0, canvas.width, canvas.height);
  if (seen && seen === doubt) return;
  const picture = context.getImageData(0, 0, canvas.width, canvas.height), data = picture.data;
  const share = opacity.value / 100;
  for (const { inside, colour, box } of planes) {
    if (!box.checked) continue;
    for (let at = 0; at < inside.length; at++) {
      if (!inside[at]) continue;
      for (let band = 0; band < 3; band++)
        data[4 * at + band] = data[4 * at + band] * (1 - share) + colour[band] * share;
    }
  }
  context.putImageData(picture, 0, 0);
  if (!cursor || !painting.checked) return;
  for (const [colour, width] of [["#000", 3], ["#fff", 1]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    context.arc(cursor.x, cursor.y, Number(brush.value), 0, 2 * Math.PI);
    context.stroke();
  }
}

// Draw once for all that happens until the next frame.
function drawSoon() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function addClass(one, inside) {
  const item = document.createElement("li"), label = document.createElement("label");
  const box = document.createElement("input"), patch = document.createElement("i");
  const name = document.createElement("span"), share = document.createElement("b");
  box.type = "checkbox";
  box.checked = Boolean(inside);
  box.disabled = !inside;
  box.addEventListener("change", draw);
  patch.style.background = one.color;
  name.textContent = one.name;
  share.textContent = `${(100 * (one.share || 0)).toFixed(1)} %`;
  label.append(box, patch, name, share);
  item.append(label);
  list.append(item);
  if (inside) {
    const colour = [1, 3, 5].map(at => parseInt(one.color.slice(at, at + 2), 16));
    planes.push({ inside, first: inside.slice(), colour, box, index: one.index });
  }
}

// Correcting: the brush gives pixels to one class and takes them from all others.
function dab({ x, y }, { radius, chosenClass }) {
  const one = found.classes.find(each => each.index === chosenClass);
  if (!one.background && !planes.some(each => each.index === chosenClass))
    addClass(one, new Uint8Array(canvas.width * canvas.height));
  const left = Math.max(0, Math.ceil(x - radius)), right = Math.min(canvas.width - 1, Math.floor(x + radius));
  const top = Math.max(0, Math.ceil(y - radius)), bottom = Math.min(canvas.height - 1, Math.floor(y + radius));
  for (let row = top; row <= bottom; row++)
    for (let column = left; column <= right; column++) {
      if ((column - x) ** 2 + (row - y) ** 2 > radius * radius) continue;
      for (const each of planes) each.inside[row * canvas.width + column] = each.index === chosenClass ? 1 : 0;
    }
  drawSoon();
}

function line(from, to, how) {
  const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / Math.max(1, how.radius / 2)));
  for (let step = 1; step <= steps; step++)
    dab({ x: from.x + (to.x - from.x) * step / steps, y: from.y + (to.y - from.y) * step / steps }, how);
}

function begin(point) {
  stroke = { radius: Number(brush.value), chosenClass: Number(paint.value), points: [point] };
  strokes.push(stroke);
  unsaved = true;
  dab(point, stroke);
  undo.disabled = false;
}

function extend(point) {
  line(stroke.points[stroke.points.length - 1], point, stroke);
  stroke.points.push(point);
}

function repaint() {
  for (const each of planes) each.inside.set(each.first);
  for (const each of strokes) {
    dab(each.points[0], each);
    for (let at = 1; at < each.points.length; at++) line(each.points[at - 1], each.points[at], each);
  }
  undo.disabled = !strokes.length;
}

function takeBack() {
  if (!strokes.pop()) return;
  unsaved = true;
  repaint();
  kept.textContent = "The last stroke is undone.";
  draw();
}

// Whether strokes may be dropped: they were saved, or the person agrees.
function mayDrop() {
  return !unsaved || confirm("The correction is not saved. Drop it?");
}

function dropStrokes() {
  strokes = [];
  unsaved = false;
}

function place(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) * canvas.width / box.width,
    y: (event.clientY - box.top) * canvas.height / box.height,
  };
}

// The index of each pixel's class: the background's where no class is.
function indices() {
  const ground = found.classes.find(each => each.background);
  const values = new Uint8Array(canvas.width * canvas.height).fill(ground ? ground.index : 0);
  for (const { inside, index } of planes)
    for (let at = 0; at < inside.length; at++) if (inside[at]) values[at] = index;
  return values;
}

function offerCorrecting(answer) {
  cursor = null;
  kept.textContent = "";
  correct.hidden = !sources;
  const why = answer.overlapping ? "Classes that overlap cannot be corrected here."
    : scaled < 1 ? `Images of more than ${MOST} pixels a side cannot be corrected here.`
    : Number(pageNumber.value) ? "Only the first page of a file can be corrected here." : "";
  for (const each of [painting, paint, brush, keep, keepOn]) each.disabled = Boolean(why);
  if (why) { painting.checked = false; kept.textContent = why; }
  const old = paint.value;
  paint.replaceChildren(...answer.classes.map(one => new Option(one.name, one.index)));
  const first = answer.classes.find(one => String(one.index) === old) || answer.classes.find(one => !one.background);
  paint.value = first ? first.index : 0;
  if (why) dropStrokes();
  repaint();
  brushOn();
}

function brushOn() {
  canvas.classList.toggle("brush", painting.checked);
  if (painting.checked) {
    unsure.checked = false;
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-describedby", "keys");
  } else {
    canvas.removeAttribute("tabindex");
    canvas.removeAttribute("aria-describedby");
    cursor = null;
  }
  draw();
}

async function listObjects() {
  if (!objects.open || !chosen) return;
  counted.textContent = "Looking for objects ...";
  rows.replaceChildren();
  try {
    const answer = await (await ask("coco")).json();
    const names = Object.fromEntries(answer.categories.map(one => [one.id, one.name]));
    const largest = answer.annotations.sort((one, other) => other.area - one.area);
    for (const one of largest.slice(0, 200)) {
      const row = document.createElement("tr");
      for (const value of [names[one.category_id], one.area, ...one.bbox]) {
        const cell = document.createElement("td");
        cell.textContent = typeof value === "number" ? Math.round(value) : value;
        row.append(cell);
      }
      rows.append(row);
    }
    counted.textContent = `${largest.length} objects` + (largest.length > 200 ? "; the 200 largest are listed." : ".");
  } catch (error) { counted.textContent = error.message; }
}

function show(answer) {
  found = answer;
  doubt = null;
  unsure.checked = false;
  const scale = Math.min(1, MOST / Math.max(answer.width, answer.height));
  canvas.width = Math.max(1, Math.round(answer.width * scale));
  canvas.height = Math.max(1, Math.round(answer.height * scale));
  scaled = scale;
  planes = [];
  list.replaceChildren();
  const there = answer.classes.filter(one => one.pixels);
  for (const one of there) addClass(one, one.rle ? plane(one.rle, scale) : null);
  const words = there.map(one => `${one.name} ${(100 * one.share).toFixed(1)} %`).join(", ");
  canvas.setAttribute("aria-label", `The image with its mask: ${words}`);
  shown.hidden = false;
  showBands(answer.image.bands);
  paging.hidden = !(answer.image.pages > 1);
  pageHelp.textContent = `The file has ${answer.image.pages} pages.`;
  offerCorrecting(answer);
  sameCommand();
  listObjects();
  tell([`${answer.width} x ${answer.height} pixels: ${words}`, ...answer.notes].join("; ") +
    (bitmap ? "" : ". This browser cannot show the image itself, so the mask is on grey."));
}

// Settings: what differs from the weights becomes the options of each request.
const CONTROLS = { threshold: [threshold], class_threshold: [], bands: [bands], intensity: [intensity, numbers], page: [pageNumber] };
const NUMBERS = { percentiles: "1, 99.8", range: "0, 4095", window: "40, 400" };

function wrong(text, option, control) { return Object.assign(new Error(text), { option, control }); }

// A message at the control that has to change, which is shown.
function tellAt({ option, control, message }) {
  all(`${option}-wrong`).textContent = message;
  for (const one of control ? [control] : CONTROLS[option]) one.setAttribute("aria-invalid", "true");
  settings.open = true;
  if (option === "page") paging.hidden = false;
}

function clearWrong() {
  for (const [option, controls] of Object.entries(CONTROLS)) {
    all(`${option}-wrong`).textContent = "";
    for (const one of [...controls, ...cuts.querySelectorAll("input")]) one.removeAttribute("aria-invalid");
  }
}

function fail(error) {
  if (error.bands) showBands(error.bands);
  if (CONTROLS[error.option]) {
    tellAt(error);
    tell("Not segmented: see the message in the settings.", true);
  } else tell(error.message, true);
}

function share(control, option, name) {
  const value = Number(control.value);
  if (control.validity.badInput || !(value > 0 && value < 1))
    throw wrong(`${name}: type a number between 0 and 1, such as 0.5.`, option, control);
  return value;
}

// The options, as pairs of name and value.
function choices() {
  const facts = models[model.value] || {}, found = [];
  if (facts.threshold != null && (threshold.value !== "" || threshold.validity.badInput)) {
    const value = share(threshold, "threshold", "Threshold");
    if (value !== facts.threshold) found.push(["threshold", value]);
  }
  for (const one of cuts.querySelectorAll("input"))
    if (one.value !== "" || one.validity.badInput) {
      const value = share(one, "class_threshold", one.dataset.name);
      if (value !== facts.class_thresholds[one.dataset.name] || found.length)
        found.push(["class_threshold", `${one.dataset.name}=${value}`]);
    }
  if (bands.value.trim()) found.push(["bands", bands.value.trim()]);
  if (intensity.value) {
    const words = [intensity.value];
    if (intensity.value in NUMBERS) words.push(numbers.value.replace(/\s*[,;\s]\s*/g, ",").replace(/^,|,$/g, ""));
    if (!perBand.hidden && eachBand.checked) words.push("band");
    found.push(["intensity", words.join(":")]);
  }
  if (pageNumber.value !== "" || pageNumber.validity.badInput) {
    if (!/^\d+$/.test(pageNumber.value)) throw wrong("Page: type a whole number from 0.", "page");
    found.push(["page", pageNumber.value]);
  }
  return found;
}

function showBands(names) {
  const facts = models[model.value];
  shownBands = names || shownBands;
  const wanted = !facts ? "" : `The model takes ${facts.channels}${facts.bands.length ? ` (${facts.bands.join(", ")})` : ""}. `;
  const listed = shownBands.slice(0, 20).map((name, at) => (name === `band ${at + 1}` ? name : `${at + 1} ${name}`)).join(", ");
  bandsHelp.textContent = wanted + (listed ? `The image has ${listed}${shownBands.length > 20 ? ", ..." : ""}.` : "Such as 4,3,2.");
}

// Controls for a model that was chosen; bands, intensity and page stay.
function showModel() {
  const facts = models[model.value];
  if (!facts) return;
  cutting.hidden = facts.threshold === null;
  threshold.value = slide.value = facts.threshold === null ? "" : facts.threshold;
  const foreground = facts.classes.filter(one => !one.background);
  classCuts.hidden = facts.threshold !== null && foreground.length < 2;
  cuts.replaceChildren(cuts.firstElementChild);
  for (const one of classCuts.hidden ? [] : foreground) {
    const label = document.createElement("label"), input = document.createElement("input"), name = document.createElement("span");
    Object.assign(input, { type: "number", min: "0.01", max: "0.99", step: "0.01", inputMode: "decimal" });
    input.value = one.name in facts.class_thresholds ? facts.class_thresholds[one.name] : "";
    input.dataset.name = name.textContent = one.name;
    input.setAttribute("aria-describedby", "class_threshold-wrong");
    input.addEventListener("input", soon);
    label.append(name, input);
    cuts.append(label);
  }
  intensity.options[0].textContent = `as the weights say (${facts.intensity})`;
  showBands();
  showSet();
}

function showSet() {
  numbering.hidden = !(intensity.value in NUMBERS);
  perBand.hidden = !["percentiles", "standard"].includes(intensity.value);
  let said = [];
  try { said = choices(); } catch { return; }
  set.textContent = said.map(([name, value]) => `${name.replace("_", " ")} ${value}`).join("; ") || "as the weights say";
}

function setUsual() {
  bands.value = intensity.value = pageNumber.value = "";
  eachBand.checked = false;
  showModel();
  segment();
}

// The command that segments other files in the same way.
function sameCommand() {
  const quoted = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  const words = ["segzoo", "predict", chosen.name.replace(/^-/, "./-"), "--model", (sources && sources[model.value]) || model.value];
  for (const [name, value] of choices()) words.push(`--${name === "page" ? "pages" : name.replace("_", "-")}`, String(value));
  same.textContent = words.map(quoted).join(" ");
}

function refused(answer) {
  return answer.json().catch(() => ({ error: `status ${answer.status}` }))
    .then(reason => { throw Object.assign(new Error(reason.error), reason); });
}

async function ask(output, signal, more = {}) {
  const query = new URLSearchParams([["output", output], ...choices(), ...Object.entries(more)]);
  const form = new FormData();
  form.append("image", chosen, chosen.name);
  const answer = await fetch(`v1/models/${encodeURIComponent(model.value)}/predict?${query}`, { method: "POST", body: form, signal });
  return answer.ok ? answer : refused(answer);
}

// The image as the server shows it, for formats, bands and pages that the browser cannot show.
async function drawnByServer(signal) {
  const answer = await ask("overlay:png", signal, { opacity: 0, line_width: 0 });
  return createImageBitmap(await answer.blob());
}

async function segment() {
  showSet();
  clearTimeout(timer);
  if (!chosen || !models[model.value]) return;
  if (running) running.abort();
  const mine = running = new AbortController(), key = [chosen, model.value];
  tell(`Segmenting ${chosen.name} ...`);
  for (const one of [save, keep, keepOn]) one.disabled = true;
  clearWrong();
  try {
    const other = choices().some(([name]) => name === "bands" || name === "page");
    const [answer, own] = await Promise.all([
      ask("json", mine.signal).then(answer => answer.json()),
      other ? null : createImageBitmap(chosen).catch(() => null),
    ]);
    const picture = own || await drawnByServer(mine.signal).catch(() => null);
    if (mine !== running) return;
    bitmap = picture;
    shownFor = key;
    save.disabled = false;
    show(answer);
  } catch (error) {
    if (mine !== running) return;
    // The mask of another image or model must not stay.
    if (key.some((one, at) => one !== shownFor[at])) shown.hidden = true;
    fail(error);
  }
}

// Segment once the person has stopped changing a control.
function soon() {
  showSet();
  clearTimeout(timer);
  timer = setTimeout(segment, 300);
}

function take(given) {
  if (!given.length || !mayDrop()) return;
  files = [...given];
  openImage(0);
}

function openImage(place) {
  at = place;
  chosen = files[at];
  dropStrokes();
  shownBands = [];
  pageNumber.value = "";
  pile.hidden = files.length < 2;
  back.disabled = at === 0;
  next.disabled = keepOn.hidden = at + 1 >= files.length;
  which.textContent = `Image ${at + 1} of ${files.length}: ${chosen.name}`;
  return segment();
}

async function listModels() {
  const answer = await (await fetch("v1/models")).json();
  models = Object.fromEntries(answer.models.map(one => [one.name, one]));
}

async function offerModels() {
  const now = model.value;
  const groups = [["", Object.keys(models)]];
  if (sources) groups.push(["On this machine", (await (await fetch("installed")).json()).weights]);
  model.replaceChildren();
  for (const [title, names] of groups) {
    const group = title && names.length ? document.createElement("optgroup") : model;
    if (group !== model) { group.label = title; model.append(group); }
    group.append(...names.map(name => new Option(name, name)));
  }
  if (now) model.value = now;
  current = model.value;
}

async function chooseModel() {
  const name = model.value;
  if (!mayDrop()) { model.value = current; return; }
  dropStrokes();
  if (running) running.abort();
  running = null;
  try {
    if (!models[name]) {
      tell(`Loading ${name} ...`);
      const answer = await fetch(`installed?model=${encodeURIComponent(name)}`, { method: "POST", headers: OWN });
      if (!answer.ok) await refused(answer);
      await listModels();
      if (!chosen) tell(`${name} is loaded.`);
    }
    if (name !== model.value) return;
    current = name;
    showModel();
    segment();
  } catch (error) { fail(error); }
}

save.addEventListener("click", async () => {
  try {
    const answer = await ask(kind.value), link = document.createElement("a");
    const ending = { mask: "png", overlay: "png", uncertainty: "png", geojson: "geojson", coco: "json", json: "json" }[kind.value];
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${chosen.name.replace(/\.[^.]*$/, "")}_${kind.value}.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) { tell(error.message, true); }
});
file.addEventListener("change", () => take(file.files));
model.addEventListener("change", chooseModel);
threshold.addEventListener("input", () => { if (threshold.value) slide.value = threshold.value; soon(); });
slide.addEventListener("input", () => { threshold.value = slide.value; soon(); });
intensity.addEventListener("change", () => { numbers.value = NUMBERS[intensity.value] || ""; segment(); });
pageNumber.addEventListener("input", soon);
for (const one of [bands, numbers, eachBand]) one.addEventListener("change", segment);
usual.addEventListener("click", setUsual);
back.addEventListener("click", () => { if (mayDrop()) openImage(at - 1); });
next.addEventListener("click", () => { if (mayDrop()) openImage(at + 1); });
opacity.addEventListener("input", draw);
for (const name of ["dragover", "dragleave", "drop"])
  document.addEventListener(name, event => {
    event.preventDefault();
    drop.classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files);
  });
document.addEventListener("paste", event => take(event.clipboardData.files));
painting.addEventListener("change", brushOn);
brush.addEventListener("input", drawSoon);
undo.addEventListener("click", takeBack);
objects.addEventListener("toggle", listObjects);
unsure.addEventListener("change", async () => {
  if (unsure.checked && painting.checked) { painting.checked = false; brushOn(); }
  try {
    if (unsure.checked && !doubt) doubt = await createImageBitmap(await (await ask("uncertainty")).blob());
    draw();
  } catch (error) { unsure.checked = false; tell(error.message, true); }
});
canvas.addEventListener("pointerdown", event => {
  if (!painting.checked) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  canvas.setPointerCapture(event.pointerId);
  cursor = place(event);
  begin(cursor);
});
canvas.addEventListener("pointermove", event => {
  if (!painting.checked) return;
  const to = place(event);
  if (stroke) extend(to);
  cursor = to;
  drawSoon();
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { stroke = null; });
canvas.addEventListener("keydown", event => {
  if (!painting.checked) return;
  const step = Math.max(1, Number(brush.value)), moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const at = cursor || { x: canvas.width / 2, y: canvas.height / 2 };
  if (moves[event.key]) {
    const [across, down] = moves[event.key];
    cursor = {
      x: Math.min(canvas.width, Math.max(0, at.x + across * step)),
      y: Math.min(canvas.height, Math.max(0, at.y + down * step)),
    };
  } else if (event.key === " " || event.key === "Enter") {
    cursor = at;
    begin(at);
    stroke = null;
    kept.textContent = `Painted at ${Math.round(at.x)}, ${Math.round(at.y)}.`;
  } else if (event.key === "+" || event.key === "-") {
    brush.value = Number(brush.value) + (event.key === "+" ? 1 : -1);
  } else if (event.key === "u" || event.key === "U") takeBack();
  else return;
  event.preventDefault();
  drawSoon();
});
async function savePair() {
  const form = new FormData();
  form.append("image", chosen, chosen.name);
  form.append("mask", new Blob([indices()]), "mask");
  unsaved = false;
  keep.disabled = keepOn.disabled = true;
  try {
    const chosenHow = choices().filter(([name]) => name === "bands" || name === "intensity");
    const query = new URLSearchParams([["model", model.value], ...chosenHow]);
    const answer = await fetch(`corrections?${query}`, { method: "POST", body: form, headers: OWN });
    if (!answer.ok) await refused(answer);
    const said = await answer.json();
    kept.textContent = `Saved as ${said.name}. ${said.saved} ${said.saved === 1 ? "pair" : "pairs"} in ${said.folder}; train with: ${said.train}`;
    return true;
  } catch (error) {
    unsaved = true;
    kept.textContent = error.message;
    return false;
  } finally { keep.disabled = keepOn.disabled = false; }
}
keep.addEventListener("click", savePair);
keepOn.addEventListener("click", async () => {
  if (!await savePair()) return;
  const said = kept.textContent;
  await openImage(at + 1);
  kept.textContent = said;
});
addEventListener("beforeunload", event => { if (unsaved) event.preventDefault(); });
function stopCamera() {
  if (video.srcObject) for (const track of video.srcObject.getTracks()) track.stop();
  video.srcObject = null;
  filming.hidden = true;
}
camera.hidden = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
camera.addEventListener("click", async () => {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
    filming.hidden = false;
    await video.play();
  } catch (error) { stopCamera(); tell(`The camera cannot be used: ${error.message}`, true); }
});
snap.addEventListener("click", () => {
  const frame = document.createElement("canvas");
  frame.width = video.videoWidth;
  frame.height = video.videoHeight;
  frame.getContext("2d").drawImage(video, 0, 0);
  stopCamera();
  frame.toBlob(blob => take([new File([blob], "camera.png", { type: "image/png" })]));
});
unfilm.addEventListener("click", stopCamera);
// An image may have been given before the models were listed.
listModels().then(offerModels).then(() => { showModel(); segment(); }).catch(() => tell("The server does not answer.", true));
