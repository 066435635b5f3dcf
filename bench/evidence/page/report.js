// Which selection rule and head the page shows: the table, its sorting and its filter stay as they were made, and the
// list of all runs follows.
(() => {
  "use strict";
  const [rule, head] = [document.getElementById("rule"), document.getElementById("head")];
  const variants = [...document.querySelectorAll(".variant")];
  const runs = document.getElementById("all-runs");

  function show() {
    const before = variants.find((one) => !one.hidden);
    const after = variants.find((one) => one.dataset.name === `${rule.value} ${head.value}`);
    if (before === after) return;
    const [from, to] = [before, after].map((one) => one.querySelector("input.filter"));
    to.value = from.value;
    to.dispatchEvent(new Event("input"));
    const sorted = before.querySelector("th[aria-sort]");
    if (sorted !== null) {
      const heading = after.querySelector("thead tr").cells[sorted.cellIndex];
      while (heading.ariaSort !== sorted.ariaSort) heading.click();
    }
    before.hidden = true;
    after.hidden = false;
    const values = DATA.accuracies[after.dataset.name];
    tables.of(runs).change(DATA.accuracy_at, DATA.of_record.map((place) => {
      const value = place === null ? null : values[place];
      return value === null ? ["", null] : [(value / 100).toFixed(2), value];
    }));
  }

  let closed = [];  // paper cannot be unfolded
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    for (const one of closed) one.open = true;
  });
  window.addEventListener("afterprint", () => { for (const one of closed) one.open = false; });

  for (const box of [rule, head]) box.addEventListener("change", show);
  show();
})();
