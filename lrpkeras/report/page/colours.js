// From values to colours: zero is the middle of the table, red speaks for, blue against.

const state = { place: 0, stop: page.stop, scope: "image", photo: page.photo };
const tables = {};

for (const [name, text] of Object.entries(page.colours)) {
  const count = text.length / 6;
  tables[name] = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const [red, green, blue] = [0, 2, 4].map((at) => parseInt(text.substr(6 * i + at, 2), 16));
    tables[name][i] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const tableNow = () => tables[isDark() ? "dark" : "light"];
const limitOf = (map) => map.limits[state.scope][state.stop];

function colourIndex(value, limit, count) {
  return Math.min(count - 1, Math.max(0, Math.floor(((value / limit + 1) / 2) * count)));
}

function cssColour(value, limit) {
  const table = tableNow();
  const colour = table[colourIndex(value, limit, table.length)];
  return `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
}

// A picture has a pixel for each value; the browser stretches it without smoothing.
function paintImage(canvas, map) {
  const { rows, columns } = map.place;
  if (canvas.width !== columns || canvas.height !== rows) {
    canvas.width = columns;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  const table = tableNow();
  const limit = limitOf(map);
  for (let i = 0; i < pixels.length; i++) {
    pixels[i] = table[colourIndex(valueAt(map, i), limit, table.length)];
  }
  context.putImageData(image, 0, 0);
}

// Series and vectors are bars from a line at zero; a series lies below what it explains.
function paintBars(canvas, map) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  context.fillStyle = cssColour(0, 1);
  context.fillRect(0, 0, width, height);
  const isSeries = map.place.kind === "series" && map.values;
  const top = isSeries ? Math.round(height * 0.55) : 0;
  if (isSeries) paintSignal(context, map, width, top);
  bars(context, map, width, top, height - top);
}

function bars(context, map, width, top, height) {
  const count = map.place.columns;
  const limit = limitOf(map);
  const middle = top + height / 2;
  const gap = width / count > 6 ? 1 : 0;
  const ink = getComputedStyle(document.documentElement).getPropertyValue("--line-strong");
  for (let i = 0; i < count; i++) {
    const value = Math.min(1, Math.max(-1, valueAt(map, i) / limit));
    const left = Math.floor((i * width) / count);
    const right = Math.max(left + 1, Math.floor(((i + 1) * width) / count) - gap);
    context.fillStyle = cssColour(Math.sign(value) * Math.max(0.35, Math.abs(value)), 1);
    const size = (Math.abs(value) * height) / 2;
    context.fillRect(left, value > 0 ? middle - size : middle, right - left, size);
  }
  context.fillStyle = ink;
  context.fillRect(0, Math.round(middle), width, 1);
}

// What is explained, as lines over stripes in the colours of their relevance.
function paintSignal(context, map, width, height) {
  const count = map.place.columns;
  for (let i = 0; i < count; i++) {
    context.fillStyle = cssColour(valueAt(map, i), limitOf(map));
    const left = Math.floor((i * width) / count);
    context.fillRect(left, 0, Math.ceil(((i + 1) * width) / count) - left, height);
  }
  let [low, high] = [Infinity, -Infinity];
  for (const value of map.values.flat()) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const span = high - low || 1;
  context.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  // Many lines are thinner, or they would hide the stripes.
  const thin = Math.min(1, Math.max(0.2, 6 / map.values.length));
  context.lineWidth = thin * Math.max(1, (window.devicePixelRatio || 1) * 1.25);
  for (const line of map.values) {
    context.beginPath();
    line.forEach((value, i) => {
      const x = ((i + 0.5) / count) * width;
      const y = height * (0.92 - (0.84 * (value - low)) / span);
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.stroke();
  }
}

function paint(canvas, map) {
  if (map.place.kind === "image") paintImage(canvas, map);
  else paintBars(canvas, map);
}

// The scale itself: all colours from one end to the other.
function paintScale(canvas) {
  const table = tableNow();
  canvas.width = table.length;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  const image = context.createImageData(table.length, 1);
  new Uint32Array(image.data.buffer).set(table);
  context.putImageData(image, 0, 0);
}
