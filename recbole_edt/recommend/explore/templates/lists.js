// Lists of all runs side by side, and what language models added about a user.

function listColumn(run, lines, note) {
  const column = make("div", { class: "column" });
  const heading = make("h4", {}, run.label);
  const list = make("ol", { "aria-label": `${run.label}${note ? `, ${note}` : ""}` }, ...lines);
  column.append(heading, make("p", { class: "note" }, note), lines.length ? list : make("p", {}, "nothing left"));
  roving(list);
  return column;
}

function listLine(item, withDomain, ...more) {
  return make("li", {}, itemButton(item, withDomain), ...more);
}

function targetRow(user) {
  for (let row = users.starts[user + 1] - 1; row >= users.starts[user]; row--) {
    if (users.parts[row] === TEST) return row;
  }
  return -1;
}

function lastOf(user) {
  const parts = users.parts.subarray(users.starts[user], users.starts[user + 1]);
  const count = parts.filter((part) => part === TEST).length;
  return count > 1 ? `, the last of ${count} test items` : "";
}

function rankText(run, user) {
  const rank = run.rank[user], among = run.candidates[user];
  return rank > among ? `rank beyond the cut-offs of ${number(among)}` : `rank ${number(rank)} of ${number(among)} ${run.among}`;
}

function heldOutLists(user) {
  const row = targetRow(user), target = users.items[row], holder = byId("held-out");
  const ranked = row >= 0 && runs.some((run) => run.rank[user]);
  if (!ranked) {
    show(byId("held-out-target"), "This user has no test target.");
    show(holder);
    return;
  }
  show(byId("held-out-target"), "Target: ", itemButton(target), make("span", { class: "soft" }, " ",
    make("bdi", {}, domains[items.domain[target]]), `, ${dateOf(users.times[row])}${lastOf(user)}. Each model ranks it after what came before it.`));
  show(holder, ...runs.map((run) => {
    const mixed = run.among.endsWith("all items");
    const lines = [...run.heldOut.subarray(user * k, (user + 1) * k)].filter(Boolean).map((one) => {
      const line = listLine(one - 1, mixed);
      if (one - 1 === target) {
        line.className = "hit";
        line.append(make("strong", {}, "✓ hit"));
      }
      return line;
    });
    return listColumn(run, lines, rankText(run, user));
  }));
}

// Items after the complete history: of one domain, or the best of all (domain -1).
function nextItems(run, user, domain) {
  const found = [];
  for (let d = 0; d < domains.length; d++) {
    if (domain >= 0 && d !== domain) continue;
    const start = (user * domains.length + d) * k;
    for (let i = start; i < start + k && run.following[i]; i++) found.push([run.following[i] - 1, run.scores[i]]);
  }
  return found.sort((a, b) => b[1] - a[1]).slice(0, k);
}

function nextLists(user) {
  const domain = Number(byId("next-domain").value);
  show(byId("next"), ...runs.map((run) => {
    const lines = nextItems(run, user, domain).map(([item, score]) => {
      const isNew = items.counts[item] ? "" : make("em", { title: "nobody has it in the training rows" }, "new");
      return listLine(item, domain < 0, isNew, make("span", { class: "score" }, score.toFixed(3)));
    });
    return listColumn(run, lines, "");
  }));
}

// Rows of one user in a table with starts.
function* rowsOf(table, user) {
  if (table) for (let row = table.starts[user]; row < table.starts[user + 1]; row++) yield row;
}

function proposalsOf(user) {
  return artefacts.flatMap((set) => [...rowsOf(set.proposals, user)].map((row) => ({
    item: set.proposals.items[row], anchor: set.proposals.anchors[row], score: set.proposals.scores[row],
    mode: set.proposals.modes[set.proposals.mode[row]], set,
  })));
}

function setText(set) {
  return artefacts.length > 1 || runs.length > 1 ? `read by ${set.runs.join(", ")}` : "";
}

function proposalList(user) {
  const parts = artefacts.filter((set) => set.proposals).map((set) => {
    const list = make("ul", { class: "plain" }, ...proposalsOf(user).filter((one) => one.set === set).map((one) =>
      make("li", {}, itemButton(one.item), " behind ", itemButton(one.anchor),
        make("span", { class: "score" }, `${one.mode} ${one.score.toPrecision(3)}`))));
    roving(list);
    const unused = set.augment ? "" : "not used by these runs";
    const note = [setText(set), unused].filter(Boolean).join(", ");
    return make("div", {}, make("p", { class: "note" }, note), list.childElementCount ? list : make("p", {}, "None for this user."));
  });
  show(byId("proposals"), ...(parts.length ? parts : [make("p", {}, "These runs read none.")]));
}

function profileList(user) {
  const parts = artefacts.filter((set) => set.profiles).map((set) => {
    const table = set.profiles;
    const texts = [...rowsOf(table, user)].map((row) => make("div", { class: "profile" },
      make("h4", {}, table.names[table.name[row]]), make("p", {}, make("bdi", {}, table.texts[row]))));
    return make("div", {}, make("p", { class: "note" }, setText(set)), ...(texts.length ? texts : [make("p", {}, "None for this user.")]));
  });
  show(byId("profiles"), ...(parts.length ? parts : [make("p", {}, "These runs read none.")]));
}
