// Shared by all plots: colours, layout, and drawing only when a plot comes into view.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const seriesColour = (number) => colour(`c${number % 8}`);
const DASHES = ["solid", "dash", "dot"];

// Plotly interprets some HTML in its labels, and names come from configs.
const inert = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function faded(hex, share) {
  const [red, green, blue] = [1, 3, 5].map((index) => parseInt(hex.slice(index, index + 2), 16));
  return `rgba(${red},${green},${blue},${share})`;
}

function axis(more = {}) {
  const rule = colour("rule");
  return {
    gridcolor: rule,
    linecolor: rule,
    zeroline: false,
    zerolinecolor: colour("quiet"),
    tickcolor: rule,
    automargin: true,
    ...more,
  };
}

// Ticks at 1, 2, 5 and their multiples by ten, or just at powers of ten in a narrow window; where a short logarithmic axis has too few of them, at equal steps.
function ticks(low, high, log) {
  const decades = Math.log10(high / low);
  if (log && decades > 4) return { dtick: Math.ceil(decades / 6) };
  if (log && decades > 1) return { dtick: decades > 2 && matchMedia(NARROW).matches ? 1 : "D2" };
  const size = (high - low) / 6 || 1;
  const unit = 10 ** Math.floor(Math.log10(size));
  const step = unit * [1, 2, 2.5, 5, 10].find((factor) => factor * unit >= size);
  const first = Math.ceil(low / step);
  const values = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, index) => (first + index) * step);
  return { tickmode: "array", tickvals: values, ticktext: values.map((value) => significant(value, 4)) };
}

// An axis that fits the values, with room at its ends. A logarithmic one wants a positive value, and has none for zero.
function valueAxis(values, log, more = {}) {
  const finite = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (!finite.length) return axis({ ...more, type: "linear" });
  const [low, high] = [finite.reduce((a, b) => Math.min(a, b)), finite.reduce((a, b) => Math.max(a, b))];
  const room = log ? (high / low) ** 0.06 * 1.01 : 0.06 * (high - low) || Math.abs(high) / 10 || 1;
  const ends = log ? [low / room, high * room] : [low - room, high + room];
  const range = log ? ends.map(Math.log10) : ends;
  return axis({ type: log ? "log" : "linear", range, tickformat: "~g", exponentformat: "none", ...ticks(...ends, log), ...more });
}

const epochAxis = (epochs, reported = false) =>
  axis({
    title: { text: reported ? "report (from 0)" : "epoch (from 0)" },
    dtick: epochs <= 16 ? 1 : undefined,
    range: epochs > 1 ? [-0.02 * epochs, 1.02 * (epochs - 1) + 0.02] : [-0.5, 0.5],
  });

function layout(more = {}) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("ink") },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("rule"), font: { color: colour("ink") } },
    margin: { l: 10, r: 10, t: 10, b: 10 },
    showlegend: false,
    modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("quiet"), activecolor: colour("ink") },
    ...more,
  };
}

// Texts of at most so many characters: cut at their ends, or where that makes two of them equal, where they are alike:
// in the middle, or else not at all.
function distinctlyCut(texts, most) {
  const ways = [
    (text) => `${text.slice(0, most - 1)}…`,
    (text) => `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(-Math.floor(most / 2))}`,
    (text) => `…${text.slice(1 - most)}`,
    (text) => text,
  ];
  const different = new Set(texts).size;
  const cuts = ways.map((cut) => texts.map((text) => (text.length > most ? cut(text) : text)));
  return cuts.find((found) => new Set(found).size === different);
}

// Labels of a plot's rows: on its left, or above each row in a narrow window.
function rowLabels(names) {
  const above = matchMedia(NARROW).matches;
  const cut = distinctlyCut(names, 50);
  const annotation = (text, y) => ({
    x: 0,
    xref: "paper",
    y,
    xanchor: "left",
    yanchor: "bottom",
    yshift: 8,
    showarrow: false,
    text: inert(text),
    font: { size: 11 },
  });
  const ticks = {
    tickmode: "array",
    tickvals: names.map((_, index) => index),
    ticktext: names.map(inert),
    showticklabels: !above,
  };
  return {
    annotations: above ? cut.map(annotation) : [],
    yaxis: axis({ ...ticks, range: [names.length - 0.5, -0.7], showgrid: !above, zeroline: false }),
    height: names.length * (above ? 48 : 30),
  };
}

// Parts of the page that are filled when they come into view, and again when the view changes: one after the other, in
// tasks of their own, between which keys and clicks are taken. Each change puts off what is not yet drawn, so that of
// some keys typed at once only the last one is drawn.
const PAUSE = 100; // milliseconds after a change
const waiting = new Set();
const inView = new WeakSet();
const fillers = new Map();
let timer = null;
let isFilling = false;
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target);
      else inView.delete(target);
    }
    fillSoon();
  },
  { rootMargin: "300px" },
);

function fillSoon(pause = 0) {
  clearTimeout(timer);
  timer = setTimeout(fillNext, pause);
}

async function fillNext() {
  const place = [...waiting].find((other) => inView.has(other));
  if (!place || isFilling) return;
  waiting.delete(place);
  place.classList.remove("unfilled");
  isFilling = true;
  try {
    await fillers.get(place)?.();
  } finally {
    isFilling = false;
    fillSoon();
  }
}

// Calls `fill` once the element comes into view. The element's `redraw` has it called again, once it is in view.
function whenSeen(place, fill) {
  fillers.set(place, fill);
  waiting.add(place);
  place.classList.add("unfilled");
  watcher.observe(place);
  place.redraw = () => {
    waiting.add(place);
    fillSoon(PAUSE);
  };
  return place;
}

function forget(place) {
  watcher.unobserve(place);
  fillers.delete(place);
  waiting.delete(place);
}

// Unpacks the plotting library once the page stands still, or when the first plot comes into view if that is earlier.
let library = null;
requestIdleCallback(() => (library ??= loadPlotly()));
async function loadPlotly() {
  const text = atob(document.getElementById("plotly").textContent);
  const packed = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) packed[index] = text.charCodeAt(index);
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
}

async function draw(place, make) {
  await (library ??= loadPlotly());
  if (!fillers.has(place)) return; // its dialog was closed meanwhile
  const { description, ...made } = make(place.clientWidth);
  const { traces, layout: plotLayout } = withPictures(made.traces, made.layout, place.clientWidth);
  await nextTask(); // keys and clicks are taken between the two halves of the work
  if (!fillers.has(place) || waiting.has(place)) return; // it is drawn anew in any case
  place.setAttribute("aria-label", description);
  const name = description.replace(/\W+/g, "-").slice(0, 60);
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["toImage"]],
    toImageButtonOptions: { filename: name },
  };
  place.style.height = `${plotLayout.height}px`;
  await Plotly.react(place, traces, plotLayout, config);
}

const nextTask = () => new Promise((resolve) => setTimeout(resolve));

// Returns an element for a plot; `make` returns {traces, layout, description}.
function plot(make, attributes = {}) {
  const place = element("div", { class: "plot", role: "group", "aria-label": "Plot", ...attributes });
  return whenSeen(place, () => draw(place, make));
}

for (const query of ["(prefers-color-scheme: dark)", NARROW]) {
  matchMedia(query).addEventListener("change", () => fillers.forEach((_, place) => place.redraw()));
}
