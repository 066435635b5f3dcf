// Curves over epochs: mean and band of one sample sd per row, or the line of each run; values under the pointer or, by
// the arrow keys, at any epoch. DATA.curves holds whole numbers (see bench/findings/sections/traces.py).
(() => {
  "use strict";
  const told = DATA.curves;
  const byId = (id) => document.getElementById(id);
  const [plot, list, reading] = [byId("plot"), byId("rows"), byId("reading")];
  const [measureBox, columnBox, singles] = [byId("measure"), byId("column"), byId("singles")];
  const MARGIN = {left: 52, right: 14, top: 26, bottom: 36};
  const BANDS = 12;  // rows beyond which bands would hide each other and are left out, as in the plots for papers
  const shown = new Set(told.rows.keys());
  let epoch = null;  // from 0; null: the last one of each row
  let lines = [], scene = null;

  const svg = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const html = (name, attributes, ...inside) => {
    const made = document.createElement(name);
    Object.assign(made, attributes);
    made.append(...inside);
    return made;
  };

  // the epochs, from 0, that are kept of a line of some length
  function kept(length) {
    const epochs = new Set([0, length - 1]);
    for (let e = told.stride - 1; e < length; e += told.stride) epochs.add(e);
    return [...epochs].sort((a, b) => a - b);
  }
  const numbers = (values, scale) => values.map((value) => value === null ? null : value / scale);

  function read() {
    const measure = told.measures[measureBox.value], column = Number(columnBox.value);
    const scale = measure.scale, most = measure.most ?? Infinity;
    lines = measure.lines.filter(([row, where]) => where === column).map(([row, , length, runs, means, sds, ends]) => {
      const mean = numbers(means, scale), sd = numbers(sds, scale);
      const low = mean.map((m, i) => m === null ? null : measure.most === null ? m - sd[i] : Math.max(0, m - sd[i]));
      const high = mean.map((m, i) => m === null ? null : Math.min(most, m + sd[i]));
      return {row, runs, mean, sd, low, high, epochs: kept(length), singles: [], ends: ends.map(([e, v]) => [e - 1, v / scale])};
    });
    for (const [row, where, seed, id, length, values] of measure.runs ?? []) {
      const line = lines.find((one) => one.row === row && where === column);
      if (line) line.singles.push({seed, id, epochs: kept(length), values: numbers(values, scale)});
    }
    singles.disabled = measure.runs === null;
    if (singles.disabled) singles.checked = false;
  }

  function niceStep(span, count) {
    const raw = span / count || 1, power = 10 ** Math.floor(Math.log10(raw));
    return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
  }

  function ticks(low, high, count, least = 0) {
    const step = Math.max(niceStep(high - low, count), least), found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return [found, Math.max(0, -Math.floor(Math.log10(step) + 1e-9))];
  }

  function pathOf(epochs, values, x, y) {
    let path = "", pen = false;
    values.forEach((value, i) => {
      if (value !== null) path += `${pen ? "L" : "M"}${x(epochs[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value !== null;
    });
    return path;
  }

  function bandOf(line, x, y) {  // one closed piece for each unbroken stretch
    let path = "", stretch = [];
    const close = () => {
      if (stretch.length > 1) {
        const up = stretch.map((i) => `${x(line.epochs[i]).toFixed(1)} ${y(line.high[i]).toFixed(1)}`);
        const down = stretch.map((i) => `${x(line.epochs[i]).toFixed(1)} ${y(line.low[i]).toFixed(1)}`).reverse();
        path += `M${[...up, ...down].join("L")}z`;
      }
      stretch = [];
    };
    line.mean.forEach((value, i) => { if (value === null || line.sd[i] === null) close(); else stretch.push(i); });
    close();
    return path;
  }

  function draw() {
    const visible = lines.filter((line) => shown.has(line.row));
    const width = Math.max(280, plot.clientWidth), height = Math.min(430, Math.max(260, width * 0.55));
    const one = singles.checked;
    const values = visible.flatMap((line) => one ? line.singles.flatMap((run) => run.values) : [...line.low, ...line.high, ...line.mean])
      .concat(visible.flatMap((line) => line.ends.map(([, value]) => value))).filter((value) => value !== null);
    const longest = Math.max(1, ...lines.map((line) => line.epochs[line.epochs.length - 1]));
    let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!values.length) [low, high] = [0, 1];
    if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
    const pad = 0.03 * (high - low);
    const x = (e) => MARGIN.left + (width - MARGIN.left - MARGIN.right) * e / longest;
    const y = (v) => height - MARGIN.bottom - (height - MARGIN.top - MARGIN.bottom) * (v - low + pad) / (high - low + 2 * pad);
    const drawing = svg("svg", {width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true"});
    axes(drawing, {x, y, low, high, longest, width, height});
    for (const line of visible) {
      const {colour, dash} = told.looks[line.row % told.looks.length];
      const look = {stroke: colour, "stroke-dasharray": dash, class: "line", "data-row": line.row};
      if (one) {
        for (const run of line.singles) {
          const path = svg("path", {...look, class: "line single", d: pathOf(run.epochs, run.values, x, y)});
          path.append(svg("title", {}, `${told.rows[line.row]}, seed ${run.seed}, ${run.id}`));
          drawing.append(path);
        }
      } else {
        if (visible.length <= BANDS) drawing.append(svg("path", {fill: colour, class: "band", d: bandOf(line, x, y)}));
        drawing.append(svg("path", {...look, d: pathOf(line.epochs, line.mean, x, y)}));
        if (line.epochs.length === 1) drawing.append(svg("circle", {cx: x(0), cy: y(line.mean[0]), r: 3, fill: colour}));
      }
      for (const [e, v] of line.ends) drawing.append(svg("path", {...look, "stroke-dasharray": "", d: `M${x(e) - 4} ${y(v) - 4}l8 8m0-8l-8 8`}));
    }
    const pointer = svg("line", {class: "pointer", y1: MARGIN.top, y2: height - MARGIN.bottom});
    drawing.append(pointer);
    plot.replaceChildren(drawing);
    scene = {x, longest, pointer, width};
    point();
  }

  function axes(drawing, {x, y, low, high, longest, width, height}) {
    const [ys, digits] = ticks(low, high, 6);
    for (const value of ys) {
      drawing.append(svg("line", {class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value)}));
      drawing.append(svg("text", {x: MARGIN.left - 7, y: y(value) + 4, "text-anchor": "end"}, value.toFixed(digits)));
    }
    const [xs] = ticks(1, longest + 1, width < 500 ? 5 : 10, 1);
    for (const value of new Set([1, ...xs])) {
      drawing.append(svg("text", {x: x(value - 1), y: height - MARGIN.bottom + 17, "text-anchor": "middle"}, value));
    }
    drawing.append(svg("text", {x: (MARGIN.left + width - MARGIN.right) / 2, y: height - 3, "text-anchor": "middle"}, "epoch"));
    const title = `${told.measures[measureBox.value].title} · ${told.columns[columnBox.value]}`;
    drawing.append(svg("text", {class: "title", x: 0, y: 14}, title));
    drawing.append(svg("path", {class: "axis", d: `M${MARGIN.left} ${MARGIN.top}V${height - MARGIN.bottom}H${width - MARGIN.right}`}));
  }

  // the place in a line of the epoch pointed at, or of the nearest one kept; of the last epoch where none is pointed at
  function placeOf(epochs) {
    if (epoch === null) return epochs.length - 1;
    let best = 0;
    epochs.forEach((e, i) => { if (Math.abs(e - epoch) < Math.abs(epochs[best] - epoch)) best = i; });
    return epochs[best] > epoch + told.stride || epochs[best] < epoch - told.stride ? -1 : best;
  }

  function textOf(line) {
    const at = placeOf(line.epochs), digits = told.measures[measureBox.value].scale === 100 ? 2 : 3;
    if (at < 0 || line.mean[at] === null) return "–";
    return line.mean[at].toFixed(digits) + (line.sd[at] === null ? "" : ` ± ${line.sd[at].toFixed(digits)}`);
  }

  function point() {
    const column = told.columns[columnBox.value], visible = lines.filter((line) => shown.has(line.row));
    scene.pointer.style.display = epoch === null ? "none" : "";
    if (epoch !== null) for (const end of ["x1", "x2"]) scene.pointer.setAttribute(end, scene.x(epoch));
    for (const line of lines) list.querySelector(`[data-row="${line.row}"] output`).textContent = textOf(line);
    const where = epoch === null ? "after the last epoch" : `after epoch ${epoch + 1}`;
    const height = (line) => line.mean[placeOf(line.epochs)];
    const best = visible.filter((line) => textOf(line) !== "–").sort((a, b) => height(b) - height(a)).slice(0, 4).map((line) => `${told.rows[line.row]} ${textOf(line)}`);
    const more = visible.length > 4 ? `, and ${visible.length - 4} more beside the plot` : "";
    const bare = visible.length > BANDS && !singles.checked ? `; bands are drawn of ${BANDS} rows at most` : "";
    reading.textContent = visible.length ? `${column}, ${where}: ${best.join("; ")}${more}${bare}` : "no row is shown";
  }

  function rows() {  // those that have a line here, the highest at its end first
    const last = (line) => line.mean[line.mean.length - 1] ?? -Infinity;
    const ordered = [...lines].sort((a, b) => last(b) - last(a));
    list.replaceChildren(...ordered.map((line) => {
      const {colour, dash} = told.looks[line.row % told.looks.length];
      const sample = svg("svg", {width: 34, height: 10, "aria-hidden": "true"});
      sample.append(svg("line", {x1: 1, x2: 33, y1: 5, y2: 5, stroke: colour, "stroke-width": 2, "stroke-dasharray": dash}));
      const box = html("input", {type: "checkbox", checked: shown.has(line.row)});
      box.addEventListener("change", () => { shown[box.checked ? "add" : "delete"](line.row); draw(); });
      const name = html("span", {}, `${told.rows[line.row]} `, html("span", {className: "soft"}, `(${line.runs})`));
      const entry = html("li", {}, html("label", {}, box, sample, name, html("output", {})));
      entry.dataset.row = line.row;
      return entry;
    }));
  }

  function renew() {
    read();
    rows();
    draw();
  }

  function move(to) {
    epoch = Math.min(scene.longest, Math.max(0, to));
    point();
  }

  told.measures.forEach((measure, i) => measureBox.append(html("option", {value: i}, measure.title)));
  told.columns.forEach((column, i) => columnBox.append(html("option", {value: i}, column)));
  byId("curve-notes").append(...told.notes.map((note) => html("li", {}, note)));
  if (!told.measures.length) {
    plot.replaceWith("No run has a number for any epoch.");
    return;
  }
  for (const box of [measureBox, columnBox]) box.addEventListener("change", renew);
  singles.addEventListener("change", draw);
  byId("all-rows").addEventListener("click", () => { told.rows.forEach((_, row) => shown.add(row)); rows(); draw(); });
  byId("no-rows").addEventListener("click", () => { shown.clear(); rows(); draw(); });
  plot.addEventListener("pointermove", (event) => {
    const at = event.clientX - plot.getBoundingClientRect().left;
    move(Math.round((at - MARGIN.left) / (scene.width - MARGIN.left - MARGIN.right) * scene.longest));
  });
  plot.addEventListener("pointerleave", () => { epoch = null; point(); });
  plot.addEventListener("keydown", (event) => {
    const now = epoch ?? scene.longest;
    const to = {ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now + 10, PageDown: now - 10, Home: 0, End: scene.longest}[event.key];
    if (to === undefined) return;
    event.preventDefault();
    move(to);
  });
  let wide = 0;
  new ResizeObserver(() => {
    if (plot.clientWidth !== wide) {
      wide = plot.clientWidth;
      draw();
    }
  }).observe(plot);
  renew();
})();
