// What the page holds: maps as codes, deflated, in base 64; each sample is read when it is needed.

const page = JSON.parse(document.getElementById("page-data").textContent);
const read = new Map();
const unpacked = new Map();

// Samples stand behind this script: the page is there before all of them are.
async function arrived(number) {
  const isThere = () => document.readyState !== "loading"
    || document.getElementById(`data-${number + 1}`) !== null;
  while (!isThere()) await new Promise((done) => setTimeout(done, 20));
  return document.getElementById(`data-${number}`);
}

function sampleOf(number) {
  if (!read.has(number)) {
    read.set(number, arrived(number).then((element) => JSON.parse(element.textContent)));
  }
  return read.get(number);
}

async function inflated(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// All low bytes come first, then all high ones, if there are any.
function codesOf(bytes, place) {
  if (place.levels <= 127) return new Int8Array(bytes.buffer);
  const count = bytes.length / 2;
  const codes = new Int16Array(count);
  for (let i = 0; i < count; i++) codes[i] = bytes[i] | (bytes[count + i] << 8);
  return codes;
}

// The k maps of a sample at a place: codes and what belongs to them.
function mapsOf(number, position) {
  const key = `${number}/${position}`;
  if (!unpacked.has(key)) unpacked.set(key, unpack(number, page.places[position], position));
  return unpacked.get(key);
}

async function unpack(number, place, position) {
  const sample = await sampleOf(number);
  const held = sample.places[position];
  const codes = codesOf(await inflated(held.codes), place);
  const size = place.rows * place.columns;
  return held.largest.map((largest, k) => ({
    place, largest,
    codes: codes.subarray(k * size, (k + 1) * size),
    sum: held.sums[k],
    limits: { map: held.limits[k], image: held.pooled, all: place.all },
    values: sample.values[place.name],
  }));
}

function valueAt(map, cell) {
  const code = map.codes[cell];
  return Math.sign(code) * (code / map.place.levels) ** 2 * map.largest;
}

// How far at most the value lies from what is read: to the farther end of what is rounded.
function errorAt(map, cell) {
  return ((Math.abs(map.codes[cell]) + 0.25) / map.place.levels ** 2) * map.largest;
}

// As many digits as the error leaves, and how far at most what they say lies from what was read.
function withError(map, cell) {
  const value = valueAt(map, cell);
  const error = errorAt(map, cell);
  const places = value && error ? Math.floor(Math.log10(Math.abs(value) / error)) + 1 : 1;
  const text = signedWords(value, Math.min(9, Math.max(1, places)));
  const shown = Number(text.replaceAll("\u2212", "-"));
  return [text, roundedUp(error + Math.abs(shown - value))];
}

// One digit, and never less than the value.
function roundedUp(value) {
  if (value === 0) return "0";
  const unit = 10 ** Math.floor(Math.log10(value));
  let count = Math.ceil(value / unit);
  while (count * unit < value) count += 1;
  return inWords(count * unit, count < 10 ? 1 : 2);
}

function inWords(value, digits = 4) {
  const size = Math.abs(value);
  if (size === 0) return "0";
  let text = size >= 1e5 || size < 1e-4 ? size.toExponential(digits - 1) : size.toPrecision(digits);
  if (text.includes(".") && !text.includes("e")) text = text.replace(/\.?0+$/, "");
  return (value < 0 ? "\u2212" : "") + text.replace("e-", "e\u2212").replace("e+", "e");
}

function signedWords(value, digits = 4) {
  return (value > 0 ? "+" : "") + inWords(value, digits);
}
