// Whether no style of the gallery lies over another, and each title stands beneath its picture.
() => [...document.querySelectorAll("#gallery button")].every((one) => {
  const [box, next] = [one.getBoundingClientRect(), one.nextElementSibling?.getBoundingClientRect()];
  const [image, title] = [...one.children].map((child) => child.getBoundingClientRect());
  const clear = !next || next.left >= box.right || next.top >= box.bottom;
  return clear && title.top >= image.bottom - 1 && title.bottom <= box.bottom && title.height > 15;
})
