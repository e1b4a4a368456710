// A stage is a photo with a map over it, each as large as the other.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Width over height of what is shown at a place.
function shapeOf(place, photo) {
  if (place.kind !== "image") return place.kind === "series" ? 1.6 : 2;
  return photo && photo.naturalWidth
    ? photo.naturalWidth / photo.naturalHeight
    : place.fullColumns / place.fullRows;
}

function fit(stage, place, photo) {
  const shape = shapeOf(place, photo);
  stage.style.aspectRatio = String(shape);
  stage.style.width = shape >= 1 ? "100%" : `${100 * shape}%`;
}

// Put the photo of a place below its map, if it has one; resolves when its size is known.
async function setPhoto(stage, number, place) {
  const source = place.photo === null ? null : sampleOf(number).photos[place.photo];
  let photo = stage.querySelector("img");
  if (!source) {
    if (photo) photo.remove();
    fit(stage, place, null);
    return;
  }
  if (!photo) {
    photo = make("img", { alt: "" });
    stage.prepend(photo);
  }
  if (photo.getAttribute("src") !== source) {
    photo.src = source;
    await photo.decode().catch(() => {});
  }
  fit(stage, place, photo);
}

// Draw one map of a sample onto a stage.
async function show(stage, number, position, k) {
  const place = page.places[position];
  const [maps] = await Promise.all([mapsOf(number, position), setPhoto(stage, number, place)]);
  const canvas = stage.querySelector("canvas");
  draw(canvas, maps[k]);
  stage.dataset.painted = "";
  return maps[k];
}

// A value that is larger than a pixel of the screen has sharp edges; smaller ones are blended.
function draw(canvas, map) {
  const hasPhoto = canvas.parentElement.querySelector("img") !== null;
  canvas.style.opacity = hasPhoto ? String(1 - state.photo / 100) : "1";
  canvas.classList.toggle("large", map.place.columns <= canvas.clientWidth * devicePixelRatio);
  paint(canvas, map);
}
