// SAEs side by side: paired differences to the first one chosen, corrected over what is shown.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const source = document.getElementById("data");
  const result = document.getElementById("compare-result");
  if (!source || !result) return;
  const data = JSON.parse(source.textContent);
  const LEVEL = 0.05;
  const chosen = [];

  const node = (tag, text, name) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (name) made.className = name;
    return made;
  };
  const shown = (value, sign) => {
    if (value === null) return "";
    const text = Math.abs(value) >= 1e-4 || value === 0 ? value.toPrecision(3) : value.toExponential(1);
    return sign && value > 0 ? `+${text}` : text;
  };

  // [difference of other minus first, low, high, p], or null where they were not compared
  function difference(column, first, other) {
    for (const [a, b, delta, low, high, p] of column.pairs) {
      if (a === other && b === first) return [delta, low, high, p];
      if (a === first && b === other)
        return [-delta, high === null ? null : -high, low === null ? null : -low, p];
    }
    return null;
  }

  // Holm's correction of p-values, those of null left out
  function holm(tests) {
    const order = tests.filter((test) => test.p !== null).sort((a, b) => a.p - b.p);
    let largest = 0;
    order.forEach((test, place) => {
      largest = Math.max(largest, Math.min(1, test.p * (order.length - place)));
      test.corrected = largest;
    });
  }

  function tests(others) {
    const found = [];
    data.columns.forEach((column, row) => {
      for (const other of others) {
        const one = difference(column, chosen[0], other);
        if (one) found.push({ row, other, delta: one[0], low: one[1], high: one[2], p: one[3], corrected: 1 });
      }
    });
    holm(found.filter((test) => data.columns[test.row].direction !== 0));
    return found;
  }

  function verdict(test, column) {
    if (column.direction === 0) return ["", ""];
    if (test.p === null) return ["no valid test", ""];
    if (test.corrected >= LEVEL) return ["cannot be told apart", ""];
    return test.delta * column.direction > 0 ? ["better", "better"] : ["worse", "worse"];
  }

  function table() {
    const others = chosen.slice(1);
    const found = tests(others);
    const made = node("table");
    const head = made.createTHead().insertRow();
    const first = node("th", "metric", "name");
    first.scope = "col";
    head.append(first, node("th", data.saes[chosen[0]].label));
    for (const other of others) head.append(node("th", data.saes[other].label));
    const body = made.createTBody();
    data.columns.forEach((column, row) => {
      const line = body.insertRow();
      const name = node("th", column.metric + (column.direction > 0 ? " ↑" : column.direction < 0 ? " ↓" : ""), "name");
      name.scope = "row";
      line.append(name, node("td", shown(column.values[chosen[0]]) || column.status[chosen[0]] || ""));
      for (const other of others) {
        const cell = line.insertCell();
        const test = found.find((one) => one.row === row && one.other === other);
        if (!test) {
          cell.append(node("span", column.status[other] || "measured on other units", "quiet"));
          continue;
        }
        const [word, name] = verdict(test, column);
        cell.append(node("span", shown(test.delta, true), "value"));
        if (test.low !== null) cell.append(node("span", `${shown(test.low, true)} to ${shown(test.high, true)}`, "interval"));
        if (word) cell.append(node("span", word, `verdict ${name}`));
      }
    });
    return made;
  }

  function update() {
    const hint = document.getElementById("compare-hint");
    result.replaceChildren();
    if (chosen.length < 2) {
      hint.textContent = "Tick two SAEs or more in the table. Differences are paired, over the same units.";
      return;
    }
    hint.textContent =
      `Each value less that of ${data.saes[chosen[0]].label}, which was ticked first, with its 95 % interval; ` +
      "verdicts are corrected (Holm) over all that is shown here.";
    result.append(table());
  }

  for (const box of document.querySelectorAll(".choose")) {
    box.hidden = false;
    box.checked = false;
    box.addEventListener("change", () => {
      const place = Number(box.value);
      if (box.checked) chosen.push(place);
      else chosen.splice(chosen.indexOf(place), 1);
      update();
    });
  }
  document.getElementById("compare").hidden = false;
  update();
});
