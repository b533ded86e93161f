// What can be pressed and is smaller than WCAG 2.2 allows (2.5.8), unless its label is large.
() => [...document.querySelectorAll("button, a, select, input")]
  .filter((one) => one.checkVisibility())
  .map((one) => [one, one.matches("input") && one.closest("label") ? one.closest("label") : one])
  .filter(([, area]) => Math.min(area.getBoundingClientRect().width, area.getBoundingClientRect().height) < 24)
  .map(([one]) => one.id || one.textContent)
