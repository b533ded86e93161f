// What has the focus, and the ring that shows it.
() => {
  const at = document.activeElement;
  const shown = at.matches("input[type=file], .compare input") ? at.parentElement : at;
  const style = getComputedStyle(shown);
  return [at.id || at.dataset.style || at.textContent.trim(), style.outlineStyle, parseFloat(style.outlineWidth)];
}
