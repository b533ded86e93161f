// Whether what has the focus is within the gallery's frame.
() => {
  const [one, all] = [document.activeElement, document.querySelector("#gallery")].map((it) => it.getBoundingClientRect());
  return one.right <= all.right + 1 && one.bottom <= all.bottom + 1 && one.top >= all.top - 1 && one.left >= all.left - 1;
}
