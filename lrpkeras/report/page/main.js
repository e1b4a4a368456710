// Controls, keys and addresses.

const element = (id) => document.getElementById(id);

function report(error) {
  element("trouble").hidden = false;
  element("trouble").textContent = `This page cannot show its maps here: ${error.message}`;
}

function redraw() {
  const percentile = page.stops[state.stop];
  element("clip-value").textContent = percentile === 100 ? "none" : `${percentile} %`;
  element("clip").setAttribute("aria-valuetext",
    percentile === 100 ? "colours end at the largest value" : `percentile ${percentile}`);
  if (element("photo")) element("photo-value").textContent = `${state.photo} %`;
  legend();
  if (current === null) drawOverview();
  else recolourOpened();
}

function legend() {
  paintScale(element("legend-colours"));
  const percentile = page.stops[state.stop];
  const whose = {
    map: "each map", image: "each sample, over its maps", all: "all samples together",
  }[state.scope];
  const end = percentile === 100 ? "the largest value" : `percentile ${percentile}`;
  element("legend-text").textContent = `Colours end at ${end} of ${whose}.`;
}

function choosePlace(position) {
  state.place = position;
  if (element("place")) element("place").value = String(position);
  const place = page.places[position];
  if (element("photo")) element("photo").disabled = place.photo === null;
  element("resolution").textContent = place.resolution;
  redraw();
  if (current !== null) drawOpened().then(drawFlow).catch(report);
}

function toggleTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  redraw();
}

function nameTheme() {
  element("theme").setAttribute("aria-pressed", String(isDark()));
}

// An address that ends in #sample-3 shows the third sample; others lead to a section.
function onAddress() {
  const found = /^#sample-(\d+)$/.exec(location.hash);
  const number = found ? Number(found[1]) - 1 : -1;
  if (number >= 0 && number < page.samples.length) open(number);
  else if (["", "#maps"].includes(location.hash)) close();
}

function onKey(event) {
  if (current === null || event.altKey || event.ctrlKey || event.metaKey) return;
  const actions = {
    Escape: () => { location.hash = "maps"; },
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
  };
  const hasArrows = event.target.closest?.("input, select, .stage.live");
  if (!(event.key in actions) || (hasArrows && event.key !== "Escape")) return;
  event.preventDefault();
  actions[event.key]();
}

function startControls() {
  element("place")?.addEventListener("change", (event) => choosePlace(Number(event.target.value)));
  element("clip").addEventListener("input", (event) => {
    state.stop = Number(event.target.value);
    redraw();
  });
  element("photo")?.addEventListener("input", (event) => {
    state.photo = Number(event.target.value);
    redraw();
  });
  element("scope").addEventListener("change", (event) => {
    state.scope = event.target.value;
    redraw();
  });
  const sort = () => sortBy(element("sort").value, element("reverse").getAttribute("aria-pressed") === "true");
  element("sort")?.addEventListener("change", sort);
  element("reverse")?.addEventListener("click", () => {
    const isReversed = element("reverse").getAttribute("aria-pressed") === "true";
    element("reverse").setAttribute("aria-pressed", String(!isReversed));
    sort();
  });
  element("theme").addEventListener("click", toggleTheme);
  element("back").addEventListener("click", () => { location.hash = "maps"; });
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  flow.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choosePlace(Number(button.dataset.place));
  });
}

function start() {
  if (typeof DecompressionStream === "undefined") {
    report(new Error("it needs a browser from 2023 or later."));
    return;
  }
  startOverview();
  startCursor();
  startControls();
  choosePlace(0);
  nameTheme();
  addEventListener("hashchange", onAddress);
  addEventListener("keydown", onKey);
  addEventListener("resize", () => { if (page.places.some((p) => p.kind !== "image")) redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    nameTheme();
    redraw();
  });
  onAddress();
  document.documentElement.dataset.ready = "";
}

start();
