// A user's interactions by domain, as shapes that also differ without colour.

const LANE = 46, MARGIN = 14, TOP = 4, AXIS = 20;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Interactions of a user and proposals behind their anchors, in the order of the time line.
function eventsOf(user) {
  const first = users.starts[user], end = users.starts[user + 1], events = [];
  for (let row = first; row < end; row++) {
    events.push({ item: users.items[row], time: users.times[row], part: users.parts[row], step: row - first });
  }
  for (const proposal of proposalsOf(user)) {
    const anchor = events.findLast((event) => event.item === proposal.anchor && event.part === TRAIN);
    if (anchor) events.push({ ...proposal, time: anchor.time, step: anchor.step + 0.5 });
  }
  return events.sort((a, b) => a.step - b.step);
}

function eventText(event) {
  const what = event.anchor === undefined ? PARTS[event.part] : `proposed behind ${titleOf(event.anchor)}`;
  const when = event.anchor === undefined ? `${dateOf(event.time, true)}, ` : "";
  return `${when}${domains[items.domain[event.item]]}, ${what}: ${titleOf(event.item)}`;
}

function shapeOf(event, x, y) {
  const at = `translate(${x.toFixed(1)} ${y})`;
  if (event.anchor !== undefined) return svg("path", { d: "M0 -6L5 4H-5Z", transform: at });
  if (event.part === TEST) return svg("path", { d: "M0 -9L9 0L0 9L-9 0Z", transform: at });
  const r = { [TRAIN]: 4.5, [VALID]: 6 }[event.part] || 2.5;
  return svg("circle", { r, transform: at });
}

function classOf(event) {
  if (event.anchor !== undefined) return "proposed";
  return event.part === VALID ? "valid" : event.part === TEST ? "test" : event.part === TRAIN ? "train" : "context";
}

function drawTimeline(user, spacing) {
  const holder = byId("timeline"), events = eventsOf(user);
  const here = [...new Set(events.map((event) => items.domain[event.item]))].sort((a, b) => a - b);
  const width = Math.max(holder.clientWidth, 240), height = TOP + here.length * LANE + AXIS;
  const value = (event) => (spacing === "time" ? event.time : event.step);
  const low = value(events[0]), range = value(events.at(-1)) - low || 1;
  const x = (event) => MARGIN + ((width - 2 * MARGIN) * (value(event) - low)) / range;
  const picture = svg("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, tabindex: 0, role: "listbox",
    "aria-label": `Time line of ${events.length} interactions`,
  });
  here.forEach((domain, lane) => {
    const y = TOP + lane * LANE;
    picture.append(svg("line", { x1: 0, x2: width, y1: y + 30, y2: y + 30, class: "rail" }));
    picture.append(svg("text", { x: 2, y: y + 12, class: "lane" }, domains[domain]));
  });
  const marks = events.map((event, index) => {
    const y = TOP + here.indexOf(items.domain[event.item]) * LANE + 30;
    const mark = shapeOf(event, x(event), y);
    mark.setAttribute("class", `mark ${classOf(event)} ${colourOf(items.domain[event.item])}`);
    mark.setAttribute("role", "option");
    mark.setAttribute("id", `event-${index}`);
    mark.setAttribute("aria-label", eventText(event));
    return mark;
  });
  const above = (event) => (event.part === TRAIN ? 0 : 1); // held-out marks are drawn last
  picture.append(...marks.map((mark, i) => [above(events[i]), mark]).sort((a, b) => a[0] - b[0]).map((one) => one[1]));
  picture.append(...axis(events, x, width, height));
  follow(picture, marks, events);
  show(holder, picture);
  show(byId("timeline-info"), "Point at a mark, or move with the arrow keys; a click or Enter opens the item.");
}

function axis(events, x, width, height) {
  const wanted = Math.max(2, Math.min(Math.floor(width / 110), events.length)), texts = [];
  let lastX = -Infinity, lastText = "";
  for (let i = 0; i < wanted; i++) {
    const event = events[Math.round((i * (events.length - 1)) / (wanted - 1 || 1))];
    const text = dateOf(event.time), at = Math.min(Math.max(x(event), 36), width - 36);
    if (at - lastX < 84 || text === lastText) continue;
    texts.push(svg("text", { x: at, y: height - 5, class: "tick", "text-anchor": "middle" }, text));
    [lastX, lastText] = [at, text];
  }
  return texts;
}

// Pointer and arrow keys name an interaction; a click or Enter opens its item.
function follow(picture, marks, events) {
  let active = -1;
  function name(index) {
    marks[active]?.classList.remove("active");
    active = index;
    const mark = marks[index];
    mark.classList.add("active");
    picture.setAttribute("aria-activedescendant", mark.id);
    show(byId("timeline-info"), eventText(events[index]));
  }
  const indexOf = (event) => marks.indexOf(event.target);
  picture.addEventListener("pointerover", (event) => { if (indexOf(event) >= 0) name(indexOf(event)); });
  picture.addEventListener("click", (event) => {
    if (indexOf(event) < 0) return;
    name(indexOf(event));
    openItem(events[active].item);
  });
  picture.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: active - 1, ArrowRight: active + 1, Home: 0, End: marks.length - 1 };
    if (event.key in steps) name(Math.max(0, Math.min(steps[event.key], marks.length - 1)));
    else if ((event.key === "Enter" || event.key === " ") && active >= 0) openItem(events[active].item);
    else return;
    event.preventDefault();
  });
  picture.addEventListener("focus", () => { if (active < 0) name(marks.length - 1); });
}

function drawLegend() {
  const kinds = [["train", "training", TRAIN], ["valid", "validation, held out", VALID], ["test", "test, held out", TEST]];
  if (users.parts.includes(3)) kinds.push(["context", "context, never a target", 3]);
  if (users.parts.includes(4)) kinds.push(["context", "after the test window of the fold", 4]);
  const entries = kinds.map(([name, text, part]) => [shapeOf({ part }, 10, 10), name, text]);
  if (artefacts.some((set) => set.proposals)) {
    entries.push([shapeOf({ anchor: 0 }, 10, 10), "proposed", "proposed, behind its anchor"]);
  }
  show(byId("timeline-legend"), ...entries.map(([mark, name, text]) => {
    mark.setAttribute("class", `mark ${name} c0`);
    return make("li", {}, svg("svg", { width: 20, height: 20, "aria-hidden": "true" }, mark), text);
  }));
}

// The same as a list, latest first, made when it is opened.
function historyRows(user) {
  const details = byId("history"), rows = byId("history-rows"), end = users.starts[user + 1];
  const count = end - users.starts[user];
  details.open = false;
  show(details.querySelector("summary"), `All ${number(count)} as a list`);
  show(rows);
  details.ontoggle = () => {
    if (!details.open || rows.childElementCount) return;
    const list = make("ol", { class: "plain" });
    rows.append(list);
    addRows(list, end - 1, users.starts[user]);
  };
}

function addRows(list, from, first) {
  const until = Math.max(from - 200, first - 1);
  for (let row = from; row > until; row--) {
    const part = users.parts[row] ? make("b", {}, ` ${PARTS[users.parts[row]]}`) : "";
    list.append(make("li", {}, make("span", { class: "date" }, dateOf(users.times[row])), itemButton(users.items[row]), part));
  }
  if (until >= first) {
    const button = make("button", { type: "button" }, `${number(until - first + 1)} earlier ones`);
    button.addEventListener("click", () => { button.remove(); addRows(list, until, first); });
    list.after(button);
  }
  roving(list);
}
