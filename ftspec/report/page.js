"use strict";
(() => {
  const root = document.documentElement;
  const remembered = (value) => {
    try {
      if (value) localStorage.setItem("ftspec-theme", value);
      return localStorage.getItem("ftspec-theme");
    } catch {
      return value || null; // a page opened from disk may have no storage
    }
  };
  const theme = remembered();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const toggle = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const told = () => toggle.setAttribute("aria-pressed", String(dark()));
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    remembered(root.dataset.theme);
    told();
  });
  system.addEventListener("change", told);
  told();

  // What scrolls is reached by keyboard: not every browser sees to that, and only what is open can be measured.
  const reach = (within) => {
    for (const pre of within.querySelectorAll("pre")) if (pre.scrollHeight > pre.clientHeight) pre.tabIndex = 0;
  };
  reach(document.getElementById("provenance"));
  document.addEventListener("toggle", (event) => reach(event.target), true);

  const controls = document.getElementById("controls");
  if (!controls) return;
  const list = document.getElementById("cases");
  const cases = [...list.children].map((node) => ({
    node,
    tags: node.dataset.tags.split(" "),
    text: null, // made when somebody searches: it is most of the page
    order: Number(node.dataset.order),
    slices: node.dataset.slices.split(" "),
    first: Number(node.dataset.first),
    second: Number(node.dataset.second),
    prompt: node.querySelector(".asked").textContent.trim(),
  }));
  const search = document.getElementById("search");
  const status = document.getElementById("status");
  const before = status.textContent;
  let [counted, order] = [before, ""];
  const tell = () => (status.textContent = counted + order);

  const text = (one) => (one.text ??= one.node.textContent.toLowerCase());
  const filter = () => {
    const chosen = new FormData(controls);
    const tag = chosen.get("filter");
    const slice = chosen.get("slice") || "";
    const words = search.value.trim().toLowerCase();
    let visible = 0;
    for (const one of cases) {
      const left = one.tags.includes(tag) && (!slice || one.slices.includes(slice)) && (!words || text(one).includes(words));
      one.node.hidden = !left;
      visible += !one.node.hidden;
    }
    counted = visible === cases.length ? before : `${visible} of ${before}`;
    tell();
  };
  controls.addEventListener("input", filter);
  controls.addEventListener("submit", (event) => event.preventDefault());

  const buttons = [...document.querySelectorAll("[data-sort]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const again = button.getAttribute("aria-pressed") === "true";
      const up = again && !button.classList.contains("up");
      for (const other of buttons) {
        other.setAttribute("aria-pressed", String(other === button));
        other.classList.toggle("up", other === button && up);
      }
      const key = button.dataset.sort;
      const sign = up ? -1 : 1;
      const compare = key === "prompt" ? (a, b) => a.prompt.localeCompare(b.prompt) : (a, b) => a[key] - b[key];
      cases.sort((a, b) => sign * compare(a, b) || a.order - b.order);
      list.append(...cases.map((one) => one.node));
      order = `; sorted by ${button.textContent}${up ? ", reversed" : ""}`;
      tell();
    });
  }
  filter(); // browsers keep form values over a reload
})();
