// Charts of a board, drawn from the data that stands in its page.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const source = document.getElementById("data");
  if (!source || !window.Plotly) return;
  const data = JSON.parse(source.textContent);
  const part = (id) => document.getElementById(id);
  const COLOURS = ["#3b7fb5", "#d1742f", "#4a9b5e", "#b5485f", "#8467b8", "#96762f", "#3d9c9c", "#c05fa4", "#7a8a3a", "#5f6fd0"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down", "pentagon"];
  const architectures = [...new Set(data.saes.filter((sae) => sae.kind === "entry").map((sae) => sae.architecture))].sort();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const numbers = data.columns.map((_, index) => index).filter((index) => data.columns[index].values.some((value) => value !== null));
  // Plotly reads a little HTML in texts, and names come from strangers.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  function layout(x, y) {
    const axis = { gridcolor: colour("--line"), zeroline: false, linecolor: colour("--line"), automargin: true };
    const narrow = window.innerWidth < 640;
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: 13, color: colour("--ink") },
      margin: { l: 56, r: 16, t: 16, b: 48 },
      xaxis: { ...axis, title: { text: plain(x.title) }, ...x.more },
      yaxis: { ...axis, title: { text: plain(y.title) } },
      hovermode: "closest",
      legend: narrow ? { orientation: "h", y: -0.28 } : {},
    };
  }
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const title = (column) => column.metric + (column.unit ? ` (${column.unit})` : "") + (column.direction > 0 ? " ↑" : column.direction < 0 ? " ↓" : "");

  function look(sae) {
    const place = architectures.indexOf(sae.architecture);
    if (sae.kind !== "entry") return { name: sae.kind === "null" ? "nulls" : "anchors", colour: colour("--faint"), symbol: sae.kind === "null" ? "circle-open" : "star-open" };
    return { name: sae.architecture, colour: COLOURS[place % COLOURS.length], symbol: SYMBOLS[place % SYMBOLS.length] };
  }

  // One trace a group of SAEs, its points in order of x.
  function traces(xOf, column, lines) {
    const groups = new Map();
    data.saes.forEach((sae, place) => {
      const x = xOf(sae, place);
      const y = column.values[place];
      if (x === null || x === undefined || y === null) return;
      const style = look(sae);
      if (!groups.has(style.name)) groups.set(style.name, { style, points: [] });
      groups.get(style.name).points.push({ x, y, place, label: sae.label });
    });
    return [...groups.values()].map(({ style, points }) => {
      points.sort((a, b) => a.x - b.x);
      const spread = (end, point) => (column[end][point.place] === null ? 0 : Math.abs(column[end][point.place] - point.y));
      return {
        name: plain(style.name),
        x: points.map((point) => point.x),
        y: points.map((point) => point.y),
        text: points.map((point) => plain(point.label)),
        mode: "markers",
        type: "scatter",
        marker: { color: style.colour, symbol: style.symbol, size: 9 },
        error_y: {
          type: "data", symmetric: false, thickness: 1, width: 2, color: style.colour,
          array: points.map((point) => spread("high", point)),
          arrayminus: points.map((point) => spread("low", point)),
        },
        hovertemplate: "%{text}<br>%{x:.4g}, %{y:.4g}<extra></extra>",
      };
    });
  }

  function frontier(column) {
    const points = data.saes
      .map((sae, place) => ({ x: sae.l0, y: column.values[place], on: column.frontier[place] }))
      .filter((point) => point.on)
      .sort((a, b) => a.x - b.x);
    if (!column.direction || points.length < 2) return [];
    return [{ name: "Pareto frontier", x: points.map((p) => p.x), y: points.map((p) => p.y), mode: "lines", line: { shape: "hv", dash: "dot", width: 1.5, color: colour("--quiet") }, hoverinfo: "skip" }];
  }

  function draw() {
    const l0 = data.columns[part("metric").value];
    window.Plotly.react(part("plot-l0"), [...frontier(l0), ...traces((sae) => sae.l0, l0)],
      layout({ title: "L0 (latents per token)", more: { type: "log", dtick: Math.log10(2) } }, { title: title(l0) }), CONFIG);
    const across = data.columns[part("across").value];
    const up = data.columns[part("up").value];
    window.Plotly.react(part("plot-metrics"), traces((_sae, place) => across.values[place], up),
      layout({ title: title(across) }, { title: title(up) }), CONFIG);
    drawCheckpoints();
  }

  function drawCheckpoints() {
    const names = Object.keys(data.checkpoints);
    if (!names.length) return;
    const column = data.columns[part("trained").value];
    const drawn = names.map((name, index) => {
      const places = data.checkpoints[name].filter((place) => column.values[place] !== null);
      const error = (end) => places.map((place) => (column[end][place] === null ? 0 : Math.abs(column[end][place] - column.values[place])));
      return {
        name: plain(name), x: places.map((_, number) => number + 1), y: places.map((place) => column.values[place]),
        text: places.map((place) => plain(data.saes[place].label)), mode: "lines+markers", type: "scatter",
        marker: { color: COLOURS[index % COLOURS.length], size: 8 }, line: { color: COLOURS[index % COLOURS.length] },
        error_y: { type: "data", symmetric: false, thickness: 1, width: 2, array: error("high"), arrayminus: error("low") },
        hovertemplate: "%{text}<br>%{y:.4g}<extra></extra>",
      };
    });
    window.Plotly.react(part("plot-checkpoints"), drawn,
      layout({ title: "checkpoint, the last one fully trained", more: { dtick: 1 } }, { title: title(column) }), CONFIG);
  }

  function offer(id, choice) {
    for (const index of numbers) {
      const option = document.createElement("option");
      option.value = index;
      option.textContent = data.columns[index].metric;
      part(id).append(option);
    }
    part(id).value = numbers[Math.min(choice, numbers.length - 1)];
    part(id).addEventListener("change", draw);
  }

  if (!numbers.length) return;
  part("plots").hidden = false;
  part("checkpoint-part").hidden = !Object.keys(data.checkpoints).length;
  offer("metric", 0);
  offer("across", 0);
  offer("up", 1);
  offer("trained", 0);
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
});
