// One sample: its photo and its maps side by side, with the value under the pointer.

const opened = document.getElementById("opened");
const panels = document.getElementById("panels");
const flow = document.getElementById("flow");
const spoken = document.getElementById("spoken");
let current = null; // number, and the maps on show
let cursor = null; // row and column, the same in all maps

function captionOf(number, k) {
  return page.samples[number].captions[k];
}

function panelFor(number, k, map) {
  const caption = captionOf(number, k);
  const title = make("figcaption", { id: `panel-${k}` });
  const name = make("bdi", { class: "class-name" }, caption.name || page.unnamed);
  title.append(name);
  if (caption.logit !== null) {
    title.append(make("span", { class: "logit" }, `logit ${caption.logit}`));
  }
  if (caption.condition) title.append(make("bdi", { class: "condition" }, caption.condition));
  const { rows, columns, kind } = map.place;
  const size = kind === "image" ? `${rows} by ${columns} values` : `${columns} values`;
  const stage = make("div", {
    class: "stage live", tabindex: "0", role: "application", "aria-labelledby": `panel-${k}`,
    "aria-roledescription": "map of relevance",
    "aria-description": `${size}; arrow keys move to a value`,
    "data-k": k,
  }, make("canvas", { "aria-hidden": "true" }), make("span", { class: "cursor", hidden: "" }));
  const readout = make("p", { class: "readout" }, "Point at the map to read a value.");
  return make("figure", { class: "panel" }, title, make("div", { class: "frame" }, stage),
    readout, scaleFor(map), make("p", { class: "sum" }, `sum ${inWords(map.sum, 4)}`));
}

function scaleFor(map) {
  const canvas = make("canvas", { "aria-hidden": "true" });
  const ends = make("span", { class: "ends" }, make("span"), make("span", {}, "0"), make("span"));
  const scale = make("div", { class: "scale" }, canvas, ends);
  paintScale(canvas);
  label(scale, map);
  return scale;
}

function label(scale, map) {
  const [low, , high] = scale.querySelectorAll(".ends span");
  const limit = limitOf(map);
  const beyond = page.stops[state.stop] < 100;
  low.textContent = `${beyond ? "\u2264 " : ""}${signedWords(-limit, 3)}`;
  high.textContent = `${beyond ? "\u2265 " : ""}${signedWords(limit, 3)}`;
}

// The photo in its colours, and what was measured of its first map.
async function photoPanel(number, place) {
  const measured = measuredOf(number);
  if (place.photo === null) return measured ? [make("div", { class: "panel" }, measured)] : [];
  const stage = make("div", { class: "stage" });
  const name = page.samples[number].name;
  await setPhoto(stage, (await sampleOf(number)).photos[place.photo], place);
  stage.querySelector("img").alt = name;
  stage.querySelector("img").classList.add("coloured");
  const title = make("figcaption", {}, make("span", { class: "class-name" }, "What was explained"));
  const frame = make("div", { class: "frame" }, stage);
  return [make("figure", { class: "panel shown" }, title, frame, ...(measured ? [measured] : []))];
}

async function drawOpened() {
  if (current === null) return;
  const { number } = current;
  const position = state.place;
  const place = page.places[position];
  const maps = await mapsOf(number, position);
  const first = await photoPanel(number, place);
  if (current === null || current.number !== number || state.place !== position) return;
  const focused = document.activeElement.closest?.(".stage.live")?.dataset.k;
  const figures = maps.map((map, k) => panelFor(number, k, map));
  panels.replaceChildren(...first, ...figures);
  current = { number, position, maps, figures };
  cursor = null;
  if (focused !== undefined) figures[focused].querySelector(".stage").focus();
  const stages = figures.map((figure) => figure.querySelector(".stage"));
  await Promise.all(stages.map((stage, k) => show(stage, number, position, k)));
}

// Colours alone: the panels stay.
function recolourOpened() {
  if (!current?.figures) return;
  current.figures.forEach((figure, k) => {
    const map = current.maps[k];
    const stage = figure.querySelector(".stage");
    draw(stage.querySelector("canvas"), map);
    paintScale(figure.querySelector(".scale canvas"));
    label(figure.querySelector(".scale"), map);
  });
  drawFlow();
}

// Relevance on its way: each place as a small map, which is also a way to choose it.
function drawFlow() {
  if (current === null || page.places.length < 2) return;
  [...flow.querySelectorAll("button")].forEach((button, position) => {
    button.setAttribute("aria-pressed", String(position === state.place));
    const stage = button.querySelector(".stage");
    show(stage, current.number, position, 0).then((map) => {
      button.querySelector(".sum").textContent = `sum ${inWords(map.sum, 3)}`;
    }).catch(report);
  });
}

function measuredOf(number) {
  const parts = page.sorts.filter((sort) => sort.isMeasure).map(({ name, values }) =>
    make("div", {}, make("dt", {}, name),
      make("dd", {}, values[number] === null ? "none" : inWords(values[number], 4))));
  return parts.length ? make("dl", { class: "measured" }, ...parts) : null;
}

function open(number) {
  if (current?.number === number) return;
  const wasClosed = current === null;
  if (wasClosed) opened.dataset.scroll = String(window.scrollY);
  current = { number };
  cursor = null;
  document.body.dataset.view = "opened";
  document.getElementById("opened-name").textContent = page.samples[number].name;
  const place = inOrder().indexOf(number) + 1;
  document.getElementById("opened-count").textContent = `${place} of ${page.samples.length}`;
  drawOpened().catch(report);
  drawFlow();
  if (wasClosed) {
    window.scrollTo(0, document.getElementById("maps").offsetTop);
    document.getElementById("opened-name").focus({ preventScroll: true });
  }
}

function close() {
  if (current === null) return;
  const { number } = current;
  current = null;
  delete document.body.dataset.view;
  panels.replaceChildren();
  drawOverview();
  window.scrollTo(0, Number(opened.dataset.scroll || 0));
  const card = cards[number];
  roveTo(card);
  card.focus({ preventScroll: true });
  card.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const order = inOrder();
  const next = order.indexOf(current.number) + by + order.length;
  location.hash = `sample-${order[next % order.length] + 1}`;
}
