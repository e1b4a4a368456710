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

// Put a photo below the map of a place, if it has one; resolves when its size is known.
async function setPhoto(stage, source, place) {
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

const turns = new WeakMap();

// Draw one map of a sample onto a stage, unless another one is asked for meanwhile.
async function show(stage, number, position, k) {
  const turn = (turns.get(stage) || 0) + 1;
  const isLatest = () => turns.get(stage) === turn;
  turns.set(stage, turn);
  const maps = await mapsOf(number, position);
  const place = page.places[position];
  const source = place.photo === null ? null : (await sampleOf(number)).photos[place.photo];
  if (isLatest()) await setPhoto(stage, source, place);
  if (isLatest()) {
    draw(stage.querySelector("canvas"), maps[k]);
    stage.dataset.painted = "";
  }
  return maps[k];
}

// A value that is larger than a pixel of the screen has sharp edges; smaller ones are blended.
function draw(canvas, map) {
  const hasPhoto = canvas.parentElement.querySelector("img") !== null;
  canvas.style.opacity = hasPhoto ? String(1 - state.photo / 100) : "1";
  canvas.classList.toggle("large", map.place.columns <= canvas.clientWidth * devicePixelRatio);
  paint(canvas, map);
}
