// The page's data. Titles, ids and profiles are anybody's text: they become text nodes, never markup.

const content = JSON.parse(document.getElementById("content").textContent);
const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

// Turns "u2:BASE64" into a typed array.
function unpack(text) {
  const binary = atob(text.slice(3));
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return new KINDS[text.slice(0, 2)](bytes.buffer);
}

// Unpacks all packed values of an object in place.
function unpackAll(object) {
  for (const [key, value] of Object.entries(object)) {
    if (typeof value === "string" && /^(u[124]|f[48]):/.test(value)) object[key] = unpack(value);
  }
  return object;
}

const { domains, runs, artefacts, k } = content;
const users = unpackAllBut(content.users, "ids");
const items = unpackAllBut(content.items, "ids", "titles");
const nearest = content.nearest && unpackAll(content.nearest);
const places = content.map && unpack(content.map);
for (const run of runs) unpackAllBut(run, "label", "folder", "metric", "among");
for (const set of artefacts) {
  if (set.profiles) unpackAllBut(set.profiles, "names", "texts");
  if (set.proposals) unpackAllBut(set.proposals, "modes");
}

// Ids and labels could look like packed values.
function unpackAllBut(object, ...texts) {
  const kept = Object.fromEntries(texts.map((name) => [name, object[name]]));
  return Object.assign(unpackAll(object), kept);
}

const TRAIN = 0, VALID = 1, TEST = 2;
const PARTS = ["training", "validation", "test", "context", "after the fold"];
const byId = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en");
const colourOf = (domain) => `c${domain % content.colours}`;

// Makes an element; children are elements or text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

function show(element, ...children) {
  element.replaceChildren(...children);
  return element;
}

function titleOf(item) {
  return items.titles[item] || "(no title)";
}

function swatch(domain) {
  return make("span", { class: `swatch ${colourOf(domain)}`, "aria-hidden": "true" });
}

// An item as a button that opens it.
function itemButton(item, withDomain = true) {
  const button = make("button", { type: "button", class: "item" }, make("bdi", {}, titleOf(item)));
  if (withDomain) button.prepend(swatch(items.domain[item]));
  button.title = `${titleOf(item)} (item ${items.ids[item]}, ${domains[items.domain[item]]})`;
  button.addEventListener("click", () => openItem(item));
  return button;
}

function dateOf(time, withTime = false) {
  if (!users.dates) return `time ${time}`;
  const text = new Date(time * 1000).toISOString();
  return withTime ? text.slice(0, 16).replace("T", " ") : text.slice(0, 10);
}

// One tab stop for a group of buttons: up and down move inside it, left and right to the next group.
function roving(group) {
  const buttonsIn = (element) => [...element.querySelectorAll("button")];
  buttonsIn(group).forEach((button, index) => { button.tabIndex = index ? -1 : 0; });
  group.onkeydown = (event) => {
    const buttons = buttonsIn(group), at = buttons.indexOf(document.activeElement);
    const beside = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" }[event.key];
    const next = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || (!beside && next === undefined)) return;
    event.preventDefault();
    const column = beside && group.closest(".column")?.[beside];
    if (column) focusOnly(buttonsIn(column), at);
    else if (next !== undefined) focusOnly(buttons, next);
  };
}

// Focuses the button of a group nearest to an index; Tab comes back to it.
function focusOnly(buttons, index) {
  const chosen = buttons[Math.max(0, Math.min(index, buttons.length - 1))];
  for (const button of buttons) button.tabIndex = button === chosen ? 0 : -1;
  chosen?.focus();
}
