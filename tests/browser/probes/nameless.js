// What can be used and has no name to be read out.
() => [...document.querySelectorAll("button, select, input, progress, a, [role]")]
  .filter((one) => !["alert", "status"].includes(one.getAttribute("role")))
  .filter((one) => !one.textContent.trim() && !one.title && !one.labels?.length)
  .filter((one) => !one.getAttribute("aria-label") && !one.getAttribute("aria-labelledby"))
  .map((one) => one.outerHTML)
