// What is open is in the address: #user=ID&item=ID, so that it can be kept and gone back to.

const state = { user: -1, item: -1 };
const userIndex = new Map(users.ids.map((id, index) => [id, index]));
const itemIndex = new Map(items.ids.map((id, index) => [id, index]));

function address() {
  return new URLSearchParams(location.hash.slice(1));
}

function go(name, id) {
  const now = address();
  now.set(name, id);
  if (`#${now}` === location.hash) followAddress();
  else location.hash = now;
}

const openUser = (user) => go("user", users.ids[user]);
const openItem = (item) => go("item", items.ids[item]);

function followAddress() {
  const now = address();
  const user = userIndex.get(now.get("user")) ?? Math.max(state.user, 0);
  const item = itemIndex.get(now.get("item")) ?? -1;
  if (user !== state.user) showUser(user);
  if (item !== state.item || item < 0) showItem(item);
  drawMap();
}

function showUser(user) {
  state.user = user;
  userSearch.mark(user);
  const first = users.starts[user], end = users.starts[user + 1];
  show(byId("user-title"), "User ", make("bdi", {}, users.ids[user]));
  const counts = domains.map(() => 0);
  for (let row = first; row < end; row++) counts[items.domain[users.items[row]]]++;
  const shares = domains.map((name, d) => `${name} ${number(counts[d])}`).filter((_, d) => counts[d]);
  const dates = [...new Set([dateOf(users.times[first]), dateOf(users.times[end - 1])])].join(" to ");
  show(byId("user-facts"), `${number(end - first)} interactions: ${shares.join(", ")}; ${dates}`);
  redrawTimeline();
  historyRows(user);
  heldOutLists(user);
  nextLists(user);
  proposalList(user);
  profileList(user);
}

function redrawTimeline() {
  if (state.user >= 0) drawTimeline(state.user, document.querySelector("[name=spacing]:checked").value);
}

function showItem(item) {
  state.item = item;
  itemSearch.mark(item);
  byId("near-part").hidden = item < 0;
  if (item < 0) {
    show(byId("item-card"), make("p", { class: "note" }, "Choose an item anywhere on this page."));
    return;
  }
  const count = items.counts[item];
  const known = count ? `${number(count)} training interactions` : "new: nobody has it in the training rows";
  show(byId("item-card"), make("p", { class: "title" }, make("bdi", {}, titleOf(item))),
    make("p", { class: "note" }, swatch(items.domain[item]), make("bdi", {}, domains[items.domain[item]]),
      ", item ", make("bdi", {}, items.ids[item]), `, ${known}`),
    ownersOf(item));
  show(byId("near"), ...nearItems(item));
  if (places) {
    if (map.zoom > 1) centreMap();
    mapInfo(item);
  }
}

function nearItems(item) {
  if (!nearest) return [make("p", {}, "These runs have no vectors of items.")];
  const { count } = nearest, lines = [];
  for (let i = item * count; i < (item + 1) * count; i++) {
    if (nearest.items[i]) {
      const cosine = make("span", { class: "score", title: "cosine" }, (nearest.cosines[i] / 100).toFixed(2));
      lines.push(listLine(nearest.items[i] - 1, true, cosine));
    }
  }
  if (!lines.length) return [make("p", {}, "This item has no vector.")];
  const list = make("ol", { "aria-label": "Nearest items" }, ...lines);
  roving(list);
  const all = items.ids.length < content.allItems ? `the page's ${number(items.ids.length)} of ${number(content.allItems)}` : number(items.ids.length);
  return [make("p", { class: "note" }, `By cosine of ${content.vectors}, among ${all} items.`), list];
}

function ownersOf(item) {
  const owners = [];
  for (let user = 0; user < users.ids.length; user++) {
    const end = users.starts[user + 1];
    for (let row = users.starts[user]; row < end; row++) {
      if (users.items[row] === item) { owners.push(user); break; }
    }
  }
  const group = make("p", { class: "owners" }, owners.length ? `${number(owners.length)} users: ` : "No user on this page has it.");
  for (const user of owners.slice(0, 12)) {
    const button = make("button", { type: "button" }, make("bdi", {}, users.ids[user]));
    button.addEventListener("click", () => openUser(user));
    group.append(button);
  }
  roving(group);
  return group;
}

// Users by what the models did with their held-out item.
function filters() {
  const hit = (run) => (user) => run.rank[user] > 0 && run.rank[user] <= k;
  const missed = (run) => (user) => run.rank[user] > k;
  const made = [["all users", null]];
  for (const run of runs) made.push([`hit by ${run.label}`, hit(run)], [`missed by ${run.label}`, missed(run)]);
  for (const one of runs) {
    for (const other of runs) {
      if (one !== other) {
        made.push([`hit by ${one.label}, missed by ${other.label}`, (user) => hit(one)(user) && missed(other)(user)]);
      }
    }
  }
  if (artefacts.some((set) => set.proposals)) made.push(["with proposed interactions", (user) => proposalsOf(user).length > 0]);
  return made;
}

function facts() {
  const all = users.ids.length < content.allUsers ? ` of ${number(content.allUsers)}, drawn at random` : "";
  const texts = [[`${number(users.ids.length)} users${all}`, ""]];
  for (const run of runs) texts.push([`${run.label}: ${run.metric} `, run.value === null ? "none" : run.value.toFixed(4), run.folder]);
  show(byId("facts"), ...texts.map(([text, value, title]) => make("span", title ? { title } : {}, text, make("b", {}, value))));
}

const choices = filters();
const filter = byId("user-filter");
filter.append(...choices.map(([text], index) => make("option", { value: index }, text)));
const userSearch = searchList({
  input: byId("user-search"), list: byId("user-results"), count: byId("user-count"), ids: users.ids, whenEmpty: true,
  label: (user) => [make("bdi", {}, users.ids[user]), make("span", { class: "score" }, number(users.starts[user + 1] - users.starts[user]))],
  accepts: (user) => { const test = choices[filter.value][1]; return !test || test(user); },
  open: openUser,
});
const itemSearch = searchList({
  input: byId("item-search"), list: byId("item-results"), count: byId("item-count"), ids: items.ids, alsoIn: items.titles,
  label: (item) => [swatch(items.domain[item]), make("bdi", {}, titleOf(item))],
  open: (item) => { openItem(item); itemSearch.clear(); },
});
filter.addEventListener("change", userSearch.update);
byId("user-random").addEventListener("click", () => openUser(Math.floor(Math.random() * users.ids.length)));
byId("next-domain").append(make("option", { value: -1 }, "all domains"), ...domains.map((name, d) => make("option", { value: d }, name)));
byId("next-domain").addEventListener("change", () => nextLists(state.user));
for (const radio of document.querySelectorAll("[name=spacing]")) radio.addEventListener("change", redrawTimeline);
let drawnWidth = 0;
new ResizeObserver(([entry]) => {
  if (Math.abs(entry.contentRect.width - drawnWidth) > 1) {
    drawnWidth = entry.contentRect.width;
    redrawTimeline();
  }
}).observe(byId("timeline"));
document.addEventListener("keydown", (event) => {
  const typing = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    byId("user-search").focus();
    byId("user-search").select();
  }
});
addEventListener("hashchange", followAddress);
facts();
drawLegend();
prepareMap();
followAddress();
