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

const epochAxis = (epochs) => axis({ title: { text: "epoch (from 0)" }, dtick: epochs <= 16 ? 1 : undefined });

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

// Labels of a plot's rows: on its left, or above each row in a narrow window.
function rowLabels(names) {
  const above = matchMedia(NARROW).matches;
  const short = (text) => inert(text.length > 58 ? `${text.slice(0, 57)}…` : text);
  const annotation = (text, y) => ({
    x: 0,
    xref: "paper",
    y,
    xanchor: "left",
    yanchor: "bottom",
    yshift: 8,
    showarrow: false,
    text: short(text),
    font: { size: 11 },
  });
  const ticks = {
    tickmode: "array",
    tickvals: names.map((_, index) => index),
    ticktext: names.map(inert),
    showticklabels: !above,
  };
  return {
    annotations: above ? names.map(annotation) : [],
    yaxis: axis({ ...ticks, range: [names.length - 0.5, -0.7], showgrid: !above, zeroline: false }),
    height: names.length * (above ? 48 : 30),
  };
}

const waiting = new Map();
const inView = new WeakSet();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) inView.add(entry.target);
      else inView.delete(entry.target);
      if (entry.isIntersecting && waiting.has(entry.target)) draw(entry.target);
    }
  },
  { rootMargin: "300px" },
);
const makers = new Map();

// Unpacks the plotting library when the first plot comes into view, so that the page opens without waiting for it.
let library = null;
async function loadPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (char) => char.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
}

async function draw(place) {
  waiting.delete(place);
  await (library ??= loadPlotly());
  if (!makers.has(place)) return; // its dialog was closed meanwhile
  const { traces, layout: plotLayout, description } = makers.get(place)();
  place.setAttribute("aria-label", description);
  const name = description.replace(/\W+/g, "-").slice(0, 60);
  const config = {
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["toImage"]],
    toImageButtonOptions: { filename: name },
  };
  place.style.height = `${plotLayout.height}px`;
  Plotly.react(place, traces, plotLayout, config);
}

// Returns an element for a plot; `make` returns {traces, layout, description}. Its `redraw` draws it now if in view, else later.
function plot(make, attributes = {}) {
  const place = element("div", { class: "plot", role: "img", ...attributes });
  makers.set(place, make);
  waiting.set(place, true);
  watcher.observe(place);
  place.redraw = () => (inView.has(place) ? draw(place) : waiting.set(place, true));
  return place;
}

for (const query of ["(prefers-color-scheme: dark)", NARROW]) {
  matchMedia(query).addEventListener("change", () => makers.forEach((_, place) => place.redraw()));
}
