// Item vectors in two dimensions, on a canvas.

const map = { zoom: 1, centre: [0.5, 0.5], under: -1 };

const mixed = (index) => Math.imul(index + 1, 2654435761) >>> 0;

function prepareMap() {
  if (!places) {
    byId("map-part").hidden = true;
    return;
  }
  // in mixed order, so that no domain is drawn over the others
  map.order = Uint32Array.from(items.ids.keys()).sort((a, b) => mixed(a) - mixed(b));
  map.x = new Float32Array(items.ids.length);
  map.y = new Float32Array(items.ids.length);
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < map.x.length; i++) {
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    if (!Number.isFinite(x)) continue;
    [left, right, low, high] = [Math.min(left, x), Math.max(right, x), Math.min(low, y), Math.max(high, y)];
  }
  for (let i = 0; i < map.x.length; i++) { // NaN stays NaN, and is never drawn or found
    map.x[i] = (places[2 * i] - left) / (right - left || 1);
    map.y[i] = 1 - (places[2 * i + 1] - low) / (high - low || 1);
  }
  const canvas = byId("map");
  canvas.setAttribute("aria-label", `Map of ${number(items.ids.length)} items; arrow keys move, plus and minus zoom`);
  canvas.addEventListener("pointermove", (event) => {
    const found = itemAt(event);
    if (found !== map.under) {
      map.under = found;
      mapInfo(found >= 0 ? found : state.item);
      canvas.style.cursor = found >= 0 ? "pointer" : "default";
    }
  });
  canvas.addEventListener("click", (event) => {
    const found = itemAt(event);
    if (found >= 0) openItem(found);
  });
  canvas.addEventListener("keydown", mapKeys);
  byId("zoom-in").addEventListener("click", () => zoomTo(map.zoom * 2));
  byId("zoom-out").addEventListener("click", () => zoomTo(map.zoom / 2));
  new ResizeObserver(drawMap).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMap);
  show(byId("map-legend"), ...domains.map((name, d) => make("li", {}, swatch(d), name)));
  show(byId("map-note"), `First two principal components of ${content.vectors}. Ringed: this user's history; cross: the chosen item.`);
}

// Pixel position of an item on a canvas of this size.
function position(item, width, height) {
  const pad = 10;
  return [
    pad + (width - 2 * pad) * (0.5 + (map.x[item] - map.centre[0]) * map.zoom),
    pad + (height - 2 * pad) * (0.5 + (map.y[item] - map.centre[1]) * map.zoom),
  ];
}

function itemAt(event) {
  const box = byId("map").getBoundingClientRect();
  const [px, py] = [event.clientX - box.left, event.clientY - box.top];
  let best = 12 * 12, found = -1;
  for (let i = 0; i < map.x.length; i++) {
    const [x, y] = position(i, box.width, box.height);
    const distance = (x - px) ** 2 + (y - py) ** 2;
    if (distance < best) [best, found] = [distance, i];
  }
  return found;
}

function drawMap() {
  if (!places) return;
  const canvas = byId("map"), scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const colours = domains.map((_, d) => colour(colourOf(d)));
  pen.scale(scale, scale);
  const size = (items.ids.length > 5000 ? 2 : 3) * Math.min(Math.sqrt(map.zoom), 2);
  pen.globalAlpha = 0.6;
  for (const i of map.order) {
    const [x, y] = position(i, width, height);
    if (!(x > -5 && x < width + 5 && y > -5 && y < height + 5)) continue;
    pen.fillStyle = colours[items.domain[i]];
    pen.fillRect(x - size / 2, y - size / 2, size, size);
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 1;
  if (state.user >= 0) {
    for (let row = users.starts[state.user]; row < users.starts[state.user + 1]; row++) {
      ring(pen, position(users.items[row], width, height), 4);
    }
  }
  if (state.item >= 0 && Number.isFinite(map.x[state.item])) {
    const [x, y] = position(state.item, width, height);
    pen.lineWidth = 2;
    pen.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + 4 * dx, y + 4 * dy);
      pen.lineTo(x + 12 * dx, y + 12 * dy);
    }
    pen.stroke();
    ring(pen, [x, y], 6);
  }
}

function ring(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
}

function mapInfo(item) {
  show(byId("map-info"), item < 0 ? "" : `${titleOf(item)} (${domains[items.domain[item]]})`);
}

function zoomTo(zoom) {
  map.zoom = Math.max(1, Math.min(zoom, 64));
  centreMap();
  drawMap();
}

function centreMap() {
  const known = map.zoom > 1 && state.item >= 0 && Number.isFinite(map.x[state.item]);
  map.centre = known ? [map.x[state.item], map.y[state.item]] : [0.5, 0.5];
}

function mapKeys(event) {
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (way) openItem(neighbour(way));
  else if (event.key === "+" || event.key === "=") zoomTo(map.zoom * 2);
  else if (event.key === "-") zoomTo(map.zoom / 2);
  else return;
  event.preventDefault();
}

// The closest item in a direction; steps aside cost twice.
function neighbour([dx, dy]) {
  const known = state.item >= 0 && Number.isFinite(map.x[state.item]);
  const from = known ? [map.x[state.item], map.y[state.item]] : [0.5, 0.5];
  let best = Infinity, found = Math.max(state.item, 0);
  for (let i = 0; i < map.x.length; i++) {
    const [x, y] = [map.x[i] - from[0], map.y[i] - from[1]];
    const ahead = x * dx + y * dy, aside = Math.abs(x * dy) + Math.abs(y * dx);
    const cost = ahead + 2 * aside;
    if (ahead > 1e-6 && ahead >= aside && cost < best) [best, found] = [cost, i];
  }
  return found;
}
