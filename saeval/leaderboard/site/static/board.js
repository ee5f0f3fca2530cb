// The table of a board: sorted by its heads, filtered by what stands above it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const element = document.getElementById("board");
  if (!element || !window.DataTable) return;
  const table = new window.DataTable(element, {
    paging: false,
    order: [],
    autoWidth: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
  });
  const part = (id) => document.getElementById(id);
  const chosen = (id) => (part(id) ? part(id).value : "");

  function exactly(column, text) {
    table.column(column).search((value) => !text || value.trim() === text);
  }

  function filter() {
    table.search(part("search").value);
    exactly(1, chosen("architecture"));
    exactly(3, chosen("group"));
    const all = part("nulls").checked;
    table.search.fixed("kind", (_text, _data, index) => {
      const row = table.row(index).node();
      return all || !row || row.dataset.kind === "entry";
    });
    table.draw();
    const shown = table.rows({ search: "applied" }).count();
    part("count").textContent = `${shown} of ${table.rows().count()} shown`;
  }

  for (const id of ["search", "architecture", "group", "nulls"]) {
    if (part(id)) part(id).addEventListener("input", filter);
  }
  part("filters").hidden = false;
  filter();
});
