// What moves by itself or takes its time.
() => [...document.querySelectorAll("*")]
  .map((one) => [one, getComputedStyle(one)])
  .filter(([, style]) => style.animationName !== "none" || style.transitionDuration.split(", ").some((it) => parseFloat(it) > 0))
  .map(([one]) => one.outerHTML)
