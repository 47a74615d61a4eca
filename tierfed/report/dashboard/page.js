// Draws the documents that come as server-sent events (board.py makes them).  Names are data: they are
// only ever set as text.
"use strict";

const ROWS = 400; // aggregators drawn at most; those that are at work come first then
const AT_WORK = { collecting: 0, folding: 1, waiting: 2, folded: 3 };

const by = (id) => document.getElementById(id);
const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = kind;
  return made;
}

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  for (; count >= 999.5 && at < units.length - 1; at++) count /= 1000;
  return `${count < 9.95 && at ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

function number(value) {
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function seconds(value) {
  return value >= 120 ? `${Math.floor(value / 60)} min ${Math.round(value % 60)} s` : `${number(value)} s`;
}

function curve(values) {
  const box = svg("svg");
  box.setAttribute("viewBox", "0 0 100 30");
  box.setAttribute("preserveAspectRatio", "none");
  box.setAttribute("role", "img");
  const known = values.filter((value) => Number.isFinite(value));
  const low = Math.min(...known), high = Math.max(...known);
  box.setAttribute("aria-label", `from ${number(low)} to ${number(high)}`);
  const line = svg("polyline");
  const across = Math.max(values.length - 1, 1), up = high - low || 1;
  const points = values.map((v, i) => [(100 * i) / across, 29 - (28 * (v - low)) / up]);
  line.setAttribute("points", points.filter(([, y]) => Number.isFinite(y)).map((p) => p.map((c) => c.toFixed(2)).join(",")).join(" "));
  box.append(line);
  return box;
}

function drawMetrics(state) {
  const last = state.rounds.at(-1);
  const cards = [];
  const card = (label, value, values) => {
    const made = element("div", "", "metric");
    made.append(element("span", label), element("b", value));
    if (new Set(values).size > 1) made.append(curve(values));
    cards.push(made);
  };
  for (const [name, value] of Object.entries(last ? last.metrics : {})) {
    card(name, number(value), state.rounds.map((round) => round.metrics[name]));
  }
  if (last) {
    card(state.clock === "virtual" ? "a round, virtual" : "a round", seconds(last.seconds), state.rounds.map((r) => r.seconds));
  }
  by("metrics").replaceChildren(...cards);
}

function drawTiers(state) {
  const last = state.rounds.at(-1);
  const everSent = {};
  for (const round of state.rounds) {
    for (const [tier, sent] of Object.entries(round.traffic)) everSent[tier] = (everSent[tier] || 0) + sent.up;
  }
  const sampled = state.done > state.rounds.length;
  const rows = Object.entries(state.placements).map(([tier, nodes]) => {
    const row = element("tr");
    const here = state.aggregators.filter((a) => a.placement === tier);
    const counts = {};
    for (const a of here) counts[a.state] = (counts[a.state] || 0) + 1;
    let now = Object.entries(counts).sort(([a], [b]) => AT_WORK[a] - AT_WORK[b]).map(([what, n]) => `${n} ${what}`).join(" · ");
    if (!here.length) {
      const parents = state.aggregators.filter((a) => a.leaves === tier && a.expected !== undefined);
      const sum = (of) => parents.reduce((total, a) => total + a[of], 0);
      now = parents.length ? `${sum("whole")} of ${sum("expected")} in` : "";
    }
    const sent = last && last.traffic[tier];
    row.append(
      element("td", tier),
      element("td", state.ready === null ? `${nodes.ready}/${nodes.of}` : String(nodes.of)),
      element("td", now),
      element("td", sent ? bytes(sent.up) : ""),
      element("td", sent ? bytes(sent.down) : ""),
      element("td", tier in everSent && !sampled ? bytes(everSent[tier]) : ""),
    );
    return row;
  });
  by("tiers").replaceChildren(...rows);
}

function depths(aggregators) {
  const found = new Map();
  for (const a of aggregators) found.set(a.name, a.parent === null ? 0 : (found.get(a.parent) ?? 0) + 1);
  return found;
}

function drawTree(state) {
  const depth = depths(state.aggregators);
  let shown = state.aggregators;
  if (shown.length > ROWS) {
    const chosen = new Set([...shown].sort((a, b) => AT_WORK[a.state] - AT_WORK[b.state]).slice(0, ROWS));
    shown = shown.filter((a) => chosen.has(a));
  }
  const rows = shown.map((a) => {
    const row = element("li", "", `${a.state}${a.parent === null ? " root" : ""}${a.lost.length ? " lost" : ""}`);
    row.style.setProperty("--depth", depth.get(a.name));
    const who = element("span", a.name, "who");
    who.title = `${a.placement} ${a.name}`;
    const bar = element("progress");
    bar.max = a.expected || a.children;
    bar.value = a.whole || 0;
    bar.setAttribute("aria-label", `${a.name}: how many of its children are in`);
    const why = [];
    if (a.lost.length) why.push(`⚠ ${a.lost.slice(0, 3).join(", ")}${a.lost.length > 3 ? ", …" : ""} lost`);
    if (a.awaits && a.state === "collecting") why.push(`waits for ${a.awaits}`);
    row.append(
      who,
      element("span", a.state, "state"),
      bar,
      element("span", a.expected === undefined ? `0/${a.children}` : `${a.whole}/${a.expected}`, "count"),
      element("span", why.join(" · "), "why"),
    );
    return row;
  });
  by("tree").replaceChildren(...rows);
  by("more").hidden = shown.length === state.aggregators.length;
  by("more").textContent = `${shown.length} of ${state.aggregators.length} aggregators: those at work first`;
}

function drawTroubles(state) {
  by("trouble").hidden = !state.troubles.length;
  const rows = [...state.troubles].reverse().map((trouble) => {
    const row = element("li");
    row.append(element("b", `${trouble.what} ${trouble.node}`), ` ${trouble.why}`);
    return row;
  });
  by("troubles").replaceChildren(...rows);
}

function status(text, kind) {
  by("status").textContent = text;
  by("status").className = kind;
}

function draw(state) {
  document.title = `${state.name} · TierFed`;
  by("name").textContent = state.name;
  if (state.round) {
    by("round-text").textContent = `round ${state.round.number} of ${state.round.of}`;
    by("round-bar").max = state.round.of;
    by("round-bar").value = state.done;
  }
  drawMetrics(state);
  drawTiers(state);
  drawTree(state);
  drawTroubles(state);
}

draw(JSON.parse(by("first").textContent));
const source = new EventSource("events");
let latest = null, asked = false;
source.onmessage = (event) => {
  latest = JSON.parse(event.data);
  if (!asked) {
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(latest); status(latest.status, latest.status); });
  }
};
source.addEventListener("over", () => source.close());
source.onerror = () => {
  if (source.readyState === EventSource.CLOSED || (latest && latest.status !== "running" && latest.status !== "starting")) {
    source.close();
    return;
  }
  status("not connected", "gone");
};
