"use strict";
// A click on a heading sorts the models; gray, ceiling and truth stay on top.
const head = document.querySelectorAll(".scores thead th");
const body = document.querySelectorAll(".scores tbody")[1];
head.forEach((th, column) => {
  th.querySelector("button").addEventListener("click", () => {
    const first = th.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = th.getAttribute("aria-sort") === first ? other : first;
    head.forEach((one) => one.removeAttribute("aria-sort"));
    th.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows];
    rows.sort((x, y) => {
      const [a, b] = [x.cells[column], y.cells[column]];
      if (column === 0) return sign * a.textContent.localeCompare(b.textContent);
      // Scores that were not measured come last in either order.
      if (!a.dataset.value || !b.dataset.value) return !a.dataset.value - !b.dataset.value;
      return sign * (a.dataset.value - b.dataset.value);
    });
    body.append(...rows);
  });
});
