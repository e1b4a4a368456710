// All samples in a grid: a card is drawn when it comes into view.

const grid = document.getElementById("grid");
const cards = [...grid.querySelectorAll(".card")];
const visible = new Set();

// The samples as they are sorted.
function inOrder() {
  return [...grid.querySelectorAll(".card")].map((card) => Number(card.dataset.sample));
}

function compared(one, other) {
  if (typeof one === "string") return one.localeCompare(other, undefined, { numeric: true });
  return one - other;
}

function drawCard(card) {
  const number = Number(card.dataset.sample);
  show(card.querySelector(".stage"), number, state.place, 0).catch(report);
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      visible.add(entry.target);
      drawCard(entry.target);
    } else {
      visible.delete(entry.target);
    }
  }
}, { rootMargin: "300px" });

function drawOverview() {
  visible.forEach(drawCard);
}

// One card is reached by the tabulator, the others from there by arrows.
function roveTo(card) {
  for (const other of cards) other.tabIndex = other === card ? 0 : -1;
}

function columnsOf(shown) {
  const top = shown[0].offsetTop;
  const next = shown.findIndex((card) => card.offsetTop !== top);
  return next < 0 ? shown.length : next;
}

function onGridKey(event) {
  const shown = [...grid.querySelectorAll(".card")];
  const now = shown.indexOf(document.activeElement);
  if (now < 0) return;
  const columns = columnsOf(shown);
  const steps = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns,
    Home: -now, End: shown.length - 1 - now,
  };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const next = shown[Math.min(shown.length - 1, Math.max(0, now + steps[event.key]))];
  roveTo(next);
  next.focus();
}

function sortBy(key, isReversed) {
  const items = cards.map((card) => card.closest("li"));
  const values = key === "given" ? null : page.sorts[Number(key)].values;
  const order = items.map((_, i) => i);
  if (values) {
    // What has no number comes last, either way.
    order.sort((a, b) => (values[a] === null) - (values[b] === null)
      || compared(values[a], values[b]) || a - b);
  }
  if (isReversed) order.reverse();
  if (isReversed && values) order.sort((a, b) => (values[a] === null) - (values[b] === null));
  grid.append(...order.map((i) => items[i]));
}

function startOverview() {
  cards.forEach((card) => watcher.observe(card));
  grid.addEventListener("keydown", onGridKey);
  grid.addEventListener("focusin", (event) => roveTo(event.target.closest(".card")));
  grid.addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) location.hash = `sample-${Number(card.dataset.sample) + 1}`;
  });
  roveTo(cards[0]);
}
