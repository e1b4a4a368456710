// The value under the pointer, in all maps of a sample at once; arrow keys move it, too.

const LISTED = 6; // channels whose values are written

function span(from, count, full) {
  const start = (from * full) / count;
  const end = ((from + 1) * full) / count;
  if (!Number.isInteger(start) || !Number.isInteger(end)) return `about ${Math.floor(start)}`;
  return end - start === 1 ? String(start) : `${start} to ${end - 1}`;
}

function whereIs({ row, column }, place) {
  const columns = span(column, place.columns, place.fullColumns);
  if (place.kind === "vector") return `entry ${columns}`;
  if (place.kind === "series") return `step ${columns}`;
  return `row ${span(row, place.rows, place.fullRows)}, column ${columns}`;
}

function moveTo(row, column, isSpoken) {
  if (!current?.maps) return;
  const { place } = current.maps[0];
  row = Math.min(place.rows - 1, Math.max(0, row));
  column = Math.min(place.columns - 1, Math.max(0, column));
  cursor = { row, column };
  const cell = row * place.columns + column;
  const where = whereIs(cursor, place);
  const words = current.figures.map((figure, k) => {
    const map = current.maps[k];
    const [value, error] = withError(map, cell);
    const readout = figure.querySelector(".readout");
    readout.replaceChildren(
      make("strong", { class: "value" }, value),
      make("span", { class: "error" }, ` \u00b1 ${error}`),
      make("span", { class: "where" }, where),
      ...given(map, column),
    );
    mark(figure.querySelector(".cursor"), place);
    return `${captionOf(current.number, k).name || page.unnamed} ${value}`;
  });
  if (isSpoken) spoken.textContent = `${where}: ${words.join("; ")}`;
}

// What was explained there, where it is a number.
function given(map, column) {
  if (!map.values) return [];
  const values = map.values.slice(0, LISTED).map((line) => inWords(line[column])).join(", ");
  const more = map.values.length > LISTED ? `, \u2026 (${map.values.length} channels)` : "";
  return [make("span", { class: "where" }, `x = ${values}${more}`)];
}

function mark(box, place) {
  box.hidden = false;
  box.style.left = `${(100 * (cursor.column + 0.5)) / place.columns}%`;
  box.style.width = `max(10px, ${100 / place.columns}%)`;
  if (place.kind === "image") {
    box.style.top = `${(100 * (cursor.row + 0.5)) / place.rows}%`;
    box.style.height = `max(10px, ${100 / place.rows}%)`;
  } else {
    box.style.top = "50%";
    box.style.height = "100%";
  }
}

function onPointer(event) {
  const stage = event.target.closest(".stage.live");
  if (!stage || !current?.maps) return;
  const box = stage.querySelector("canvas").getBoundingClientRect();
  const { place } = current.maps[0];
  moveTo(
    Math.floor(((event.clientY - box.top) / box.height) * place.rows),
    Math.floor(((event.clientX - box.left) / box.width) * place.columns),
    false,
  );
}

function onStageKey(event) {
  const stage = event.target.closest(".stage.live");
  if (!stage || !current?.maps) return;
  const steps = {
    ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0],
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const { place } = current.maps[0];
  if (cursor === null) {
    moveTo(Math.floor(place.rows / 2), Math.floor(place.columns / 2), true);
    return;
  }
  const far = event.shiftKey ? 10 : 1;
  const [down, right] = steps[event.key];
  moveTo(cursor.row + far * down, cursor.column + far * right, true);
}

function startCursor() {
  for (const kind of ["pointermove", "pointerdown"]) panels.addEventListener(kind, onPointer);
  panels.addEventListener("keydown", onStageKey);
}
