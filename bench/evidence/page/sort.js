// Tables that can be sorted and filtered, by mouse and by keyboard.
//   <table class="sortable">             each heading sorts: once up, again down; data-first="down" turns that round,
//                                        class="fixed" leaves a heading out
//   <td data-value="0.93">               sorts as that number, data-value="" as nothing; another cell sorts by its text
//   <input class="filter" data-table=ID> hides the rows that do not hold all its words
//   <table data-rows="NAME">             the rows are DATA[NAME]: lists of cells, each a text, or [text, number or null];
//                                        they are put on the page some at a time, and sorted and filtered all together;
//                                        data-cells of a heading is the class of its cells
// Order is stable, and what is empty comes last in both directions.
const tables = (() => {
  "use strict";
  const STEP = 200;  // rows that a table of data shows at first, and more at each press of its button
  const order = new Intl.Collator("en", {numeric: true, sensitivity: "base"}).compare;

  const fromCell = (cell) => {
    const text = (cell.dataset.value ?? cell.textContent).trim();
    return cell.dataset.value === undefined || text === "" || isNaN(text) ? text : Number(text);
  };
  const fromData = (cell) => Array.isArray(cell) ? cell[1] ?? "" : cell;
  const headingsOf = (table) => [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  const drawn = (cells, looks) => {
    const row = document.createElement("tr");
    cells.forEach((cell, column) => {
      const td = row.insertCell();
      td.textContent = Array.isArray(cell) ? cell[0] : cell;
      td.className = looks[column] ?? "";
    });
    return row;
  };

  function compare(a, b, sign) {
    if (a === "" || b === "") return (a === "") - (b === "");
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return sign * (typeof a === "number" ? a - b : order(a, b));
  }

  class Rows {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      const data = table.dataset.rows;
      this.looks = Array.from(headingsOf(table), (heading) => heading.dataset.cells);
      this.all = data === undefined
        ? Array.from(this.body.rows, (row) => ({row, value: (i) => fromCell(row.cells[i]), text: row.textContent}))
        : DATA[data].map((cells, place) => ({place, cells, value: (i) => fromData(cells[i]), text: null}));
      this.step = data === undefined ? Infinity : STEP;
      this.shown = this.step;
      this.words = [];
      this.kept = this.all;
      if (data !== undefined) this.more = this.button();
      this.show();
    }

    button() {
      const more = document.createElement("button");
      more.type = "button";
      more.className = "more";
      more.addEventListener("click", () => { this.shown += this.step; this.show(); });
      (this.table.closest(".scroll") ?? this.table).after(more);
      return more;
    }

    sort(column, sign) {
      const keyed = this.all.map((one) => [one.value(column), one]);
      keyed.sort(([a], [b]) => compare(a, b, sign));
      this.all = keyed.map(([, one]) => one);
      this.filter(this.words);
    }

    filter(words) {
      this.words = words;
      this.kept = words.length === 0 ? this.all : this.all.filter((one) => {
        one.lower ??= (one.text ?? one.cells.map((cell) => Array.isArray(cell) ? cell[0] : cell).join(" ")).toLowerCase();
        return words.every((word) => one.lower.includes(word));
      });
      this.show();
    }

    // Of a table of data: give one column other cells, in the order of the data; a sort by that column is made again.
    change(column, cells) {
      for (const one of this.all) {
        one.cells[column] = cells[one.place];
        delete one.row;
        delete one.lower;
      }
      const sorted = this.table.tHead.querySelector("th[aria-sort]");
      if (sorted !== null && sorted.cellIndex === column) this.sort(column, sorted.ariaSort === "ascending" ? 1 : -1);
      else this.filter(this.words);
    }

    show() {
      const rows = this.kept.slice(0, this.shown).map((one) => one.row ??= drawn(one.cells, this.looks));
      this.body.replaceChildren(...rows);
      this.table.dispatchEvent(new CustomEvent("rows", {bubbles: true}));
      if (this.more === undefined) return;
      this.more.hidden = this.kept.length <= this.shown;
      this.more.textContent = `${rows.length} of ${this.kept.length} rows are shown: show ${this.step} more`;
    }
  }

  const known = new Map();

  function of(table) {
    if (!known.has(table)) known.set(table, new Rows(table));
    return known.get(table);
  }

  function sortable(table) {
    const rows = of(table);
    const headings = headingsOf(table);
    headings.forEach((heading, column) => {
      if (heading.classList.contains("fixed")) return;
      const press = document.createElement("button");
      press.type = "button";
      press.append(...heading.childNodes);
      heading.append(press);
      heading.addEventListener("click", () => {
        const first = heading.dataset.first === "down" ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const way = heading.getAttribute("aria-sort") === first ? other : first;
        for (const one of headings) one.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", way);
        rows.sort(column, way === "ascending" ? 1 : -1);
      });
    });
  }

  function filters(input) {
    const table = document.getElementById(input.dataset.table);
    const rows = of(table);
    const count = document.createElement("output");
    input.after(" ", count);
    const say = () => { count.textContent = rows.words.length ? `${rows.kept.length} of ${rows.all.length} rows` : ""; };
    table.addEventListener("rows", say);
    input.addEventListener("input", () => rows.filter(input.value.toLowerCase().split(/\s+/).filter(Boolean)));
    if (input.value) input.dispatchEvent(new Event("input"));  // what a browser has kept over a reload
  }

  for (const table of document.querySelectorAll("table.sortable")) sortable(table);
  for (const input of document.querySelectorAll("input.filter")) filters(input);
  return {of};
})();
