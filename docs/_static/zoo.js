// The tables of the zoo: filter, count and sort rows, and keep the filter in the page's address.
(() => {
  "use strict";

  const READ = /^#([a-z]+)\?(.*)$/;

  // An address may contain a % that is no escape.
  const decoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };

  const setUp = (box) => {
    const kind = box.dataset.zoo;
    const form = box.querySelector("form");
    const count = box.querySelector(".zoo-count");
    const all = count.textContent;
    const rows = [...box.querySelectorAll("tr[data-zoo-row]")].map((row) => {
      const said = JSON.parse(row.dataset.zooRow);
      const text = [row.textContent, ...Object.values(said.facets).flat()].join(" ").toLowerCase();
      return { row, text, ...said };
    });

    const empty = () => {
      for (const field of form.elements) {
        if (field.type === "checkbox") field.checked = false;
        else field.value = "";
      }
    };

    const chosen = () => [...new FormData(form)].filter(([, value]) => value.trim() !== "");

    const fits = (one, [name, value]) => {
      if (name === "text") return value.toLowerCase().split(/\s+/).every((word) => one.text.includes(word));
      if (one.flags.includes(name)) return true;
      return (one.facets[name] || []).includes(value);
    };

    const apply = () => {
      const wanted = chosen();
      let shown = 0;
      for (const one of rows) {
        const fine = wanted.every((wish) => fits(one, wish));
        one.row.hidden = !fine;
        shown += fine;
      }
      const some = shown ? count.dataset.some : count.dataset.none;
      count.textContent = wanted.length ? some.replace("SHOWN", shown).replace("ALL", all) : all;
      form.querySelector("button[type=reset]").disabled = !wanted.length;
    };

    const keep = () => {
      const query = new URLSearchParams(chosen()).toString();
      history.replaceState(null, "", query ? `#${kind}?${query}` : location.pathname + location.search);
    };

    const read = () => {
      const [, about, query] = location.hash.match(READ) || [];
      if (about === kind) {
        empty();
        for (const [name, value] of new URLSearchParams(query)) {
          const field = form.elements.namedItem(name);
          if (!field) continue;
          if (field.type === "checkbox") field.checked = true;
          else field.value = value;
        }
        apply();
        box.scrollIntoView();
        return;
      }
      // A link to something that the filter hides shows everything again.
      const target = location.hash.length > 1 && document.getElementById(decoded(location.hash.slice(1)));
      if (target && target.closest("[hidden]")) {
        empty();
        apply();
        target.scrollIntoView();
      }
    };

    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => { apply(); keep(); });
    form.addEventListener("reset", (event) => {
      event.preventDefault();
      empty();
      apply();
      keep();
      form.elements.namedItem("text").focus();
    });
    window.addEventListener("hashchange", read);
    form.hidden = false;
    apply();
    read();
    sortable(box, rows.map((one) => one.row));
  };

  // The heading of a column of numbers becomes a button that sorts up, down, and not at all.
  const sortable = (box, rows) => {
    const heads = [...box.querySelectorAll("thead th")];
    const body = box.querySelector("tbody");
    const failed = [...body.querySelectorAll(".zoo-failed")];
    const next = { none: "ascending", ascending: "descending", descending: "none" };
    heads.forEach((head, place) => {
      const of = (row) => row.children[place].dataset.sort;
      if (rows.filter((row) => of(row) !== undefined).length < 2) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "zoo-sort";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const order = next[head.getAttribute("aria-sort")];
        for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        const sign = order === "descending" ? -1 : 1;
        // Rows without a number come last in both orders.
        const key = (row) => (of(row) === undefined ? Infinity : sign * Number(of(row)));
        const sorted = order === "none" ? rows : [...rows].sort((a, b) => (key(a) === key(b) ? 0 : key(a) - key(b)));
        body.append(...sorted, ...failed);
      });
    });
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-zoo]").forEach(setUp));
})();
