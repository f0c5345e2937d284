"use strict";
// Tables that sort, figures that draw themselves when they come into sight, and the theme.
(() => {
  const FIRST_ROWS = 20;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const element = (tag, text = "", attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  // --- tables ---------------------------------------------------------------------------------
  const words = new Intl.Collator("en", { numeric: true });
  const number = (cell) => parseFloat(cell.textContent.replaceAll(",", "").replace("−", "-"));

  function sort(table, column, button) {
    const header = button.parentElement;
    const descending = header.getAttribute("aria-sort") === "ascending";
    const sign = descending ? -1 : 1;
    const isNumber = header.classList.contains("n");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => {
      const cell = row.cells[column];
      return [isNumber ? number(cell) : cell.textContent, row];
    });
    keyed.sort(([a], [b]) => {
      if (!isNumber) return sign * words.compare(a, b);
      // what has no number stays last either way
      return Number.isNaN(a) - Number.isNaN(b) || sign * (a - b) || 0;
    });
    body.append(...keyed.map(([, row]) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  function csv(table) {
    const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const plain = (cell) => {
      const text = cell.textContent.trim();
      if (!cell.classList.contains("n") || cell.querySelector("button")) return quoted(text);
      return text === "–" ? "" : text.replaceAll(",", "");
    };
    return [...table.rows].map((row) => [...row.cells].map(plain).join(",")).join("\n") + "\n";
  }

  function download(name, text) {
    const link = element("a", "", { download: `${name}.csv` });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function prepare(table, actions, name) {
    all("thead button", table).forEach((button, column) =>
      button.addEventListener("click", () => sort(table, column, button)));
    const rows = table.tBodies[0].rows.length;
    if (rows > FIRST_ROWS) {
      table.classList.add("clipped");
      const more = element("button", `Show all ${rows} rows`, { type: "button", "aria-expanded": "false" });
      more.addEventListener("click", () => {
        const clipped = table.classList.toggle("clipped");
        more.textContent = clipped ? `Show all ${rows} rows` : `Show the first ${FIRST_ROWS} rows`;
        more.setAttribute("aria-expanded", String(!clipped));
      });
      actions.append(more);
    }
    const save = element("button", "Download CSV", { type: "button", class: "save" });
    save.addEventListener("click", () => download(name, csv(table)));
    actions.append(save);
  }

  all("figure.table").forEach((figure) =>
    prepare(figure.querySelector("table"), figure.querySelector(".actions"), figure.id));

  function tableOf({ header, numbers, rows, names }) {
    const table = element("table");
    const head = table.createTHead().insertRow();
    header.forEach((name, place) => {
      const cell = element("th", "", { scope: "col", class: numbers[place] ? "n" : "" });
      cell.append(element("button", name, { type: "button" }));
      head.append(cell);
    });
    const body = table.createTBody();
    for (const row of rows) {
      const line = body.insertRow();
      row.forEach((text, place) => line.append(
        element(place < names ? "th" : "td", text, { class: numbers[place] ? "n" : "", ...(place < names && { scope: "row" }) })));
    }
    return table;
  }

  // --- figures --------------------------------------------------------------------------------
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const contents = new Map();
  const content = (plot) => {
    if (!contents.has(plot)) {
      const data = document.getElementById(`${plot.closest("figure").id}-data`);
      contents.set(plot, JSON.parse(data.textContent));
    }
    return contents.get(plot);
  };

  function themed(layout) {
    const axis = { gridcolor: style("--grid"), linecolor: style("--line"), zerolinecolor: style("--line"), tickcolor: style("--line") };
    return {
      ...layout,
      autosize: true,
      margin: { l: 56, r: 12, t: 12, b: 48 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: style("--sans"), size: 12, color: style("--text") },
      hoverlabel: { bgcolor: style("--raised"), bordercolor: style("--line"), font: { color: style("--text") } },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--muted"), activecolor: style("--accent") },
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
      // a finger on a figure scrolls the page
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    };
  }

  // the dark blue of the palette is lost on a dark ground, and stays apart from the light one
  const LIGHTER = { "#0072B2": "#3D9FE0", "#56B4E9": "#A6DAF7", "#7F7F7F": "#A0A0A0" };
  const isDark = () => style("color-scheme") === "dark";
  function recoloured(data) {
    if (!isDark()) return data;
    for (const trace of data) {
      for (const part of [trace.marker, trace.line, trace.error_y]) {
        if (part) part.color = LIGHTER[part.color] ?? part.color;
      }
    }
    return data;
  }

  // the height of a legend above the figure, so that it does not take the figure's own
  function legendHeight(data, layout, width) {
    if (!layout.showlegend) return 0;
    // px of a symbol with its margins and of a letter, as Plotly draws them
    const widths = data.filter((trace) => trace.showlegend !== false).map((trace) => 48 + 6.6 * trace.name.length);
    const sum = widths.reduce((a, b) => a + b, 0);
    // what does not fit one row stands in columns as wide as the longest name
    const columns = Math.max(1, Math.floor(width / Math.max(...widths)));
    return sum <= width ? 0 : 20 * Math.ceil(widths.length / columns);
  }

  function draw(plot) {
    const { data, layout: own } = content(plot);
    const layout = { ...own, height: own.height + legendHeight(data, own, plot.clientWidth - 80) };
    const image = { format: "png", scale: 2, filename: plot.closest("figure").id };
    const config = {
      responsive: true, displaylogo: false, toImageButtonOptions: image,
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    Plotly.react(plot, recoloured(structuredClone(data)), themed(layout), config);
    // its name says what it shows; single ticks read aloud say nothing
    all("svg.main-svg", plot).forEach((svg) => svg.setAttribute("aria-hidden", "true"));
    plot.dataset.drawn = "yes";
  }

  const plots = all(".plot");
  for (const plot of plots) plot.style.minHeight = `${plot.dataset.height}px`;
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      seen.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "600px 0px" });
  plots.forEach((plot) => seen.observe(plot));
  const redraw = () => plots.filter((plot) => plot.dataset.drawn).forEach(draw);
  addEventListener("beforeprint", () => plots.forEach(draw));

  all("details.numbers").forEach((details) => details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const figure = details.closest("figure");
    const table = tableOf(content(figure.querySelector(".plot")).table);
    const label = `${figure.id}-caption`;
    const box = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": label });
    const actions = element("div", "", { class: "actions" });
    box.append(table);
    details.append(box, actions);
    prepare(table, actions, figure.id);
  }));

  // --- theme ----------------------------------------------------------------------------------
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const say = () => { button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`; };
  button.addEventListener("click", () => {
    const order = ["auto", "light", "dark"];
    const next = order[(order.indexOf(root.dataset.theme ?? "auto") + 1) % order.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    try { localStorage.setItem("gutseg-theme", next); } catch { /* the choice ends with the page */ }
    say();
    redraw();
    dispatchEvent(new Event("gutseg-theme"));
  });
  dark.addEventListener("change", redraw);
  say();

  // --- where the reader is ----------------------------------------------------------------------
  const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
  const sections = all("main > section");
  function mark() {
    const line = innerHeight / 3;
    const current = sections.findLast((one) => one.getBoundingClientRect().top < line) ?? sections[0];
    for (const [key, link] of links) {
      if (key !== current?.id) link.removeAttribute("aria-current");
      else if (!link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "true");
        const list = link.closest("nav");
        list.scrollLeft = link.offsetLeft - list.clientWidth / 3;
      }
    }
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();
})();
