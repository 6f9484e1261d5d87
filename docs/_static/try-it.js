// The demo on the first page: takes an image, and shows what the worker finds in it. Model and ONNX Runtime are
// loaded when the first image is given.
(() => {
  "use strict";

  const box = document.querySelector("[data-try-it]");
  // A page that was opened as a file may not load the model.
  if (!box || location.protocol === "file:" || !window.Worker || !window.DecompressionStream) return;

  const { words, ...about } = JSON.parse(box.dataset.tryIt);
  about.base = new URL(about.base, location.href).href;
  const script = new URL("try-it-worker.js", document.querySelector("script[src*='try-it.js']").src);

  const part = (selector) => box.querySelector(selector);
  const status = part("[role=status]"), bar = part("progress"), stop = part("[data-part=stop]");
  const shown = part("[data-part=found]"), canvas = part("canvas"), file = part("input[type=file]");
  const sliders = { threshold: part("[name=threshold]"), opacity: part("[name=opacity]") };

  let worker, id = 0, busy = false, again = false;

  const work = (does) => {
    busy = does;
    box.setAttribute("aria-busy", String(does));
  };

  const text = (word, values) => words[word].replace(/\{(\w+)\}/g, (_, name) => values[name]);

  const tell = (line, share) => {
    if (status.textContent !== line) status.textContent = line;
    bar.hidden = stop.hidden = share === null;
    if (share === null) work(false);
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share || 0;
  };

  const settings = () => ({ threshold: Number(sliders.threshold.value), opacity: Number(sliders.opacity.value) });

  const write = () => {
    for (const slider of Object.values(sliders)) {
      slider.parentElement.querySelector("output").textContent = Number(slider.value).toFixed(2);
    }
  };

  const end = () => {
    if (worker) worker.terminate();
    worker = undefined;
  };

  const started = () => {
    worker = new Worker(script, { type: "module" });
    worker.postMessage({ about });
    worker.addEventListener("message", ({ data }) => data.id === id && receive(data));
    worker.addEventListener("error", (event) => {
      end();
      tell(text("failed", { error: event.message || "Worker" }), null);
    });
    return worker;
  };

  const receive = (data) => {
    if (data.share !== undefined || data.word === "running") return tell(words[data.word], data.share);
    if (data.word) {
      if (data.word === "memory" || data.word === "failed") end(); // its memory may be full
      return tell(text(data.word, data.values), null);
    }
    canvas.width = data.width;
    canvas.height = data.height;
    canvas.getContext("2d").putImageData(new ImageData(data.picture, data.width, data.height), 0, 0);
    if (shown.hidden) {
      shown.hidden = false;
      shown.scrollIntoView({ block: "nearest" });
    }
    const number = (value, digits) => value.toLocaleString(document.documentElement.lang, { maximumFractionDigits: digits });
    const line = ["objects", "area", "seconds"].map((word) => text(word, {
      count: number(data.count, 0),
      share: number(100 * data.area, 1),
      seconds: number(data.seconds, 1),
    }));
    tell(line.join(" · "), null);
    if (again) change();
  };

  const take = (blob, name) => {
    id += 1;
    work(true);
    again = false;
    shown.hidden = true;
    tell(words.running);
    (worker || started()).postMessage({ id, file: blob, name, ...settings() });
  };

  // While a picture is made, only the last movement of a slider is kept.
  const change = () => {
    write();
    again = busy;
    if (busy || !worker) return;
    work(true);
    worker.postMessage({ id, ...settings() });
  };

  sliders.threshold.value = about.model.threshold;
  sliders.opacity.value = about.model.opacity;
  write();
  Object.values(sliders).forEach((slider) => slider.addEventListener("input", change));

  part("[data-part=choose]").addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files.length) take(file.files[0], file.files[0].name);
    file.value = ""; // the same file may be chosen again
  });
  stop.addEventListener("click", () => {
    id += 1;
    end();
    tell(words.stopped, null);
    part("[data-part=choose]").focus();
  });
  box.querySelectorAll("[data-sample]").forEach((button) => {
    button.addEventListener("click", async () => {
      const response = await fetch(about.base + button.dataset.sample).catch(() => undefined);
      if (response && response.ok) take(await response.blob(), button.dataset.sample);
      else tell(words.network, null);
    });
  });

  const images = (data) => [...(data ? data.files : [])];
  for (const kind of ["dragover", "dragleave", "drop"]) {
    box.addEventListener(kind, (event) => {
      event.preventDefault();
      box.classList.toggle("try-it-over", kind === "dragover");
      const [dropped] = kind === "drop" ? images(event.dataTransfer) : [];
      if (dropped) take(dropped, dropped.name);
    });
  }
  document.addEventListener("paste", (event) => {
    const [pasted] = images(event.clipboardData);
    if (!pasted || event.target.closest("input, textarea")) return;
    event.preventDefault();
    box.scrollIntoView({ block: "nearest" });
    take(pasted, pasted.name);
  });

  box.previousElementSibling.hidden = true;
  box.hidden = false;
})();
