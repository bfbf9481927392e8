"use strict";
// The page's own code: theme, plots, sortable tables and the sample browser. Everything that comes from a run is set as
// text; the only HTML that is inserted is highlight.js's, which escapes what it is given.
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // Theme: the system's, until the button chooses.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (name) => { root.dataset.theme = name; };
  setTheme(dark.matches ? "dark" : "light");

  // Plots.
  const figures = JSON.parse(byId("figures-data").textContent);
  const narrow = () => window.innerWidth < 640;
  const themed = (figure, target) => {
    const style = getComputedStyle(root);
    const [ink, grid, soft] = ["--ink", "--grid", "--soft"].map((name) => style.getPropertyValue(name).trim());
    const layout = structuredClone(figure.layout);
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { color: ink, size: 12, family: "system-ui, DejaVu Sans, sans-serif" };
    layout.margin = { l: 54, r: 16, t: 16, b: 44, ...layout.margin };
    // Room for the legend below the plot, in as many rows as its entries take.
    const entries = layout.showlegend === false ? [] : figure.data.filter((trace) => trace.name && trace.showlegend !== false);
    const longest = Math.max(0, ...entries.map((trace) => trace.name.length));
    const rows = entries.length > 1 ? Math.ceil(entries.length / Math.max(1, Math.floor((target.clientWidth - 70) / (7 * longest + 46)))) : 0;
    const room = 21 * rows + (rows ? 12 : 0);
    layout.showlegend = rows > 0;
    layout.height = figure.height + room;
    if (root.classList.contains("paper")) layout.width = target.clientWidth;
    layout.margin.b += room;
    target.style.height = `${layout.height}px`;
    const plot = layout.height - layout.margin.t - layout.margin.b;
    layout.dragmode = false;
    layout.legend = { orientation: "h", x: 0, y: -56 / plot, yanchor: "top", maxheight: 1, traceorder: "normal", ...layout.legend };
    layout.hoverlabel = { align: "left" };
    for (const [name, axis] of Object.entries(layout)) {
      if (/^[xy]axis/.test(name)) Object.assign(axis, { gridcolor: grid, zerolinecolor: grid, linecolor: soft, fixedrange: true, automargin: true });
    }
    if (narrow() && layout.annotations) for (const note of layout.annotations) note.font = { size: 9 };
    return layout;
  };
  const settings = { displayModeBar: false, responsive: true, scrollZoom: false };
  const draw = () => figures.forEach((figure, place) => {
    const target = byId(`plot-${place}`);
    Plotly.react(target, figure.data, themed(figure, target), settings).then(() => {
      target.dataset.drawn = "yes";
      if (target.dataset.linked) return;
      target.dataset.linked = "yes";
      target.on("plotly_click", (event) => {
        const named = event.points[0] && event.points[0].customdata;  // where a point is a sample
        if (named) location.hash = `sample=${named.map(encodeURIComponent).join("/")}`;
      });
    });
  });
  draw();
  byId("theme").addEventListener("click", () => { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); draw(); });
  dark.addEventListener("change", () => { setTheme(dark.matches ? "dark" : "light"); draw(); });

  // On paper the page is light and its plots are as wide as a sheet; they are drawn before the browser knows its width.
  let chosen = null;
  window.addEventListener("beforeprint", () => { chosen = root.dataset.theme; setTheme("light"); root.classList.add("paper"); draw(); });
  window.addEventListener("afterprint", () => { setTheme(chosen); root.classList.remove("paper"); draw(); figures.forEach((_, place) => Plotly.Plots.resize(byId(`plot-${place}`))); });

  // Tables that sort by the column whose heading is pressed.
  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("th").forEach((heading, place) => {
      heading.querySelector("button").addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = (row) => row.cells[place].dataset.sort;
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const [x, y] = [key(a), key(b)];
          const order = x !== "" && y !== "" && !Number.isNaN(+x) && !Number.isNaN(+y) ? x - y : x.localeCompare(y);
          return up ? order : -order;
        });
        table.tBodies[0].append(...rows);
      });
    });
  }

  // The sample browser.
  const packed = byId("samples-data");
  if (!packed) return;
  const STEP = 100, LONG = 60000;
  const COLOURS = { correct: "#15795a", wrong: "#b44e00", no_answer: "#5f5a9e", truncated: "#8a6a00", timeout: "#80591a", error: "#b8196a", unjudged: "#5c5c5c" };
  const filters = byId("filters"), list = byId("list"), more = byId("more"), count = byId("count");
  let samples = [], shown = STEP, matching = [];

  const key = (sample) => [sample.run, sample.b, sample.i, sample.r].filter((part) => part !== undefined).map(encodeURIComponent).join("/");
  const wanted = () => { const found = /^#sample=(.+)$/.exec(location.hash); return found ? found[1] : null; };
  const same = (one, other) => { try { return decodeURIComponent(one) === decodeURIComponent(other); } catch { return one === other; } };
  const seconds = (value) => value === null || value === undefined ? "-" : value < 0.1 ? `${(1000 * value).toPrecision(3)} ms` : `${value.toPrecision(3)} s`;

  const mathDelimiters = [
    { left: "$$", right: "$$", display: true }, { left: "\\[", right: "\\]", display: true }, { left: "\\(", right: "\\)", display: false },
  ];
  // A dollar opens mathematics only before something that is no blank and closes it only behind such, so that prices stay prices.
  const dollars = (text) => text.replace(/\$\$[\s\S]+?\$\$|\$(?!\s)((?:\\.|[^$\\\n]){1,600}?)(?<!\s)\$(?!\d)/g, (all, inner) => inner === undefined ? all : `\\(${inner}\\)`);
  const mathematics = (element) => {
    if (typeof renderMathInElement !== "function") return;
    renderMathInElement(element, { delimiters: mathDelimiters, throwOnError: false, trust: false, strict: "ignore", maxSize: 20, maxExpand: 200 });
  };
  const code = (text, language) => {
    const inner = make("code", { textContent: text });
    if (typeof hljs === "object" && text.length < LONG) {
      const known = hljs.getLanguage(language) ? language : "python";
      inner.innerHTML = hljs.highlight(text, { language: known, ignoreIllegals: true }).value;
    }
    return make("pre", {}, inner);
  };
  const prose = (text, target) => {
    const doMath = filters.elements.math.checked && text.length < LONG;
    const element = make("span", { textContent: doMath ? dollars(text) : text });
    if (doMath) mathematics(element);
    target.append(element);
  };
  // Text with its fenced blocks of code.
  const written = (text, target) => {
    let last = 0;
    for (const block of text.matchAll(/```([\w+-]*)[^\n]*\n([\s\S]*?)(?:```|$)/g)) {
      if (block.index > last) prose(text.slice(last, block.index), target);
      target.append(code(block[2].replace(/\n$/, ""), block[1].toLowerCase()));
      last = block.index + block[0].length;
    }
    if (last < text.length) prose(text.slice(last), target);
  };
  const box = (fill) => { const element = make("div", { className: "written", tabIndex: 0 }); fill(element); return element; };
  const isCode = (text) => /^(def |class |import |from |diff --git|--- a\/|@| {4}\S)/m.test(text) && text.includes("\n");
  // Only what a benchmark of mathematics extracted is a formula: in other answers a backslash or a dollar is what it is.
  const short = (text, isMath) => box((target) => {
    if (isCode(text)) target.append(code(text, text.startsWith("diff") || text.startsWith("---") ? "diff" : "python"));
    else if (!isMath) target.textContent = text;
    else prose(/\\|\^|_\{/.test(text) && !/\$|\s{2}/.test(text) ? `$${text}$` : text, target);
  });
  const heading = (text) => make("h4", { textContent: text });

  const detail = (sample) => {
    const element = make("div", { className: "detail" });
    const scored = sample.f === "scored";
    if (sample.sealed) {
      element.append(make("p", { className: "note", textContent: `The question stays sealed, as its authors ask. Prompt hash ${sample.h}…` }));
    } else {
      const pair = make("div", { className: "pair" });
      pair.append(make("div", {}, heading("Extracted answer"), sample.a === null ? make("p", { textContent: "none found" }) : short(sample.a, sample.m)));
      if (sample.g) pair.append(make("div", {}, heading("Gold answer"), short(sample.g, sample.m)));
      element.append(pair);
      if (sample.x) element.append(heading("Explanation"), box((target) => { target.textContent = sample.x; }));
      if (sample.j) {
        const [judge, verdict, reply] = sample.j;
        element.append(heading("Judge"), make("p", { className: "verdict", textContent: `${judge}: ${verdict === null ? "no verdict" : verdict}` }), heading("The judge's reply"), box((target) => { target.textContent = reply || "nothing was written"; }));
      }
      const kinds = new Set(sample.s.map(([kind]) => kind));
      const named = { stop: "stop string", cue: "put in its mouth", elicited: "elicited" };
      const legend = make("span", { className: "legend" });
      for (const kind of Object.keys(named)) if (kinds.has(kind)) legend.append(" ", make("mark", { className: kind, textContent: named[kind] }));
      element.append(scored ? heading("Choices, the most likely first") : make("h4", {}, "Completion ", legend), box((target) => {
        if (scored) { target.textContent = sample.s.map(([, text]) => text).join(""); return; }
        for (const [kind, text] of sample.s) {
          const place = kind === "text" ? target : make("mark", { className: kind, title: named[kind] });
          if (kind === "text") written(text, place); else { prose(text, place); target.append(place); }
        }
        if (!sample.s.length) target.textContent = "nothing was written";
      }), heading("Prompt"), box((target) => written(sample.p, target)));
    }
    const [prompt, output, cached] = sample.n, time = sample.t;
    const facts = [["score", sample.v], ["ended by", (sample.f || "-").replace("_", " ")], ["prompt tokens", prompt === null ? "-" : cached ? `${prompt} (${cached} cached)` : prompt],
      ["output tokens", output], ["queue", seconds(time.queue)], ["prefill", seconds(time.prefill)], ["first token, queue included", seconds(time.ttft)], ["decode", seconds(time.decode)], ["latency", seconds(time.e2e)], ["between tokens", seconds(time.inter)]].filter(([name]) => !scored || !["output tokens", "first token, queue included", "decode", "between tokens"].includes(name));
    element.append(heading("Measured"), make("dl", {}, ...facts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: String(value) })))));
    return element;
  };

  const row = (sample) => {
    const badge = make("span", { className: "badge", textContent: sample.o.replace("_", " ") });
    badge.style.background = COLOURS[sample.o] || "#555";
    const name = [sample.run, sample.b, sample.i].filter((part) => part !== undefined).join(" · ") + (sample.r ? ` #${sample.r + 1}` : "");
    const gist = sample.sealed ? "sealed" : sample.a === null ? "no answer" : sample.a.slice(0, 120).replace(/\s+/g, " ");
    const link = make("a", { className: "head", href: `#sample=${key(sample)}` }, badge, make("span", { className: "id", textContent: name, title: name }),
      make("span", { className: "gist", textContent: gist }), make("span", { className: "took" }, make("span", { textContent: sample.f === "scored" ? "" : `${sample.n[1]} tok · ` }), seconds(sample.t.e2e)));
    link.setAttribute("aria-expanded", "false");
    link.addEventListener("click", (event) => {  // pressed again, it closes
      if (!same(wanted() || "", key(sample))) return;
      event.preventDefault();
      close();
    });
    const item = make("li", {}, link);
    item.dataset.key = key(sample);
    return item;
  };
  const list_ = () => {
    list.replaceChildren(...matching.slice(0, shown).map(row));
    more.hidden = matching.length <= shown;
    count.textContent = `${matching.length} of ${samples.length} samples${matching.length > shown ? `, the first ${shown} shown` : ""}`;
  };
  const close = () => { history.replaceState(null, "", "#samples"); open(); };
  const open = (scroll = false) => {
    const name = wanted();
    for (const item of list.children) {
      const hit = name !== null && same(item.dataset.key, name);
      const link = item.firstElementChild;
      link.setAttribute("aria-expanded", String(hit));
      if (hit && !item.querySelector(".detail")) item.append(detail(samples.find((sample) => key(sample) === item.dataset.key)));
      if (!hit) item.querySelector(".detail")?.remove();
      if (hit && scroll) { item.scrollIntoView({ block: "start" }); link.focus({ preventScroll: true }); }
    }
  };
  const filter = () => {
    const chosen = Object.fromEntries(new FormData(filters));
    const text = (chosen.text || "").toLowerCase();
    const inText = (sample) => [sample.i, sample.a, sample.g, sample.p, sample.x, ...(sample.j || []), ...(sample.s || []).map(([, piece]) => piece)].some((part) => part && part.toLowerCase().includes(text));
    matching = samples.filter((sample) => ["run", "b", "o", "f"].every((name) => !chosen[name] || String(sample[name]) === chosen[name]) && (!text || inText(sample)));
    shown = STEP;
    list_();
    open();
  };
  // A link names a sample whatever the filters say: they give way.
  const follow = () => {
    const name = wanted();
    if (name === null) { open(); return; }
    let place = matching.findIndex((sample) => same(key(sample), name));
    if (place < 0 && samples.some((sample) => same(key(sample), name))) {
      filters.reset();
      filter();
      place = matching.findIndex((sample) => same(key(sample), name));
    }
    if (place >= shown) { shown = place + STEP; list_(); }
    open(true);
  };
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(packed.textContent), (character) => character.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  };
  unpack().then((found) => {
    samples = found;
    for (const name of ["run", "b", "o", "f"]) {
      const values = [...new Set(samples.map((sample) => sample[name]).filter((value) => value !== undefined && value !== null))];
      filters.elements[name].append(...values.map((value) => make("option", { value, textContent: name === "o" || name === "f" ? value.replaceAll("_", " ") : String(value) })));
    }
    filter();
    follow();
    list.dataset.ready = "yes";
  }).catch((error) => { count.textContent = `The samples cannot be unpacked by this browser (${error.message}).`; });
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { shown += STEP; list_(); open(); });
  window.addEventListener("hashchange", follow);
  // "/" searches; j and k, or the arrows on a row, go to the next and the last sample; Escape closes the opened one.
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    if (event.key === "/") { event.preventDefault(); filters.elements.text.focus(); return; }
    if (event.key === "Escape") {
      const opened = list.querySelector(".head[aria-expanded=true]");
      if (opened) { close(); opened.focus(); }
      return;
    }
    const onRow = document.activeElement.classList.contains("head");
    const step = event.key === "j" || (onRow && event.key === "ArrowDown") ? 1 : event.key === "k" || (onRow && event.key === "ArrowUp") ? -1 : 0;
    if (!step) return;
    const rows = [...list.querySelectorAll(".head")];
    const at = rows.indexOf(document.activeElement.closest("#list > li")?.firstElementChild);
    const next = rows[Math.min(rows.length - 1, Math.max(0, at + step))];
    if (next) { event.preventDefault(); next.focus(); }
  });
})();
