// Code and tables that are wider than the page scroll sideways; the keyboard must reach them.
(() => {
  const mark = () => {
    for (const box of document.querySelectorAll(".highlight pre, .table-wrapper, div.math")) {
      const scrolls = box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight;
      if (scrolls) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  document.addEventListener("DOMContentLoaded", mark);
  window.addEventListener("load", mark);
  window.addEventListener("resize", mark);
})();
