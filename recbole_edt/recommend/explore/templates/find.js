// A search field with a list of results: only the first ones are drawn, more as one moves down.

const STEP = 50;

// names: searched texts; ids: exact and leading matches come first; label: what a result shows.
function searchList({ input, list, count, ids, alsoIn, label, accepts, whenEmpty, open }) {
  const lower = ids.map((id) => String(id).toLowerCase());
  const others = alsoIn && alsoIn.map((text) => text.toLowerCase());
  let found = [], shown = 0, active = -1, chosen = -1;

  input.setAttribute("role", "combobox");
  input.setAttribute("aria-controls", list.id);
  input.setAttribute("aria-autocomplete", "list");

  function update() {
    const text = input.value.trim().toLowerCase();
    const begins = [], contains = [];
    if (text || whenEmpty) {
      for (let i = 0; i < ids.length; i++) {
        if (accepts && !accepts(i)) continue;
        if (lower[i] === text) begins.unshift(i);
        else if (lower[i].startsWith(text)) begins.push(i);
        else if (lower[i].includes(text) || (others && others[i].includes(text))) contains.push(i);
      }
    }
    found = begins.concat(contains);
    shown = 0;
    active = -1;
    list.replaceChildren();
    list.scrollTop = 0;
    list.hidden = !found.length;
    input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-expanded", String(found.length > 0));
    more();
  }

  function more() {
    const next = found.slice(shown, shown + STEP).map((index, i) => {
      const option = make("li", { role: "option", id: `${list.id}-${shown + i}` }, ...label(index));
      option.dataset.index = index;
      option.setAttribute("aria-selected", String(index === chosen));
      return option;
    });
    list.append(...next);
    shown += next.length;
    const all = number(found.length);
    const none = input.value || whenEmpty ? "none found" : "";
    show(count, found.length > shown ? `first ${number(shown)} of ${all}` : found.length ? `${all} found` : none);
  }

  function move(to) {
    if (!found.length) return;
    active = Math.max(0, Math.min(to, found.length - 1));
    while (active >= shown) more();
    for (const option of list.querySelectorAll(".active")) option.classList.remove("active");
    const option = list.children[active];
    option.classList.add("active");
    option.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", option.id);
  }

  input.addEventListener("input", update);
  input.addEventListener("keydown", (event) => {
    const page = { ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + 10, PageUp: active - 10 };
    if (event.key in page) move(page[event.key]);
    else if (event.key === "Enter" && found.length) open(found[Math.max(active, 0)]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const option = event.target.closest("li");
    if (option) open(Number(option.dataset.index));
  });
  list.addEventListener("scroll", () => {
    const left = list.scrollHeight - list.scrollTop - list.clientHeight;
    if (left < 40 && shown < found.length) more();
  });
  update();
  return {
    update,
    clear() { input.value = ""; update(); },
    mark(index) {
      chosen = index;
      for (const option of list.children) {
        option.setAttribute("aria-selected", String(Number(option.dataset.index) === index));
      }
    },
  };
}
