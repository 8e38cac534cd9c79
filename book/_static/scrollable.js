/* What scrolls sideways (a wide equation, table or line of code) can be reached and moved with the keyboard. */
(() => {
  const boxes = "mjx-container[display='true'], .cell_output, .cell_output .text_html, .bd-content div.highlight pre, .pst-scrollable-table-container";
  const look = () => {
    for (const box of document.querySelectorAll(boxes)) {
      sizes.observe(box); // heard of at once and after every change of its layout; a second call adds nothing
      if (box.scrollWidth > box.clientWidth + 1) {
        box.tabIndex = 0;
        if (!box.hasAttribute("role")) box.setAttribute("role", "group");
        if (!box.hasAttribute("aria-label")) box.setAttribute("aria-label", "wide content, scrolls sideways");
      } else if (box.getAttribute("aria-label") === "wide content, scrolls sideways") {
        box.removeAttribute("tabindex");
        box.removeAttribute("role");
        box.removeAttribute("aria-label");
      }
    }
  };
  let asked = false;
  const soon = () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      look();
    });
  };
  const sizes = new ResizeObserver(soon);
  window.addEventListener("load", () => {
    look();
    // mathematics and plots are set, and folded parts opened, long after the page has loaded
    new MutationObserver(soon).observe(document.querySelector(".bd-content") ?? document.body, { childList: true, subtree: true });
  });
  window.addEventListener("resize", look);
  document.fonts.ready.then(look);
})();

/* Paper is white: a page that is dark on the screen prints light, code and boxes too. */
(() => {
  const paper = matchMedia("print");
  let shown = null;
  const dress = (printing) => {
    const root = document.documentElement;
    if (printing && shown === null) {
      shown = root.dataset.theme;
      root.dataset.theme = "light";
    } else if (!printing && shown !== null) {
      root.dataset.theme = shown;
      shown = null;
    }
  };
  paper.addEventListener("change", (event) => dress(event.matches));
  addEventListener("beforeprint", () => dress(true));
  addEventListener("afterprint", () => dress(false));
})();
