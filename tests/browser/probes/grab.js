// What a video or a picture shows now, as a data URL of a PNG; empty where it shows nothing.
(selector) => {
  const shown = document.querySelector(selector), canvas = document.createElement("canvas");
  [canvas.width, canvas.height] =
    [shown.videoWidth || shown.naturalWidth, shown.videoHeight || shown.naturalHeight];
  if (!canvas.width) return "";
  canvas.getContext("2d").drawImage(shown, 0, 0);
  return canvas.toDataURL("image/png");
}
